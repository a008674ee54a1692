/* How a program looks from C: the fields of the structs in the header, with their offsets, and the dimensions of the
 * whole artefact. The header (host_header.c) and the description (host_blob.c) are both written from it, so they agree.
 */
#ifndef SINTER_EMIT_HOST_LAYOUT_H
#define SINTER_EMIT_HOST_LAYOUT_H
#include "graph.h"

typedef struct HostField {
  const char *name, *type, *says; /* `a`, `const float *`, `f32[N]` */
  uint32_t at;                    /* byte offset in its struct */
} HostField;

typedef Vec(HostField) HostFields;

typedef struct HostEntry {
  HostFields in, out;           /* in: the inputs in order, then the entry's dimensions; out: the outputs */
  uint32_t in_bytes, out_bytes; /* 0: nothing goes in or out, the struct has one unused field */
} HostEntry;

typedef struct HostLayout {
  const Program *program;
  const char *prefix, *upper; /* `digits`, `DIGITS` */
  Vec(Dim) dims; /* of all entries, by first appearance, with the widest bounds: the fields of PREFIX_dims */
  HostFields dim_fields;
  HostEntry *entries;
} HostLayout;

/* prefix NULL: made of the program's name. False after diag_error: a prefix that is no C name or belongs to the
 * runtime, an entry whose name is one of the header's own functions. */
bool host_layout(const Program *, const char *prefix, HostLayout *out);
int host_dim_index(const HostLayout *, const char *name); /* -1 if there is none */

/* The text of the header. `source`: the file the model came from, `artefact`: the file it lies beside (names only). */
void host_header(const HostLayout *, const char *source, const char *artefact, Buf *out);
#endif
