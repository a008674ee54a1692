/* NVRTC, NVIDIA's compiler of CUDA C as a library (part of the CUDA toolkit, or the package nvidia-cuda-nvrtc of PyPI).
 * It wants neither a GPU nor a driver. It is opened when it is wanted, never linked, and without a header of NVIDIA's;
 * the rest of the compiler sees this file only. NVRTC can crash, so only child processes compile (cuda_compile.h). */
#ifndef SINTER_EMIT_CUDA_RTC_H
#define SINTER_EMIT_CUDA_RTC_H
#include "graph.h"

typedef struct CudaHeader {
  const char *name, *text; /* name: as #include "..." says it */
} CudaHeader;

typedef struct CudaProgram { /* CUDA C, with one kernel or more */
  const char *name;          /* in messages: "softmax.cu" */
  const char *text;
  const CudaHeader *headers; /* from memory; no other file is read unless an option -I says so */
  int nheaders;
  bool is_file; /* `name` is the path of a file that holds the text: after a failure it need not be kept */
} CudaProgram;

typedef struct CudaRtc {
  const char *path; /* of the library */
  int major, minor;
  const int *arch; /* those it compiles for: 80 is sm_80 */
  int narchs;
  const struct NvrtcApi *api;
} CudaRtc;

/* Looks where SINTER_NVRTC says (a file or a folder; then nowhere else), in CUDA_HOME, /usr/local/cuda, the system's
 * libraries, VIRTUAL_ENV, and `nvrtc-venv` beside the program (made by ./dev). NULL after diag_error. */
const CudaRtc *cuda_rtc_open(Ctx *);

/* "sm_90a", "compute_80": whether NVRTC compiles for it; false after diag_error, which lists what there is. */
bool cuda_rtc_arch(Ctx *, const CudaRtc *, const char *arch);

typedef enum { RTC_DONE, RTC_REFUSED, RTC_MEMORY } RtcStatus;
typedef struct RtcResult {
  const char *code; /* a cubin; for compute_*: PTX, ended by '\0' */
  size_t size;      /* without the '\0' */
  const char *log;
  const char *refused; /* RTC_REFUSED: the sentence of NVRTC that says why */
} RtcResult;

/* Compiles in this process. `options`: further ones of NVRTC. The same input gives the same code. */
RtcStatus cuda_rtc_compile(const CudaRtc *, Arena *, const CudaProgram *, const char *arch, const char *const *options,
                           int noptions, RtcResult *);

const char *cuda_error_line(Arena *, const char *log); /* the first line of NVRTC's or ptxas' log that is an error */
#endif
