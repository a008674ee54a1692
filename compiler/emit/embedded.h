/* Weights in an executable (SinterEmbedded of runtime/abi.h): laid out as the runtime holds them, with what `prepare`
 * makes of them for every level, so that opening them is nothing but using them. `prepare` runs in the loop
 * interpreter, whose results are those of the kernels bit for bit: the bytes do not depend on the machine that
 * compiles. */
#ifndef SINTER_EMIT_EMBEDDED_H
#define SINTER_EMIT_EMBEDDED_H
#include "data_object.h"
#include "host_blob.h"

typedef struct EmbedRequest {
  Ctx *ctx;
  const HostBlob *blob;
  const LevelUnit *levels;
  int nlevels;
  uint8_t *cells;        /* the storage of all cells */
  const uint8_t *given;  /* by cell: 1: its data are there */
  uint32_t missing;      /* cells whose start values are computed when the weights are opened */
  uint64_t seed, *calls; /* calls: by entry */
} EmbedRequest;

uint64_t embedded_cell(const HostBlob *, int cell, uint64_t *bytes); /* where a cell is in the storage */
/* The object with the symbol sinter_embedded; false after diag_error. */
bool embedded_object(const EmbedRequest *, DataObject *out);
#endif
