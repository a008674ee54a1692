/* The small digits model in mixed precision, compiled: logits, loss and gradients of a step in bf16 and in f16 are as
 * near to those in f64 as PyTorch's in the same types (tests/twin/twin.py), and three steps of AdamW in bf16 go where
 * those in f64 go. On every CPU level that this machine has and with several threads. Run from the root. */
#include "digits_half.h"
#include "twin.h"

#define FOLDER "tests/model/digits/"
enum { ROWS = 29, RESULTS = 8, STEPS = 3 };

static const struct {
  const char *file;
  int count;
} RESULT[RESULTS] = {{"logits", ROWS * 10},   {"loss", 1},      {"fc1_weight", 32 * 64}, {"fc1_bias", 32},
                     {"fc2_weight", 16 * 32}, {"fc2_bias", 16}, {"fc3_weight", 10 * 16}, {"fc3_bias", 10}};

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

static void steps(void **state) {
  digits_half_weights *w;
  digits_half_context *c;
  if (!open_half(*state, &w, &c)) leave_out(*state);
  NpyArray x = read_array(FOLDER, "x", SINTER_F32, ROWS * 64), y = read_array(FOLDER, "y", SINTER_I64, ROWS),
           want = read_array(FOLDER, "step_losses", SINTER_F64, STEPS);
  for (int i = 0; i < STEPS; i++) {
    float loss;
    assert_int_equal(digits_half_step(c, &(digits_half_step_in){x.data, y.data, ROWS}, &(digits_half_step_out){&loss}),
                     SINTER_OK);
    double exact = ((double *)want.data)[i];
    if (!(fabs((double)loss - exact) <= 0x1p-8 * exact))
      fail_msg("loss %d is %.6g, in f64 it is %.6g", i, (double)loss, exact);
  }
  npy_free(&x);
  npy_free(&y);
  npy_free(&want);
  digits_half_free(c);
  digits_half_close(w);
}

int main(void) {
  static const TwinTest test[] = {{"gradients", gradients}, {"steps", steps}, {NULL, NULL}};
  return run_twin("digits_half", test);
}
