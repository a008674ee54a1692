/* mbarrier [Parallel Synchronization: mbarrier]: the 8 bytes in shared memory hold the state, so that overwriting them
 * is noticed as on a GPU. */
#include "emu.h"

typedef struct Mbarrier {
  u64 phase : 1;    /* parity of the phase under way */
  u64 pending : 12; /* arrivals that are missing */
  u64 count : 12;
  i64 bytes : 23; /* expected and not yet come; negative while more came than was expected */
  u64 tag : 16;
} Mbarrier;
enum { TAG = 0xB0B1 };
_Static_assert(sizeof(Mbarrier) == 8, "an mbarrier is 8 bytes");

static Mbarrier *at(u32 address, const EmuSite *site) {
  Mbarrier *m = emu_shared(address, 8, site);
  if (m->tag != TAG)
    emu_fail(site, "no mbarrier at offset %u: not initialised, or overwritten", address - EMU_SHARED_BASE);
  return m;
}

/* What arrivals of a phase knew: by parity, as addresses within the barrier itself. */
static Known *known(Mbarrier *m, u32 parity) { return (Known *)m + (parity & 1); }

static void end_phase_if_done(Block *b, Mbarrier *m) {
  if (m->pending || m->bytes) return;
  m->phase ^= 1;
  m->pending = m->count;
  emu_wake(b, 0, b->n_threads, m);
}

void emu_mbarrier_init(u32 barrier, u32 arrivals, const EmuSite *site) {
  if (!arrivals || arrivals > 4095) emu_fail(site, "an mbarrier for %u arrivals", arrivals);
  Mbarrier *m = emu_shared(barrier, 8, site);
  race_write(EMU_CALLER, m, 8);
  *m = (Mbarrier){0, arrivals & 4095, arrivals & 4095, 0, TAG};
}

void emu_mbarrier_arrive(u32 barrier, u32 bytes, const EmuSite *site) {
  Mbarrier *m = at(barrier, site);
  race_read(EMU_CALLER, m, 8); /* after its initialisation */
  if (!m->pending) emu_fail(site, "mbarrier: more arrivals than its count %u", (unsigned)m->count);
  if (bytes >= 1 << 20) emu_fail(site, "mbarrier: %u bytes expected, 2^20 - 1 are the most", bytes);
  m->bytes += bytes;
  m->pending--;
  emu_release(known(m, m->phase));
  end_phase_if_done(emu_thread()->block, m);
}

void emu_mbarrier_wait(u32 barrier, u32 parity, const EmuSite *site) {
  if (parity > 1) emu_fail(site, "mbarrier: parity %u", parity);
  Mbarrier *m = at(barrier, site);
  race_read(EMU_CALLER, m, 8);
  if (m->phase != parity && emu_chance(4)) emu_yield();
  while (m->phase == parity) emu_wait(m, parity ? "an mbarrier, parity 1" : "an mbarrier, parity 0", site);
  emu_acquire(known(m, parity));
}

void emu_mbarrier_complete(Block *b, u64 *barrier, u32 bytes, const EmuSite *site) {
  Mbarrier *m = (Mbarrier *)barrier;
  if (m->tag != TAG) emu_fail(site, "the mbarrier of this load was overwritten");
  m->bytes -= bytes;
  race_release(&known(m, m->phase)->ordinary);
  race_release(&known(m, m->phase)->async);
  end_phase_if_done(b, m);
}
