#include "gpu_card.h"
#include <stddef.h>

enum {
  WARP = 32,
  REGISTERS = 65536, /* of a multiprocessor; given out in quarters of it, to a warp by the 256 */
  QUARTERS = 4,
  REGISTER_UNIT = 256,
  SHARED_UNIT = 128,
  SHARED_OF_SYSTEM = 1024, /* a block */
};

static const GpuCard CARDS[] = {
    {80, "A100 SXM 80 GB", 108, 2039e9, 19.5e12, 9.7e12, 312e12, 64, 32, 164 << 10},
    {86, "A40", 84, 696e9, 37.4e12, 0.58e12, 149.7e12, 48, 16, 100 << 10},
    {90, "H100 SXM", 132, 3350e9, 67e12, 34e12, 989e12, 64, 32, 228 << 10},
};

const GpuCard *gpu_card(int sm) {
  for (size_t i = 0; i < sizeof CARDS / sizeof *CARDS; i++)
    if (CARDS[i].sm == sm) return &CARDS[i];
  return NULL;
}

static uint32_t up(uint32_t n, uint32_t unit) { return (n + unit - 1) / unit * unit; }
static int least(int a, int b) { return a < b ? a : b; }

int gpu_blocks(const GpuCard *c, int threads, uint32_t registers, uint32_t shared) {
  int warps = (threads + WARP - 1) / WARP;
  int n = least(c->blocks, c->warps / warps);
  if (registers) {
    int fit = REGISTERS / QUARTERS / (int)up(registers * WARP, REGISTER_UNIT) * QUARTERS;
    n = least(n, fit / warps);
  }
  return least(n, (int)(c->shared / up(shared + SHARED_OF_SYSTEM, SHARED_UNIT)));
}
