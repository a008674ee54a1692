/* Writing the records of a description made by hand, one behind the other (fake_model.c, ../gpu_runtime/gpu_model.c).
 * Each file that includes this says where it goes on: `used`. */
#ifndef SINTER_TEST_FAKE_RECORDS_H
#define SINTER_TEST_FAKE_RECORDS_H
#include "fake_model.h"
#include <stdlib.h>
#include <string.h>

static uint32_t used;

static inline uint32_t put(const void *data, size_t n) {
  used = (used + 7) & ~7u;
  if (used + n > sizeof fake_description) abort();
  memcpy(fake_description + used, data, n);
  used += (uint32_t)n;
  return used - (uint32_t)n;
}
#define LIST(T, ...) list((T[]){__VA_ARGS__}, sizeof(T), sizeof(T[]){__VA_ARGS__} / sizeof(T))
static inline SinterRef list(const void *data, size_t size, size_t n) {
  return (SinterRef){put(data, size * n), (uint32_t)n};
}
static inline SinterText text(const char *s) { return put(s, strlen(s) + 1); }
static inline SinterSym num(uint32_t v) { return (SinterSym){v, 0}; }
static inline SinterSym code(const SinterCode *c, size_t n) { return (SinterSym){put(c, n * sizeof *c), (uint32_t)n}; }
#define CODE(...) code((SinterCode[]){__VA_ARGS__}, sizeof(SinterCode[]){__VA_ARGS__} / sizeof(SinterCode))
static inline SinterSym times(int64_t dim, int64_t k) {
  return CODE({SINTER_SYM_VAR, dim}, {SINTER_SYM_INT, k}, {SINTER_SYM_MUL, 0});
}
static inline SinterBuf buf(int kind, uint32_t index, SinterSym bytes) {
  return (SinterBuf){.kind = (uint8_t)kind, .index = index, .bytes = bytes};
}
static inline SinterPlan plan(SinterRef bufs, SinterRef steps, SinterSym arena) {
  return (SinterPlan){.bufs = bufs, .steps = steps, .arena = arena};
}
#endif
