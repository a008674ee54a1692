/* Small words of sinter.h. */
#include "rt.h"
#include "sinter.h"

bool sinter_sym(const SinterModel *m, SinterSym s, const int64_t *dims, int64_t *out) {
  return rt_sym(m, s, dims, out);
}
const char *sinter_dtype_text(uint32_t dtype) { return rt_dtype(dtype); }
uint32_t sinter_dtype_size(uint32_t dtype) { return rt_dtype_size(dtype); }

const char *sinter_machine_text(uint32_t machine) {
  return machine == SINTER_MACHINE_X86_64 ? "x86_64" : machine == SINTER_MACHINE_AARCH64 ? "aarch64" : "?";
}

const char *sinter_level_text(uint32_t level) {
  static const char *const text[] = {"v2", "v3", "v4", "a64"};
  return level < SINTER_LEVELS ? text[level] : "?";
}

char *sinter_gpu_text(const SinterGpuImage *g, char *out) {
  const char *word = g->kind == SINTER_GPU_PTX ? "compute_" : "sm_";
  uint32_t n = 0, scale = 1;
  while (*word) out[n++] = *word++;
  while (g->sm / scale >= 10) scale *= 10;
  for (; scale; scale /= 10) out[n++] = (char)('0' + g->sm / scale % 10);
  if (g->kind == SINTER_GPU_CUBIN_EXACT) out[n++] = 'a';
  out[n] = 0;
  return out;
}

const char *sinter_status_text(int status) {
  static const char *const text[] = {"success",
                                     "a wrong argument",
                                     "a wrong shape",
                                     "too little workspace",
                                     "no memory",
                                     "wrong weights",
                                     "a file that cannot be written",
                                     "no code for this processor",
                                     "weights in use",
                                     "an index out of range",
                                     "not an artefact",
                                     "no usable GPU",
                                     "a GPU that failed"};
  return status >= 0 && status <= SINTER_ERROR_GPU_FAILED ? text[status] : "an unknown status";
}
