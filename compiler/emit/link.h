/* From objects to an artefact: a temporary folder, the linker (ld.lld-19) as a child process, and the SinterTail at the
 * end. The runtime for artefacts and a stand-in C library of the oldest symbol versions are bytes inside the compiler,
 * so the result depends on the objects and the linker alone. A failure leaves neither an output nor a temporary file.
 */
#ifndef SINTER_EMIT_LINK_H
#define SINTER_EMIT_LINK_H
#include "graph.h"

typedef struct LinkArch {
  const char *name, *emulation; /* "x86_64", "elf_x86_64" */
  const unsigned char *runtime;
  size_t runtime_bytes;
  const unsigned char *libc;
  size_t libc_bytes;
} LinkArch;
extern const LinkArch LINK_ARCHS[]; /* ends with a row of zeros; made by embed_runtime.sh */

typedef struct LinkRequest {
  const char *folder; /* of link_folder; everything in between lies there */
  const char *arch;
  const char *const *objects; /* paths */
  int nobjects;
  const char *const *exports; /* names that stay visible */
  int nexports;
  const char *linker; /* NULL: ld.lld-19 */
  const char *output;
  bool relocatable; /* one object for another linker, instead of a shared library */
} LinkRequest;

const char *link_folder(Ctx *); /* makes one; NULL after diag_error */
void link_folder_remove(const char *folder);
/* Refuses early what cannot become a file: a folder or a device of that name, the model itself (source; NULL: not
 * asked), a parent that is missing or cannot be written. */
bool link_writable(Ctx *, const char *output, const char *source);
/* Writes a whole file, respecting the file-size limit; the sentence in *why. */
bool link_write(Arena *, const char *path, const void *, size_t, const char **why);
bool link_artefact(Ctx *, const LinkRequest *); /* false after diag_error */
#endif
