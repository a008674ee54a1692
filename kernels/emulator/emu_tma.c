/* Tensor maps and bulk tensor copies [Data Movement: cp.async.bulk.tensor; Tensors: tiled mode, swizzling]. A load
 * lands when the scheduler says so: late in a lazy launch. A store reads shared memory when bulk_wait_read asks for it,
 * and writes the tensor when bulk_wait does or the thread ends; both earlier if the seed says so. */
#include "emu.h"
#include <stdlib.h>

typedef struct Tensor { /* the contents of a TensorMap */
  u8 *base;
  u64 stride[4]; /* bytes, of dimensions 1 to 4 */
  u32 dim[5];
  u16 box[5];
  u8 element, rank, swizzle;
  u32 tag;
} Tensor;
enum { TENSOR_TAG = 0x7E4503A9 };
_Static_assert(sizeof(Tensor) <= sizeof(TensorMap), "a tensor fits in its map");

const char *emulator_tensor_map(void *map, const EmulatorTensor *e) {
  Tensor t = {.base = e->base,
              .element = (u8)e->element_bytes,
              .rank = (u8)e->rank,
              .swizzle = (u8)e->swizzle,
              .tag = TENSOR_TAG};
  int n = e->element_bytes, s = e->swizzle;
  if (e->rank < 1 || e->rank > 5) return "rank is not 1 to 5";
  if (n != 1 && n != 2 && n != 4 && n != 8) return "no type of this size";
  if (!e->base || (uintptr_t)e->base % 16) return "base is no multiple of 16";
  if (s != 0 && s != 32 && s != 64 && s != 128) return "no such swizzle";
  for (int i = 0; i < e->rank; i++) {
    if (!e->dims[i] || e->dims[i] > 0xffffffffu) return "a dimension is 0 or above 2^32 - 1";
    if (!e->box[i] || e->box[i] > 256) return "a side of the box is not 1 to 256";
    if (i && (e->strides[i - 1] % 16 || e->strides[i - 1] >= (u64)1 << 40))
      return "a stride is no multiple of 16, or 2^40 or more";
    t.dim[i] = (u32)e->dims[i];
    t.box[i] = (u16)e->box[i];
    if (i) t.stride[i - 1] = e->strides[i - 1];
  }
  if (e->box[0] * (u32)n % 16) return "the innermost side of the box is no multiple of 16 bytes";
  if (s && e->box[0] * (u32)n > (u32)s) return "the innermost side of the box is longer than the swizzle";
  memset(map, 0, sizeof(TensorMap));
  memcpy(map, &t, sizeof t);
  return NULL;
}

static Tensor tensor_of(const TensorMap *map) {
  Tensor t;
  memcpy(&t, map, sizeof t);
  return t;
}

static size_t box_bytes(const Tensor *t) {
  size_t n = t->element;
  for (int i = 0; i < t->rank; i++) n *= t->box[i];
  return n;
}

u8 *emu_swizzled(u8 *base, size_t offset, int bytes) { /* exchanges chunks of 16 bytes within lines, by the line */
  if (bytes) offset ^= (offset >> 7 & ((size_t)bytes / 16 - 1)) << 4;
  return base + offset;
}

/* What outside of the tensor is zero when loaded and not written when stored. */
static void tensor_copy(const TensorMap *map, u8 *shared, const i32 *at, bool store, void *pc) {
  Tensor t = tensor_of(map);
  int row_bytes = t.box[0] * t.element, rows = (int)(box_bytes(&t) / (size_t)row_bytes);
  i64 width = (i64)t.dim[0] * t.element, x = (i64)at[0] * t.element;
  for (int row = 0; row < rows; row++) {
    u8 *global = t.base;
    bool inside = true;
    for (int i = 1, rest = row; i < t.rank; rest /= t.box[i++]) {
      i64 k = at[i] + rest % t.box[i];
      inside &= k >= 0 && k < (i64)t.dim[i];
      if (inside) global += (u64)k * t.stride[i - 1];
    }
    for (int c = 0; c < row_bytes; c += 16) {
      u8 *s = emu_swizzled(shared, (size_t)row * (size_t)row_bytes + (size_t)c, t.swizzle);
      i64 from = x + c < 0 ? -(x + c) : 0, to = x + c + 16 > width ? width - x - c : 16; /* of these 16 bytes */
      if (!inside || from >= to) from = to = 0;
      u8 *g = global + x + c + from;
      size_t n = (size_t)(to - from);
      if (store) {
        race_write(pc, g, n);
        memcpy(g, s + from, n);
      } else {
        race_read(pc, g, n);
        race_write(pc, s, 16);
        memset(s, 0, 16);
        memcpy(s + from, g, n);
      }
    }
  }
}

static Tensor checked(const TensorMap *map, u32 address, int rank, const EmuSite *site) {
  Tensor t = tensor_of(map);
  if (t.tag != TENSOR_TAG) emu_fail(site, "not a tensor map");
  if (t.rank != rank) emu_fail(site, "a tensor map of rank %d", t.rank);
  int align = t.swizzle ? t.swizzle * 8 : 128; /* where the pattern of the swizzle begins */
  if (address % (u32)align) emu_fail(site, "shared address %u is no multiple of %d", address, align);
  emu_shared(address, (int)box_bytes(&t), site);
  emu_counters()->tma++;
  return t;
}

/* ---- loads ---- */

void emu_tma_load(u32 to, const TensorMap *map, u32 barrier, int rank, const i32 *at, const EmuSite *site) {
  Block *b = emu_thread()->block;
  checked(map, to, rank, site);
  if (b->n_loads == MAX_LOADS) emu_fail(site, "more than %d bulk loads under way", MAX_LOADS);
  BulkLoad *load = &b->load[b->n_loads++];
  load->map = *map;
  load->to = emu_shared(to, 16, site);
  load->barrier = emu_shared(barrier, 8, site);
  load->race = emu_race_new(b); /* of its own: that one load has landed says nothing of another */
  load->pc = EMU_CALLER;
  load->site = site;
  memcpy(load->at, at, (size_t)rank * sizeof *at);
}

void emu_bulk_land(Block *b) {
  int k = b->launch->request->seed ? (int)emu_random((u32)b->n_loads) : 0;
  BulkLoad load = b->load[k];
  b->load[k] = b->load[--b->n_loads];
  void *me = race_current();
  race_switch(load.race);
  Tensor t = tensor_of(&load.map);
  tensor_copy(&load.map, load.to, load.at, false, load.pc);
  emu_mbarrier_complete(b, load.barrier, (u32)box_bytes(&t), load.site);
  race_switch(me);
}

/* ---- stores ---- */

void emu_fence_proxy_async(void) {
  Thread *t = emu_thread();
  race_release(&t->stores_read);
  race_switch(t->warp->async_race);
  race_acquire(&t->stores_read);
  race_switch(t->race);
}

static void store_read(Thread *t, BulkStore *s) {
  if (s->read) return;
  void *me = race_current();
  race_switch(s->race);
  race_read(s->pc, s->from, s->bytes);
  race_release(&t->stores_read);
  race_switch(s->async_race);
  race_read(s->pc, s->from, s->bytes);
  race_release(&t->stores_read);
  race_switch(me);
  s->read = malloc(s->bytes);
  memcpy(s->read, s->from, s->bytes);
}

static void store_write(Thread *t, BulkStore *s) {
  if (s->written) return;
  store_read(t, s);
  void *me = race_current();
  race_switch(s->race);
  tensor_copy(&s->map, s->read, s->at, true, s->pc);
  race_release(&t->stores_read);
  race_switch(me);
  s->written = true;
}

static void forget_finished(Thread *t) { /* stores that are written and waited for */
  int kept = 0;
  for (int i = 0; i < t->n_stores; i++)
    if (t->store[i].written && t->store[i].waited)
      free(t->store[i].read);
    else
      t->store[kept++] = t->store[i];
  t->n_stores = kept;
}

void emu_tma_store(const TensorMap *map, u32 from, int rank, const i32 *at, const EmuSite *site) {
  Thread *t = emu_thread();
  Tensor tensor = checked(map, from, rank, site);
  if (t->n_stores == MAX_STORES) { /* what was only read until now must be written at some time: now */
    for (int i = 0; i < t->n_stores; i++)
      if (t->store[i].waited) store_write(t, &t->store[i]);
    forget_finished(t);
  }
  if (t->n_stores == MAX_STORES) emu_fail(site, "more than %d bulk stores of a thread under way", MAX_STORES);
  BulkStore *s = &t->store[t->n_stores++];
  s->map = *map;
  s->from = emu_shared(from, 16, site);
  s->bytes = box_bytes(&tensor);
  s->group = t->store_group;
  s->read = NULL;
  s->written = s->waited = false;
  s->site = site;
  s->pc = EMU_CALLER;
  s->race = emu_race_new(t->block);
  s->async_race = emu_race_new_async(t);
  memcpy(s->at, at, (size_t)rank * sizeof *at);
}

void emu_bulk_commit(void) {
  Thread *t = emu_thread();
  t->store_group++;
  if (emu_lazy() || !emu_chance(2)) return;
  bool write = emu_chance(2);
  for (int i = 0; i < t->n_stores; i++) store_read(t, &t->store[i]);
  for (int i = 0; write && i < t->n_stores; i++) store_write(t, &t->store[i]);
}

void emu_bulk_wait(int groups, bool read_only) {
  Thread *t = emu_thread();
  for (int i = 0; i < t->n_stores; i++) {
    BulkStore *s = &t->store[i];
    if (s->group >= t->store_group - groups) continue;
    s->waited = true;
    store_read(t, s);
    if (!read_only) store_write(t, s);
  }
  forget_finished(t);
  race_acquire(&t->stores_read);
}

void emu_bulk_finish(Thread *t) {
  for (int i = 0; i < t->n_stores; i++) {
    if (!t->store[i].waited)
      emu_fail(t->store[i].site, "the thread ends before this bulk store has read shared memory");
    store_write(t, &t->store[i]);
  }
  forget_finished(t);
  race_acquire(&t->stores_read);
}

void emu_bulk_forget(Thread *t) {
  for (int i = 0; i < t->n_stores; i++) free(t->store[i].read);
  t->n_stores = 0;
}
