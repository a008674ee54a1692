#include "fake_records.h"

_Alignas(64) unsigned char fake_description[1 << 16];
void (*fake_hook)(void);

/* ---- kernels ---- */
#define F(i) ((float *)c->bufs[i])
#define I(i) ((int64_t *)c->bufs[i])

static void fail(const SinterCall *c, int tid, int64_t code, int64_t task) {
  SinterFail *f = &c->fail[tid];
  if (!f->code || code < f->code || (code == f->code && task < f->task)) f->code = code, f->task = task;
}

static void k_init(const SinterCall *c, int64_t lo, int64_t hi, int32_t tid) { /* weight, bias, scratch, random */
  (void)lo, (void)hi, (void)tid;
  const uint32_t *random = c->bufs[3];
  for (int i = 0; i < 12; i++) F(0)[i] = (float)(random[0] % 1000) + (float)i;
  for (int i = 0; i < 3; i++) F(1)[i] = 1;
  for (int i = 0; i < 4; i++) F(2)[i] = 7;
}

static void k_pack(const SinterCall *c, int64_t lo, int64_t hi,
                   int32_t tid) { /* weight[3, 4] -> packed[4, 3], by way of an arena */
  (void)tid;
  for (int64_t k = lo; k < hi; k++)
    for (int j = 0; j < 3; j++) F(2)[k * 3 + j] = F(0)[j * 4 + k];
  for (int64_t k = lo * 3; k < hi * 3; k++) F(1)[k] = F(2)[k];
}

static void k_predict(const SinterCall *c, int64_t lo, int64_t hi, int32_t tid) { /* x, packed, bias, const zero, y */
  (void)tid;
  for (int64_t r = lo; r < hi; r++)
    for (int j = 0; j < 3; j++) {
      float s = F(2)[j] + F(3)[0];
      for (int k = 0; k < 4; k++) s += F(0)[r * 4 + k] * F(1)[k * 3 + j];
      F(4)[r * 3 + j] = s;
    }
}

static void k_train(const SinterCall *c, int64_t lo, int64_t hi, int32_t tid) { /* x, y, partial[N] */
  for (int64_t r = lo; r < hi; r++) {
    int64_t y = I(1)[r];
    if (y < 0 || y > 2) fail(c, tid, 1, r);
    F(2)[r] = F(0)[r * 4] + (float)y;
  }
}

static void k_total(const SinterCall *c, int64_t lo, int64_t hi, int32_t tid) { /* partial[n], out; dims: n */
  (void)lo, (void)hi, (void)tid;
  float s = 0;
  for (int64_t i = 0; i < c->dims[0]; i++) s += F(0)[i];
  F(1)[0] = s;
}

static void k_update(const SinterCall *c, int64_t lo, int64_t hi,
                     int32_t tid) { /* weight, opt.m, count, lr, loss; tasks: 12 */
  (void)tid;
  for (int64_t i = lo; i < hi; i++) F(0)[i] -= F(3)[0], F(1)[i] = F(4)[0];
  if (lo == 0) I(2)[0]++;
}

static void k_square(const SinterCall *c, int64_t lo, int64_t hi, int32_t tid) { /* x[N], t[N] */
  (void)tid;
  for (int64_t i = lo; i < hi; i++) F(1)[i] = F(0)[i] * F(0)[i];
}

static void k_reverse_add(const SinterCall *c, int64_t lo, int64_t hi,
                          int32_t tid) { /* x[N], t[N], u[N]: reads what other tasks wrote */
  (void)tid;
  int64_t n = c->dims[0];
  for (int64_t i = lo; i < hi; i++) F(2)[i] = F(1)[n - 1 - i] + F(0)[i];
}

static void k_gather(const SinterCall *c, int64_t lo, int64_t hi, int32_t tid) { /* t[M], i[N], out[N]; dims: M */
  for (int64_t k = lo; k < hi; k++) {
    int64_t i = I(1)[k], m = c->dims[0];
    if (i < 0 || i >= m) fail(c, tid, 2, k), i = 0;
    F(2)[k] = F(0)[i];
  }
}

static void k_noise(const SinterCall *c, int64_t lo, int64_t hi, int32_t tid) { /* random, out[N] */
  (void)tid;
  const uint32_t *random = c->bufs[0];
  for (int64_t i = lo; i < hi; i++) F(1)[i] = (float)random[0] + 1000 * (float)random[2] + (float)i;
}

static void k_double(const SinterCall *c, int64_t lo, int64_t hi, int32_t tid) {
  (void)tid;
  for (int64_t i = lo; i < hi; i++) F(0)[i] *= 2;
}

static void k_hook(const SinterCall *c, int64_t lo, int64_t hi, int32_t tid) {
  (void)c, (void)lo, (void)hi, (void)tid;
  if (fake_hook) fake_hook();
}

static void k_evaluate(const SinterCall *c, int64_t lo, int64_t hi, int32_t tid) { /* x, y, loss, accuracy; dims: N */
  (void)lo, (void)hi, (void)tid;
  float right = 0, loss = 0;
  for (int64_t r = 0; r < c->dims[0]; r++) right += F(0)[r * 4] == (float)I(1)[r], loss += F(0)[r * 4 + 1];
  F(2)[0] = loss / (float)c->dims[0];
  F(3)[0] = right / (float)c->dims[0];
}

enum {
  K_INIT,
  K_PACK,
  K_PREDICT,
  K_TRAIN,
  K_TOTAL,
  K_UPDATE,
  K_SQUARE,
  K_REVERSE_ADD,
  K_GATHER,
  K_NOISE,
  K_DOUBLE,
  K_HOOK,
  K_EVALUATE
};
static SinterKernel *const KERNELS[] = {k_init,        k_pack,   k_predict, k_train,  k_total, k_update,  k_square,
                                        k_reverse_add, k_gather, k_noise,   k_double, k_hook,  k_evaluate};
_Alignas(64) static const unsigned char CONSTS[64];
extern const unsigned char fake_gpu_code[] __attribute__((weak)); /* tests/gpu_runtime/gpu_model.c */
const SinterImage sinter_image = {(const SinterModel *)(const void *)fake_description, KERNELS, CONSTS, fake_gpu_code};

/* ---- the description ---- */
static SinterSym var(int64_t i) { return CODE({SINTER_SYM_VAR, i}); }
static SinterSym up64(int64_t i, int64_t k) { /* 64 * ((k * dim + 63) // 64) */
  return CODE({SINTER_SYM_INT, 64}, {SINTER_SYM_VAR, i}, {SINTER_SYM_INT, k}, {SINTER_SYM_MUL, 0}, {SINTER_SYM_INT, 63},
              {SINTER_SYM_ADD, 0}, {SINTER_SYM_INT, 64}, {SINTER_SYM_FLOORDIV, 0}, {SINTER_SYM_MUL, 0});
}

static SinterPort port(const char *name, int dtype, uint32_t field, int rank, SinterSym a, SinterSym b) {
  return (SinterPort){
      .name = name ? text(name) : 0, .dtype = (uint8_t)dtype, .rank = (uint8_t)rank, .field = field, .dim = {a, b}};
}

static SinterStep launch(int kernel, int flags, SinterSym tasks, uint32_t work, SinterRef dims, SinterRef views) {
  return (SinterStep){.kind = SINTER_STEP_LAUNCH,
                      .flags = (uint8_t)flags,
                      .kernel = (uint32_t)kernel,
                      .tasks = tasks,
                      .work = num(work),
                      .dims = dims,
                      .views = views};
}

static SinterRef views(int n, const uint32_t *buf) {
  SinterView v[8] = {{0}};
  for (int i = 0; i < n; i++) v[i].buf = buf[i];
  return list(v, sizeof *v, (size_t)n);
}
#define VIEWS(...) views(sizeof(uint32_t[]){__VA_ARGS__} / 4, (uint32_t[]){__VA_ARGS__})
static const SinterStep BARRIER = {.kind = SINTER_STEP_BARRIER};
static const SinterRef NONE;
enum { BIG = 1000000 };

enum { WEIGHT, BIAS, COUNT, MOMENT, SCRATCH };

static SinterBuf arena(SinterSym at, SinterSym bytes) {
  return (SinterBuf){.kind = SINTER_BUF_ARENA, .at = at, .bytes = bytes};
}

static SinterRef
variants(uint32_t p) { /* one plan for all levels; predict has one a level, as its derived buffer is of a level */
  SinterVariant v[SINTER_LEVELS];
  for (uint32_t i = 0; i < SINTER_LEVELS; i++) v[i] = (SinterVariant){num(1), i, p};
  return list(v, sizeof *v, SINTER_LEVELS);
}

static SinterRef dim_n(uint32_t field, int64_t hi) {
  return LIST(SinterDim, {.index = FAKE_N, .field = field, .lo = 1, .hi = hi});
}

/* A plan of predict for a GPU, as one with every kind of argument is written; there is no code behind it. */
static void add_gpu(SinterModel *m, SinterSym n16, SinterSym n12) {
  SinterRef kernels = LIST(SinterGpuKernel, {text("predict_gpu"), text("predict main"), 0, 1024});
  SinterRef programs = LIST(SinterGpuProgram, {0, 100});
  m->gpu_images = LIST(SinterGpuImage, {.kind = SINTER_GPU_PTX, .sm = 80, .programs = programs, .kernels = kernels});
  SinterGpuTensor map = {.view = 0, .dtype = SINTER_F32, .rank = 2, .swizzle = 32, .box = {4, 64}};
  map.dim[0] = num(4), map.dim[1] = var(FAKE_N), map.stride[0] = num(16);
  SinterGpuStep step = {.flags = SINTER_GPU_FAILS | SINTER_GPU_COMMIT,
                        .grid = var(FAKE_N),
                        .block = 128,
                        .args = LIST(SinterGpuArg, {SINTER_GPU_ARG_VIEW, 1}, {SINTER_GPU_ARG_DIM, 0},
                                     {SINTER_GPU_ARG_FAILED, 0}, {SINTER_GPU_ARG_TENSOR, 0}),
                        .views = VIEWS(0, 1),
                        .dims = LIST(SinterSym, var(FAKE_N)),
                        .tensors = LIST(SinterGpuTensor, map),
                        .bytes = n16,
                        .flops = n12};
  m->gpu_plans = LIST(SinterPlan, plan(LIST(SinterBuf, buf(SINTER_BUF_INPUT, 0, n16), buf(SINTER_BUF_OUTPUT, 0, n12)),
                                       LIST(SinterGpuStep, step), num(0)));
}

void fake_build(void) {
  SinterModel m = {.size = sizeof m, .abi = SINTER_ABI_VERSION, .levels = 15, .init = FAKE_INIT};
  memset(fake_description, 0, sizeof fake_description);
  used = sizeof m;
  m.name = m.prefix = text("fake");
  m.compiler = text("sinter 0.1.0");
  m.source = text("fake.sir");
  SinterText dims[] = {text("N"), text("M")};
  m.dims = list(dims, sizeof *dims, FAKE_DIMS);
  m.cells = LIST(
      SinterCell,
      {.name = text("net.fc.weight"),
       .dtype = SINTER_F32,
       .rank = 2,
       .has_init = 1,
       .dim = {3, 4},
       .at = 0,
       .bytes = 48},
      {.name = text("net.fc.bias"), .dtype = SINTER_F32, .rank = 1, .has_init = 1, .dim = {3}, .at = 64, .bytes = 12},
      {.name = text("net.count"), .kind = 1, .dtype = SINTER_I64, .at = 128, .bytes = 8},
      {.name = text("opt.m"), .kind = 1, .dtype = SINTER_F32, .rank = 2, .dim = {3, 4}, .at = 192, .bytes = 48},
      {.name = text("net.scratch"),
       .kind = 2,
       .dtype = SINTER_F32,
       .rank = 1,
       .has_init = 1,
       .dim = {4},
       .at = 256,
       .bytes = 16});
  m.cells_bytes = 320;
  SinterDerived derived[SINTER_LEVELS];
  for (uint32_t i = 0; i < SINTER_LEVELS; i++) {
    derived[i] = (SinterDerived){.name = text("net.fc.weight.packed"),
                                 .kind = text("gemm"),
                                 .level = i,
                                 .cell = WEIGHT,
                                 .plan = FAKE_ENTRIES + i,
                                 .bytes = 48};
    m.derived_bytes[i] = 64;
  }
  m.derived = list(derived, sizeof *derived, SINTER_LEVELS);
  m.consts = LIST(SinterConst, {0, 4});
  m.places =
      LIST(SinterPlace, {text("fake.sir"), 12, 5, text("cross_entropy")}, {text("fake.sir"), 20, 3, text("gather")});
  SinterKernelInfo info = {.name = text("k"), .stage = text("s")}, infos[sizeof KERNELS / sizeof *KERNELS];
  for (size_t i = 0; i < sizeof infos / sizeof *infos; i++) infos[i] = info;
  m.kernels = list(infos, sizeof *infos, sizeof infos / sizeof *infos);

  SinterSym n4 = times(FAKE_N, 4), n8 = times(FAKE_N, 8), n16 = times(FAKE_N, 16), n12 = times(FAKE_N, 12),
            n = var(FAKE_N), one = num(1), z = num(0);
  SinterRef dn = LIST(SinterSym, n);
  SinterSym slot = up64(FAKE_N, 4);
  SinterPlan plans[FAKE_ENTRIES + 2 * SINTER_LEVELS];
  plans[FAKE_INIT] = plan(LIST(SinterBuf, buf(SINTER_BUF_CELL, WEIGHT, num(48)), buf(SINTER_BUF_CELL, BIAS, num(12)),
                               buf(SINTER_BUF_CELL, SCRATCH, num(16)), buf(SINTER_BUF_RANDOM, 0, num(16))),
                          LIST(SinterStep, launch(K_INIT, 0, one, 10, NONE, VIEWS(0, 1, 2, 3))), z);
  plans[FAKE_TRAIN] = plan(LIST(SinterBuf, buf(SINTER_BUF_INPUT, 0, n16), buf(SINTER_BUF_INPUT, 1, n8),
                                buf(SINTER_BUF_INPUT, 2, num(4)), buf(SINTER_BUF_OUTPUT, 0, num(4)), arena(z, n4),
                                buf(SINTER_BUF_CELL, WEIGHT, num(48)), buf(SINTER_BUF_CELL, MOMENT, num(48)),
                                buf(SINTER_BUF_CELL, COUNT, num(8))),
                           LIST(SinterStep, launch(K_TRAIN, 0, n, BIG, NONE, VIEWS(0, 1, 4)), BARRIER,
                                launch(K_TOTAL, SINTER_STEP_SERIAL, one, 100, dn, VIEWS(4, 3)), BARRIER,
                                launch(K_UPDATE, SINTER_STEP_COMMIT, num(12), BIG, NONE, VIEWS(5, 6, 7, 2, 3))),
                           slot);
  SinterSym two_slots = CODE({SINTER_SYM_INT, 128}, {SINTER_SYM_VAR, FAKE_N}, {SINTER_SYM_INT, 4}, {SINTER_SYM_MUL, 0},
                             {SINTER_SYM_INT, 63}, {SINTER_SYM_ADD, 0}, {SINTER_SYM_INT, 64}, {SINTER_SYM_FLOORDIV, 0},
                             {SINTER_SYM_MUL, 0});
  plans[FAKE_SUM] = plan(
      LIST(SinterBuf, buf(SINTER_BUF_INPUT, 0, n4), buf(SINTER_BUF_OUTPUT, 0, num(4)), arena(z, n4), arena(slot, n4)),
      LIST(SinterStep, launch(K_SQUARE, 0, n, BIG, NONE, VIEWS(0, 2)), BARRIER,
           launch(K_REVERSE_ADD, 0, n, BIG, dn, VIEWS(0, 2, 3)), BARRIER,
           launch(K_REVERSE_ADD, 0, n, BIG, dn, VIEWS(0, 3, 2)), launch(K_SQUARE, 0, n, BIG, NONE, VIEWS(2, 2)),
           BARRIER, launch(K_REVERSE_ADD, 0, n, 10, dn, VIEWS(0, 2, 3)), BARRIER,
           launch(K_TOTAL, SINTER_STEP_SERIAL, one, 100, dn, VIEWS(3, 1))),
      two_slots);
  plans[FAKE_GATHER] =
      plan(LIST(SinterBuf, buf(SINTER_BUF_INPUT, 0, times(FAKE_M, 4)), buf(SINTER_BUF_INPUT, 1, n8),
                buf(SINTER_BUF_OUTPUT, 0, n4)),
           LIST(SinterStep, launch(K_GATHER, 0, n, BIG, LIST(SinterSym, var(FAKE_M)), VIEWS(0, 1, 2))), z);
  plans[FAKE_NOISE] = plan(LIST(SinterBuf, buf(SINTER_BUF_RANDOM, 0, num(16)), buf(SINTER_BUF_OUTPUT, 0, n4)),
                           LIST(SinterStep, launch(K_NOISE, 0, n, 10, NONE, VIEWS(0, 1))), z);
  plans[FAKE_DOUBLE] = plan(LIST(SinterBuf, buf(SINTER_BUF_INPUT, 0, n4)),
                            LIST(SinterStep, launch(K_DOUBLE, 0, n, BIG, NONE, VIEWS(0))), z);
  plans[FAKE_WAIT] = plan(LIST(SinterBuf, buf(SINTER_BUF_CELL, COUNT, num(8))),
                          LIST(SinterStep, launch(K_HOOK, 0, one, 10, NONE, VIEWS(0))), z);
  plans[FAKE_LOOK] = plans[FAKE_WAIT];
  plans[FAKE_EVALUATE] = plan(LIST(SinterBuf, buf(SINTER_BUF_INPUT, 0, n16), buf(SINTER_BUF_INPUT, 1, n8),
                                   buf(SINTER_BUF_OUTPUT, 0, num(4)), buf(SINTER_BUF_OUTPUT, 1, num(4))),
                              LIST(SinterStep, launch(K_EVALUATE, 0, one, 10, dn, VIEWS(0, 1, 2, 3))), z);
  SinterVariant by_level[SINTER_LEVELS + 1];
  for (uint32_t i = 0; i < SINTER_LEVELS; i++) {
    plans[FAKE_ENTRIES + i] = plan(
        LIST(SinterBuf, buf(SINTER_BUF_CELL, WEIGHT, num(48)), buf(SINTER_BUF_DERIVED, i, num(48)), arena(z, num(48))),
        LIST(SinterStep, launch(K_PACK, 0, num(4), BIG, NONE, VIEWS(0, 1, 2))), num(64));
    plans[FAKE_ENTRIES + SINTER_LEVELS + i] = plan(
        LIST(SinterBuf, buf(SINTER_BUF_INPUT, 0, n16), buf(SINTER_BUF_DERIVED, i, num(48)),
             buf(SINTER_BUF_CELL, BIAS, num(12)), buf(SINTER_BUF_CONST, 0, num(4)), buf(SINTER_BUF_OUTPUT, 0, n12)),
        LIST(SinterStep, launch(K_PREDICT, 0, n, BIG, NONE, VIEWS(0, 1, 2, 3, 4))), z);
    by_level[i] = (SinterVariant){num(1), i, FAKE_ENTRIES + SINTER_LEVELS + i};
  }
  plans[FAKE_PREDICT] = plans[FAKE_ENTRIES + SINTER_LEVELS];
  m.plans = list(plans, sizeof *plans, sizeof plans / sizeof *plans);
  by_level[SINTER_LEVELS] = (SinterVariant){num(1), SINTER_LEVELS, 0};
  add_gpu(&m, n16, n12);

  SinterPort x = port("x", SINTER_F32, 0, 2, n, num(4)), labels = port("y", SINTER_I64, 8, 1, n, z),
             row = port("x", SINTER_F32, 0, 1, n, z);
  SinterPort scalar = port(NULL, SINTER_F32, 0, 0, z, z), inout = port("c", SINTER_F32, 0, 1, n, z);
  inout.inout = 1;
  SinterEntry e[FAKE_ENTRIES] = {
      [FAKE_INIT] = {.name = text("init"), .flags = SINTER_ENTRY_HIDDEN},
      [FAKE_PREDICT] = {.name = text("predict"),
                        .doc = text("scores of each row"),
                        .in_bytes = sizeof(FakePredictIn),
                        .out_bytes = 8,
                        .inputs = LIST(SinterPort, x),
                        .outputs = LIST(SinterPort, port("y", SINTER_F32, 0, 2, n, num(3))),
                        .dims = dim_n(8, 1000),
                        .checks = LIST(SinterCheck, {.cond = CODE({SINTER_SYM_VAR, FAKE_N}, {SINTER_SYM_INT, 1000},
                                                                  {SINTER_SYM_LE, 0}),
                                                     .text = text("N <= 1000")}),
                        .variants = list(by_level, sizeof *by_level, SINTER_LEVELS + 1)},
      [FAKE_TRAIN] = {.name = text("train"),
                      .flags = SINTER_ENTRY_TRAIN | SINTER_ENTRY_UPDATES | SINTER_ENTRY_RANDOM,
                      .in_bytes = sizeof(FakeTrainIn),
                      .out_bytes = 8,
                      .inputs = LIST(SinterPort, x, labels, port("lr", SINTER_F32, 16, 0, z, z)),
                      .outputs = LIST(SinterPort, port("loss", SINTER_F32, 0, 0, z, z)),
                      .dims = dim_n(24, 1000)},
      [FAKE_SUM] = {.name = text("sum"),
                    .in_bytes = sizeof(FakeSumIn),
                    .out_bytes = 8,
                    .inputs = LIST(SinterPort, row),
                    .outputs = LIST(SinterPort, scalar),
                    .dims = dim_n(8, INT32_MAX)},
      [FAKE_GATHER] = {.name = text("gather"),
                       .in_bytes = sizeof(FakeGatherIn),
                       .out_bytes = 8,
                       .inputs = LIST(SinterPort, port("t", SINTER_F32, 0, 1, var(FAKE_M), z),
                                      port("i", SINTER_I64, 8, 1, n, z)),
                       .outputs = LIST(SinterPort, port(NULL, SINTER_F32, 0, 1, n, z)),
                       .dims = LIST(SinterDim, {.index = FAKE_N, .field = 16, .lo = 1, .hi = INT32_MAX},
                                    {.index = FAKE_M, .field = 24, .lo = 1, .hi = 100})},
      [FAKE_NOISE] = {.name = text("noise"),
                      .flags = SINTER_ENTRY_RANDOM,
                      .in_bytes = sizeof(FakeNoiseIn),
                      .out_bytes = 8,
                      .outputs = LIST(SinterPort, port(NULL, SINTER_F32, 0, 1, n, z)),
                      .dims = dim_n(0, INT32_MAX)},
      [FAKE_DOUBLE] = {.name = text("double"),
                       .in_bytes = sizeof(FakeDoubleIn),
                       .inputs = LIST(SinterPort, inout),
                       .dims = dim_n(8, INT32_MAX),
                       .checks = LIST(
                           SinterCheck, {.cond = CODE({SINTER_SYM_VAR, FAKE_N}, {SINTER_SYM_INT, 2},
                                                      {SINTER_SYM_MOD, 0}, {SINTER_SYM_INT, 0}, {SINTER_SYM_EQ, 0}),
                                         .text = text("N % 2 == 0")})},
      [FAKE_WAIT] = {.name = text("wait"), .flags = SINTER_ENTRY_UPDATES},
      [FAKE_LOOK] = {.name = text("look")},
      [FAKE_EVALUATE] = {
          .name = text("evaluate"),
          .in_bytes = sizeof(FakeEvaluateIn),
          .out_bytes = 16,
          .inputs = LIST(SinterPort, x, labels),
          .outputs = LIST(SinterPort, port("loss", SINTER_F32, 0, 0, z, z), port("accuracy", SINTER_F32, 8, 0, z, z)),
          .dims = dim_n(16, 1000)}};
  for (uint32_t i = 0; i < FAKE_ENTRIES; i++)
    if (i != FAKE_PREDICT) e[i].variants = variants(i);
  m.entries = list(e, sizeof *e, FAKE_ENTRIES);
  m.bytes = (used + 7) & ~7u;
  memcpy(fake_description, &m, sizeof m);
}

#ifdef FAKE_SHARED
extern const SinterApi sinter_rt_api;
__attribute__((visibility("default"))) const SinterApi *sinter_query_v1(void);
const SinterApi *sinter_query_v1(void) { return &sinter_rt_api; }
__attribute__((constructor)) static void build(void) { fake_build(); }
__asm__(".section " SINTER_EXPLAIN_SECTION ",\"\",@progbits\n.ascii \"entry predict: no kernel was fused\\n\"\n.text");
#endif
