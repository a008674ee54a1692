/* The description of an artefact (SinterModel of runtime/abi.h) as bytes, with the block of constants and the kernels
 * it numbers. The same unit and levels give the same bytes. */
#ifndef SINTER_EMIT_HOST_BLOB_H
#define SINTER_EMIT_HOST_BLOB_H
#include "gpu_code.h"
#include "host_layout.h"

typedef struct HostBlob {
  const uint8_t *model, *consts;
  size_t model_bytes, consts_bytes;
  const uint8_t *gpu; /* code for GPUs: SinterImage.gpu */
  size_t gpu_bytes;
  Vec(const char *) kernels; /* emit_symbol() of each, by SinterStep.kernel: those that a plan launches */
} HostBlob;

/* `source`: name of the file the model came from. False after diag_error: a description beyond 4 GB, sizes that
 * overflow. */
bool host_blob(const Unit *, const LevelUnit *levels, int nlevels, const GpuCode *, const HostLayout *,
               const char *source, HostBlob *out);
#endif
