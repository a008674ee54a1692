/* The runtime of an artefact on a GPU, over a model made by hand (gpu_model.h) and the fake driver: each entry gives
 * what it gives on the CPU, to the bit; failures, memory of the GPU's, weights that move; every call of the driver made
 * to fail once; sentences. */
#include "gpu_model.h"
#include "gpu_plan.h"
#include "rt.h"
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static const SinterApi *const api = &sinter_rt_api;
enum { N = 130, M = 7, EVEN = 8 };
static const int64_t UP_TO[FAKE_DIMS] = {N, M};
static const char code[] = "SINTER_FAKE_CODE=" MODEL_KERNELS;

/* ---- steps that may fail once ---- */

static bool may_fail;
static int failures;

static bool again(int status, const char *sentence) {
  if (!status) return false;
  if (!may_fail || !sentence[0] || failures++) fprintf(stderr, "status %d: %s\n", status, sentence), MUST(false);
  MUST(fake_state().pushed == 0);
  return true;
}
#define WEIGHTS(w, step)                                                                                               \
  do {                                                                                                                 \
    if (again((step), api->open_message(w))) MUST(!(step));                                                            \
  } while (0)
#define CALL(c, entry, in, out)                                                                                        \
  do {                                                                                                                 \
    if (again(api->call((c), (entry), (in), (out)), api->message(c))) MUST(!api->call((c), (entry), (in), (out)));     \
  } while (0)

/* ---- what the entries give ---- */

typedef struct Data {
  float x[N * 4], row[N], table[M];
  int64_t labels[N], index[N];
} Data;

typedef struct Results {
  float predict[N * 3], sum[1], gather[N], noise[2][N], doubled[EVEN];
} Results;

static Data data;
static void make_data(void) {
  for (int i = 0; i < N * 4; i++) data.x[i] = (float)(i % 17) * 0.37f - 2.5f;
  for (int i = 0; i < N; i++) {
    data.row[i] = (float)(i % 11) * 0.01f;
    data.labels[i] = i % 3;
    data.index[i] = (i * 5) % M;
  }
  for (int i = 0; i < M; i++) data.table[i] = (float)i * 1.5f;
}

static void compute(SinterContext *c, int64_t n, Results *r) {
  memset(r, 0, sizeof *r);
  api->set_call_number(c, FAKE_NOISE, 3);
  CALL(c, FAKE_PREDICT, &((FakePredictIn){data.x, n}), &((FakePredictOut){r->predict}));
  CALL(c, FAKE_SUM, &((FakeSumIn){data.row, n}), &((FakeOut){r->sum}));
  CALL(c, FAKE_GATHER, &((FakeGatherIn){data.table, data.index, n, M}), &((FakeOut){r->gather}));
  for (int i = 0; i < 2; i++) CALL(c, FAKE_NOISE, &((FakeNoiseIn){n}), &((FakeOut){r->noise[i]}));
  MUST(api->call_number(c, FAKE_NOISE) == 5);
  for (int i = 0; i < EVEN; i++) r->doubled[i] = (float)i;
  int status = api->call(c, FAKE_DOUBLE, &((FakeDoubleIn){r->doubled, EVEN}), NULL);
  if (again(status, api->message(c))) { /* copied back or not: it is its input too */
    for (int i = 0; i < EVEN; i++) r->doubled[i] = (float)i;
    MUST(!api->call(c, FAKE_DOUBLE, &((FakeDoubleIn){r->doubled, EVEN}), NULL));
  }
}

static SinterContext *context(SinterWeights *w) {
  SinterContext *c;
  WEIGHTS(w, api->create(&c, w, UP_TO, NULL, 0));
  return c;
}

static void train(SinterContext *c, float *loss) {
  static const float lr = 0.25f;
  MUST(!api->call(c, FAKE_TRAIN, &((FakeTrainIn){data.x, data.labels, &lr, N}), &((FakeOut){loss})));
}

/* ---- the same as on the CPU ---- */

static void same(void) {
  static const int64_t sizes[] = {N, 1, 64, N, 1}; /* the last two have graphs */
  static Results here[5], there;
  float loss[2][3], weight[12], theirs[12], moment[12];
  int64_t count;
  SinterWeights *w, *other;
  MUST(!api->open(&w, NULL, 7));
  SinterContext *cpu = context(w), *gpu;
  for (int i = 0; i < 5; i++) compute(cpu, sizes[i], &here[i]);
  WEIGHTS(w, api->to(w, "cuda"));
  gpu = context(w);
  for (int i = 0; i < 5; i++) {
    compute(gpu, sizes[i], &there);
    MUST(!memcmp(&there, &here[i], sizeof there));
  }
  FakeState s = fake_state();
  MUST(s.instantiated == 3 && s.graphs_launched == 5 && s.nodes_set == 0); /* of sum alone, by dimensions */
  MUST_SAY(api->call(cpu, FAKE_NOISE, &((FakeNoiseIn){1}), &((FakeOut){here[0].noise[0]})), SINTER_ERROR_ARGUMENT,
           api->message(cpu), "noise: the weights were moved after this context was made: make another one");
  MUST_SAY(api->call(gpu, FAKE_LOOK, NULL, NULL), SINTER_ERROR_ARTEFACT, api->message(gpu),
           "look: no variant fits these dimensions: a fault of the compiler");
  for (int i = 0; i < 3; i++) train(gpu, &loss[0][i]);
  WEIGHTS(w, api->get(w, "net.fc.weight", weight, sizeof weight));
  WEIGHTS(w, api->get(w, "opt.m", moment, sizeof moment));
  WEIGHTS(w, api->get(w, "net.count", &count, sizeof count));
  MUST(count == 3 && moment[11] == loss[0][2] && weight[2] == 7 + 2 - 3 * 0.25f);
  WEIGHTS(w, api->save(w, "/tmp/test_gpu_artefact.safetensors"));
  MUST(!api->open(&other, "/tmp/test_gpu_artefact.safetensors", 0));
  WEIGHTS(other, api->get(other, "net.fc.weight", theirs, sizeof theirs));
  MUST(!memcmp(weight, theirs, sizeof weight));
  weight[0] = 42; /* seen by both sides */
  WEIGHTS(w, api->set(w, "net.fc.weight", weight, sizeof weight));
  WEIGHTS(other, api->set(other, "net.fc.weight", weight, sizeof weight));
  SinterContext *reference = context(other);
  compute(reference, N, &here[0]);
  compute(gpu, N, &there);
  MUST(!memcmp(&there, &here[0], sizeof there));
  train(gpu, &loss[0][0]);
  train(reference, &loss[1][0]);
  MUST(loss[0][0] == loss[1][0]);
  WEIGHTS(w, api->to(w, "cpu"));
  MUST_SAY(api->call(gpu, FAKE_NOISE, &((FakeNoiseIn){1}), &((FakeOut){there.noise[0]})), SINTER_ERROR_ARGUMENT,
           api->message(gpu), "noise: the weights were moved after this context was made: make another one");
  compute(cpu, N, &there); /* what was packed of the weight is made anew */
  compute(reference, N, &here[0]);
  MUST(!memcmp(&there, &here[0], sizeof there));
  WEIGHTS(w, api->to(w, "cpu"));
  WEIGHTS(w, api->to(w, "cuda:0"));
  MUST(api->call(gpu, FAKE_NOISE, &((FakeNoiseIn){1}), &((FakeOut){there.noise[0]})) == SINTER_ERROR_ARGUMENT);
  SinterContext *second = context(w);
  WEIGHTS(w, api->to(w, "cuda:0")); /* once more: another place all the same */
  MUST(api->call(second, FAKE_NOISE, &((FakeNoiseIn){1}), &((FakeOut){there.noise[0]})) == SINTER_ERROR_ARGUMENT);
  api->free(second);
  api->close(w); /* before a context of it */
  api->free(gpu);
  api->free(cpu);
  api->free(reference);
  api->close(other);
  unlink("/tmp/test_gpu_artefact.safetensors");
  MUST(nothing_is_alive());
}

static void everywhere(void (*body)(void), const char *more) {
  static const char *const cards[] = {"SINTER_FAKE_CC=80", "SINTER_FAKE_CC=90", "SINTER_FAKE_CC=120"};
  static const char *const eager[] = {"SINTER_FAKE_EAGER=0", "SINTER_FAKE_EAGER=1"};
  for (int i = 0; i < 3; i++)
    for (int k = 0; k < 2; k++) {
      int status = in_child(body, (const char *[]){code, cards[i], eager[k], more, NULL});
      if (status) fail_msg("%s %s: %d", cards[i], eager[k], status);
    }
}

static void gives_the_same(void **unused) {
  (void)unused;
  everywhere(same, NULL);
}

/* ---- SINTER_DEVICE ---- */

static void from_environment(void) {
  Results here, there;
  SinterWeights *w;
  MUST(!api->open(&w, NULL, 7));
  MUST(fake_state().device_blocks == 1);
  SinterContext *c = context(w);
  compute(c, 5, &there);
  MUST(fake_state().kernels_run == 11);
  MUST(!api->to(w, "cpu"));
  api->free(c);
  c = context(w);
  compute(c, 5, &here);
  MUST(!memcmp(&here, &there, sizeof here));
  api->free(c);
  api->close(w);
  MUST(nothing_is_alive());
}

static const char *wanted;
static void not_from_environment(void) {
  SinterWeights *w;
  int status = api->open(&w, NULL, 7);
  MUST_SAY(status, SINTER_ERROR_GPU, api->open_message(w), wanted);
  api->close(w);
  MUST(nothing_is_alive());
}

static void environment(void **unused) {
  (void)unused;
  assert_int_equal(in_child(from_environment, (const char *[]){code, "SINTER_DEVICE=cuda", NULL}), 0);
  wanted = "SINTER_DEVICE is cuda: SINTER_LIBCUDA is /nowhere.so, which cannot be loaded";
  assert_int_equal(
      in_child(not_from_environment, (const char *[]){"SINTER_LIBCUDA=/nowhere.so", "SINTER_DEVICE=cuda", NULL}), 0);
}

/* ---- failures of the data ---- */

static void out_of_range(void) {
  static const float lr = 0.25f;
  float loss = 9, weight[12], before[12], out[N], moved = 9;
  SinterWeights *w;
  MUST(!api->open(&w, NULL, 7) && !api->to(w, "cuda"));
  SinterContext *c = context(w);
  MUST(!api->get(w, "net.fc.weight", before, sizeof before));
  for (int i = 0; i < N; i++) out[i] = 9;
  data.index[N - 1] = M;
  data.index[3] = -1;
  MUST_SAY(api->call(c, FAKE_GATHER, &((FakeGatherIn){data.table, data.index, N, M}), &((FakeOut){out})),
           SINTER_ERROR_INDEX, api->message(c), "fake.sir:20:3: index out of range in gather; nothing was stored");
  for (int i = 0; i < N; i++) MUST(out[i] == 9);
  data.labels[17] = 3;
  MUST_SAY(api->call(c, FAKE_TRAIN, &((FakeTrainIn){data.x, data.labels, &lr, N}), &((FakeOut){&loss})),
           SINTER_ERROR_INDEX, api->message(c),
           "fake.sir:12:5: index out of range in cross_entropy; nothing was stored");
  MUST(loss == 9 && api->call_number(c, FAKE_TRAIN) == 0);
  MUST(!api->get(w, "net.fc.weight", weight, sizeof weight) && !memcmp(weight, before, sizeof weight));
  make_data();
  train(c, &moved); /* counts begin at 0 again */
  MUST(moved != 9 && api->call_number(c, FAKE_TRAIN) == 1);
  MUST(!api->get(w, "net.fc.weight", weight, sizeof weight) && weight[0] == before[0] - lr);
  api->free(c);
  api->close(w);
  MUST(nothing_is_alive());
}
static void indices(void **unused) {
  (void)unused;
  everywhere(out_of_range, NULL);
  everywhere(out_of_range, "SINTER_GPU_SYNC=1");
}

/* ---- memory of the GPU's as inputs and outputs ---- */

static const CudaApi *cuda;
static CUstream copies;

static void device_begin(void) {
  char message[RT_MESSAGE];
  CUcontext context;
  MUST(!gpu_driver(&cuda, message));
  MUST(!cuda->cuDevicePrimaryCtxRetain(&context, 0) && !cuda->cuCtxPushCurrent_v2(context));
  MUST(!cuda->cuStreamCreate(&copies, CUDA_STREAM_NON_BLOCKING));
}
static void device_end(void) {
  CUcontext context;
  MUST(!cuda->cuStreamDestroy_v2(copies) && !cuda->cuCtxPopCurrent_v2(&context) &&
       !cuda->cuDevicePrimaryCtxRelease_v2(0));
}
static void *on_device(const void *from, size_t bytes) {
  CUdeviceptr at;
  MUST(!cuda->cuMemAlloc_v2(&at, bytes));
  MUST(!cuda->cuMemcpyHtoDAsync_v2(at, from, bytes, copies) && !cuda->cuStreamSynchronize(copies));
  return (void *)(uintptr_t)at;
}
static void from_device(void *to, void *at, size_t bytes) {
  MUST(!cuda->cuMemcpyDtoHAsync_v2(to, (uintptr_t)at, bytes, copies) && !cuda->cuStreamSynchronize(copies));
}

static void in_place(void) {
  float here[N * 3], there[N * 3], doubled[EVEN] = {1, 2, 3, 4, 5, 6, 7, 8};
  SinterWeights *w;
  MUST(!api->open(&w, NULL, 7) && !api->to(w, "cuda"));
  SinterContext *c = context(w);
  CALL(c, FAKE_PREDICT, &((FakePredictIn){data.x, N}), &((FakePredictOut){here}));
  device_begin();
  float *x = on_device(data.x, sizeof data.x), *y = on_device(here, sizeof here),
        *d = on_device(doubled, sizeof doubled);
  float *row = on_device(data.row, sizeof data.row), sum[2];
  CALL(c, FAKE_PREDICT, &((FakePredictIn){x, N}), &((FakePredictOut){y}));
  from_device(there, y, sizeof there);
  MUST(!memcmp(here, there, sizeof here));
  CALL(c, FAKE_PREDICT, &((FakePredictIn){x, N}), &((FakePredictOut){there})); /* of both kinds */
  MUST(!memcmp(here, there, sizeof here));
  CALL(c, FAKE_DOUBLE, &((FakeDoubleIn){d, EVEN}), NULL);
  from_device(doubled, d, sizeof doubled);
  for (int i = 0; i < EVEN; i++) MUST(doubled[i] == 2 * (float)(i + 1));
  CALL(c, FAKE_SUM, &((FakeSumIn){data.row, N}), &((FakeOut){sum}));
  CALL(c, FAKE_SUM, &((FakeSumIn){row, N}), &((FakeOut){sum + 1})); /* the graph's nodes that read it are told */
  MUST(sum[0] == sum[1] && fake_state().nodes_set == 4);
  MUST_SAY(api->call(c, FAKE_PREDICT, &((FakePredictIn){x + 1, 2}), &((FakePredictOut){y})), SINTER_ERROR_ARGUMENT,
           api->message(c), "predict: x lies on the GPU, where it must be aligned to 16 bytes");
  MUST_SAY(api->call(c, FAKE_PREDICT, &((FakePredictIn){x, N}), &((FakePredictOut){x + 4})), SINTER_ERROR_ARGUMENT,
           api->message(c), "predict: the memory of y overlaps that of x");
  void *const blocks[] = {x, y, d, row};
  for (int i = 0; i < 4; i++) MUST(!cuda->cuMemFree_v2((uintptr_t)blocks[i]));
  device_end();
  api->free(c);
  api->close(w);
  MUST(nothing_is_alive());
}

static void elsewhere(void) {
  float y[3];
  SinterWeights *w;
  MUST(!api->open(&w, NULL, 7) && !api->to(w, "cuda"));
  SinterContext *c = context(w);
  device_begin();
  float *x = on_device(data.x, sizeof data.x);
  MUST_SAY(api->call(c, FAKE_PREDICT, &((FakePredictIn){x, 1}), &((FakePredictOut){y})), SINTER_ERROR_ARGUMENT,
           api->message(c), "predict: x lies on GPU 1, and this context is on GPU 0");
  MUST(!cuda->cuMemFree_v2((uintptr_t)x));
  device_end();
  api->free(c);
  api->close(w);
  MUST(nothing_is_alive());
}

static void device_memory(void **unused) {
  (void)unused;
  everywhere(in_place, NULL);
  assert_int_equal(in_child(elsewhere, (const char *[]){code, "SINTER_FAKE_POINTER_GPU=1", NULL}), 0);
}

/* More than goes in one copy. */
static void large(void) {
  enum { MANY = 300000 };
  static float doubled[MANY], noise[MANY], out[MANY];
  static int64_t index[MANY];
  SinterWeights *w;
  SinterContext *c;
  MUST(!api->open(&w, NULL, 7) && !api->to(w, "cuda"));
  MUST(!api->create(&c, w, (const int64_t[]){MANY, M}, NULL, 0));
  for (int i = 0; i < MANY; i++) doubled[i] = (float)i, index[i] = i % M, out[i] = 9;
  CALL(c, FAKE_DOUBLE, &((FakeDoubleIn){doubled, MANY}), NULL);
  CALL(c, FAKE_NOISE, &((FakeNoiseIn){MANY}), &((FakeOut){noise}));
  for (int i = 0; i < MANY; i++) MUST(doubled[i] == 2 * (float)i && noise[i] == 7 + (float)i);
  index[MANY - 1] = M;
  MUST_SAY(api->call(c, FAKE_GATHER, &((FakeGatherIn){data.table, index, MANY, M}), &((FakeOut){out})),
           SINTER_ERROR_INDEX, api->message(c), "fake.sir:20:3: index out of range in gather; nothing was stored");
  for (int i = 0; i < MANY; i++) MUST(out[i] == 9);
  index[MANY - 1] = 0;
  CALL(c, FAKE_GATHER, &((FakeGatherIn){data.table, index, MANY, M}), &((FakeOut){out}));
  for (int i = 0; i < MANY; i++) MUST(out[i] == data.table[index[i]]);
  api->free(c);
  api->close(w);
  MUST(nothing_is_alive());
}
static void large_ports(void **unused) {
  (void)unused;
  assert_int_equal(in_child(large, (const char *[]){code, NULL}), 0);
}

/* ---- contexts on several threads ---- */

static SinterWeights *shared;
static Results alone;
static void *call_often(void *unused) {
  SinterContext *c;
  Results *mine = malloc(sizeof *mine);
  (void)unused;
  MUST(!api->create(&c, shared, UP_TO, NULL, 0));
  for (int i = 0; i < 5; i++) {
    compute(c, N, mine);
    MUST(!memcmp(mine, &alone, sizeof alone));
  }
  free(mine);
  api->free(c);
  return NULL;
}
static void together(void) {
  pthread_t thread[3];
  MUST(!api->open(&shared, NULL, 7));
  SinterContext *c = context(shared);
  compute(c, N, &alone);
  api->free(c);
  MUST(!api->to(shared, "cuda"));
  for (int i = 0; i < 3; i++) MUST(!pthread_create(&thread[i], NULL, call_often, NULL));
  for (int i = 0; i < 3; i++) MUST(!pthread_join(thread[i], NULL));
  api->close(shared);
  MUST(nothing_is_alive());
}
static void threads(void **unused) {
  (void)unused;
  assert_int_equal(in_child(together, (const char *[]){code, NULL}), 0);
}

/* ---- the driver ---- */

static void whole(void) {
  enum { FEW = 3 };
  static Results here, there;
  static const float lr = 0.5f;
  float start[12], weight[12], loss;
  SinterWeights *w;
  SinterContext *c;
  may_fail = true;
  MUST(!api->open(&w, NULL, 7));
  c = context(w);
  compute(c, FEW, &here);
  api->free(c);
  MUST(!api->get(w, "net.fc.weight", start, sizeof start));
  WEIGHTS(w, api->to(w, "cuda"));
  c = context(w);
  compute(c, FEW, &there);
  MUST(!memcmp(&here, &there, sizeof here));
  FakeTrainIn in = {data.x, data.labels, &lr, FEW};
  if (again(api->call(c, FAKE_TRAIN, &in, &((FakeOut){&loss})), api->message(c))) { /* it may have run */
    MUST(!api->set(w, "net.fc.weight", start, sizeof start));
    MUST(!api->call(c, FAKE_TRAIN, &in, &((FakeOut){&loss})));
  }
  WEIGHTS(w, api->get(w, "net.fc.weight", weight, sizeof weight));
  for (int i = 0; i < 12; i++) MUST(weight[i] == start[i] - lr);
  WEIGHTS(w, api->set(w, "net.fc.weight", start, sizeof start));
  WEIGHTS(w, api->save(w, "/tmp/test_gpu_artefact_each.safetensors"));
  unlink("/tmp/test_gpu_artefact_each.safetensors");
  compute(c, FEW, &there);
  MUST(!memcmp(&here, &there, sizeof here));
  api->free(c);
  WEIGHTS(w, api->to(w, "cpu"));
  c = context(w);
  compute(c, FEW, &there);
  MUST(!memcmp(&here, &there, sizeof here));
  WEIGHTS(w, api->to(w, "cuda"));
  api->close(w);
  api->free(c);
  MUST(nothing_is_alive());
  exit(failures ? 0 : 3); /* 3: the driver made no call of this number */
}

static void each_call(const char *card) {
  int n = 2, status = 0; /* the first is cuInit: test_gpu_open.c */
  for (char name[64]; n < 2000 && !status; n++) {
    snprintf(name, sizeof name, "SINTER_FAKE_FAIL=%d", n);
    status = in_child(whole, (const char *[]){code, name, card, NULL});
  }
  if (status != 3) fail_msg("call %d: status %d", n - 1, status);
  assert_true(n > 150);
}
static void every_call(void **unused) {
  (void)unused;
  each_call("SINTER_FAKE_CC=80");
  each_call("SINTER_FAKE_CC=90");
}

static void host_fails(void) {
  SinterWeights *w;
  SinterContext *c;
  MUST(!api->open(&w, NULL, 7));
  for (int n = 1, status = 1; status; n++) {
    plan_host.fail = n;
    status = api->to(w, "cuda");
    MUST(!status || (status == SINTER_ERROR_MEMORY && strstr(api->open_message(w), "no memory")));
    MUST(n < 20 && (status || n > 3));
  }
  for (int n = 1, status = 1; status; n++) {
    plan_host.fail = n;
    status = api->create(&c, w, UP_TO, NULL, 0);
    MUST(!status || (status == SINTER_ERROR_MEMORY && !c && strstr(api->open_message(w), "no memory")));
    MUST(n < 20 && (status || n > 3));
  }
  plan_host.fail = 0;
  api->free(c);
  api->close(w);
  MUST(nothing_is_alive());
}
static void host_memory(void **unused) {
  (void)unused;
  assert_int_equal(in_child(host_fails, (const char *[]){code, NULL}), 0);
}

/* After a fault of a kernel: what can still be done, and what says that nothing can. */
static void faulty(void) {
  static const char dead[] = "the GPU failed before: this process can use it no more";
  Results r;
  float weight[12];
  SinterWeights *w;
  MUST(!api->open(&w, NULL, 7) && !api->to(w, "cuda"));
  SinterContext *c = context(w), *other;
  memset(&r, 7, sizeof r);
  MUST_SAY(api->call(c, FAKE_SUM, &((FakeSumIn){data.row, N}), &((FakeOut){r.sum})), SINTER_ERROR_GPU_FAILED,
           api->message(c), wanted);
  MUST(((char *)r.sum)[0] == 7);
  MUST_SAY(api->call(c, FAKE_NOISE, &((FakeNoiseIn){1}), &((FakeOut){r.noise[0]})), SINTER_ERROR_GPU_FAILED,
           api->message(c), dead);
  MUST_SAY(api->get(w, "net.fc.weight", weight, sizeof weight), SINTER_ERROR_GPU_FAILED, api->open_message(w), dead);
  MUST_SAY(api->set(w, "net.fc.weight", weight, sizeof weight), SINTER_ERROR_GPU_FAILED, api->open_message(w), dead);
  MUST_SAY(api->create(&other, w, UP_TO, NULL, 0), SINTER_ERROR_GPU_FAILED, api->open_message(w), dead);
  uint32_t calls = fake_state().calls;
  MUST(!api->to(w, "cpu")); /* no call had changed them */
  MUST(!api->get(w, "net.fc.weight", weight, sizeof weight) && weight[1] == 8);
  api->free(c);
  api->close(w);
  MUST(fake_state().calls == calls && plan_host.blocks == 0);
  _exit(0); /* what the driver holds is lost: no search for leaks */
}
static void fault(void **unused) {
  (void)unused;
  wanted = "the GPU failed in a copy from it, or in a kernel before, which SINTER_GPU_SYNC=1 names "
           "(CUDA_ERROR_ILLEGAL_ADDRESS): this process can use "
           "it no more";
  assert_int_equal(in_child(faulty, (const char *[]){code, "SINTER_FAKE_FAULT=2", NULL}), 0);
  wanted = "the GPU failed in k_reverse_add (CUDA_ERROR_ILLEGAL_ADDRESS): this process can use it no more";
  assert_int_equal(in_child(faulty, (const char *[]){code, "SINTER_FAKE_FAULT=2", "SINTER_GPU_SYNC=1", NULL}), 0);
}

/* ---- sentences ---- */

static SinterWeights *hooked;
static void move_in_call(void) {
  MUST_SAY(api->to(hooked, "cuda"), SINTER_ERROR_BUSY, api->open_message(hooked), "to: a call is using these weights");
}

static void refusals(void) {
  static const char bad[] = "\"%s\" is no device: cpu, cuda or cuda:N is expected, where N numbers the GPUs from 0";
  static const char *const names[] = {"", "gpu", "CUDA", "cuda:", "cuda:x", "cuda:1x", "cuda:-1", "cpu:0", "cuda0"};
  char want[256], y[12];
  SinterWeights *w;
  MUST(!api->open(&w, NULL, 7));
  MUST(api->to(NULL, "cuda") == SINTER_ERROR_ARGUMENT);
  MUST_SAY(api->to(w, NULL), SINTER_ERROR_ARGUMENT, api->open_message(w), "to: the device is NULL");
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    snprintf(want, sizeof want, bad, names[i]);
    MUST_SAY(api->to(w, names[i]), SINTER_ERROR_ARGUMENT, api->open_message(w), want);
  }
  MUST_SAY(api->to(w, "cuda:3"), SINTER_ERROR_GPU, api->open_message(w),
           "there is no GPU 3: this system has 1 GPU, numbered from 0");
  SinterContext *c = context(w); /* on the CPU, as nothing has moved */
  hooked = w, fake_hook = move_in_call;
  CALL(c, FAKE_WAIT, NULL, NULL);
  api->free(c);
  MUST(!api->to(w, "cuda"));
  MUST(api->create(&c, w, (const int64_t[]){2, 1}, NULL, 0) == SINTER_OK);
  MUST_SAY(api->call(c, FAKE_PREDICT, &((FakePredictIn){data.x, 3}), &((FakePredictOut){(float *)(void *)y})),
           SINTER_ERROR_WORKSPACE, api->message(c),
           "predict: dimension N is 3, above the 2 that this context was made for");
  MUST_SAY(api->call(c, FAKE_PREDICT, &((FakePredictIn){NULL, 1}), &((FakePredictOut){(float *)(void *)y})),
           SINTER_ERROR_ARGUMENT, api->message(c), "predict: x is NULL");
  api->free(c);
  api->close(w);
  MUST(nothing_is_alive());
}

static int wanted_status;
static void moves_not(void) {
  SinterWeights *w;
  float weight[12];
  MUST(!api->open(&w, NULL, 7));
  MUST_SAY(api->to(w, "cuda"), wanted_status, api->open_message(w), wanted);
  MUST(!api->get(w, "net.fc.weight", weight, sizeof weight) && weight[1] == 8); /* they are where they were */
  api->close(w);
  MUST(nothing_is_alive());
}

static void no_room(void) {
  SinterWeights *w;
  SinterContext *c;
  MUST(!api->open(&w, NULL, 7) && !api->to(w, "cuda"));
  MUST_SAY(api->create(&c, w, UP_TO, NULL, 0), SINTER_ERROR_MEMORY, api->open_message(w),
           "no memory on the GPU: 5120 bytes are wanted, 536870912 of 1073741824 are free");
  MUST(!c);
  api->close(w);
  MUST(nothing_is_alive());
}

static void sentences(void **unused) {
  (void)unused;
  assert_int_equal(in_child(refusals, (const char *[]){code, NULL}), 0);
  static const struct {
    const char *variable, *sentence;
    int status;
  } rows[] = {{"SINTER_LIBCUDA=/nowhere.so", "SINTER_LIBCUDA is /nowhere.so, which cannot be loaded", SINTER_ERROR_GPU},
              {"SINTER_FAKE_VERSION=12040",
               "the NVIDIA driver is too old: it is of CUDA 12.4, and this code wants CUDA 13.0 (driver 580) or later",
               SINTER_ERROR_GPU},
              {"SINTER_FAKE_DEVICES=0", "no GPU can be used: the NVIDIA driver finds none", SINTER_ERROR_GPU},
              {"SINTER_FAKE_CC=75",
               "no code for this GPU, a fake GPU of compute capability 7.5: there is compute_80, sm_90a; code can be "
               "compiled for 8.0 and later",
               SINTER_ERROR_GPU},
              {"SINTER_FAKE_NO_MEMORY=1",
               "no memory on the GPU: 516 bytes are wanted, 536870912 of 1073741824 are free", SINTER_ERROR_MEMORY}};
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    wanted = rows[i].sentence, wanted_status = rows[i].status;
    assert_int_equal(in_child(moves_not, (const char *[]){code, rows[i].variable, NULL}), 0);
  }
  assert_int_equal(in_child(no_room, (const char *[]){code, "SINTER_FAKE_NO_MEMORY=2", NULL}), 0);
}

int main(void) {
  gpu_model_build();
  make_data();
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(gives_the_same), cmocka_unit_test(environment), cmocka_unit_test(indices),
      cmocka_unit_test(device_memory),  cmocka_unit_test(large_ports), cmocka_unit_test(threads),
      cmocka_unit_test(every_call),     cmocka_unit_test(host_memory), cmocka_unit_test(fault),
      cmocka_unit_test(sentences),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
