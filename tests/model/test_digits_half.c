/* The small digits model in mixed precision, compiled: logits, loss and gradients of a step in bf16 and in f16 are as
 * near to those in f64 as PyTorch's in the same types (tests/twin/twin.py), and steps in bf16 go where those in f32 go.
 * On every CPU level that this machine has and with several threads. Run from the root. */
#include "digits_half.h"
#include "twin.h"

#define FOLDER "tests/model/digits/"
enum { ROWS = 29, RESULTS = 8, STEPS = 3, PARAMETERS = 32 * 64 + 32 + 16 * 32 + 16 + 10 * 16 + 10 };

static const struct {
  const char *file, *name;
  int count;
} RESULT[RESULTS] = {{"logits", NULL, ROWS * 10},           {"loss", NULL, 1},
                     {"fc1_weight", "fc1.weight", 32 * 64}, {"fc1_bias", "fc1.bias", 32},
                     {"fc2_weight", "fc2.weight", 16 * 32}, {"fc2_bias", "fc2.bias", 16},
                     {"fc3_weight", "fc3.weight", 10 * 16}, {"fc3_bias", "fc3.bias", 10}};

/* False: this processor lacks the level. */
static bool open_half(const Setting *on, digits_half_weights **w, digits_half_context **c) {
  apply(on);
  int status = digits_half_open(w, FOLDER "weights.safetensors", 0);
  if (status == SINTER_ERROR_CPU) return digits_half_close(*w), false;
  if (status != SINTER_OK) fail_msg("%s", digits_half_open_message(*w));
  assert_int_equal(digits_half_new(c, *w, &(digits_half_dims){ROWS}, NULL, 0), SINTER_OK);
  return true;
}

static void gradients(void **state) {
  digits_half_weights *w;
  digits_half_context *c;
  if (!open_half(*state, &w, &c)) leave_out(*state);
  NpyArray x = read_array(FOLDER, "x", SINTER_F32, ROWS * 64), y = read_array(FOLDER, "y", SINTER_I64, ROWS);
  float *r[RESULTS];
  for (int i = 0; i < RESULTS; i++) r[i] = malloc((size_t)RESULT[i].count * sizeof *r[i]);
  for (int f16 = 0; f16 < 2; f16++) {
    int status = f16 ? digits_half_in_f16(c, &(digits_half_in_f16_in){x.data, y.data, ROWS},
                                          &(digits_half_in_f16_out){r[0], r[1], r[2], r[3], r[4], r[5], r[6], r[7]})
                     : digits_half_in_bf16(c, &(digits_half_in_bf16_in){x.data, y.data, ROWS},
                                           &(digits_half_in_bf16_out){r[0], r[1], r[2], r[3], r[4], r[5], r[6], r[7]});
    assert_int_equal(status, SINTER_OK);
    NpyArray theirs = read_array(FOLDER, f16 ? "f16_errors" : "bf16_errors", SINTER_F64, RESULTS);
    for (int i = 0; i < RESULTS; i++) {
      NpyArray exact = read_array(FOLDER, RESULT[i].file, SINTER_F64, RESULT[i].count);
      double limit = 1.5 * ((double *)theirs.data)[i], most = 0;
      if (i == 1) limit += largest(&exact) * (f16 ? 0x1p-11 : 0x1p-8) / 4; /* one number may be near by chance */
      for (int k = 0; k < RESULT[i].count; k++) most = fmax(most, fabs((double)r[i][k] - ((double *)exact.data)[k]));
      if (!(most <= limit))
        fail_msg("%s in %s is %.3g from f64, of PyTorch's it is %.3g", RESULT[i].file, f16 ? "f16" : "bf16", most,
                 ((double *)theirs.data)[i]);
      assert_true(most > 0); /* and they are rounded at all */
      npy_free(&exact);
    }
    npy_free(&theirs);
  }
  for (int i = 0; i < RESULTS; i++) free(r[i]);
  npy_free(&x);
  npy_free(&y);
  digits_half_free(c);
  digits_half_close(w);
}

typedef struct Trained {
  float loss[STEPS], parameter[PARAMETERS];
} Trained;

/* The losses of some steps and the parameters after them. False: this processor lacks the level. */
static bool train(const Setting *on, bool half, int n, Trained *out) {
  digits_half_weights *w;
  digits_half_context *c;
  if (!open_half(on, &w, &c)) return false;
  NpyArray x = read_array(FOLDER, "x", SINTER_F32, ROWS * 64), y = read_array(FOLDER, "y", SINTER_I64, ROWS);
  for (int i = 0; i < n; i++) {
    digits_half_step_bf16_in rounded = {x.data, y.data, ROWS};
    digits_half_step_f32_in plain = {x.data, y.data, ROWS};
    int status = half ? digits_half_step_bf16(c, &rounded, &(digits_half_step_bf16_out){&out->loss[i]})
                      : digits_half_step_f32(c, &plain, &(digits_half_step_f32_out){&out->loss[i]});
    assert_int_equal(status, SINTER_OK);
  }
  float *p = out->parameter;
  for (int i = 2; i < RESULTS; p += RESULT[i++].count)
    assert_int_equal(digits_half_get(w, RESULT[i].name, p, (size_t)RESULT[i].count * sizeof *p), SINTER_OK);
  npy_free(&x);
  npy_free(&y);
  digits_half_free(c);
  digits_half_close(w);
  return true;
}

/* Steps in bf16 go where those in f32 go: losses within 2^-8, parameters within an eighth of the farthest move. */
static void steps(void **state) {
  static Trained start, half, full;
  double apart = 0, moved = 0;
  if (!train(*state, false, 0, &start)) leave_out(*state);
  assert_true(train(*state, true, STEPS, &half) && train(*state, false, STEPS, &full));
  for (int i = 0; i < STEPS; i++)
    if (!(fabs((double)half.loss[i] - (double)full.loss[i]) <= 0x1p-8 * (double)full.loss[i]))
      fail_msg("loss %d is %.6g in bf16, %.6g in f32", i, (double)half.loss[i], (double)full.loss[i]);
  assert_true(half.loss[STEPS - 1] < half.loss[0]);
  for (int i = 0; i < PARAMETERS; i++) {
    apart = fmax(apart, fabs((double)half.parameter[i] - (double)full.parameter[i]));
    moved = fmax(moved, fabs((double)full.parameter[i] - (double)start.parameter[i]));
  }
  if (!(apart <= moved / 8)) fail_msg("a parameter is %.3g from f32, the farthest has moved by %.3g", apart, moved);
}

int main(void) {
  static const TwinTest test[] = {{"gradients", gradients}, {"steps", steps}, {NULL, NULL}};
  return run_twin("digits_half", test);
}
