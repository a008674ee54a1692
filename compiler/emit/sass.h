/* Counts of instructions in the machine code of NVIDIA's GPUs from sm_75 on, by the names that NVIDIA's disassembler
 * gives them. An instruction has 16 bytes; its lowest 9 bits are the operation, the next 3 say where operands come
 * from. Only instructions that tell whether a kernel does what it was written for have a name here. */
#ifndef SINTER_EMIT_SASS_H
#define SINTER_EMIT_SASS_H
#include "cubin.h"
#include "str.h"

/* Name, lowest 9 bits, whether a width belongs to it; in the order of reports. tests/nvrtc compares all with
 * nvdisasm. A name may have other bits as well: ALSO in sass.c; REDG stands for RED too, as it is before sm_90. */
#define SASS_OPERATIONS(OP)                                                                                            \
  OP(HGMMA, 0x1f0, false) /* wgmma: 16-bit floats and tf32; FP8; integers */                                           \
  OP(QGMMA, 0x1f3, false)                                                                                              \
  OP(IGMMA, 0x1f1, false)                                                                                              \
  OP(HMMA, 0x03c, false) /* mma.sync: the same, and f64 */                                                             \
  OP(QMMA, 0x07a, false)                                                                                               \
  OP(IMMA, 0x037, false)                                                                                               \
  OP(DMMA, 0x03f, false)                                                                                               \
  OP(LDSM, 0x03b, false) /* ldmatrix */                                                                                \
  OP(STSM, 0x044, false)                                                                                               \
  OP(UTMALDG, 0x1b4, false) /* TMA: tensor to shared memory; back; adding */                                           \
  OP(UTMASTG, 0x1b5, false)                                                                                            \
  OP(UTMAREDG, 0x1b6, false)                                                                                           \
  OP(UBLKCP, 0x1ba, false) /* bulk copy */                                                                             \
  OP(UBLKRED, 0x1bb, false)                                                                                            \
  OP(LDGSTS, 0x1ae, true) /* cp.async */                                                                               \
  OP(SYNCS, 0x1a7, false) /* mbarriers */                                                                              \
  OP(USETMAXREG, 0x1c8, false)                                                                                         \
  OP(WARPGROUP, 0x1c5, false)                                                                                          \
  OP(LDG, 0x181, true) /* global memory */                                                                             \
  OP(STG, 0x186, true)                                                                                                 \
  OP(LD, 0x180, true) /* memory of a kind that ptxas does not know */                                                  \
  OP(ST, 0x185, true)                                                                                                  \
  OP(LDS, 0x184, true) /* shared memory */                                                                             \
  OP(STS, 0x188, true)                                                                                                 \
  OP(LDL, 0x183, true) /* local memory: spilled registers, arrays */                                                   \
  OP(STL, 0x187, true)                                                                                                 \
  OP(ATOMG, 0x1a8, false)                                                                                              \
  OP(REDG, 0x1a6, false)                                                                                               \
  OP(ATOMS, 0x18c, false)                                                                                              \
  OP(SHFL, 0x189, false)                                                                                               \
  OP(BAR, 0x11d, false)                                                                                                \
  OP(MUFU, 0x108, false) /* ex2, rcp, rsqrt, tanh and the like */                                                      \
  OP(FFMA, 0x023, false)                                                                                               \
  OP(DFMA, 0x02b, false)                                                                                               \
  OP(CALL, 0x144, false)

typedef enum SassOp {
#define OP(name, bits, wide) SASS_##name,
  SASS_OPERATIONS(OP)
#undef OP
      SASS_COUNT
} SassOp;

enum { SASS_WIDTHS = 8, SASS_WIDTH_32 = 4 }; /* in bits: u8 s8 u16 s16 32 64 128, and one that is not used */

typedef struct SassCounts {
  uint32_t n[SASS_COUNT][SASS_WIDTHS]; /* those without a width: at SASS_WIDTH_32 */
  uint32_t others;
} SassCounts;

SassCounts sass_count(const CubinKernel *, uint32_t sm);
uint32_t sass_of(const SassCounts *, SassOp); /* of every width */

/* "LDG.128": how many; "LDG" stands for every width, "LDG.32" for what nvdisasm calls LDG. False: no such name. */
bool sass_named(const SassCounts *, const char *name, uint32_t *count);
void sass_print(const SassCounts *, Buf *); /* "LDG.128 2, STG.128 2, 140 others" */
#endif
