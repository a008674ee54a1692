/* Kernels by name, blocks, the scheduler, faults. */
#include "emu.h"
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#if defined(__SANITIZE_ADDRESS__)
#define HAS_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define HAS_ASAN 1
#endif
#endif
#ifdef HAS_ASAN
void __asan_poison_memory_region(void const volatile *, size_t);
void __asan_unpoison_memory_region(void const volatile *, size_t);
#else
static void __asan_poison_memory_region(void const volatile *p, size_t n) { (void)p, (void)n; }
static void __asan_unpoison_memory_region(void const volatile *p, size_t n) { (void)p, (void)n; }
#endif

_Thread_local EmuPlace *emu_place;

/* ---- kernels ---- */

static struct {
  pthread_mutex_t lock;
  EmulatorKernel *first;
} kernels = {PTHREAD_MUTEX_INITIALIZER, NULL};

void emulator_register(EmulatorKernel *k) {
  pthread_mutex_lock(&kernels.lock);
  k->next = kernels.first;
  kernels.first = k;
  pthread_mutex_unlock(&kernels.lock);
}

const EmulatorKernel *emulator_find(const char *name) {
  pthread_mutex_lock(&kernels.lock);
  EmulatorKernel *k = kernels.first;
  while (k && strcmp(k->name, name)) k = k->next;
  pthread_mutex_unlock(&kernels.lock);
  return k;
}

/* ---- chance ---- */

static Launch *launch(void) { return emu_thread()->block->launch; }

static u32 next_random(Launch *l) { /* xorshift */
  u32 x = l->random;
  x ^= x << 13, x ^= x >> 17, x ^= x << 5;
  return l->random = x;
}
u32 emu_random(u32 below) { return next_random(launch()) % below; }
bool emu_chance(u32 one_in) { return launch()->request->seed && emu_random(one_in) == 0; }
bool emu_lazy(void) { return launch()->request->lazy; }

/* ---- the scheduler ---- */

static void make_ready(Launch *l, Thread *t) {
  t->waits_on = NULL;
  l->ready[(l->first_ready + l->n_ready++) % MAX_THREADS] = t;
}

static void say_deadlock(Launch *l) {
  char text[EMULATOR_MESSAGE] = "";
  size_t n = 0;
  for (int i = 0; i < l->block->n_threads && n + 200 < sizeof text; i++) {
    const Thread *t = &l->block->thread[i];
    bool said = t->done; /* one thread for each line */
    for (int k = 0; k < i; k++) said |= !t[k - i].done && t[k - i].site == t->site;
    if (said) continue;
    n += (size_t)snprintf(text + n, sizeof text - n, "; thread %d waits for %s at line %d", i, t->waits_for,
                          t->site ? t->site->line : 0);
  }
  emu_fail(NULL, "deadlock%s", text);
}

static Thread *next_thread(Launch *l) {
  while (!l->n_ready) {
    if (!l->block->n_loads) say_deadlock(l);
    emu_bulk_land(l->block);
  }
  if (l->request->seed) {
    int k = (l->first_ready + (int)(next_random(l) % (u32)l->n_ready)) % MAX_THREADS;
    Thread *t = l->ready[k];
    l->ready[k] = l->ready[l->first_ready];
    l->ready[l->first_ready] = t;
    if (!l->request->lazy && l->block->n_loads && next_random(l) % 8 == 0) emu_bulk_land(l->block);
  }
  Thread *t = l->ready[l->first_ready];
  l->first_ready = (l->first_ready + 1) % MAX_THREADS;
  l->n_ready--;
  return t;
}

static void run_next(void) {
  Thread *me = emu_thread(), *t = next_thread(launch());
  if (t == me) return;
  emu_counters()->switches++;
  emu_place = &t->place;
  race_switch(t->race);
  fiber_switch(&me->fiber, &t->fiber);
}

void emu_wait(const void *object, const char *what, const EmuSite *site) {
  Thread *t = emu_thread();
  t->waits_on = object, t->waits_for = what, t->site = site;
  run_next();
}

void emu_wake(Block *b, int first, int n, const void *object) {
  for (int i = first; i < first + n && i < b->n_threads; i++)
    if (b->thread[i].waits_on == object) make_ready(b->launch, &b->thread[i]);
}

void emu_yield(void) {
  make_ready(launch(), emu_thread());
  run_next();
}

static void back_to_host(void) {
  Thread *me = emu_thread();
  Launch *l = launch();
  race_switch(l->host_race);
  fiber_switch(&me->fiber, &l->host);
}

_Noreturn void emu_fail(const EmuSite *site, const char *format, ...) {
  Thread *t = emu_thread();
  Launch *l = launch();
  char *m = l->report->message;
  int n;
  if (site)
    n = snprintf(m, EMULATOR_MESSAGE, "%s:%d: ", site->file, site->line);
  else
    n = snprintf(m, EMULATOR_MESSAGE, "%s: ", l->kernel->file);
  EmuIndex at = t->block->index;
  n += snprintf(m + n, (size_t)(EMULATOR_MESSAGE - n), "block (%u, %u, %u), thread %d: ", at.x, at.y, at.z, t->index);
  va_list args;
  va_start(args, format);
  if (n < EMULATOR_MESSAGE) vsnprintf(m + n, (size_t)(EMULATOR_MESSAGE - n), format, args);
  va_end(args);
  l->failed = true;
  for (;;) back_to_host();
}

static void thread_main(void) {
  launch()->kernel->run(launch()->params);
  Thread *t = emu_thread();
  Block *b = t->block;
  emu_cp_async_finish(t);
  emu_bulk_finish(t);
  emu_warp_lane_ends(t);
  t->done = true;
  b->n_live--;
  if (b->n_live) {
    emu_barriers_recheck(b);
    run_next();
  } else {
    if (b->n_loads) emu_fail(b->load[0].site, "the block ends while this bulk load is under way");
    back_to_host();
  }
}

/* Fibers of launches before, which this one's host knows all of: the sanitizer takes long to make one. Those of this
 * launch stay apart until it ends, because a block must not know what others do. */
static struct {
  void *fiber[KEPT_FIBERS];
  int idle, kept; /* idle: not yet used by this launch */
} pool;

void *emu_race_new(Block *b) {
  if (!RACE_ON) return NULL;
  if (pool.idle) {
    void *me = race_current(), *fiber = pool.fiber[--pool.idle], *known = &b->launch->known[pool.idle];
    race_release(known);
    race_switch(fiber);
    race_acquire(known);
    race_switch(me);
    return fiber;
  }
  if (b->n_race == MAX_RACE_FIBERS) emu_fail(NULL, "too many asynchronous operations for the race detector");
  return b->race[b->n_race++] = race_new();
}

static void race_keep(Block *b) { /* which has ended */
  for (int i = 0; i < b->n_race; i++)
    if (pool.kept < KEPT_FIBERS)
      pool.fiber[pool.kept++] = b->race[i];
    else
      race_end(b->race[i]);
}

static void race_launch_ends(bool failed) { /* failed: fibers were left amid of calls */
  while (failed && pool.kept > pool.idle) race_end(pool.fiber[--pool.kept]);
  pool.idle = pool.kept;
}

void *emu_race_new_async(Thread *t) {
  void *me = race_current();
  race_switch(t->warp->async_race);
  void *fiber = emu_race_new(t->block);
  race_switch(me);
  return fiber;
}

void emu_release(Known *known) {
  Thread *t = emu_thread();
  race_release(&known->ordinary);
  race_switch(t->warp->async_race);
  race_release(&known->async);
  race_switch(t->race);
}

void emu_acquire(Known *known) {
  Thread *t = emu_thread();
  race_acquire(&known->ordinary);
  race_switch(t->warp->async_race);
  race_acquire(&known->async);
  race_switch(t->race);
}

/* ---- blocks ---- */

static void *map_pages(size_t n) {
  void *p = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (p == MAP_FAILED) perror("emulator: mmap"), abort();
  return p;
}

enum { SHARED_BYTES = 256 << 10, CANARY = 0x5AFE57AC };

/* Memory of blocks that have ended, for the next launch of any host thread: each thread of a block takes several pages,
 * and the kernel of this machine longer to clear them than most launches take. It has room for the largest block; pages
 * that no thread touches are not there. */
static struct {
  pthread_mutex_t lock;
  Block *first;
} idle = {PTHREAD_MUTEX_INITIALIZER, NULL};

static Block *block_new(Launch *l, int n_threads) {
  pthread_mutex_lock(&idle.lock);
  Block *b = idle.first;
  if (b) idle.first = b->next;
  pthread_mutex_unlock(&idle.lock);
  if (!b) {
    b = map_pages(sizeof *b);
    b->shared = map_pages(SHARED_BYTES);
    b->stacks = map_pages((size_t)MAX_THREADS * STACK_STRIDE);
    b->thread = map_pages(MAX_THREADS * sizeof *b->thread);
    b->warpgroup = map_pages(emu_warpgroups_size());
  }
  b->launch = l;
  b->n_threads = n_threads;
  return b;
}

static void block_free(Block *b) {
  __asan_unpoison_memory_region(b->shared, SHARED_BYTES);
  __asan_unpoison_memory_region(b->stacks, (size_t)b->n_threads * STACK_STRIDE);
  munmap(b->shared, SHARED_BYTES);
  munmap(b->stacks, (size_t)MAX_THREADS * STACK_STRIDE);
  munmap(b->thread, MAX_THREADS * sizeof *b->thread);
  munmap(b->warpgroup, emu_warpgroups_size());
  munmap(b, sizeof *b);
}

static void block_keep(Block *b) {
  pthread_mutex_lock(&idle.lock);
  b->next = idle.first;
  idle.first = b;
  pthread_mutex_unlock(&idle.lock);
}

static u32 *canary(Block *b, int i) { return (u32 *)(void *)(b->stacks + (size_t)i * STACK_STRIDE); }

static void block_run(Block *b, EmuIndex at) {
  Launch *l = b->launch;
  const EmulatorLaunch *r = l->request;
  b->index = at;
  b->n_live = b->n_threads;
  b->n_loads = b->n_race = 0;
  memset(b->barrier, 0, sizeof b->barrier);
  emu_warpgroups_end(b);
  __asan_unpoison_memory_region(b->shared, r->shared_bytes);
  __asan_poison_memory_region(b->shared + r->shared_bytes, SHARED_BYTES - r->shared_bytes);
  memset(b->shared, 0xff, r->shared_bytes);
  for (int i = 0; i < b->n_threads; i += WARP) {
    Warp *w = &b->warp[i / WARP];
    int lanes = b->n_threads - i < WARP ? b->n_threads - i : WARP;
    memset(w, 0, sizeof *w);
    w->index = i / WARP;
    w->live = ALL_LANES >> (WARP - lanes);
    w->async_race = emu_race_new(b);
  }
  l->first_ready = l->n_ready = 0;
  EmuIndex size = {r->block[0], r->block[1], r->block[2]}, grid = {r->grid[0], r->grid[1], r->grid[2]};
  for (int i = 0; i < b->n_threads; i++) {
    Thread *t = &b->thread[i];
    unsigned u = (unsigned)i;
    t->place = (EmuPlace){{u % size.x, u / size.x % size.y, u / size.x / size.y}, at, size, grid, i % WARP, b->shared};
    t->block = b;
    t->warp = &b->warp[i / WARP];
    t->index = i;
    t->done = false;
    t->n_copies = t->copy_group = t->n_stores = t->store_group = 0;
    *canary(b, i) = CANARY;
    fiber_make(&t->fiber, b->stacks + (size_t)i * STACK_STRIDE, STACK_BYTES, thread_main);
    t->race = emu_race_new(b);
    make_ready(l, t);
  }
  emu_place = &b->thread[0].place;
  Thread *t = next_thread(l);
  emu_place = &t->place;
  race_switch(t->race);
  fiber_switch(&l->host, &t->fiber);
  for (int i = 0; i < b->n_threads; i++) {
    Thread *ended = &b->thread[i];
    race_switch(ended->race); /* the end of a kernel orders it before what the host does next */
    race_release(l);
    race_switch(l->host_race);
    if (!ended->done) emu_bulk_forget(ended);
    if (*canary(b, i) != CANARY && !l->failed) {
      l->failed = true;
      snprintf(l->report->message, EMULATOR_MESSAGE, "%s: the stack of thread %d is too small", l->kernel->file, i);
    }
  }
  race_keep(b);
  l->report->counters.blocks++;
}

/* ---- launching ---- */

static bool refuse(EmulatorReport *report, const char *format, ...) {
  va_list args;
  va_start(args, format);
  vsnprintf(report->message, EMULATOR_MESSAGE, format, args);
  va_end(args);
  return false;
}

bool emulator_launch(const EmulatorKernel *kernel, const EmulatorLaunch *request, EmulatorReport *report) {
  *report = (EmulatorReport){0};
  const unsigned *g = request->grid, *s = request->block;
  if (!g[0] || !g[1] || !g[2] || g[0] > 0x7fffffff || g[1] > 65535 || g[2] > 65535)
    return refuse(report, "%s: no grid of %u x %u x %u blocks", kernel->name, g[0], g[1], g[2]);
  uint64_t threads = (uint64_t)s[0] * s[1] * s[2];
  if (!threads || s[0] > 1024 || s[1] > 1024 || s[2] > 64 || threads > (uint64_t)kernel->max_threads ||
      threads > MAX_THREADS)
    return refuse(report, "%s: a block of %u x %u x %u threads, built for %d", kernel->name, s[0], s[1], s[2],
                  kernel->max_threads);
  if (request->shared_bytes > EMULATOR_MAX_SHARED)
    return refuse(report, "%s: %zu bytes of shared memory, %d are the most", kernel->name, request->shared_bytes,
                  EMULATOR_MAX_SHARED);
  Launch *l = map_pages(sizeof *l);
  l->kernel = kernel;
  l->request = request;
  l->report = report;
  l->random = (request->seed * 2654435761u) | 1;
  l->host_race = race_current();
  for (int i = 0; i < kernel->n_params; i++) {
    size_t n = kernel->param_size[i];
    l->params[i] = map_pages(n); /* aligned as any type wants it */
    memcpy(l->params[i], request->params[i], n);
  }
  for (unsigned z = 0; z < g[2] && !l->failed; z++)
    for (unsigned y = 0; y < g[1] && !l->failed; y++)
      for (unsigned x = 0; x < g[0] && !l->failed; x++) {
        /* For the race detector nothing of a block's may be known to the next: new memory has no history. */
        if (!l->block) l->block = block_new(l, (int)threads);
        block_run(l->block, (EmuIndex){x, y, z});
        if (RACE_ON) block_free(l->block), l->block = NULL;
      }
  race_acquire(l);
  emu_place = NULL;
  if (l->block && l->failed) /* its threads were left amid of calls */
    block_free(l->block);
  else if (l->block)
    block_keep(l->block);
  for (int i = 0; i < kernel->n_params; i++) munmap(l->params[i], kernel->param_size[i]);
  bool ok = !l->failed;
  race_launch_ends(l->failed);
  munmap(l, sizeof *l);
  return ok;
}
