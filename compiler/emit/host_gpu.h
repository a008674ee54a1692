/* What the description says of code for GPUs: images, plans; and the block of code that it numbers. */
#ifndef SINTER_EMIT_HOST_GPU_H
#define SINTER_EMIT_HOST_GPU_H
#include "host_blob.h"
#include "host_bytes.h"

/* Number of the plan of an entry for an architecture, in SinterModel.gpu_plans; written when it is first asked for. */
uint32_t host_gpu_plan(Blob *, uint32_t arch, int entry);
void host_gpu_end(Blob *, SinterModel *, HostBlob *out); /* all plans are written */
#endif
