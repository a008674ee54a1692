/* The kernels of gpu_model.c in the form in which the compiler prints them: words of one struct as the first parameter,
 * then maps of tensors. What they compute is what tests/unit/fake_model.c does on the CPU, to the bit. */
#include "operations.h"

enum { BLOCK = 64 };
#define ELEMENT ((i64)blockIdx.x * BLOCK + (i64)threadIdx.x)

typedef struct {
  const float *x, *weight, *bias, *zero;
  float *y;
  i64 N;
} k_predict_args;

KERNEL(k_predict, BLOCK, 1, (k_predict_args, args)) {
  const i64 i = ELEMENT, r = i / 3, j = i % 3;
  if (r >= args.N) return;
  float s = args.bias[j] + args.zero[0];
  for (int k = 0; k < 4; k++) s = s + args.x[r * 4 + k] * args.weight[j * 4 + k];
  args.y[i] = s;
}

typedef struct {
  const float *weight, *bias, *zero;
  float *y;
  i64 N;
} k_predict_tma_args;

/* A row a thread; the rows come by TMA: boxes of 4 columns by 64 rows. */
KERNEL(k_predict_tma, BLOCK, 1, (k_predict_tma_args, args), (TENSOR_MAP, x_map)) {
  SHARED(shared);
  const u32 barrier = shared_address(shared) + BLOCK * 16;
  if (threadIdx.x == 0) {
    mbarrier_init(barrier, 1);
    fence_mbarrier_init();
  }
  __syncthreads();
  if (threadIdx.x == 0) {
    mbarrier_arrive_expect_tx(barrier, BLOCK * 16);
    tma_load_2d(shared_address(shared), &x_map, barrier, 0, (i32)blockIdx.x * BLOCK);
  }
  mbarrier_wait(barrier, 0);
  const i64 r = ELEMENT;
  if (r >= args.N) return;
  const float *const x = (const float *)shared + threadIdx.x * 4;
  for (int j = 0; j < 3; j++) {
    float s = args.bias[j] + args.zero[0];
    for (int k = 0; k < 4; k++) s = s + x[k] * args.weight[j * 4 + k];
    args.y[r * 3 + j] = s;
  }
}

typedef struct {
  const float *x;
  const i64 *y;
  float *partial;
  i64 N;
  u32 *failed;
} k_train_args;

KERNEL(k_train, BLOCK, 1, (k_train_args, args)) {
  const i64 r = ELEMENT;
  if (r >= args.N) return;
  const i64 y = args.y[r];
  if (y < 0 || y > 2) fail_with(args.failed, 1);
  args.partial[r] = args.x[r * 4] + (float)y;
}

typedef struct {
  const float *t;
  float *out;
  i64 N;
} k_total_args;

KERNEL(k_total, 1, 1, (k_total_args, args)) {
  float s = 0;
  for (i64 i = 0; i < args.N; i++) s = s + args.t[i];
  args.out[0] = s;
}

typedef struct {
  float *weight, *moment;
  i64 *count;
  const float *lr, *loss;
  u32 *failed;
} k_update_args;

KERNEL(k_update, 12, 1, (k_update_args, args)) {
  if (args.failed[0]) return;
  const int i = (int)threadIdx.x;
  args.weight[i] = args.weight[i] - args.lr[0];
  args.moment[i] = args.loss[0];
  if (i == 0) args.count[0] = args.count[0] + 1;
}

typedef struct {
  const float *x;
  float *t;
  i64 N;
} k_square_args;

KERNEL(k_square, BLOCK, 1, (k_square_args, args)) {
  const i64 i = ELEMENT;
  if (i < args.N) args.t[i] = args.x[i] * args.x[i];
}

typedef struct {
  const float *x, *t;
  float *u;
  i64 N;
} k_reverse_add_args;

KERNEL(k_reverse_add, BLOCK, 1, (k_reverse_add_args, args)) {
  const i64 i = ELEMENT;
  if (i < args.N) args.u[i] = args.t[args.N - 1 - i] + args.x[i];
}

typedef struct {
  const float *t;
  const i64 *i;
  float *out;
  i64 N, M;
  u32 *failed;
} k_gather_args;

KERNEL(k_gather, BLOCK, 1, (k_gather_args, args)) {
  const i64 k = ELEMENT;
  if (k >= args.N) return;
  i64 i = args.i[k];
  if (i < 0 || i >= args.M) {
    fail_with(args.failed, 2);
    i = 0;
  }
  args.out[k] = args.t[i];
}

typedef struct {
  const u32 *random;
  float *out;
  i64 N;
} k_noise_args;

KERNEL(k_noise, BLOCK, 1, (k_noise_args, args)) {
  const i64 i = ELEMENT;
  if (i < args.N) args.out[i] = (float)args.random[0] + 1000.0f * (float)args.random[2] + (float)i;
}

typedef struct {
  float *c;
  i64 N;
} k_double_args;

KERNEL(k_double, BLOCK, 1, (k_double_args, args)) {
  const i64 i = ELEMENT;
  if (i < args.N) args.c[i] = args.c[i] * 2.0f;
}
