/* The threads of an artefact. A call is one job: every thread walks the launches of the plan, and they meet at flags,
 * one a thread, that only their owner writes: no read-modify-write on the way. Who waits spins for a while, then
 * sleeps; for how long adapts, since on a busy machine spinning keeps the very thread from running that is waited for.
 * A second caller meanwhile runs alone. After fork the child starts without threads and makes its own. */
#include "rt.h"

enum { CLAIMED = 0xffffffffu };
enum { BETWEEN_JOBS = 200 /* microseconds */, TRY_AGAIN = 32 };
enum { WAKING = 100000 }; /* nanoseconds of work that make up for waking a thread: that takes 35 to 50 us */

typedef struct Patience {
  uint32_t now, waits; /* microseconds; how often it waited */
} Patience;

typedef struct Seat {        /* of thread t; 0 is the caller */
  _Alignas(128) uint32_t go; /* counts the jobs of this thread */
  uint32_t asleep;
  SysThread thread;
  Patience between, within;       /* how long it spins before it sleeps: between jobs, and at meetings */
  _Alignas(128) uint32_t arrived; /* meetings of this job that it has reached */
  uint32_t sleepers;              /* somebody sleeps or slept at `arrived` in this job */
  bool failed[2];                 /* at an odd and an even meeting */
} Seat;

static struct Pool {
  uint32_t process; /* whose threads these are */
  uint32_t busy, users, workers;
  uint64_t last;    /* when a call ended, microseconds */
  Run *run;         /* NULL: end */
  uint32_t between; /* the longest spin between jobs */
  Seat seat[RT_THREADS];
} pool;

static uint32_t get(uint32_t *at) { return __atomic_load_n(at, __ATOMIC_ACQUIRE); }
static void put(uint32_t *at, uint32_t v) { __atomic_store_n(at, v, __ATOMIC_SEQ_CST); }
static bool swap(uint32_t *at, uint32_t from, uint32_t to) {
  return __atomic_compare_exchange_n(at, &from, to, false, __ATOMIC_SEQ_CST, __ATOMIC_ACQUIRE);
}

/* Returns when *at is no longer `old`. The sleeper says so before it sleeps, the other side looks after it has stored:
 * one of the two sees the other. Spins for p->now, at most `most`: half as long after each sleep, and now and then it
 * tries the whole time again. */
static uint32_t await_change(uint32_t *at, uint32_t old, uint32_t *asleep, Patience *p, uint32_t most) {
  uint64_t start = 0;
  uint32_t whole = ++p->waits % TRY_AGAIN == 0, spin = whole || p->now > most ? most : p->now;
  for (uint32_t i = 1; get(at) == old; i++) {
    rt_pause();
    if (i % 64) continue;
    uint64_t now = sys_micros();
    if (!start) start = now;
    if (now - start < spin) continue; /* not when the clock went back */
    put(asleep, 1);
    while (__atomic_load_n(at, __ATOMIC_SEQ_CST) == old) sys_wait(at, old);
    p->now = spin / 2;
    return get(at);
  }
  if (whole) p->now = most;
  return get(at);
}

static void arrive(Seat *s, uint32_t turn) {
  put(&s->arrived, turn);
  if (__atomic_load_n(&s->sleepers, __ATOMIC_SEQ_CST)) sys_wake(&s->arrived);
}

static void await_seat(Seat *me, Seat *s, uint32_t turn, uint32_t most) {
  for (uint32_t v = get(&s->arrived); v < turn;) v = await_change(&s->arrived, v, &s->sleepers, &me->within, most);
}

bool rt_meet(const Run *r, int tid, uint32_t turn, bool failed) {
  pool.seat[tid].failed[turn & 1] = failed; /* read by all before anyone can reach the meeting after the next */
  arrive(&pool.seat[tid], turn);
  for (int t = 0; t < r->threads; t++) {
    if (t == tid) continue;
    await_seat(&pool.seat[tid], &pool.seat[t], turn, r->patience);
    failed |= pool.seat[t].failed[turn & 1];
  }
  return failed;
}

static void *work(void *arg) {
  Seat *s = arg;
  int tid = (int)(s - pool.seat);
  rt_float_mode();
  for (uint32_t last = 0;;) {
    last = await_change(&s->go, last, &s->asleep, &s->between, __atomic_load_n(&pool.between, __ATOMIC_RELAXED));
    __atomic_store_n(&s->asleep, 0, __ATOMIC_RELAXED);
    if (!pool.run) return NULL;
    arrive(s, rt_plan_walk(pool.run, tid) + 1);
  }
}

/* False: another process's pool is being taken over just now. */
static bool own_pool(void) {
  uint32_t me = sys_process(), owner = get(&pool.process);
  if (owner == me) return true;
  if (owner == CLAIMED || !swap(&pool.process, owner, CLAIMED)) return false;
  put(&pool.busy, 0);
  pool.workers = 0;
  put(&pool.process, me);
  return true;
}

static void wake(Seat *s) {
  put(&s->go, s->go + 1);
  if (__atomic_load_n(&s->asleep, __ATOMIC_SEQ_CST)) sys_wake(&s->go);
}

static void start_workers(uint32_t n) {
  for (; pool.workers < n; pool.workers++) {
    Seat *s = &pool.seat[pool.workers + 1];
    s->go = s->asleep = 0;
    s->between.now = BETWEEN_JOBS;
    if (!sys_thread_start(&s->thread, work, s)) return; /* fewer will do */
  }
}

/* A small call does not wake sleepers, unless another has just ended: then more may follow, for which they stay awake.
 */
static bool worth_waking(const Run *r) {
  bool asleep = false;
  for (int t = 1; t < r->threads; t++) asleep |= __atomic_load_n(&pool.seat[t].asleep, __ATOMIC_RELAXED) != 0;
  return !asleep || r->work >= WAKING || sys_micros() - pool.last < BETWEEN_JOBS;
}

void rt_pool_run(Run *r) {
  if (!own_pool() || !swap(&pool.busy, 0, 1)) {
    r->threads = 1;
    rt_plan_walk(r, 0);
    return;
  }
  start_workers((uint32_t)r->threads - 1);
  if (r->threads > (int)pool.workers + 1) r->threads = (int)pool.workers + 1;
  if (!worth_waking(r)) {
    r->threads = 1;
    rt_plan_walk(r, 0);
    pool.last = sys_micros();
    put(&pool.busy, 0);
    return;
  }
  pool.run = r;
  __atomic_store_n(&pool.between, r->patience ? BETWEEN_JOBS : 0, __ATOMIC_RELAXED);
  for (uint32_t i = 0; i < r->n; i++) r->launch[i].call.threads = (uint32_t)r->threads;
  for (int t = 0; t < r->threads; t++) {
    __atomic_store_n(&pool.seat[t].arrived, 0, __ATOMIC_RELAXED);
    __atomic_store_n(&pool.seat[t].sleepers, 0, __ATOMIC_RELAXED);
  }
  for (int t = 1; t < r->threads; t++) wake(&pool.seat[t]);
  uint32_t turns = rt_plan_walk(r, 0);
  for (int t = 1; t < r->threads; t++) await_seat(&pool.seat[0], &pool.seat[t], turns + 1, r->patience);
  pool.last = sys_micros();
  put(&pool.busy, 0);
}

void rt_pool_open(void) { __atomic_add_fetch(&pool.users, 1, __ATOMIC_SEQ_CST); }

void rt_pool_close(void) {
  if (__atomic_sub_fetch(&pool.users, 1, __ATOMIC_SEQ_CST) || get(&pool.process) != sys_process()) return;
  if (!swap(&pool.busy, 0, 1)) return; /* somebody opened again and calls: the next last close ends the threads */
  pool.run = NULL;
  for (uint32_t i = 1; i <= pool.workers; i++) wake(&pool.seat[i]);
  for (uint32_t i = 1; i <= pool.workers; i++) sys_thread_join(pool.seat[i].thread);
  pool.workers = 0;
  put(&pool.busy, 0);
}

void rt_lock(uint32_t *lock) { /* 0 free, 1 held, 2 held and somebody sleeps */
  if (swap(lock, 0, 1)) return;
  while (__atomic_exchange_n(lock, 2, __ATOMIC_SEQ_CST)) sys_wait(lock, 2);
}

void rt_unlock(uint32_t *lock) {
  if (__atomic_exchange_n(lock, 0, __ATOMIC_SEQ_CST) == 2) sys_wake(lock);
}
