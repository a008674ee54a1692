/* What the lanes of a warp do together: __syncwarp, shuffles, ldmatrix, stmatrix, mma.sync. The last lane to arrive
 * does the work for all. */
#include "emu.h"

static WarpOp *arrive(u32 mask, WarpKind kind, const EmuSite *site) {
  Warp *w = emu_thread()->warp;
  u32 me = 1u << emu_place->lane;
  WarpOp *op = NULL, *unused = NULL;
  if (!(mask & me)) emu_fail(site, "lane %d is not in its own mask %08x", emu_place->lane, mask);
  for (int i = 0; i < MAX_WARP_OPS; i++) {
    WarpOp *o = &w->op[i];
    if (!o->mask) unused = o;
    if (!o->mask || o->arrived == o->mask || !(o->mask & me)) continue;
    if (o->mask != mask || o->kind != kind || o->site->line != site->line)
      emu_fail(site, "diverged: mask %08x here, other lanes wait at line %d with mask %08x", mask, o->site->line,
               o->mask);
    op = o;
  }
  if (!op) {
    if (mask & ~w->live) emu_fail(site, "mask %08x names lanes that have ended; %08x live", mask, w->live);
    if (!unused) emu_fail(site, "too many operations of the warp are open");
    op = unused;
    op->mask = op->left = mask;
    op->kind = kind;
    op->site = site;
    op->arrived = 0;
  }
  op->arrived |= me;
  return op;
}

static bool is_last(const WarpOp *op) { return op->arrived == op->mask; }

static void meet(WarpOp *op) { /* returns when all have arrived */
  if (!is_last(op))
    emu_wait(op, "the other lanes", op->site);
  else
    emu_wake(emu_thread()->block, emu_thread()->warp->index * WARP, WARP, op);
}

static void leave(WarpOp *op) {
  op->left &= ~(1u << emu_place->lane);
  if (!op->left) op->mask = 0;
}

void emu_warp_lane_ends(Thread *t) {
  t->warp->live &= ~(1u << t->place.lane);
  for (int i = 0; i < MAX_WARP_OPS; i++) {
    const WarpOp *op = &t->warp->op[i];
    if (op->mask && !is_last(op) && op->mask >> t->place.lane & 1)
      emu_fail(op->site, "mask %08x names lanes that have ended: %d", op->mask, t->place.lane);
  }
}

void emu_syncwarp(u32 mask, const EmuSite *site) {
  WarpOp *op = arrive(mask, WARP_SYNC, site);
  emu_release(&op->known);
  meet(op);
  emu_acquire(&op->known);
  leave(op);
}

void emu_shuffle(u32 mask, void *value, size_t bytes, int from, const EmuSite *site) { /* orders no memory */
  if (bytes > sizeof *(WarpOp){0}.value) emu_fail(site, "shuffle of %zu bytes", bytes);
  WarpOp *op = arrive(mask, WARP_SHUFFLE, site);
  memcpy(op->value[emu_place->lane], value, bytes);
  if (is_last(op)) emu_counters()->shuffles++;
  meet(op);
  if (!(op->mask >> from & 1)) emu_fail(site, "shuffle from lane %d, which is not in mask %08x", from, mask);
  memcpy(value, op->value[from], bytes);
  leave(op);
}

/* ---- ldmatrix, stmatrix ---- */

static u8 *row_of(const WarpOp *op, int matrix, int row) {
  return emu_place->shared + (op->row[matrix * 8 + row] - EMU_SHARED_BASE);
}

/* The element of lane l's register for a matrix; half 0 or 1. */
static u8 *element_of(const WarpOp *op, int matrix, int lane, int half, bool trans) {
  int row = lane / 4, column = lane % 4 * 2 + half;
  return trans ? row_of(op, matrix, column) + row * 2 : row_of(op, matrix, row) + column * 2;
}

static void count_conflicts(const WarpOp *op) { /* a row is 4 of the 32 banks of 4 bytes */
  for (int matrix = 0; matrix < 4; matrix++)
    for (int row = 0, seen = 0; row < 8; row++) {
      int bank = 1 << (op->row[matrix * 8 + row] / 16 % 8);
      if (seen & bank) emu_counters()->bank_conflicts++;
      seen |= bank;
    }
}

void emu_ldmatrix(u32 *r, u32 row, int trans, const EmuSite *site) {
  race_read(EMU_CALLER, emu_shared(row, 16, site), 16);
  WarpOp *op = arrive(ALL_LANES, trans ? WARP_LDMATRIX_TRANS : WARP_LDMATRIX, site);
  op->r[emu_place->lane] = r;
  op->row[emu_place->lane] = row;
  if (is_last(op)) {
    emu_counters()->ldmatrix++;
    count_conflicts(op);
    for (int matrix = 0; matrix < 4; matrix++)
      for (int lane = 0; lane < WARP; lane++) {
        u16 half[2];
        for (int h = 0; h < 2; h++) memcpy(&half[h], element_of(op, matrix, lane, h, trans), 2);
        op->r[lane][matrix] = half[0] | (u32)half[1] << 16;
      }
  }
  meet(op);
  leave(op);
}

void emu_stmatrix(u32 row, const u32 *r, int trans, const EmuSite *site) {
  race_write(EMU_CALLER, emu_shared(row, 16, site), 16);
  WarpOp *op = arrive(ALL_LANES, trans ? WARP_STMATRIX_TRANS : WARP_STMATRIX, site);
  memcpy(op->a[emu_place->lane], r, 16);
  op->row[emu_place->lane] = row;
  if (is_last(op)) {
    count_conflicts(op);
    for (int matrix = 0; matrix < 4; matrix++)
      for (int lane = 0; lane < WARP; lane++)
        for (int h = 0; h < 2; h++) {
          u16 half = (u16)(op->a[lane][matrix] >> 16 * h);
          memcpy(element_of(op, matrix, lane, h, trans), &half, 2);
        }
  }
  meet(op);
  leave(op);
}

/* ---- mma.sync: the fragments as vocabulary.h describes them ---- */

static void multiply(WarpOp *op) {
  float a[16][16], b[16][8], d[16][8];
  int depth = op->type == EMU_TF32 ? 8 : 16;
  for (int lane = 0; lane < WARP; lane++) {
    int g = lane / 4, t = lane % 4;
    for (int q = 0; q < 4; q++) {
      int row = g + q % 2 * 8;
      const u8 *p = (const u8 *)&op->a[lane][q];
      if (op->type == EMU_TF32)
        a[row][t + q / 2 * 4] = emu_element(op->type, p);
      else
        for (int h = 0; h < 2; h++) a[row][2 * t + h + q / 2 * 8] = emu_element(op->type, p + 2 * h);
      d[g + q / 2 * 8][2 * t + q % 2] = op->d[lane][q];
    }
    for (int q = 0; q < 2; q++) {
      const u8 *p = (const u8 *)&op->b[lane][q];
      if (op->type == EMU_TF32)
        b[t + q * 4][g] = emu_element(op->type, p);
      else
        for (int h = 0; h < 2; h++) b[2 * t + h + q * 8][g] = emu_element(op->type, p + 2 * h);
    }
  }
  for (int m = 0; m < 16; m++)
    for (int k = 0; k < depth; k++)
      for (int n = 0; n < 8; n++) d[m][n] += a[m][k] * b[k][n];
  for (int lane = 0; lane < WARP; lane++)
    for (int q = 0; q < 4; q++) op->d[lane][q] = d[lane / 4 + q / 2 * 8][lane % 4 * 2 + q % 2];
}

void emu_mma(EmuType type, float *d, const u32 *a, const u32 *b, const EmuSite *site) {
  WarpOp *op = arrive(ALL_LANES, WARP_MMA, site);
  memcpy(op->a[emu_place->lane], a, sizeof *op->a);
  memcpy(op->b[emu_place->lane], b, sizeof *op->b);
  op->d[emu_place->lane] = d;
  op->type = type;
  if (is_last(op)) {
    emu_counters()->mma++;
    multiply(op);
  }
  meet(op);
  leave(op);
}
