/* The part of the CUDA driver API (libcuda) that is used, declared here so that no header of NVIDIA's is wanted. The
 * library is opened when a GPU is wanted, never linked; names carry the suffix of the version that is declared. */
#ifndef SINTER_CUDA_API_H
#define SINTER_CUDA_API_H
#include <stddef.h>
#include <stdint.h>

typedef int CUresult, CUdevice;
typedef uint64_t CUdeviceptr;
typedef struct CUctx_st *CUcontext;
typedef struct CUmod_st *CUmodule;
typedef struct CUfunc_st *CUfunction;
typedef struct CUstream_st *CUstream;
typedef struct CUevent_st *CUevent;
typedef struct CUgraph_st *CUgraph;
typedef struct CUgraphNode_st *CUgraphNode;
typedef struct CUgraphExec_st *CUgraphExec;

typedef struct CudaNode { /* CUDA_KERNEL_NODE_PARAMS_v2 */
  CUfunction function;
  unsigned grid[3], block[3], shared;
  void **params, **extra;
  void *kernel;
  CUcontext context;
} CudaNode;

enum {
  CUDA_ERROR_INVALID_VALUE = 1,
  CUDA_ERROR_OUT_OF_MEMORY = 2,
  CUDA_ERROR_NO_DEVICE = 100,
  CUDA_ERROR_NO_BINARY = 209,
  CUDA_ERROR_ECC = 214,
  CUDA_ERROR_NVLINK = 220,
  CUDA_ERROR_CONTAINED = 226,
  CUDA_ERROR_INVALID_HANDLE = 400,
  CUDA_ERROR_NOT_FOUND = 500,
  CUDA_ERROR_ILLEGAL_ADDRESS = 700,
  CUDA_ERROR_OUT_OF_RESOURCES = 701,
  CUDA_ERROR_TIMEOUT = 702,
  CUDA_ERROR_CONTEXT_DESTROYED = 709,
  CUDA_ERROR_ASSERT = 710,
  CUDA_ERROR_STACK = 714,
  CUDA_ERROR_LAUNCH_FAILED = 719,
  CUDA_ERROR_CAPTURE_UNSUPPORTED = 900
};
enum { CUDA_ATTRIBUTE_MULTIPROCESSORS = 16, CUDA_ATTRIBUTE_MAJOR = 75, CUDA_ATTRIBUTE_MINOR = 76 };
enum { CUDA_ATTRIBUTE_SHARED = 97 /* bytes a block may have when a function asks for it */ };
enum { CUDA_FUNCTION_SHARED = 8 /* dynamic shared memory, bytes */ };
enum { CUDA_JIT_ERROR_LOG = 5, CUDA_JIT_ERROR_LOG_BYTES = 6 };
enum { CUDA_STREAM_NON_BLOCKING = 1, CUDA_EVENT_NO_TIMING = 2, CUDA_CAPTURE_THREAD = 1 };
enum { CUDA_TENSOR_L2_256B = 3 };
enum {
  CUDA_POINTER_MEMORY = 2 /* unsigned: CUDA_MEMORY_DEVICE or another */,
  CUDA_POINTER_GPU = 9 /* int: its number */
};
enum { CUDA_MEMORY_DEVICE = 2 };

/* X(name, parameters): all of them, or the driver cannot be used */
#define CUDA_REQUIRED(X)                                                                                               \
  X(cuDriverGetVersion, (int *))                                                                                       \
  X(cuInit, (unsigned))                                                                                                \
  X(cuGetErrorName, (CUresult, const char **))                                                                         \
  X(cuDeviceGetCount, (int *))                                                                                         \
  X(cuDeviceGet, (CUdevice *, int))                                                                                    \
  X(cuDeviceGetAttribute, (int *, int, CUdevice))                                                                      \
  X(cuDeviceGetName, (char *, int, CUdevice))                                                                          \
  X(cuDevicePrimaryCtxRetain, (CUcontext *, CUdevice))                                                                 \
  X(cuDevicePrimaryCtxRelease_v2, (CUdevice))                                                                          \
  X(cuCtxPushCurrent_v2, (CUcontext))                                                                                  \
  X(cuCtxPopCurrent_v2, (CUcontext *))                                                                                 \
  X(cuModuleLoadDataEx, (CUmodule *, const void *, unsigned, int *, void **))                                          \
  X(cuModuleUnload, (CUmodule))                                                                                        \
  X(cuModuleGetFunction, (CUfunction *, CUmodule, const char *))                                                       \
  X(cuFuncSetAttribute, (CUfunction, int, int))                                                                        \
  X(cuMemAlloc_v2, (CUdeviceptr *, size_t))                                                                            \
  X(cuMemFree_v2, (CUdeviceptr))                                                                                       \
  X(cuMemAllocHost_v2, (void **, size_t))                                                                              \
  X(cuMemFreeHost, (void *))                                                                                           \
  X(cuMemcpyHtoDAsync_v2, (CUdeviceptr, const void *, size_t, CUstream))                                               \
  X(cuMemcpyDtoHAsync_v2, (void *, CUdeviceptr, size_t, CUstream))                                                     \
  X(cuStreamCreate, (CUstream *, unsigned))                                                                            \
  X(cuStreamDestroy_v2, (CUstream))                                                                                    \
  X(cuStreamSynchronize, (CUstream))                                                                                   \
  X(cuStreamBeginCapture_v2, (CUstream, int))                                                                          \
  X(cuStreamGetCaptureInfo_v3,                                                                                         \
    (CUstream, int *, uint64_t *, CUgraph *, const CUgraphNode **, const void **, size_t *))                           \
  X(cuStreamEndCapture, (CUstream, CUgraph *))                                                                         \
  X(cuEventCreate, (CUevent *, unsigned))                                                                              \
  X(cuEventRecord, (CUevent, CUstream))                                                                                \
  X(cuEventSynchronize, (CUevent))                                                                                     \
  X(cuEventDestroy_v2, (CUevent))                                                                                      \
  X(cuLaunchKernel,                                                                                                    \
    (CUfunction, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, CUstream, void **, void **))    \
  X(cuGraphInstantiateWithFlags, (CUgraphExec *, CUgraph, unsigned long long))                                         \
  X(cuGraphExecKernelNodeSetParams_v2, (CUgraphExec, CUgraphNode, const CudaNode *))                                   \
  X(cuGraphLaunch, (CUgraphExec, CUstream))                                                                            \
  X(cuGraphExecDestroy, (CUgraphExec))                                                                                 \
  X(cuGraphDestroy, (CUgraph))                                                                                         \
  X(cuTensorMapEncodeTiled, (void *, int, uint32_t, void *, const uint64_t *, const uint64_t *, const uint32_t *,      \
                             const uint32_t *, int, int, int, int))
/* NULL where the driver has none */
#define CUDA_OPTIONAL(X)                                                                                               \
  X(cuMemGetInfo_v2, (size_t *, size_t *))                                                                             \
  X(cuPointerGetAttribute, (void *, int, CUdeviceptr))

typedef struct CudaApi {
#define CUDA_MEMBER(name, parameters) CUresult(*name) parameters;
  CUDA_REQUIRED(CUDA_MEMBER) CUDA_OPTIONAL(CUDA_MEMBER)
#undef CUDA_MEMBER
} CudaApi;
#endif
