#include "target.h"
#include <string.h>

#define V2_NEEDS (CPU_SSE42 | CPU_POPCNT | CPU_SSSE3)
#define V3_NEEDS (V2_NEEDS | CPU_AVX | CPU_AVX2 | CPU_FMA | CPU_F16C | CPU_BMI1 | CPU_BMI2 | CPU_LZCNT | CPU_MOVBE)
#define V4_NEEDS (V3_NEEDS | CPU_AVX512F | CPU_AVX512BW | CPU_AVX512CD | CPU_AVX512DQ | CPU_AVX512VL)

/* v2 has 16 registers, but its instructions overwrite an operand and it has no FMA: a product needs a place of its own
 * and operands used twice are copied. Measured: tiles of more than 12 spill (scan_objects), and are no faster. */
const Target TARGETS[LEVEL_COUNT] = {
    {LEVEL_V2, "v2", "x86_64", "x86_64-unknown-linux-gnu", "x86-64-v2", "", "", "x86-64-v2 (SSE4.2)", V2_NEEDS, 16, 12,
     false, false, false, 0},
    {LEVEL_V3, "v3", "x86_64", "x86_64-unknown-linux-gnu", "x86-64-v3", "", "", "x86-64-v3 (AVX2, FMA)", V3_NEEDS, 32,
     16, true, true, false, 0},
    {LEVEL_V4, "v4", "x86_64", "x86_64-unknown-linux-gnu", "x86-64-v4", "", "", "x86-64-v4 (AVX-512)", V4_NEEDS, 64, 32,
     true, false, true, 0},
    {LEVEL_A64, "a64", "aarch64", "aarch64-unknown-linux-gnu", "generic", "+neon", "", "AArch64 (NEON)", CPU_NEON, 16,
     32, true, true, false, 0},
};

/* A vector is what a thread loads at once. Convolutions and attention come without threads, with
 * registers as of a small level. */
const Target TARGET_GPU = {.level = LEVEL_GPU,
                           .name = "gpu",
                           .arch = "gpu",
                           .says = "GPU",
                           .vector_bytes = 16,
                           .vector_regs = 32,
                           .has_fma = true,
                           .threads = 1024};

const Target *target_find(const char *name) {
  for (int i = 0; i < LEVEL_COUNT; i++)
    if (!strcmp(TARGETS[i].name, name)) return &TARGETS[i];
  return NULL;
}

int target_lanes(const Target *t, DType d) { return t->vector_bytes / (int)dtype_size(d); }

double target_ridge(const Target *t) { return (t->has_fma ? 4 : 2) * target_lanes(t, DT_F32) / 10.0; }

bool target_mask(const Target *t, DType d) {
  size_t n = dtype_size(d);
  return t->threads || t->level == LEVEL_V4 || (t->level == LEVEL_V3 && n >= 4);
}
