/* From objects to an artefact: a temporary folder, the linker (ld.lld-19) as a child process, and what comes after it:
 * the SinterTail at the end of a shared library; in objects for other linkers, names of the inside become local. The
 * runtime for artefacts and a stand-in C library of the oldest symbol versions are bytes inside the compiler, so the
 * result depends on the objects and the linker alone. A failure leaves neither an output nor a temporary file.
 */
#ifndef SINTER_EMIT_LINK_H
#define SINTER_EMIT_LINK_H
#include "size_map.h"
#include <signal.h>

typedef struct LinkArch {
  const char *name, *emulation; /* "x86_64", "elf_x86_64" */
  const unsigned char *runtime;
  size_t runtime_bytes;
  const unsigned char *gpu; /* what the runtime does on a GPU: for artefacts with code for one */
  size_t gpu_bytes;
  const unsigned char *exe; /* the same without a C library, with the program around a model */
  size_t exe_bytes;
  const unsigned char *libc;
  size_t libc_bytes;
} LinkArch;
extern const LinkArch LINK_ARCHS[]; /* ends with a row of zeros; made by embed_runtime.sh */

/* A temporary folder. While it is there, signals by which a user ends the process (Ctrl-C, kill) wait, so that it does
 * not stay behind: work that takes long asks link_interrupted() now and then, and child processes begin with
 * link_child().
 */
typedef struct LinkFolder {
  const char *path;
  sigset_t held, before; /* signals that wait; the caller's mask */
} LinkFolder;

typedef enum LinkKind {
  LINK_SHARED,  /* with a SinterTail, which is read before the file is loaded; static code has no such moment */
  LINK_PROGRAM, /* static, without a C library; with a SinterTail too */
  LINK_OBJECT,  /* one object for another linker */
  LINK_LIBRARY, /* the same in a static library */
} LinkKind;

typedef struct LinkRequest {
  LinkKind kind;
  const LinkFolder *folder; /* everything in between lies there */
  const char *arch;
  const char *const *objects; /* paths */
  int nobjects;
  const char *const *exports; /* names that stay visible */
  int nexports;
  bool gpu;           /* there is code for a GPU; a program cannot use it */
  const char *linker; /* NULL: ld.lld-19 */
  const char *output;
  const char *member; /* LINK_LIBRARY: the object's name in it */
  SizeMap *sizes;     /* of the output; NULL: not asked for */
  uint64_t max_size;  /* a larger output is refused; 0: none is; wants sizes */
  const void *
      model; /* the description of a library or program, which an object holds: the tail tells where it came to stand */
  size_t model_bytes;
} LinkRequest;

bool link_folder_make(Ctx *, LinkFolder *);       /* false after diag_error */
bool link_interrupted(Ctx *, const LinkFolder *); /* one of the signals waits: true after diag_error */
void link_child(const LinkFolder *);              /* signals end this process as they ended its parent before */
void link_folder_remove(const LinkFolder *);      /* then the signals that waited arrive */
/* Refuses early what cannot become a file: a folder or a device of that name, the model itself (source; NULL: not
 * asked), a parent that is missing or cannot be written. */
bool link_writable(Ctx *, const char *output, const char *source);
/* Writes a whole file, respecting the file-size limit; the sentence in *why. */
bool link_write(Arena *, const char *path, const void *, size_t, const char **why);
bool link_artefact(Ctx *, const LinkRequest *); /* false after diag_error */
#endif
