#include "gpu_model.h"
#include "fake_records.h"
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>

enum { WEIGHT, BIAS, COUNT, MOMENT }; /* cells of the model */
enum { K_PREDICT, K_TRAIN, K_TOTAL, K_UPDATE, K_SQUARE, K_REVERSE_ADD, K_GATHER, K_NOISE, K_DOUBLE, KERNELS };
enum { IMAGES = 2, IMAGE_ANY = 0, IMAGE_90 = 1, BOX_SHARED = 64 * 16 + 8 };

static const struct {
  const char *name;
  uint32_t threads, words;
} kernels[KERNELS] = {{"k_predict", 64, 6}, {"k_train", 64, 5},  {"k_total", 1, 3},
                      {"k_update", 12, 6},  {"k_square", 64, 3}, {"k_reverse_add", 64, 4},
                      {"k_gather", 64, 6},  {"k_noise", 64, 3},  {"k_double", 64, 2}};

unsigned char fake_gpu_code[2 * 4096] __attribute__((aligned(64)));

/* ---- records behind those of fake_build ---- */

static SinterModel *model(void) { return (SinterModel *)(void *)fake_description; }

static SinterSym blocks(int64_t dim, int64_t k) { /* of 64 threads for k elements of each */
  return CODE({SINTER_SYM_VAR, dim}, {SINTER_SYM_INT, k}, {SINTER_SYM_MUL, 0}, {SINTER_SYM_INT, 63},
              {SINTER_SYM_ADD, 0}, {SINTER_SYM_INT, 64}, {SINTER_SYM_FLOORDIV, 0});
}
static SinterSym slots(int64_t k) { /* k of 4 N bytes, up to multiples of 64 */
  return CODE({SINTER_SYM_VAR, FAKE_N}, {SINTER_SYM_INT, 4}, {SINTER_SYM_MUL, 0}, {SINTER_SYM_INT, 63},
              {SINTER_SYM_ADD, 0}, {SINTER_SYM_INT, 64}, {SINTER_SYM_FLOORDIV, 0}, {SINTER_SYM_INT, 64 * k},
              {SINTER_SYM_MUL, 0});
}

/* ---- plans ---- */

enum { TAIL_FAILED = 1, TAIL_TENSOR = 2 };
/* A launch whose words are the addresses of `views`, then dimensions, then where failures are counted. */
static SinterGpuStep launch(uint32_t kernel, uint32_t flags, SinterSym grid, SinterRef dims, int tail, int n,
                            const uint32_t *view) {
  SinterView views[8] = {{0}};
  SinterGpuArg args[16];
  uint32_t k = 0;
  SinterGpuStep s = {.flags = flags, .kernel = kernel, .grid = grid, .block = kernels[kernel].threads, .dims = dims};
  for (int i = 0; i < n; i++) {
    views[i].buf = view[i];
    if (tail & TAIL_TENSOR && i == 0) continue;
    args[k++] = (SinterGpuArg){SINTER_GPU_ARG_VIEW, (uint32_t)i};
  }
  for (uint32_t i = 0; i < dims.n; i++) args[k++] = (SinterGpuArg){SINTER_GPU_ARG_DIM, i};
  if (tail & TAIL_FAILED) args[k++] = (SinterGpuArg){SINTER_GPU_ARG_FAILED, 0};
  if (tail & TAIL_TENSOR) {
    args[k++] = (SinterGpuArg){SINTER_GPU_ARG_TENSOR, 0};
    SinterSym rows = CODE({SINTER_SYM_VAR, FAKE_N});
    s.tensors = LIST(SinterGpuTensor,
                     {.dtype = SINTER_F32, .rank = 2, .dim = {num(4), rows}, .stride = {num(16)}, .box = {4, 64}});
  }
  s.views = list(views, sizeof *views, (size_t)n);
  s.args = list(args, sizeof *args, k);
  return s;
}
#define VIEWS(...)                                                                                                     \
  sizeof(uint32_t[]){__VA_ARGS__} / 4, (uint32_t[]) { __VA_ARGS__ }

enum { PLAN_PREDICT, PLAN_PREDICT_90, PLAN_TRAIN, PLAN_SUM, PLAN_GATHER, PLAN_NOISE, PLAN_DOUBLE, PLANS };

static void put_plans(void) {
  SinterSym n4 = times(FAKE_N, 4), n8 = times(FAKE_N, 8), n12 = times(FAKE_N, 12), n16 = times(FAKE_N, 16),
            one = num(1), z = num(0), each = blocks(FAKE_N, 1);
  SinterRef n = LIST(SinterSym, CODE({SINTER_SYM_VAR, FAKE_N})), none = {0};
  SinterRef nm = LIST(SinterSym, CODE({SINTER_SYM_VAR, FAKE_N}), CODE({SINTER_SYM_VAR, FAKE_M}));
  SinterBuf second = {.kind = SINTER_BUF_ARENA, .at = slots(1), .bytes = n4};
  SinterPlan plans[PLANS];
  SinterRef predict =
      LIST(SinterBuf, buf(SINTER_BUF_INPUT, 0, n16), buf(SINTER_BUF_CELL, WEIGHT, num(48)),
           buf(SINTER_BUF_CELL, BIAS, num(12)), buf(SINTER_BUF_CONST, 0, num(4)), buf(SINTER_BUF_OUTPUT, 0, n12));
  plans[PLAN_PREDICT] =
      plan(predict, LIST(SinterGpuStep, launch(K_PREDICT, 0, blocks(FAKE_N, 3), n, 0, VIEWS(0, 1, 2, 3, 4))), z);
  plans[PLAN_PREDICT_90] =
      plan(predict, LIST(SinterGpuStep, launch(K_PREDICT, 0, each, n, TAIL_TENSOR, VIEWS(0, 1, 2, 3, 4))), z);
  plans[PLAN_TRAIN] = plan(LIST(SinterBuf, buf(SINTER_BUF_INPUT, 0, n16), buf(SINTER_BUF_INPUT, 1, n8),
                                buf(SINTER_BUF_INPUT, 2, num(4)), buf(SINTER_BUF_OUTPUT, 0, num(4)),
                                buf(SINTER_BUF_ARENA, 0, n4), buf(SINTER_BUF_CELL, WEIGHT, num(48)),
                                buf(SINTER_BUF_CELL, MOMENT, num(48)), buf(SINTER_BUF_CELL, COUNT, num(8))),
                           LIST(SinterGpuStep, launch(K_TRAIN, SINTER_GPU_FAILS, each, n, TAIL_FAILED, VIEWS(0, 1, 4)),
                                launch(K_TOTAL, 0, one, n, 0, VIEWS(4, 3)),
                                launch(K_UPDATE, SINTER_GPU_COMMIT, one, none, TAIL_FAILED, VIEWS(5, 6, 7, 2, 3))),
                           slots(1));
  plans[PLAN_SUM] =
      plan(LIST(SinterBuf, buf(SINTER_BUF_INPUT, 0, n4), buf(SINTER_BUF_OUTPUT, 0, num(4)),
                buf(SINTER_BUF_ARENA, 0, n4), second),
           LIST(SinterGpuStep, launch(K_SQUARE, 0, each, n, 0, VIEWS(0, 2)), launch(K_SQUARE, 0, z, n, 0, VIEWS(0, 2)),
                launch(K_REVERSE_ADD, 0, each, n, 0, VIEWS(0, 2, 3)),
                launch(K_REVERSE_ADD, 0, each, n, 0, VIEWS(0, 3, 2)), launch(K_SQUARE, 0, each, n, 0, VIEWS(2, 2)),
                launch(K_REVERSE_ADD, 0, each, n, 0, VIEWS(0, 2, 3)), launch(K_TOTAL, 0, one, n, 0, VIEWS(3, 1))),
           slots(2));
  plans[PLAN_GATHER] =
      plan(LIST(SinterBuf, buf(SINTER_BUF_INPUT, 0, times(FAKE_M, 4)), buf(SINTER_BUF_INPUT, 1, n8),
                buf(SINTER_BUF_OUTPUT, 0, n4)),
           LIST(SinterGpuStep, launch(K_GATHER, SINTER_GPU_FAILS, each, nm, TAIL_FAILED, VIEWS(0, 1, 2))), z);
  plans[PLAN_NOISE] = plan(LIST(SinterBuf, buf(SINTER_BUF_RANDOM, 0, num(16)), buf(SINTER_BUF_OUTPUT, 0, n4)),
                           LIST(SinterGpuStep, launch(K_NOISE, 0, each, n, 0, VIEWS(0, 1))), z);
  plans[PLAN_DOUBLE] = plan(LIST(SinterBuf, buf(SINTER_BUF_INPUT, 0, n4)),
                            LIST(SinterGpuStep, launch(K_DOUBLE, 0, each, n, 0, VIEWS(0))), z);
  model()->gpu_plans = list(plans, sizeof *plans, PLANS);
}

static void put_variants(void) {
  static const uint32_t plan_of[FAKE_ENTRIES] = {
      [FAKE_INIT] = PLANS,         [FAKE_PREDICT] = PLAN_PREDICT, [FAKE_TRAIN] = PLAN_TRAIN,   [FAKE_SUM] = PLAN_SUM,
      [FAKE_GATHER] = PLAN_GATHER, [FAKE_NOISE] = PLAN_NOISE,     [FAKE_DOUBLE] = PLAN_DOUBLE, [FAKE_WAIT] = PLANS,
      [FAKE_LOOK] = PLANS,         [FAKE_EVALUATE] = PLANS};
  SinterEntry *e = (SinterEntry *)(void *)(fake_description + model()->entries.at);
  for (uint32_t i = 0; i < FAKE_ENTRIES; i++) {
    if (plan_of[i] == PLANS) continue;
    SinterVariant v[SINTER_LEVELS + IMAGES];
    memcpy(v, fake_description + e[i].variants.at, SINTER_LEVELS * sizeof *v);
    for (uint32_t k = 0; k < IMAGES; k++)
      v[SINTER_LEVELS + k] = (SinterVariant){
          num(1), SINTER_LEVELS + k, i == FAKE_PREDICT && k == IMAGE_90 ? (uint32_t)PLAN_PREDICT_90 : plan_of[i]};
    e[i].variants = list(v, sizeof *v, SINTER_LEVELS + IMAGES);
  }
}

/* ---- code ---- */

__attribute__((format(printf, 2, 3))) static void say(char **at, const char *fmt, ...) {
  va_list ap;
  va_start(ap, fmt);
  *at += vsprintf(*at, fmt, ap);
  va_end(ap);
}

static void put_image(SinterGpuImage *image, int which) {
  char *at = (char *)fake_gpu_code + which * 4096;
  SinterGpuKernel k[KERNELS];
  say(&at, ".version 9.0\n.target sm_%s\n", which == IMAGE_90 ? "90a" : "80");
  for (int i = 0; i < KERNELS; i++) {
    bool map = which == IMAGE_90 && i == K_PREDICT;
    const char *name = map ? "k_predict_tma" : kernels[i].name;
    k[i] = (SinterGpuKernel){.name = text(name), .stage = text("main"), .shared = map ? BOX_SHARED : 0};
    say(&at, ".visible .entry %s(.param .align 8 .b8 p0[%u]%s)\n.maxntid %u\n{ }\n", name, 8 * (kernels[i].words - map),
        map ? ", .param .align 64 .b8 p1[128]" : "", kernels[i].threads);
  }
  *image = (SinterGpuImage){.kind = which == IMAGE_90 ? SINTER_GPU_CUBIN_EXACT : SINTER_GPU_PTX,
                            .sm = which == IMAGE_90 ? 90 : 80,
                            .programs = LIST(SinterGpuProgram, {(uint64_t)which * 4096, 4096}),
                            .kernels = list(k, sizeof *k, KERNELS)};
}

void gpu_model_build(void) {
  fake_build();
  used = (uint32_t)model()->bytes;
  put_plans();
  put_variants();
  SinterGpuImage images[IMAGES];
  for (int i = 0; i < IMAGES; i++) put_image(&images[i], i);
  model()->gpu_images = list(images, sizeof *images, IMAGES);
  model()->bytes = (used + 7) & ~7u;
}
