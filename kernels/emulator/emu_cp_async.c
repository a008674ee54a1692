/* cp.async [Data Movement: cp.async]: a copy lands when its group is waited for, or earlier if the seed says so. For
 * the race detector a group is a fiber that knows what the thread knew when it began the group's last copy. */
#include "emu.h"

static void land(Thread *t, const Copy *c) {
  void *me = race_current();
  race_switch(t->copy_race[c->group % COPY_FIBERS]);
  if (c->bytes) { /* else `from` may be any address */
    race_read(c->pc, c->from, c->bytes);
    memcpy(c->to, c->from, c->bytes);
  }
  race_write(c->pc, c->to, 16);
  memset((u8 *)c->to + c->bytes, 0, 16 - c->bytes);
  race_release(&t->copy[0]);
  race_switch(me);
}

static void land_before(Thread *t, int group) { /* all copies of groups before this one */
  int kept = 0;
  for (int i = 0; i < t->n_copies; i++)
    if (t->copy[i].group < group)
      land(t, &t->copy[i]);
    else
      t->copy[kept++] = t->copy[i];
  t->n_copies = kept;
  race_acquire(&t->copy[0]);
}

void emu_cp_async(u32 to, const void *from, u32 bytes, const EmuSite *site) {
  Thread *t = emu_thread();
  if (bytes > 16) emu_fail(site, "cp.async of %u bytes", bytes);
  Copy c = {emu_shared(to, 16, site), emu_aligned(from, 16, site), bytes, t->copy_group, EMU_CALLER};
  if (t->n_copies == MAX_COPIES) emu_fail(site, "more than %d cp.async of a thread under way", MAX_COPIES);
  void **race = &t->copy_race[c.group % COPY_FIBERS];
  if (RACE_ON && !*race) *race = emu_race_new(t->block);
  if (RACE_ON) {
    race_release(&t->copy[1]);
    race_switch(*race);
    race_acquire(&t->copy[1]);
    race_switch(t->race);
  }
  emu_counters()->cp_async++;
  if (!emu_lazy() && emu_chance(2))
    land(t, &c);
  else
    t->copy[t->n_copies++] = c;
}

void emu_cp_async_commit(void) { emu_thread()->copy_group++; }
void emu_cp_async_wait(int groups) { land_before(emu_thread(), emu_thread()->copy_group - groups); }
void emu_cp_async_finish(Thread *t) { land_before(t, t->copy_group + 1); }
