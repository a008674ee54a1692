#include "sass.h"
#include <string.h>

static const struct {
  const char *name;
  uint16_t bits;
  bool wide;
} OPERATIONS[SASS_COUNT] = {
#define OP(name, bits, wide) {#name, bits, wide},
    SASS_OPERATIONS(OP)
#undef OP
};
static const struct {
  SassOp op;
  uint16_t bits;
} ALSO[] = {{SASS_SYNCS, 0x1b2}, {SASS_ATOMG, 0x1a9}, {SASS_REDG, 0x18e}, {SASS_CALL, 0x143}};
static const char *const WIDTHS[SASS_WIDTHS] = {".u8", ".s8", ".u16", ".s16", ".32", ".64", ".128", ".?"};

/* Bits 73 to 75; LDGSTS since sm_100: 32, 64 or 128 bits by bits 74 and 75. */
static int width_of(const uint8_t *p, int op, uint32_t sm) {
  if (!OPERATIONS[op].wide) return SASS_WIDTH_32;
  return op == SASS_LDGSTS && sm >= 100 ? SASS_WIDTH_32 + (p[9] >> 2 & 3) : p[9] >> 1 & 7;
}

SassCounts sass_count(const CubinKernel *k, uint32_t sm) {
  SassCounts c = {0};
  uint8_t op_of[512]; /* SASS_COUNT: of no name */
  memset(op_of, SASS_COUNT, sizeof op_of);
  for (int i = 0; i < SASS_COUNT; i++) op_of[OPERATIONS[i].bits] = (uint8_t)i;
  for (size_t i = 0; i < sizeof ALSO / sizeof *ALSO; i++) op_of[ALSO[i].bits] = (uint8_t)ALSO[i].op;
  for (uint32_t i = 0; i < k->ninstructions; i++) {
    const uint8_t *p = k->code + (size_t)i * CUBIN_INSTRUCTION;
    int op = op_of[(p[0] | p[1] << 8) & 511];
    if (op == SASS_COUNT)
      c.others++;
    else
      c.n[op][width_of(p, op, sm)]++;
  }
  return c;
}

uint32_t sass_of(const SassCounts *c, SassOp op) {
  uint32_t n = 0;
  for (int w = 0; w < SASS_WIDTHS; w++) n += c->n[op][w];
  return n;
}

bool sass_named(const SassCounts *c, const char *name, uint32_t *count) {
  size_t n = strcspn(name, ".");
  for (int op = 0; op < SASS_COUNT; op++) {
    if (strlen(OPERATIONS[op].name) != n || strncmp(OPERATIONS[op].name, name, n)) continue;
    *count = sass_of(c, (SassOp)op);
    if (!name[n]) return true;
    for (int w = 0; w < SASS_WIDTHS && OPERATIONS[op].wide; w++)
      if (!strcmp(WIDTHS[w], name + n)) {
        *count = c->n[op][w];
        return true;
      }
  }
  return false;
}

void sass_print(const SassCounts *c, Buf *b) {
  for (int op = 0; op < SASS_COUNT; op++)
    for (int w = 0; w < SASS_WIDTHS; w++)
      if (c->n[op][w])
        buf_printf(b, "%s%s %u, ", OPERATIONS[op].name, OPERATIONS[op].wide ? WIDTHS[w] : "", c->n[op][w]);
  buf_printf(b, "%u others", c->others);
}
