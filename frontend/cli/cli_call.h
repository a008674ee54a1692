/* A call of one entry from words of the command line: which entry, its inputs and dimensions, the records that the
 * artefact's functions take. Shared by the commands that call once (run) and many times (bench). */
#ifndef SINTER_CLI_CALL_H
#define SINTER_CLI_CALL_H
#include "cli.h"

typedef struct Call {
  Artefact s;
  const SinterEntry *e;
  uint32_t index;       /* of e */
  NpyArray *in, *out;   /* by port */
  int64_t *dims, *most; /* as SinterModel.dims: of this call, DIM_UNKNOWN until known; what the context is made for */
  char *in_record, *out_record;
} Call;

/* Each returns CLI_DONE, or a status after a sentence. */
int call_begin(Call *, const Words *words,
               int *next);               /* after artefact_open: the entry that words[*next] names, if it does */
int call_word(Call *, const char *word); /* NAME=FILE.npy, NAME=NUMBER, DIM=NUMBER */
void call_most(Call *);                  /* once dims are known */
int call_records(Call *);                /* allocates the outputs, fills both records */
void call_end(Call *);                   /* releases all but the artefact */
#endif
