/* Runs kernels written in the vocabulary (kernels/cuda/vocabulary.h) on the CPU. For tests only.
 * Each thread of a block is a fiber; blocks run one after another in the order x, y, z; within a block a thread runs
 * until it waits. Asynchronous operations are modelled, not skipped: they land when the seed chooses, or as late as
 * their rules allow. Not reentrant within a thread; several threads may launch at once. */
#ifndef SINTER_EMULATOR_H
#define SINTER_EMULATOR_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { EMULATOR_MESSAGE = 2048, EMULATOR_MAX_PARAMS = 16, EMULATOR_MAX_SHARED = 227 * 1024 };

/* What KERNEL(...) makes; static data of the kernel's object file. */
typedef struct EmulatorKernel {
  const char *name, *file;
  void (*run)(void *const *params); /* one thread of it */
  const size_t *param_size;
  int n_params, max_threads;
  struct EmulatorKernel *next; /* emulator_register's */
} EmulatorKernel;

void emulator_register(EmulatorKernel *); /* called by a constructor of the kernel's object file, when it is loaded */
const EmulatorKernel *emulator_find(const char *name); /* NULL: no such kernel is loaded; the newest if there are two */

/* A launch as cuLaunchKernel has it. */
typedef struct EmulatorLaunch {
  unsigned grid[3], block[3];
  size_t shared_bytes; /* dynamic shared memory of a block; filled with 0xff, which is NaN, before it runs */
  void *const *params; /* each points to an argument, which is copied */
  uint32_t seed;       /* 0: threads in order. Else chooses the order, and when asynchronous operations land */
  bool lazy;           /* they land as late as is legal */
} EmulatorLaunch;

typedef struct EmulatorCounters {
  uint64_t blocks, switches, barriers, shuffles, mma, ldmatrix, cp_async, tma, wgmma;
  uint64_t bank_conflicts; /* of ldmatrix and stmatrix: accesses beyond one for each 8x8 matrix */
} EmulatorCounters;

typedef struct EmulatorReport {
  EmulatorCounters counters;
  char message[EMULATOR_MESSAGE]; /* what went wrong, with the kernel's file and line: "f.cu:12: block (0, 0, 0), thread
                                     3: ..." */
} EmulatorReport;

/* False: the launch is illegal or the kernel did what is undefined on a GPU; the message says what. Memory written
 * until then stays written. `report` may not be NULL; it is overwritten. */
bool emulator_launch(const EmulatorKernel *, const EmulatorLaunch *, EmulatorReport *report);

/* A tensor map as cuTensorMapEncodeTiled makes it, without interleaving; dims, box and steps are elements, innermost
 * first, strides bytes of dimensions 1 to rank - 1. `map`: 128 bytes, a multiple of 64. Returns NULL, or what the
 * driver would refuse. */
typedef struct EmulatorTensor {
  void *base;
  int element_bytes, rank; /* 1, 2, 4 or 8; 1 to 5 */
  uint64_t dims[5], strides[4];
  uint32_t box[5];
  int swizzle; /* bytes: 0, 32, 64, 128 */
} EmulatorTensor;
const char *emulator_tensor_map(void *map, const EmulatorTensor *);
#endif
