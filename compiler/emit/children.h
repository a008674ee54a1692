/* Work in child processes: what crashes or never ends costs one sentence, and processors share the work. What a child
 * makes goes into files of the temporary folder; what it has to say comes back as text. Children are waited for in the
 * order of the jobs, so that messages come in one order however many run at once. */
#ifndef SINTER_EMIT_CHILDREN_H
#define SINTER_EMIT_CHILDREN_H
#include "link.h"

typedef struct ChildEnd {
  int signal;       /* that ended it, SIGALRM: the time limit; 0: it ended by itself */
  int status;       /* its exit status then */
  const char *said; /* of one that ended by itself, ended by '\0'; "" if nothing */
  double seconds;   /* of processor time */
} ChildEnd;

typedef struct Children {
  const LinkFolder *folder;
  const char *verb; /* "generates code", for the sentence when no process can be started */
  int jobs;
  int most;        /* processes at once; 0: one a processor */
  int seconds;     /* after which a child is ended; 0: never */
  uint64_t memory; /* bytes of address space a child may have; 0: no limit */
  void *self;
  int (*work)(void *self, int job, Buf *said);             /* in the child: its exit status */
  bool (*ended)(void *self, int job, const ChildEnd *end); /* here; false after diag_error: no further job is begun */
} Children;

/* False after diag_error: ended() gave false, a signal of the user waits, or no process could be started. Then children
 * that still run are ended, without a word. */
bool children_run(Ctx *, const Children *);
#endif
