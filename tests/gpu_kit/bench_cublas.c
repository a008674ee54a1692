#include "bench_parts.h"
#include <dlfcn.h>
#include <stdlib.h>

/* Of cuBLAS's own headers. */
enum { PLAIN = 0 /* not transposed */, F32 = 0, F16 = 2, BF16 = 14, SUM_F32 = 68, SUM_TF32 = 77, ANY_ALGORITHM = -1 };

bool cublas_open(Cublas *c, void *stream, const char **why) {
  static const char *const names[] = {"libcublas.so.13", "libcublas.so.12", "libcublas.so"};
  const char *given = getenv("KIT_CUBLAS");
  void *library = given && *given ? dlopen(given, RTLD_NOW | RTLD_LOCAL) : NULL;
  for (size_t i = 0; i < sizeof names / sizeof *names && !library && !(given && *given); i++)
    library = dlopen(names[i], RTLD_NOW | RTLD_LOCAL);
  *why = "no cuBLAS here";
  if (!library) return false;
  int (*create)(void **), (*use)(void *, void *);
  *(void **)&create = dlsym(library, "cublasCreate_v2");
  *(void **)&use = dlsym(library, "cublasSetStream_v2");
  *(void **)&c->product = dlsym(library, "cublasGemmEx");
  *why = "cuBLAS does not start";
  return create && use && c->product && !create(&c->handle) && !use(c->handle, stream);
}

static int type(uint32_t dtype) { return dtype == SINTER_F32 ? F32 : dtype == SINTER_F16 ? F16 : BF16; }

/* It knows columns alone: y in rows is its transpose in columns, b^T a^T. */
bool cublas_product(const Cublas *c, const BenchTensor *a, const BenchTensor *b, const BenchTensor *y, bool tf32) {
  static const float one = 1, zero = 0;
  int m = (int)y->dim[0], n = (int)y->dim[1], k = (int)a->dim[1];
  return !c->product(c->handle, PLAIN, PLAIN, n, m, k, &one, b->gpu, type(b->dtype), n, a->gpu, type(a->dtype), k,
                     &zero, (void *)(uintptr_t)y->gpu, type(y->dtype), n, tf32 ? SUM_TF32 : SUM_F32, ANY_ALGORITHM);
}
