/* Plans of two kernels through the runtime and the fake driver: as graphs, rebound, one by one; every call of the
 * driver made to fail once. The interfaces of the kernels come from PTX written here, so that no NVRTC is wanted
 * (test_gpu_nvrtc.c: real cubins). */
#include "gpu_plan.h"
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define message (trial.message)
static const void *ptx80[2], *ptx90[2];
static const GpuImage images[2] = {
    {.kind = GPU_PTX, .sm = 80, .programs = ptx80, .nprograms = 2, .nkernels = 2, .kernels = plan_kernels_sm80},
    {.kind = GPU_CUBIN_EXACT,
     .sm = 90,
     .programs = ptx90,
     .nprograms = 2,
     .nkernels = 2,
     .kernels = plan_kernels_sm90}};

/* ---- graphs ---- */

static void graphs(void) {
  trial_begin(images, 2);
  trial_call(PLAN_M, 1);
  FakeState a = fake_state();
  MUST(a.instantiated == 1 && a.graphs_launched == 1 && a.kernels_run == 2 && a.nodes_set == 0);
  uint64_t first = trial.hash;
  trial_call(PLAN_M, 2);
  MUST(trial.hash != first);
  trial_call(PLAN_M, 1);
  MUST(trial.hash == first);
  a = fake_state();
  MUST(a.instantiated == 1 && a.graphs_launched == 3 && a.kernels_run == 6 && a.nodes_set == 0);
  trial_move(SLOT_IN); /* one kernel knows it */
  trial_call(PLAN_M, 1);
  MUST(trial.hash == first && fake_state().nodes_set == 1);
  trial_move(SLOT_ARENA); /* both */
  trial_call(PLAN_M, 1);
  MUST(trial.hash == first && fake_state().nodes_set == 3);
  trial_call(PLAN_M, 1); /* and then they know */
  a = fake_state();
  MUST(trial.hash == first && a.nodes_set == 3 && a.instantiated == 1 && a.graphs_launched == 6);
  trial_end();
}

static int new_stream(CUstream *out) {
  int status = gpu_enter(trial.device, message);
  if (status) return status;
  status = gpu_check(trial.device, trial.device->api->cuStreamCreate(out, CUDA_STREAM_NON_BLOCKING), "it", message);
  gpu_leave(trial.device);
  return status;
}

/* What one thread records, no other one sees: it may allocate and wait meanwhile. */
static void *beside_a_capture(void *stream) {
  const CudaApi *api = trial.device->api;
  char sentence[RT_MESSAGE];
  CUdeviceptr memory;
  CUgraph graph;
  MUST(!gpu_enter(trial.device, sentence));
  MUST(!api->cuMemAlloc_v2(&memory, 64) && !api->cuMemFree_v2(memory));
  MUST(api->cuStreamEndCapture(stream, &graph) == CUDA_ERROR_CAPTURE_WRONG_THREAD);
  gpu_leave(trial.device);
  MUST(api->cuMemAlloc_v2(&memory, 64) == CUDA_ERROR_INVALID_CONTEXT); /* the other thread's is not its own */
  return NULL;
}
static void capture_of_one_thread(void) {
  CUdeviceptr memory;
  CUstream stream;
  CUgraph graph;
  pthread_t other;
  trial_begin(images, 2);
  const CudaApi *api = trial.device->api;
  MUST(!gpu_enter(trial.device, message));
  MUST(!api->cuStreamCreate(&stream, CUDA_STREAM_NON_BLOCKING));
  MUST(!api->cuStreamBeginCapture_v2(stream, CUDA_CAPTURE_THREAD));
  MUST(api->cuMemAlloc_v2(&memory, 64) == CUDA_ERROR_CAPTURE_UNSUPPORTED);
  MUST(!pthread_create(&other, NULL, beside_a_capture, stream) && !pthread_join(other, NULL));
  MUST(!api->cuStreamEndCapture(stream, &graph) && !api->cuGraphDestroy(graph));
  MUST(!api->cuStreamDestroy_v2(stream));
  gpu_leave(trial.device);
  trial_end();
}

static void one_thread_captures(void **unused) {
  (void)unused;
  assert_int_equal(in_child(capture_of_one_thread, NULL), 0);
}

/* On a stream of the caller's, which stays his. */
static void foreign(void) {
  CUstream theirs;
  trial.may_fail = getenv("SINTER_FAKE_FAIL") != NULL;
  trial_begin(images, 2);
  trial_call(4, 1);
  DO(new_stream(&theirs));
  uint64_t first = trial.hash;
  DO(gpu_queue_use(trial.queue, theirs, message));
  trial_call(4, 1); /* the graph that was recorded before */
  MUST(trial.hash == first);
  trial_call(5, 2);
  DO(gpu_queue_use(trial.queue, NULL, message));
  trial_call(5, 1);
  DO(gpu_queue_use(trial.queue, theirs, message));
  trial_call(4, 1);
  MUST(trial.hash == first && (trial.may_fail || fake_state().instantiated == 2));
  Plan p;
  static char in[4 * PLAN_K * 2], out[4 * PLAN_N * 2];
  plan_input(in, 4, 1);
  trial_move(SLOT_OUT);
  plan_make(&p, trial.device, 4, trial.base);
  DO(gpu_run(trial.queue, &p.call, message)); /* still under way when the stream changes */
  DO(gpu_queue_use(trial.queue, NULL, message));
  DO(gpu_copy_out(trial.queue, out, trial.base[SLOT_OUT], sizeof out, message));
  MUST(plan_error(out, 4, in) < PLAN_RIGHT);
  gpu_queue_close(trial.queue);
  trial.queue = NULL;
  MUST(fake_state().streams == 1);
  DO(gpu_enter(trial.device, message));
  MUST(!trial.device->api->cuStreamDestroy_v2(theirs));
  gpu_leave(trial.device);
  trial_end();
  exit(trial.may_fail && !trial.failures ? 3 : 0);
}

static void one_by_one(void) {
  trial_begin(images, 2);
  trial_call(PLAN_M, 1);
  FakeState a = fake_state();
  MUST(a.instantiated == 0 && a.graphs_launched == 0 && a.kernels_run == 2);
  uint64_t first = trial.hash;
  trial_end();
  unsetenv("SINTER_GPU_SYNC");
  trial_begin(images, 2);
  trial_call(PLAN_M, 1);
  MUST(trial.hash == first && fake_state().instantiated == 1);
  trial_end();
}

static void cache(void) {
  enum { MORE = GPU_GRAPHS + 3 };
  trial_begin(images, 2);
  for (int m = 1; m <= MORE; m++) trial_call(m, 1);
  FakeState a = fake_state();
  MUST(a.instantiated == MORE && a.execs == GPU_GRAPHS && a.graphs == GPU_GRAPHS);
  for (int m = MORE; m > 3; m--) trial_call(m, 2); /* these are there */
  MUST(fake_state().instantiated == MORE);
  trial_call(3, 2); /* this is not; it takes the place of the one unused for longest */
  MUST(fake_state().instantiated == MORE + 1);
  trial_call(4, 2);
  MUST(fake_state().instantiated == MORE + 1);
  trial_call(MORE, 2);
  MUST(fake_state().instantiated == MORE + 2);
  trial_end();
}

/* By architecture and how late things happen. */
static void everywhere(void (*body)(void), const char *more) {
  static const char *const cards[] = {"SINTER_FAKE_CC=80", "SINTER_FAKE_CC=86", "SINTER_FAKE_CC=90",
                                      "SINTER_FAKE_CC=120"};
  static const char *const eager[] = {"SINTER_FAKE_EAGER=0", "SINTER_FAKE_EAGER=1"};
  for (int i = 0; i < 4; i++)
    for (int k = 0; k < 2; k++) {
      int status = in_child(body, (const char *[]){cards[i], eager[k], more, NULL});
      if (status) fail_msg("%s %s: %d", cards[i], eager[k], status);
    }
}
static void as_graphs(void **unused) { (void)unused, everywhere(graphs, NULL); }
static void on_their_stream(void **unused) { (void)unused, everywhere(foreign, NULL); }
static void as_launches(void **unused) { (void)unused, everywhere(one_by_one, "SINTER_GPU_SYNC=1"); }
static void bounded(void **unused) {
  (void)unused;
  assert_int_equal(in_child(cache, NULL), 0);
}

/* ---- failures ---- */

static void whole(void) {
  trial.may_fail = true;
  trial_begin(images, 2);
  trial_call(3, 1);
  trial_move(SLOT_IN);
  trial_call(3, 1);
  trial_call(2, 1);
  trial_end();
  exit(trial.failures ? 0 : 3); /* 3: the driver made no call of this number */
}

/* What fails is not done again: what comes after must not notice. */
static void abandoned(void) {
  enum { BYTES = 2 * 4096 };
  static char in[BYTES], out[BYTES];
  CUdeviceptr at, arena, other;
  Plan p;
  trial.may_fail = true;
  trial_begin(images, 2);
  trial_call(3, 1);
  DO(gpu_alloc(trial.device, BYTES, &at, message));
  trial_failed(gpu_copy_out(trial.queue, out, at, BYTES, message));
  memset(in, 5, BYTES); /* into the buffers that the copy from there was to come to */
  DO(gpu_copy_in(trial.queue, at, in, BYTES, message));
  DO(gpu_copy_out(trial.queue, out, at, BYTES, message));
  MUST(!memcmp(in, out, BYTES));
  gpu_free(trial.device, at);
  DO(gpu_alloc(trial.device, plan_bytes(SLOT_ARENA, PLAN_M), &other, message));
  arena = trial.base[SLOT_ARENA];
  trial.base[SLOT_ARENA] = other;
  plan_make(&p, trial.device, 3, trial.base);
  trial_failed(gpu_run(trial.queue, &p.call, message)); /* some nodes of the graph know the new arena */
  trial.base[SLOT_ARENA] = arena;
  trial_call(3, 2); /* with the old one */
  gpu_free(trial.device, other);
  trial_end();
  exit(trial.failures ? 0 : 3);
}

/* Every call of the driver that can fail does so once, in turn. */
static void each_call(void (*body)(void), const char *const *environment) {
  int n = 2, status = 0; /* the first is cuInit: test_gpu_open.c */
  for (char name[64]; n < 1000 && !status; n++) {
    const char *all[4] = {name};
    snprintf(name, sizeof name, "SINTER_FAKE_FAIL=%d", n);
    for (int i = 0; environment && environment[i]; i++) all[i + 1] = environment[i];
    status = in_child(body, all);
  }
  if (status != 3) fail_msg("call %d: status %d", n - 1, status);
  assert_true(n > 80);
}
static void every_call(void **unused) {
  (void)unused;
  each_call(whole, NULL);
  each_call(whole, (const char *[]){"SINTER_FAKE_CC=80", "SINTER_FAKE_EAGER=1", NULL});
  each_call(abandoned, NULL);
  each_call(foreign, NULL);
}

static void small_device(void) {
  CUdeviceptr at = 1;
  trial_begin(images, 2);
  FakeState before = fake_state();
  MUST_SAY(gpu_alloc(trial.device, 123456, &at, message), SINTER_ERROR_MEMORY, message,
           "no memory on the GPU: 123456 bytes are wanted, 536870912 of 1073741824 are free");
  FakeState after = fake_state();
  MUST(!at && after.device_blocks == before.device_blocks && after.pushed == 0);
  trial_call(5, 1);
  trial_end();
}
static void out_of_memory(void **unused) {
  (void)unused;
  assert_int_equal(in_child(small_device, (const char *[]){"SINTER_FAKE_NO_MEMORY=5", NULL}), 0);
}

/* After a fault every use is refused, and closing ends well. */
static const char *fault_sentence;
static void faulty(void) {
  static const char dead[] = "the GPU failed before: this process can use it no more";
  Plan p;
  char in[PLAN_K * 2], out[PLAN_N * 2], untouched[PLAN_N * 2];
  trial_begin(images, 2);
  plan_make(&p, trial.device, 1, trial.base);
  plan_input(in, 1, 1);
  memset(out, 7, sizeof out);
  memset(untouched, 7, sizeof untouched);
  DO(gpu_copy_in(trial.queue, trial.base[SLOT_IN], in, sizeof in, message));
  int status = gpu_run(trial.queue, &p.call, message);
  if (!status) status = gpu_copy_out(trial.queue, out, trial.base[SLOT_OUT], sizeof out, message);
  MUST_SAY(status, SINTER_ERROR_GPU_FAILED, message, fault_sentence);
  MUST(!memcmp(out, untouched, sizeof out));
  CUdeviceptr at;
  GpuQueue *other;
  MUST_SAY(gpu_run(trial.queue, &p.call, message), SINTER_ERROR_GPU_FAILED, message, dead);
  MUST_SAY(gpu_wait(trial.queue, message), SINTER_ERROR_GPU_FAILED, message, dead);
  MUST_SAY(gpu_copy_in(trial.queue, trial.base[SLOT_IN], in, 1, message), SINTER_ERROR_GPU_FAILED, message, dead);
  MUST_SAY(gpu_copy_out(trial.queue, out, trial.base[SLOT_OUT], 1, message), SINTER_ERROR_GPU_FAILED, message, dead);
  MUST_SAY(gpu_alloc(trial.device, 1, &at, message), SINTER_ERROR_GPU_FAILED, message, dead);
  MUST_SAY(gpu_queue_open(&other, trial.device, &plan_limits, message), SINTER_ERROR_GPU_FAILED, message, dead);
  FakeState before = fake_state();
  gpu_queue_close(trial.queue);
  gpu_free(trial.device, trial.base[0]);
  gpu_close(trial.device);
  FakeState after = fake_state();
  GpuDevice *again; /* in this process there is no other context */
  MUST(gpu_open(&again, images, 2, GPU_ANY, message) == SINTER_ERROR_GPU_FAILED && !again);
  MUST(strstr(message, "(CUDA_ERROR_ILLEGAL_ADDRESS): this process can use it no more"));
  MUST(before.calls == after.calls); /* nothing was asked of a driver that can do no more */
  MUST(plan_host.blocks == 0);
  _exit(0); /* what the driver holds is lost: no search for leaks */
}
static void fault(void **unused) {
  (void)unused;
  fault_sentence = "the GPU failed in a copy from it, or in a kernel before, which SINTER_GPU_SYNC=1 names "
                   "(CUDA_ERROR_ILLEGAL_ADDRESS): this process "
                   "can use it no more";
  assert_int_equal(in_child(faulty, (const char *[]){"SINTER_FAKE_FAULT=2", NULL}), 0);
  fault_sentence = "the GPU failed in softmax (CUDA_ERROR_ILLEGAL_ADDRESS): this process can use it no more";
  assert_int_equal(in_child(faulty, (const char *[]){"SINTER_FAKE_FAULT=2", "SINTER_GPU_SYNC=1", NULL}), 0);
  fault_sentence = "the GPU failed in gemm_sm90 (CUDA_ERROR_ILLEGAL_ADDRESS): this process can use it no more";
  assert_int_equal(in_child(faulty, (const char *[]){"SINTER_FAKE_FAULT=1", "SINTER_GPU_SYNC=1", NULL}), 0);
}

/* Launches that the driver refuses: nothing runs, the next call does. */
static void wrong_launches(void) {
  Plan p;
  trial_begin(images, 2);
  trial_call(2, 1);
  uint32_t ran = fake_state().kernels_run;
  for (int i = 0; i < 3; i++) {
    plan_make(&p, trial.device, 4, trial.base);
    if (i == 0) p.steps[1].block[0] = 512;
    if (i == 1) p.steps[1].shared = 49153;
    if (i == 2) p.steps[1].grid[0] = 0;
    MUST_SAY(gpu_run(trial.queue, &p.call, message), SINTER_ERROR_GPU_FAILED, message,
             i ? "the NVIDIA driver refuses softmax (CUDA_ERROR_INVALID_VALUE)"
               : "the NVIDIA driver refuses softmax (CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES)");
  }
  plan_make(&p, trial.device, 4, trial.base);
  p.maps[0].box[0] = 65; /* longer than the swizzle */
  MUST_SAY(gpu_run(trial.queue, &p.call, message), SINTER_ERROR_GPU_FAILED, message,
           "the NVIDIA driver refuses a map of a tensor (CUDA_ERROR_INVALID_VALUE)");
  FakeState a = fake_state();
  MUST(a.kernels_run == ran && a.graphs == 1 && a.execs == 1);
  trial_call(4, 1);
  trial_call(2, 1);
  trial_end();
}
static void refused(void **unused) {
  (void)unused;
  assert_int_equal(in_child(wrong_launches, NULL), 0);
}

static void no_host_memory(void) {
  GpuQueue *q;
  trial_begin(images, 2);
  plan_host.fail = 1;
  MUST_SAY(gpu_queue_open(&q, trial.device, &plan_limits, message), SINTER_ERROR_MEMORY, message,
           "no memory for a queue of the GPU");
  GpuLimits none = plan_limits;
  none.stage = 0;
  MUST_SAY(gpu_queue_open(&q, trial.device, &none, message), SINTER_ERROR_ARGUMENT, message,
           "a queue wants buffers for copies");
  trial_call(1, 1);
  trial_end();
}
static void host_memory(void **unused) {
  (void)unused;
  assert_int_equal(in_child(no_host_memory, NULL), 0);
}

/* ---- copies of all lengths about those of the buffers ---- */

static void copies(void) {
  static const uint64_t lengths[] = {0, 1, 4095, 4096, 4097, 8192, 8193, 12288, 20481};
  static char in[20481 + 1], out[20481 + 1];
  CUdeviceptr at;
  trial_begin(images, 2);
  DO(gpu_alloc(trial.device, sizeof in - 1, &at, message));
  for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
    uint64_t n = lengths[i];
    for (uint64_t k = 0; k < n; k++) in[k] = (char)(k / 4096 * 31 + k % 251 + i);
    memset(out, 7, sizeof out);
    DO(gpu_copy_in(trial.queue, at, in, n, message));
    memset(in, 9, sizeof in); /* it may be used again at once */
    DO(gpu_copy_out(trial.queue, out, at, n, message));
    for (uint64_t k = 0; k < n; k++) MUST(out[k] == (char)(k / 4096 * 31 + k % 251 + i));
    MUST(out[n] == 7);
  }
  MUST_SAY(gpu_copy_in(trial.queue, at, in, sizeof in, message) ? SINTER_ERROR_GPU_FAILED : 0, SINTER_ERROR_GPU_FAILED,
           message, "the NVIDIA driver refuses a copy to it (CUDA_ERROR_INVALID_VALUE)");
  DO(gpu_wait(trial.queue, message));
  gpu_free(trial.device, at);
  trial_end();
}
static void staging(void **unused) {
  (void)unused;
  assert_int_equal(in_child(copies, NULL), 0);
  assert_int_equal(in_child(copies, (const char *[]){"SINTER_FAKE_EAGER=1", NULL}), 0);
}

int main(void) {
  ptx80[0] = ptx80[1] = plan_ptx(80);
  ptx90[0] = ptx90[1] = plan_ptx(90);
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(as_graphs),
      cmocka_unit_test(on_their_stream),
      cmocka_unit_test(as_launches),
      cmocka_unit_test(bounded),
      cmocka_unit_test(every_call),
      cmocka_unit_test(out_of_memory),
      cmocka_unit_test(fault),
      cmocka_unit_test(refused),
      cmocka_unit_test(host_memory),
      cmocka_unit_test(staging),
      cmocka_unit_test(one_thread_captures),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
