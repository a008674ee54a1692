/* wgmma [Asynchronous Warpgroup-level Matrix]: 128 threads issue it together; shared memory is read, through the bits
 * of the descriptors, when the group is waited for, or at the commit if the seed says so; the accumulators hold NaN
 * until the wait. A operands in registers are taken at the issue: what becomes of the registers is the compiler's
 * business. */
#include "emu.h"

enum { MAX_WGMMA = 64, MAX_ACCUMULATORS = 8, MAX_COLUMNS = 256 };
typedef enum { GROUP_MMA = 1, GROUP_COMMIT, GROUP_WAIT, GROUP_REGISTERS } GroupKind;

typedef struct Accumulator { /* of the registers d[0..127], while operations on them are under way */
  float *d[WARPGROUP];
  int pending, columns;
  float value[64][MAX_COLUMNS];
} Accumulator;

typedef struct Wgmma {
  EmuWgmma what;
  u32 a[WARPGROUP][4];
  Accumulator *to;
  int group;
  bool done;
  void *race, *async_race, *pc;
  const EmuSite *site;
} Wgmma;

struct Warpgroup {
  int arrived;
  GroupKind kind;
  const EmuSite *site;
  unsigned round; /* of meetings */
  int group, n_ops;
  Wgmma op[MAX_WGMMA];
  Accumulator accumulator[MAX_ACCUMULATORS];
  float *d[WARPGROUP]; /* of the operation that is being issued */
  EmuWgmma what;
  u32 a[WARPGROUP][4];
  Known issued; /* what the threads knew at the issue */
  char read;    /* what the operations that read their operands know */
  struct {
    void *race, *async_race;
  } spare[MAX_WGMMA]; /* fibers of operations that all threads have waited for: the next one knows what they knew */
  int n_spare;
};

size_t emu_warpgroups_size(void) { return MAX_THREADS / WARPGROUP * sizeof(Warpgroup); }
void emu_warpgroups_end(Block *b) {
  for (int i = 0; i < b->n_threads / WARPGROUP; i++) {
    Warpgroup *g = &b->warpgroup[i];
    g->arrived = g->group = g->n_ops = g->n_spare = 0;
    for (int k = 0; k < MAX_ACCUMULATORS; k++) g->accumulator[k].pending = 0;
  }
}

static Warpgroup *mine(const EmuSite *site) {
  Thread *t = emu_thread();
  if (t->index / WARPGROUP * WARPGROUP + WARPGROUP > t->block->n_threads)
    emu_fail(site, "a warpgroup of fewer than %d threads", WARPGROUP);
  return &t->block->warpgroup[t->index / WARPGROUP];
}

/* All 128 threads come; the last one does `work`, then all go on. */
static void together(Warpgroup *g, GroupKind kind, const EmuSite *site, void (*work)(Warpgroup *, const void *),
                     const void *arg) {
  if (g->arrived && (g->kind != kind || g->site->line != site->line))
    emu_fail(site, "the warpgroup diverged: other threads are at line %d", g->site->line);
  g->kind = kind;
  g->site = site;
  if (++g->arrived < WARPGROUP) {
    unsigned round = g->round;
    while (g->round == round) emu_wait(g, "its warpgroup", site);
    return;
  }
  g->arrived = 0;
  g->round++;
  work(g, arg);
  Thread *t = emu_thread();
  emu_wake(t->block, t->index / WARPGROUP * WARPGROUP, WARPGROUP, g);
}

/* ---- operands in shared memory [Matrix Descriptor Format; canonical layouts with the swizzle of 128 bytes] ---- */

enum { LINE = 128, LINES = 8 }; /* bytes of a line, lines of a pattern */

static const u8 *chunk(const Wgmma *op, u32 address) { /* 16 bytes that are read */
  u8 *p = emu_swizzled(emu_place->shared, address - EMU_SHARED_BASE, LINE);
  p = emu_shared(EMU_SHARED_BASE + (u32)(p - emu_place->shared), 16, op->site);
  race_read(op->pc, p, 16);
  return p;
}

/* to[k * rows + r], r along m or n */
static void load_operand(const Wgmma *op, u64 descriptor, int rows, bool mn_major, float *to) {
  u32 start = (u32)(descriptor & 0x3fff) << 4, leading = (u32)(descriptor >> 16 & 0x3fff) << 4,
      stride = (u32)(descriptor >> 32 & 0x3fff) << 4;
  EmuType type = op->what.type;
  int bytes = type == EMU_TF32 ? 4 : 2, each = 16 / bytes, depth = 32 / bytes, across = LINE / bytes;
  if (descriptor >> 62 != 1 || descriptor >> 49 & 7)
    emu_fail(op->site, "wgmma: swizzles other than of 128 bytes and base offsets are not modelled");
  if (mn_major && type == EMU_TF32) emu_fail(op->site, "wgmma: tf32 operands are k-major");
  if (mn_major)
    for (int k = 0; k < depth; k++)
      for (int r = 0; r < rows; r += each) {
        const u8 *c = chunk(op, start + (u32)(r / across) * leading + (u32)(k / LINES) * stride +
                                    (u32)(k % LINES * LINE + r % across * bytes));
        for (int i = 0; i < each; i++) to[k * rows + r + i] = emu_element(type, c + i * bytes);
      }
  else
    for (int r = 0; r < rows; r++)
      for (int k = 0; k < depth; k += each) {
        const u8 *c = chunk(op, start + (u32)(r / LINES) * stride + (u32)(r % LINES * LINE + k * bytes));
        for (int i = 0; i < each; i++) to[(k + i) * rows + r] = emu_element(type, c + i * bytes);
      }
}

/* Row and column of register i of a thread. */
static int row_of(int thread, int i) { return thread / WARP * 16 + thread % WARP / 4 + i / 2 % 2 * 8; }
static int column_of(int thread, int i) { return i / 4 * 8 + thread % 4 * 2 + i % 2; }

static void registers_to_operand(const Wgmma *op, float *to) { /* as mma.sync's A */
  for (int t = 0; t < WARPGROUP; t++)
    for (int q = 0; q < 4; q++)
      for (int h = 0; h < 2; h++) {
        int row = t / WARP * 16 + t % WARP / 4 + q % 2 * 8, k = t % 4 * 2 + q / 2 * 8 + h;
        to[k * 64 + row] = emu_element(op->what.type, (const u8 *)&op->a[t][q] + 2 * h);
      }
}

static void load_operands(const Wgmma *op, float *a, float *b) {
  if (op->what.a)
    load_operand(op, op->what.a, 64, op->what.a_mn, a);
  else
    registers_to_operand(op, a);
  load_operand(op, op->what.b, op->what.columns, op->what.b_mn, b);
}

static void multiply(Warpgroup *g, Wgmma *op) {
  float a[16 * 64], b[16 * MAX_COLUMNS];
  int n = op->what.columns, depth = op->what.type == EMU_TF32 ? 8 : 16;
  void *me = race_current();
  race_switch(op->race);
  load_operands(op, a, b);
  race_release(&g->read);
  race_switch(op->async_race);
  if (RACE_ON) load_operands(op, a, b);
  race_release(&g->read);
  race_switch(me);
  emu_counters()->wgmma++;
  for (int m = 0; m < 64; m++) {
    float *d = op->to->value[m];
    if (!op->what.accumulate) memset(d, 0, (size_t)n * sizeof *d);
    for (int k = 0; k < depth; k++)
      for (int i = 0; i < n; i++) d[i] += a[k * 64 + m] * b[k * n + i];
  }
  op->done = true;
}

/* ---- issue, commit, wait ---- */

static Accumulator *accumulator(Warpgroup *g, const EmuWgmma *what, const EmuSite *site) {
  Accumulator *unused = NULL;
  for (int i = 0; i < MAX_ACCUMULATORS; i++) {
    Accumulator *a = &g->accumulator[i];
    if (a->pending && a->d[0] == g->d[0]) {
      if (a->columns != what->columns) emu_fail(site, "wgmma of another shape on accumulators that are under way");
      return a;
    }
    if (!a->pending) unused = a;
  }
  if (!unused) emu_fail(site, "more than %d accumulators under way", MAX_ACCUMULATORS);
  memcpy(unused->d, g->d, sizeof g->d);
  unused->columns = what->columns;
  for (int t = 0; t < WARPGROUP; t++)
    for (int i = 0; i < what->columns / 2; i++) {
      unused->value[row_of(t, i)][column_of(t, i)] = g->d[t][i];
      g->d[t][i] = NAN;
    }
  return unused;
}

static void issue(Warpgroup *g, const void *pc) {
  if (g->n_ops == MAX_WGMMA) emu_fail(g->site, "more than %d wgmma under way", MAX_WGMMA);
  Wgmma *op = &g->op[g->n_ops++];
  op->what = g->what;
  memcpy(op->a, g->a, sizeof g->a);
  op->to = accumulator(g, &g->what, g->site);
  op->to->pending++;
  op->group = g->group;
  op->done = false;
  op->site = g->site;
  op->pc = (void *)(uintptr_t)pc;
  if (g->n_spare) {
    op->race = g->spare[--g->n_spare].race;
    op->async_race = g->spare[g->n_spare].async_race;
  } else {
    op->race = emu_race_new(emu_thread()->block);
    op->async_race = emu_race_new_async(emu_thread());
  }
  void *me = race_current();
  race_switch(op->race);
  race_acquire(&g->issued.ordinary);
  race_switch(op->async_race);
  race_acquire(&g->issued.async);
  race_switch(me);
}

void emu_wgmma(const EmuWgmma *what, float *d, const u32 *a, const EmuSite *site) {
  Warpgroup *g = mine(site);
  if (what->columns % 8 || what->columns < 8 || what->columns > MAX_COLUMNS)
    emu_fail(site, "wgmma: n is %d", what->columns);
  if (g->arrived && (g->what.a != what->a || g->what.b != what->b || g->what.accumulate != what->accumulate))
    emu_fail(site, "wgmma: operands differ within the warpgroup");
  int index = emu_thread()->index % WARPGROUP;
  g->what = *what;
  g->d[index] = d;
  if (a) memcpy(g->a[index], a, sizeof g->a[index]);
  emu_release(&g->issued);
  together(g, GROUP_MMA, site, issue, EMU_CALLER);
}

void emu_wgmma_fence(void) {} /* a missing one is reported by ptxas */

static void commit(Warpgroup *g, const void *arg) {
  (void)arg;
  g->group++;
  if (emu_lazy() || !emu_chance(2)) return;
  for (int i = 0; i < g->n_ops; i++)
    if (!g->op[i].done) multiply(g, &g->op[i]);
}
void emu_wgmma_commit(const EmuSite *site) { together(mine(site), GROUP_COMMIT, site, commit, NULL); }

/* The sums go to the registers, which were the operation's until now. */
static void publish(Warpgroup *g, const Wgmma *op) {
  const Accumulator *from = op->to;
  void *me = race_current();
  race_switch(op->race);
  for (int t = 0; t < WARPGROUP; t++) {
    race_write(op->pc, from->d[t], (size_t)from->columns / 2 * sizeof(float));
    for (int i = 0; i < from->columns / 2; i++) from->d[t][i] = from->value[row_of(t, i)][column_of(t, i)];
  }
  race_release(&g->read);
  race_switch(me);
}

static void finish(Warpgroup *g, const void *groups) {
  int kept = 0;
  for (int i = 0; i < g->n_ops; i++) {
    Wgmma *op = &g->op[i];
    if (op->group >= g->group - *(const int *)groups) {
      if (kept != i) g->op[kept] = *op;
      kept++;
      continue;
    }
    if (!op->done) multiply(g, op);
    if (!--op->to->pending) publish(g, op);
    g->spare[g->n_spare].race = op->race;
    g->spare[g->n_spare++].async_race = op->async_race;
  }
  g->n_ops = kept;
}

void emu_wgmma_wait(int groups, const EmuSite *site) {
  Warpgroup *g = mine(site);
  together(g, GROUP_WAIT, site, finish, &groups);
  race_acquire(&g->read);
}

static void nothing(Warpgroup *g, const void *arg) { (void)g, (void)arg; }
void emu_setmaxnreg(int registers, const EmuSite *site) {
  if (registers % 8 || registers < 24 || registers > 256) emu_fail(site, "setmaxnreg to %d", registers);
  together(mine(site), GROUP_REGISTERS, site, nothing, NULL);
}
