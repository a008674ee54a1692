/* What is in machine code: instructions, innermost loops, vector registers that are stored to the stack, frames. */
#ifndef SINTER_TESTS_SCAN_H
#define SINTER_TESTS_SCAN_H
#include "target.h"

typedef struct ScanFunction {
  const char *name;
  const Target *target;    /* of the level in its name, else of the object */
  int instructions, loops; /* loops: innermost */
  int loop_spills, spills; /* vector stores to the stack: in innermost loops, in all */
  int products, vectors;   /* of the innermost loop with most of them: fused multiply-adds, all that touch vectors */
  int64_t frame;           /* bytes of stack */
  uint64_t bytes;          /* decoded */
  bool decoded;            /* to the end */
} ScanFunction;

typedef struct ScanVisit {
  void (*function)(const ScanFunction *, void *ctx);
  void (*import)(const char *name, const Target *, void *ctx); /* a symbol that the object wants; may be NULL */
} ScanVisit;

void scan_open(void); /* once, before the rest */
/* An ELF64 object, little-endian, or of an artefact the kernels. `target` NULL: by the machine of the object. Returns
 * NULL, or what is wrong with the file, which is ours: a damaged one only gives a sentence. */
const char *scan_object(const uint8_t *, size_t, const Target *, const ScanVisit *, void *ctx);
#endif
