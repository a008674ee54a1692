/* gpu_program KERNEL SIZE SIZE SIZE SEED SEEDS: launches in one process, as the sanitizer's fibers are expensive to
 * make. SEEDS orders of threads from SEED on, every other one lazy, the first too. Prints "right", or of the first
 * launch that is not so "wrong" with its seed and error, or the emulator's message. */
#include "gpu_case.h"
#include <stdio.h>
#include <stdlib.h>

int main(int n, char **words) {
  if (n != 7) return 2;
  int seed = atoi(words[5]), seeds = atoi(words[6]);
  if (seeds < 1) return 2; /* nothing would be right */
  for (int i = 0; i < seeds; i++) {
    GpuCase c = {words[1], {atoi(words[2]), atoi(words[3]), atoi(words[4])}, (uint32_t)(seed + i), i % 2 == 0};
    GpuResult r;
    if (!gpu_case_run(&c, &r)) return puts("no such kernel"), 2;
    if (!r.ran) return puts(r.report.message), 0;
    if (!GPU_CASE_RIGHT(r)) return printf("wrong with seed %u: %g\n", c.seed, r.error), 0;
  }
  puts("right");
  return 0;
}
