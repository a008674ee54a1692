/* What is known of each level of code that an artefact may hold: one row a level, constants only. Nothing here asks the
 * machine the compiler runs on; the runtime inside an artefact chooses among levels by `cpu`. */
#ifndef SINTER_TARGET_TARGET_H
#define SINTER_TARGET_TARGET_H
#include "dtype.h"

/* What a processor must have to run a level (the runtime finds the same bits by CPUID, or HWCAP on AArch64). */
enum {
  CPU_SSE42 = 1 << 0,
  CPU_POPCNT = 1 << 1,
  CPU_SSSE3 = 1 << 2,
  CPU_AVX = 1 << 3,
  CPU_AVX2 = 1 << 4,
  CPU_FMA = 1 << 5,
  CPU_F16C = 1 << 6,
  CPU_BMI1 = 1 << 7,
  CPU_BMI2 = 1 << 8,
  CPU_LZCNT = 1 << 9,
  CPU_MOVBE = 1 << 10,
  CPU_AVX512F = 1 << 11,
  CPU_AVX512BW = 1 << 12,
  CPU_AVX512CD = 1 << 13,
  CPU_AVX512DQ = 1 << 14,
  CPU_AVX512VL = 1 << 15,
  CPU_NEON = 1 << 16,
};

typedef enum {
  LEVEL_V2,
  LEVEL_V3,
  LEVEL_V4,
  LEVEL_A64,
  LEVEL_COUNT,
  LEVEL_GPU = LEVEL_COUNT /* no level of a processor: not in TARGETS */
} Level;                  /* the numbers of SINTER_LEVEL_* in runtime/abi.h */

typedef struct Target {
  Level level;
  const char *name;                          /* "v2" "v3" "v4" "a64": in file names, PlanVariant.level, SINTER_CPU */
  const char *arch;                          /* "x86_64", "aarch64" */
  const char *triple, *cpu, *features, *abi; /* for LLVM; abi is "" where the triple says all */
  const char *says;                          /* for people */
  uint32_t needs;                            /* CPU_* bits */
  int vector_bytes;                          /* of the one legal vector width */
  int vector_regs;                           /* MR*NV + NV + 1 of a register tile must not exceed it */
  bool has_fma;                              /* else `fma` is multiply, then add */
  bool shown;                                /* the level of its arch that texts show when none is named */
  bool has_scale;                            /* x * 2^n is an instruction */
  int threads;                               /* of a block of a GPU, at most; 0: a processor */
} Target;

extern const Target TARGETS[LEVEL_COUNT];

extern const Target TARGET_GPU; /* what kernels are built for that run in blocks of threads */

const Target *target_find(const char *name); /* NULL if there is none */
int target_lanes(const Target *, DType);     /* lanes of a full vector */
/* f32 operations a byte above which a kernel is taken as bound by compute, for reports: two vector multiply-adds
 * (without FMA: one multiplication and one addition) a cycle against ten bytes a cycle copied from the cores' shared
 * cache. */
double target_ridge(const Target *);
/* Whether loads and stores of this type under a mask of lanes are one instruction; else tails are peel, pad or overlap.
 */
bool target_mask(const Target *, DType);
#endif
