/* The runtime of an artefact, over a model made by hand (fake_model.h). Linked with
 * -Wl,--wrap=sys_alloc,--wrap=sys_free,
 * --wrap=sys_thread_start: both can be made to fail, and memory comes from malloc, so that sanitizers see its bounds.
 */
#include "fake_model.h"
#include "rt.h"
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static int allocations, fail_at;
void *__wrap_sys_alloc(size_t bytes);
void __wrap_sys_free(void *p, size_t bytes);
void *__wrap_sys_alloc(size_t bytes) {
  if (__atomic_add_fetch(&allocations, 1, __ATOMIC_RELAXED) == fail_at) return NULL;
  size_t n = (bytes + 63) & ~(size_t)63;
  void *p = aligned_alloc(64, n ? n : 64);
  return memset(p, 0, n);
}
void __wrap_sys_free(void *p, size_t bytes) {
  (void)bytes;
  free(p);
}

static bool no_threads; /* the system may refuse threads */
bool __real_sys_thread_start(SysThread *, void *(*run)(void *), void *arg);
bool __wrap_sys_thread_start(SysThread *, void *(*run)(void *), void *arg);
bool __wrap_sys_thread_start(SysThread *t, void *(*run)(void *), void *arg) {
  return !no_threads && __real_sys_thread_start(t, run, arg);
}

static const SinterApi *const api = &sinter_rt_api;
static const int64_t UP_TO[FAKE_DIMS] = {1000, 100};

typedef struct Pair {
  SinterWeights *w;
  SinterContext *c;
} Pair;

static Pair pair(uint64_t seed) {
  Pair p;
  assert_int_equal(api->open(&p.w, NULL, seed), SINTER_OK);
  assert_string_equal(api->open_message(p.w), "");
  assert_int_equal(api->create(&p.c, p.w, UP_TO, NULL, 0), SINTER_OK);
  return p;
}

static void drop(Pair p) {
  api->free(p.c);
  api->close(p.w);
}

static float first_weight(SinterWeights *w) {
  float v[12];
  assert_int_equal(api->get(w, "net.fc.weight", v, sizeof v), SINTER_OK);
  return v[0];
}

static void predicts(void **state) {
  (void)state;
  Pair p = pair(2);
  float x[8] = {1, 2, 3, 4, 0, 0, 0, 1}, y[6];
  FakePredictIn in = {x, 2};
  FakePredictOut out = {y};
  assert_int_equal(api->call(p.c, FAKE_PREDICT, &in, &out), SINTER_OK);
  assert_string_equal(api->message(p.c), "");
  for (int r = 0; r < 2; r++)
    for (int j = 0; j < 3; j++) {
      float want = 1;
      for (int k = 0; k < 4; k++) want += x[4 * r + k] * (float)(2 + 4 * j + k);
      assert_true(y[3 * r + j] == want);
    }
  float weight[12] = {0};
  weight[11] = 5;
  assert_int_equal(api->set(p.w, "net.fc.weight", weight, sizeof weight), SINTER_OK); /* its packed form is made anew */
  assert_int_equal(api->call(p.c, FAKE_PREDICT, &in, &out), SINTER_OK);
  assert_true(y[0] == 1 && y[2] == 21 && y[5] == 6);
  drop(p);
}

static void says(SinterContext *c, int entry, const void *in, void *out, int status, const char *sentence) {
  assert_int_equal(api->call(c, (uint32_t)entry, in, out), status);
  assert_string_equal(api->message(c), sentence);
}

static void refuses(void **state) {
  (void)state;
  Pair p = pair(1);
  _Alignas(16) float x[40] = {0}, y[30];
  int64_t labels[4] = {0};
  FakePredictOut out = {y};
  assert_int_equal(api->call(NULL, 0, NULL, NULL), SINTER_ERROR_ARGUMENT);
  assert_int_equal(api->call(p.c, 99, NULL, NULL), SINTER_ERROR_ARGUMENT);
  assert_int_equal(api->call(p.c, FAKE_INIT, NULL, NULL), SINTER_ERROR_ARGUMENT);
  says(p.c, FAKE_PREDICT, NULL, &out, SINTER_ERROR_ARGUMENT, "predict: the struct of inputs is NULL");
  says(p.c, FAKE_PREDICT, &(FakePredictIn){x, 1}, NULL, SINTER_ERROR_ARGUMENT,
       "predict: the struct of outputs is NULL");
  says(p.c, FAKE_PREDICT, &(FakePredictIn){NULL, 1}, &out, SINTER_ERROR_ARGUMENT, "predict: x is NULL");
  says(p.c, FAKE_PREDICT, &(FakePredictIn){x, 1}, &(FakePredictOut){NULL}, SINTER_ERROR_ARGUMENT, "predict: y is NULL");
  says(p.c, FAKE_PREDICT, &(FakePredictIn){(const float *)(const void *)((char *)x + 2), 1}, &out,
       SINTER_ERROR_ARGUMENT, "predict: x is not aligned to 4 bytes");
  says(p.c, FAKE_PREDICT, &(FakePredictIn){x, 0}, &out, SINTER_ERROR_SHAPE,
       "predict: dimension N is 0, but it goes from 1 to 1000");
  says(p.c, FAKE_PREDICT, &(FakePredictIn){x, 1001}, &out, SINTER_ERROR_SHAPE,
       "predict: dimension N is 1001, but it goes from 1 to 1000");
  says(p.c, FAKE_SUM, &(FakeSumIn){x, 1001}, &out, SINTER_ERROR_WORKSPACE,
       "sum: dimension N is 1001, above the 1000 that this context was made for");
  says(p.c, FAKE_PREDICT, &(FakePredictIn){x, 2}, &(FakePredictOut){x + 7}, SINTER_ERROR_ARGUMENT,
       "predict: the memory of y overlaps that of x");
  says(p.c, FAKE_DOUBLE, &(FakeDoubleIn){x, 3}, NULL, SINTER_ERROR_SHAPE, "double: N % 2 == 0 does not hold (N = 3)");
  says(p.c, FAKE_EVALUATE, &(FakeEvaluateIn){x, labels, 1}, &(FakeEvaluateOut){y, y}, SINTER_ERROR_ARGUMENT,
       "evaluate: the memory of loss overlaps that of accuracy");
  assert_int_equal(api->call(p.c, FAKE_PREDICT, &(FakePredictIn){x, 2}, &(FakePredictOut){x + 8}),
                   SINTER_OK); /* beside is allowed */
  drop(p);
  assert_int_equal(api->open(NULL, NULL, 1), SINTER_ERROR_ARGUMENT);
  assert_int_equal(api->create(NULL, NULL, NULL, NULL, 0), SINTER_ERROR_ARGUMENT);
  api->close(NULL);
  api->free(NULL);
}

static void trains_and_fails(void **state) {
  (void)state;
  Pair p = pair(5);
  float x[8] = {0}, lr = 0.5f, loss, y[6];
  int64_t labels[2] = {1, 2}, count;
  FakeTrainIn in = {x, labels, &lr, 2};
  FakeOut out = {&loss};
  for (int i = 0; i < 3; i++) assert_int_equal(api->call(p.c, FAKE_TRAIN, &in, &out), SINTER_OK);
  assert_true(loss == 3 && first_weight(p.w) == 5 - 1.5f);
  assert_int_equal(api->call_number(p.c, FAKE_TRAIN), 3);
  x[4] = 1;
  assert_int_equal(api->call(p.c, FAKE_PREDICT, &(FakePredictIn){x, 2}, &(FakePredictOut){y}), SINTER_OK);
  assert_true(y[0] == 1 && y[3] == 1 + 3.5f); /* packed anew after the update */
  labels[1] = 3;
  for (int t = 1; t <= 7; t++) {
    assert_int_equal(api->threads(p.c, t), SINTER_OK);
    says(p.c, FAKE_TRAIN, &in, &out, SINTER_ERROR_INDEX,
         "fake.sir:12:5: index out of range in cross_entropy; nothing was stored");
  }
  assert_true(first_weight(p.w) == 3.5f);
  assert_int_equal(api->get(p.w, "net.count", &count, 8), SINTER_OK);
  assert_int_equal(count, 3);
  assert_int_equal(api->call_number(p.c, FAKE_TRAIN), 3);
  int64_t index[3] = {0, -1, 7};
  says(p.c, FAKE_GATHER, &(FakeGatherIn){x, index, 3, 7}, &(FakeOut){y}, SINTER_ERROR_INDEX,
       "fake.sir:20:3: index out of range in gather; nothing was stored");
  index[1] = 4, index[2] = 6;
  says(p.c, FAKE_GATHER, &(FakeGatherIn){x, index, 3, 7}, &(FakeOut){y}, SINTER_OK, "");
  assert_true(y[1] == 1);
  drop(p);
}

/* The same bits whatever the number of threads, also with more threads than processors. */
static void threads(void **state) {
  (void)state;
  enum { N = 997 };
  Pair p = pair(1);
  float x[N], first = 0, out;
  for (int i = 0; i < N; i++) x[i] = (float)((i * 37) % 101) / 7;
  FakeSumIn in = {x, N};
  static const int counts[] = {1, 2, 3, 7, 1, 7, 2};
  for (int k = 0; k < 7; k++) {
    assert_int_equal(api->threads(p.c, counts[k]), SINTER_OK);
    for (int i = 0; i < 60; i++) {
      in.N = i % 3 ? N : i + 1;
      assert_int_equal(api->call(p.c, FAKE_SUM, &in, &(FakeOut){&out}), SINTER_OK);
      if (in.N != N) continue;
      if (k == 0 && i == 1) first = out;
      assert_true(out == first);
    }
  }
  assert_int_equal(api->threads(p.c, 257), SINTER_ERROR_ARGUMENT);
  assert_int_equal(api->threads(p.c, -1), SINTER_ERROR_ARGUMENT);
  assert_int_equal(api->threads(p.c, 256), SINTER_OK); /* as many as the context has room for */
  drop(p);
}

static Pair busy_pair;
static int busy_seen[6];
static void try_others(void) { /* runs inside a call that updates */
  SinterContext *other;
  float x[4] = {0}, y[3];
  int64_t count = 0;
  busy_seen[0] = api->call(busy_pair.c, FAKE_LOOK, NULL, NULL); /* the same context */
  busy_seen[1] = api->create(&other, busy_pair.w, UP_TO, NULL, 0);
  busy_seen[2] = api->call(other, FAKE_PREDICT, &(FakePredictIn){x, 1}, &(FakePredictOut){y});
  busy_seen[3] = api->set(busy_pair.w, "net.count", &count, 8);
  busy_seen[4] = api->get(busy_pair.w, "net.count", &count, 8);
  busy_seen[5] = api->save(busy_pair.w, "/nowhere/x");
  api->free(other);
}
static void busy(void **state) {
  (void)state;
  busy_pair = pair(1);
  fake_hook = try_others;
  assert_int_equal(api->call(busy_pair.c, FAKE_WAIT, NULL, NULL), SINTER_OK);
  for (int i = 0; i < 6; i++) assert_int_equal(busy_seen[i], i == 1 ? SINTER_OK : SINTER_ERROR_BUSY);
  assert_int_equal(api->call(busy_pair.c, FAKE_LOOK, NULL, NULL), SINTER_OK); /* while one reads, others may */
  assert_int_equal(busy_seen[0], SINTER_ERROR_BUSY);
  assert_int_equal(busy_seen[2], SINTER_OK);
  assert_int_equal(busy_seen[3], SINTER_ERROR_BUSY);
  assert_int_equal(busy_seen[4], SINTER_OK);
  assert_int_equal(busy_seen[5], SINTER_ERROR_IO);
  fake_hook = NULL;
  drop(busy_pair);
}

static void workspace(void **state) {
  (void)state;
  SinterWeights *w;
  SinterContext *c;
  assert_int_equal(api->open(&w, NULL, 1), SINTER_OK);
  int64_t dims[2] = {1000, 100};
  size_t one = api->workspace(dims, 1), three = api->workspace(dims, 3);
  assert_true(one > 8000 && three == one + 128);
  assert_int_equal(api->workspace(NULL, 1), 0);
  assert_int_equal(api->workspace((int64_t[]){0, 1}, 1), 0);
  assert_int_equal(api->workspace((int64_t[]){1, 101}, 1), 0);
  assert_int_equal(api->workspace(dims, 257), 0);
  char *block = aligned_alloc(64, three); /* to the byte: the sanitizer sees what goes beyond */
  assert_int_equal(api->create(&c, w, dims, block, one - 1), SINTER_ERROR_WORKSPACE);
  assert_null(c);
  assert_non_null(strstr(api->open_message(w), "bytes"));
  assert_int_equal(api->create(&c, w, dims, block + 8, three), SINTER_ERROR_ARGUMENT);
  assert_string_equal(api->open_message(w), "the memory of a context must be aligned to 64 bytes");
  assert_int_equal(api->create(&c, w, NULL, block, three), SINTER_ERROR_ARGUMENT);
  assert_int_equal(api->create(&c, w, (int64_t[]){-3, 1}, block, three), SINTER_ERROR_SHAPE);
  assert_string_equal(api->open_message(w),
                      "dimension N: a context for up to -3 was asked for, but it goes from 1 to 2147483647");
  memset(block, 0xff, three);
  allocations = 0;
  assert_int_equal(api->create(&c, w, dims, block, three), SINTER_OK);
  assert_int_equal(api->threads(c, 3), SINTER_OK);
  float x[1000] = {1}, out;
  for (int i = 0; i < 10; i++)
    assert_int_equal(api->call(c, FAKE_SUM, &(FakeSumIn){x, 1000}, &(FakeOut){&out}), SINTER_OK);
  assert_int_equal(api->call(c, FAKE_PREDICT, &(FakePredictIn){x, 1}, &(FakePredictOut){x + 4}), SINTER_OK);
  assert_int_equal(allocations, 0); /* nothing allocates after */
  api->free(c);
  free(block);
  api->close(w);
}

static void random_numbers(void **state) {
  (void)state;
  Pair p = pair(3);
  float a[2], b[2];
  for (int i = 0; i < 5; i++) assert_int_equal(api->call(p.c, FAKE_NOISE, &(FakeNoiseIn){2}, &(FakeOut){a}), SINTER_OK);
  assert_true(a[0] == 4003 && a[1] == 4004);
  assert_int_equal(api->call(p.c, FAKE_NOISE, &(FakeNoiseIn){0}, &(FakeOut){a}), SINTER_ERROR_SHAPE);
  assert_int_equal(api->call_number(p.c, FAKE_NOISE), 5); /* a refused call draws nothing */
  assert_int_equal(api->save(p.w, "/tmp/test_runtime_noise.safetensors"), SINTER_OK);
  api->set_call_number(p.c, FAKE_NOISE, 1);
  assert_int_equal(api->call(p.c, FAKE_NOISE, &(FakeNoiseIn){2}, &(FakeOut){b}), SINTER_OK);
  assert_true(b[0] == 1003);
  drop(p);
  SinterWeights *w;
  SinterContext *c; /* seed and call number go on where they were saved */
  assert_int_equal(api->open(&w, "/tmp/test_runtime_noise.safetensors", 0), SINTER_OK);
  assert_int_equal(api->create(&c, w, UP_TO, NULL, 0), SINTER_OK);
  assert_int_equal(api->call(c, FAKE_NOISE, &(FakeNoiseIn){2}, &(FakeOut){b}), SINTER_OK);
  assert_true(b[0] == 5003);
  drop((Pair){w, c});
  unlink("/tmp/test_runtime_noise.safetensors");
}

static void no_memory(void **state) {
  (void)state;
  Pair p = pair(1);
  assert_int_equal(api->save(p.w, "/tmp/test_runtime_mem.safetensors"), SINTER_OK);
  int failures = 0;
  for (int n = 1; n < 20; n++) {
    SinterWeights *w;
    SinterContext *c = NULL;
    allocations = 0, fail_at = n;
    int status = api->open(&w, n % 2 ? NULL : "/tmp/test_runtime_mem.safetensors", 1);
    if (!status) status = api->create(&c, w, UP_TO, NULL, 0);
    if (!status) status = api->save(w, "/tmp/test_runtime_mem2.safetensors");
    fail_at = 0;
    if (status) {
      assert_int_equal(status, SINTER_ERROR_MEMORY);
      assert_non_null(strstr(api->open_message(w), "no memory"));
      float v[12];
      if (!c) (void)api->get(w, "net.fc.weight", v, sizeof v); /* whatever is asked of a failed object */
      failures++;
    }
    api->free(c);
    api->close(w);
  }
  assert_true(failures >= 4);
  drop(p);
  unlink("/tmp/test_runtime_mem.safetensors");
  unlink("/tmp/test_runtime_mem2.safetensors");
}

static void environment(void **state) {
  (void)state;
  SinterWeights *w;
  SinterContext *c;
  setenv("SINTER_CPU", "v9", 1);
  assert_int_equal(api->open(&w, NULL, 1), SINTER_ERROR_CPU);
  assert_string_equal(api->open_message(w), "SINTER_CPU is \"v9\", which is no level: v2, v3, v4 or a64 is expected");
  assert_int_equal(api->level(), -1);
  assert_int_equal(api->create(&c, w, UP_TO, NULL, 0), SINTER_ERROR_CPU);
  assert_int_equal(api->save(w, "/tmp/x"), SINTER_ERROR_CPU);
  api->close(w);
#if defined __x86_64__
  setenv("SINTER_CPU", "a64", 1);
  assert_int_equal(api->open(&w, NULL, 1), SINTER_ERROR_CPU);
  assert_non_null(strstr(api->open_message(w), "which this processor does not have: it runs v2"));
  api->close(w);
  setenv("SINTER_CPU", "v2", 1);
  assert_int_equal(api->level(), SINTER_LEVEL_V2);
  Pair p = pair(1);
  float x[4] = {1}, y[3];
  assert_int_equal(api->call(p.c, FAKE_PREDICT, &(FakePredictIn){x, 1}, &(FakePredictOut){y}), SINTER_OK);
  assert_true(y[1] == 6);
  drop(p);
  SinterModel *m = (SinterModel *)(void *)fake_description;
  m->levels = 1 << SINTER_LEVEL_A64; /* as on a processor that is too old */
  unsetenv("SINTER_CPU");
  assert_int_equal(api->open(&w, NULL, 1), SINTER_ERROR_CPU);
  assert_non_null(strstr(api->open_message(w),
                         "fake has no code for this processor: it was compiled for a64, this processor runs v2"));
  api->close(w);
  m->levels = 15;
#endif
  unsetenv("SINTER_CPU");
  setenv("SINTER_THREADS", "two", 1);
  assert_int_equal(api->open(&w, NULL, 1), SINTER_OK);
  assert_int_equal(api->create(&c, w, UP_TO, NULL, 0), SINTER_ERROR_ARGUMENT);
  assert_string_equal(api->open_message(w), "SINTER_THREADS is \"two\": a number from 1 to 256 is expected");
  setenv("SINTER_THREADS", "3", 1);
  assert_int_equal(api->create(&c, w, UP_TO, NULL, 0), SINTER_OK);
  drop((Pair){w, c});
  unsetenv("SINTER_THREADS");
}

static void get_and_set(void **state) {
  (void)state;
  Pair p = pair(1);
  float v[12];
  assert_int_equal(api->get(p.w, "net.fc", v, 48), SINTER_ERROR_ARGUMENT);
  assert_string_equal(api->open_message(p.w), "there is no parameter or state \"net.fc\"");
  assert_int_equal(api->get(p.w, "net.fc.weight", v, 44), SINTER_ERROR_SHAPE);
  assert_string_equal(api->open_message(p.w), "\"net.fc.weight\" has 48 bytes, not 44: f32[3, 4]");
  assert_int_equal(api->set(p.w, "net.fc.weight", NULL, 48), SINTER_ERROR_ARGUMENT);
  assert_int_equal(api->get(p.w, "net.scratch", v, 16), SINTER_OK);
  assert_true(v[3] == 7);
  drop(p);
}

typedef struct Caller {
  SinterWeights *w;
  int threads;
  float want, *x;
  int wrong;
} Caller;
static void *call_often(void *arg) {
  Caller *me = arg;
  SinterContext *c;
  if (api->create(&c, me->w, UP_TO, NULL, 0)) return me->wrong = 1, NULL;
  api->threads(c, me->threads);
  for (int i = 0; i < 100; i++) {
    float out, y[3];
    me->wrong += api->call(c, FAKE_SUM, &(FakeSumIn){me->x, 500}, &(FakeOut){&out}) != SINTER_OK || out != me->want;
    me->wrong += api->call(c, FAKE_PREDICT, &(FakePredictIn){me->x, 1}, &(FakePredictOut){y}) != SINTER_OK;
  }
  api->free(c);
  return NULL;
}

static void concurrent_callers(void **state) {
  (void)state;
  Pair p = pair(1);
  float x[500], out;
  for (int i = 0; i < 500; i++) x[i] = (float)i / 3;
  api->threads(p.c, 1);
  assert_int_equal(api->call(p.c, FAKE_SUM, &(FakeSumIn){x, 500}, &(FakeOut){&out}), SINTER_OK);
  static Caller callers[4];
  pthread_t id[4];
  for (int i = 0; i < 4; i++) {
    callers[i] = (Caller){p.w, i + 1, out, x, 0};
    assert_int_equal(pthread_create(&id[i], NULL, call_often, &callers[i]), 0);
  }
  int wrong = 0;
  for (int i = 0; i < 4; i++) {
    pthread_join(id[i], NULL);
    wrong += callers[i].wrong;
  }
  assert_int_equal(wrong, 0);
  drop(p);
}

/* All that may happen at once, does: contexts of one Weights that read, train and save, others that come and go, with
 * more threads than there are processors. BUSY is an answer; a wrong number or a race is none. */
static bool done_or_busy(int status) { return status == SINTER_OK || status == SINTER_ERROR_BUSY; }
static void *do_everything(void *arg) {
  Caller *me = arg;
  SinterContext *c;
  float out, y[3], lr = 0, loss, weight[12];
  int64_t label = 1;
  if (api->create(&c, me->w, UP_TO, NULL, 0)) return me->wrong = 1, NULL;
  me->wrong += api->threads(c, me->threads) != SINTER_OK;
  for (int i = 0; i < 30; i++) {
    int status = api->call(c, FAKE_SUM, &(FakeSumIn){me->x, 500}, &(FakeOut){&out});
    me->wrong += !done_or_busy(status) || (!status && out != me->want);
    me->wrong += !done_or_busy(api->call(c, FAKE_PREDICT, &(FakePredictIn){me->x, 1}, &(FakePredictOut){y}));
    me->wrong += !done_or_busy(api->call(c, FAKE_TRAIN, &(FakeTrainIn){me->x, &label, &lr, 1}, &(FakeOut){&loss}));
    status = api->get(me->w, "net.fc.weight", weight, sizeof weight);
    me->wrong += !done_or_busy(status);
    if (!status) me->wrong += !done_or_busy(api->set(me->w, "net.fc.weight", weight, sizeof weight));
    status = api->save(me->w, "/nowhere/x"); /* as far as the file system */
    me->wrong += status != SINTER_ERROR_IO && status != SINTER_ERROR_BUSY;
    SinterWeights *mine;
    SinterContext *own;
    if (api->open(&mine, NULL, 1) || api->create(&own, mine, UP_TO, NULL, 0)) return me->wrong++, NULL;
    api->threads(own, me->threads);
    me->wrong += api->call(own, FAKE_SUM, &(FakeSumIn){me->x, 500}, &(FakeOut){&out}) != SINTER_OK || out != me->want;
    api->free(own);
    api->close(mine);
  }
  api->free(c);
  return NULL;
}

static void everything_at_once(void **state) {
  (void)state;
  static const int threads[] = {1, 2, 3, 7, 16, 64};
  enum { CALLERS = sizeof threads / sizeof *threads };
  static Caller callers[CALLERS];
  Pair p = pair(1);
  float x[500], out;
  for (int i = 0; i < 500; i++) x[i] = (float)i / 3;
  api->threads(p.c, 1);
  assert_int_equal(api->call(p.c, FAKE_SUM, &(FakeSumIn){x, 500}, &(FakeOut){&out}), SINTER_OK);
  pthread_t id[CALLERS];
  int wrong = 0;
  for (int i = 0; i < CALLERS; i++) {
    callers[i] = (Caller){p.w, threads[i], out, x, 0};
    assert_int_equal(pthread_create(&id[i], NULL, do_everything, &callers[i]), 0);
  }
  for (int i = 0; i < CALLERS; i++) {
    pthread_join(id[i], NULL);
    wrong += callers[i].wrong;
  }
  assert_int_equal(wrong, 0);
  drop(p);
}

static int count_threads(void) { /* of this process */
  char line[256];
  int n = -1;
  FILE *f = fopen("/proc/self/status", "r");
  while (f && fgets(line, sizeof line, f))
    if (sscanf(line, "Threads: %d", &n) == 1) break;
  if (f) fclose(f);
  return n;
}

static void forked(void **state) {
  (void)state;
  int before = count_threads();
  Pair p = pair(1), q = pair(2);
  float x[500] = {1, 2, 3}, out, again;
  api->threads(p.c, 3);
  assert_int_equal(api->call(p.c, FAKE_SUM, &(FakeSumIn){x, 500}, &(FakeOut){&out}), SINTER_OK);
  assert_int_equal(count_threads(), before + 2);
  fflush(NULL);
  pid_t child = fork();
  if (child == 0) {
    int bad = 0;
    for (int i = 0; i < 20; i++)
      bad += api->call(p.c, FAKE_SUM, &(FakeSumIn){x, 500}, &(FakeOut){&again}) || again != out;
    bad += count_threads() < 3;
    drop(p);
    drop(q);
    _exit(bad != 0);
  }
  int status = -1;
  assert_int_equal(waitpid(child, &status, 0), child);
  assert_int_equal(status, 0);
  assert_int_equal(api->call(p.c, FAKE_SUM, &(FakeSumIn){x, 500}, &(FakeOut){&again}), SINTER_OK);
  assert_true(again == out);
  drop(p);
  assert_int_equal(count_threads(), before + 2);
  drop(q); /* the last one ends the threads */
  assert_int_equal(count_threads(), before);
}

static void profiled(void **state) { /* ticks for each step and thread, none beyond the table, none once it is over */
  (void)state;
  enum { STEPS = 10, ROWS = 2 };
  Pair p = pair(1);
  float x[1000] = {1}, out;
  uint64_t ticks[ROWS * STEPS + 1] = {0}, before[ROWS * STEPS + 1];
  FakeSumIn in = {x, 1000};
  api->threads(p.c, 3);
  assert_int_equal(api->profile(NULL, ticks, ROWS, STEPS), SINTER_ERROR_ARGUMENT);
  assert_int_equal(api->profile(p.c, ticks, ROWS, STEPS), SINTER_OK);
  for (int i = 0; i < 3; i++) assert_int_equal(api->call(p.c, FAKE_SUM, &in, &(FakeOut){&out}), SINTER_OK);
  for (int s = 0; s < STEPS; s++) assert_true(ticks[s] > 0 && ticks[STEPS + s] < 1ull << 48);
  assert_true(ticks[STEPS] > 0 && ticks[ROWS * STEPS] == 0);
  assert_int_equal(api->profile(p.c, ticks, 1, 4), SINTER_OK); /* fewer steps than there are */
  memcpy(before, ticks, sizeof before);
  assert_int_equal(api->call(p.c, FAKE_SUM, &in, &(FakeOut){&out}), SINTER_OK);
  assert_true(ticks[0] > before[0] && !memcmp(ticks + 4, before + 4, sizeof before - 32));
  api->profile(p.c, NULL, 0, 0);
  memcpy(before, ticks, sizeof before);
  assert_int_equal(api->call(p.c, FAKE_SUM, &in, &(FakeOut){&out}), SINTER_OK);
  assert_memory_equal(ticks, before, sizeof before);
  drop(p);
}

static void threads_refused(void **state) {
  (void)state;
  Pair p = pair(1);
  float x[500] = {1, 2, 3}, out, again;
  api->threads(p.c, 1);
  assert_int_equal(api->call(p.c, FAKE_SUM, &(FakeSumIn){x, 500}, &(FakeOut){&out}), SINTER_OK);
  api->threads(p.c, 3);
  no_threads = true;
  int status = api->call(p.c, FAKE_SUM, &(FakeSumIn){x, 500}, &(FakeOut){&again});
  no_threads = false;
  assert_int_equal(status, SINTER_OK);
  assert_true(again == out);
  drop(p);
}

static uint32_t get_mode(void) {
#if defined __x86_64__
  return __builtin_ia32_stmxcsr();
#else
  return 0;
#endif
}
static uint32_t mode_inside;
static void look_at_mode(void) { mode_inside = get_mode(); }
static void float_mode(void **state) {
  (void)state;
#if defined __x86_64__
  Pair p = pair(1);
  fake_hook = look_at_mode;
  uint32_t was = get_mode(), mine = 0x1f80 | 0x8040 | 0x6000; /* flush denormals, round to zero */
  __builtin_ia32_ldmxcsr(mine);
  int status = api->call(p.c, FAKE_LOOK, NULL, NULL);
  uint32_t after = get_mode();
  __builtin_ia32_ldmxcsr(was);
  fake_hook = NULL;
  assert_int_equal(status, SINTER_OK);
  assert_int_equal(after, mine);
  assert_int_equal(mode_inside & ~0x3fu, 0x1f80);
  drop(p);
#endif
}

int main(void) {
  fake_build();
  const struct CMUnitTest tests[] = {cmocka_unit_test(predicts),
                                     cmocka_unit_test(refuses),
                                     cmocka_unit_test(trains_and_fails),
                                     cmocka_unit_test(threads),
                                     cmocka_unit_test(busy),
                                     cmocka_unit_test(workspace),
                                     cmocka_unit_test(random_numbers),
                                     cmocka_unit_test(no_memory),
                                     cmocka_unit_test(environment),
                                     cmocka_unit_test(get_and_set),
                                     cmocka_unit_test(concurrent_callers),
                                     cmocka_unit_test(everything_at_once),
                                     cmocka_unit_test(forked),
                                     cmocka_unit_test(profiled),
                                     cmocka_unit_test(threads_refused),
                                     cmocka_unit_test(float_mode)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
