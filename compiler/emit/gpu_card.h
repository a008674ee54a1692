/* What is known of GPUs without having one: the limits of each compute capability, which say how many blocks run at
 * once, and a card of it, which says what bounds a kernel. Limits: NVIDIA, CUDA C++ Programming Guide 13.0, "Technical
 * Specifications per Compute Capability"; cards: NVIDIA's data sheets of A100 (80 GB, SXM), A40 and H100 (SXM), rates
 * without sparsity. */
#ifndef SINTER_EMIT_GPU_CARD_H
#define SINTER_EMIT_GPU_CARD_H
#include <stdbool.h>
#include <stdint.h>

typedef struct GpuCard {
  int sm; /* 90: compute capability 9.0 */
  const char *name;
  int multiprocessors;
  double memory;           /* bytes a second */
  double f32, f64, tensor; /* operations a second; tensor: products of 16-bit floats */
  int warps, blocks;       /* of a multiprocessor, at most */
  uint32_t shared;         /* bytes of a multiprocessor; a block takes 1 KB more than it asks for */
} GpuCard;

const GpuCard *gpu_card(int sm); /* NULL: none of this capability is known */
/* Blocks that fit on a multiprocessor: threads of one, registers of a thread, bytes of shared memory. 0: none does. */
int gpu_blocks(const GpuCard *, int threads, uint32_t registers, uint32_t shared);
#endif
