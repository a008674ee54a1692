/* gpu_program KERNEL SIZE SIZE SIZE SEED LAZY: one launch, for the sanitizers. Prints "right", "wrong" with the error,
 * or the emulator's message. */
#include "gpu_case.h"
#include <stdio.h>
#include <stdlib.h>

int main(int n, char **words) {
  if (n != 7) return 2;
  GpuCase c = {words[1], {atoi(words[2]), atoi(words[3]), atoi(words[4])}, (uint32_t)atoi(words[5]), atoi(words[6])};
  GpuResult r;
  if (!gpu_case_run(&c, &r)) return puts("no such kernel"), 2;
  if (!r.ran)
    puts(r.report.message);
  else if (GPU_CASE_RIGHT(r))
    puts("right");
  else
    printf("wrong: %g\n", r.error);
  return 0;
}
