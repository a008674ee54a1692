/* libcuda-fake.so: the entry points of runtime/cuda/cuda_api.h over the emulator, for machines without a GPU. Images
 * are real: kernels, their parameters and limits are read from the cubins or the PTX, then the emulator's kernel of the
 * same name runs: one of kernels/cuda, or of SINTER_FAKE_CODE. What is asynchronous happens as late as it may. Device
 * memory can be touched in copies and kernels alone, and is 0xff when it is fresh. What a real driver would refuse, or
 * not notice, is said on stderr. Environment, read at the first call:
 *   SINTER_FAKE_CODE=a.so:b.so   kernel text compiled as C for the emulator
 *   SINTER_FAKE_CC=86            compute capability, 90 by default
 *   SINTER_FAKE_VERSION=12040    of the driver, 13000 by default
 *   SINTER_FAKE_DEVICES=0        how many GPUs
 *   SINTER_FAKE_POINTER_GPU=1    the GPU on which memory is said to lie, 0 by default
 *   SINTER_FAKE_NO_MEMORY=2      the second allocation on the device fails
 *   SINTER_FAKE_FAULT=3          the third kernel that runs accesses what it may not
 *   SINTER_FAKE_FAIL=17          the seventeenth call that can fail does, with CUDA_ERROR_NOT_SUPPORTED
 *   SINTER_FAKE_EAGER=1          asynchronous operations happen at once */
#ifndef SINTER_FAKE_CUDA_H
#define SINTER_FAKE_CUDA_H
#include <stdint.h>

enum { /* that the runtime does not know by name */
       CUDA_ERROR_INVALID_IMAGE = 200,
       CUDA_ERROR_INVALID_CONTEXT = 201,
       CUDA_ERROR_INVALID_PTX = 218,
       CUDA_ERROR_NOT_SUPPORTED = 801,
       CUDA_ERROR_CAPTURE_WRONG_THREAD = 908
};
enum { CUDA_CAPTURE_GLOBAL = 0 };

typedef struct FakeState {
  /* alive */
  uint32_t contexts, pushed, modules, streams, events, graphs, execs, device_blocks, pinned_blocks;
  /* so far */
  uint32_t calls, kernels_run, instantiated, nodes_set, graphs_launched, faults;
} FakeState;
typedef void FakeCudaState(FakeState *);
FakeCudaState fake_cuda_state; /* found by dlsym */
#endif
