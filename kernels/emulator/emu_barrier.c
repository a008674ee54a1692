/* __syncthreads and named barriers [Parallel Synchronization: barrier]. */
#include "emu.h"

static void open_if_full(Block *b, Barrier *r) {
  u32 want = r->want ? r->want : (u32)b->n_live;
  if (!r->arrived || r->arrived < want) return;
  r->arrived = 0;
  r->site = NULL;
  r->phase++;
  emu_wake(b, 0, b->n_threads, r);
}

static Barrier *arrive(u32 id, u32 threads, bool waits, const EmuSite *site) {
  if (id >= BARRIERS) emu_fail(site, "barrier %u: there are %d", id, BARRIERS);
  if (threads % WARP) emu_fail(site, "barrier %u: %u threads, which is no multiple of %d", id, threads, WARP);
  Barrier *r = &emu_thread()->block->barrier[id];
  if (r->arrived && r->want != threads)
    emu_fail(site, "barrier %u: %u threads expected here, %u elsewhere", id, threads, r->want);
  /* __syncthreads is one point of the program; named barriers meet different ones on purpose */
  if (!threads && r->arrived && r->site && r->site->line != site->line)
    emu_fail(site, "divergent barrier: other threads wait at line %d", r->site->line);
  r->want = threads;
  if (waits) r->site = site;
  r->arrived++;
  emu_release(&r->known[r->phase & 1]);
  return r;
}

void emu_barrier(u32 id, u32 threads, const EmuSite *site) {
  Barrier *r = arrive(id, threads, true, site);
  unsigned phase = r->phase;
  emu_counters()->barriers++;
  open_if_full(emu_thread()->block, r);
  if (r->phase == phase)
    emu_wait(r, "a barrier", site);
  else if (emu_chance(2))
    emu_yield();
  emu_acquire(&r->known[phase & 1]);
}

void emu_barrier_arrive(u32 id, u32 threads, const EmuSite *site) {
  if (!threads) emu_fail(site, "bar.arrive wants the number of threads");
  open_if_full(emu_thread()->block, arrive(id, threads, false, site));
}

void emu_barriers_recheck(Block *b) {
  for (int i = 0; i < BARRIERS; i++)
    if (!b->barrier[i].want) open_if_full(b, &b->barrier[i]);
}
