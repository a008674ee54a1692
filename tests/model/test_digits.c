/* The digits models, compiled, against their PyTorch twin (tests/twin/twin.py), which worked in f64: outputs, losses,
 * all gradients, three steps of AdamW, on every CPU level that this machine has and with several threads. Run from the
 * root. */
#include "digits.h"
#include "digits_small.h"
#include "twin.h"

#define FOLDER "tests/model/digits/"
enum { ROWS = 29, LAYERS = 3, PARAMS = 2 * LAYERS, STEPS = 3, FULL_ROWS = 64 };

static const struct {
  const char *name, *file;
  int count;
} PARAM[PARAMS] = {{"fc1.weight", "fc1_weight", 32 * 64}, {"fc1.bias", "fc1_bias", 32},
                   {"fc2.weight", "fc2_weight", 16 * 32}, {"fc2.bias", "fc2_bias", 16},
                   {"fc3.weight", "fc3_weight", 10 * 16}, {"fc3.bias", "fc3_bias", 10}};

typedef struct Small {
  digits_small_weights *w;
  digits_small_context *c;
  NpyArray x, y;
} Small;

/* False: this processor lacks the level. */
static bool open_small(Small *s, const Setting *on) {
  apply(on);
  int status = digits_small_open(&s->w, FOLDER "weights.safetensors", 0);
  if (status == SINTER_ERROR_CPU) {
    digits_small_close(s->w);
    return false;
  }
  if (status != SINTER_OK) fail_msg("%s", digits_small_open_message(s->w));
  assert_int_equal(digits_small_new(&s->c, s->w, &(digits_small_dims){ROWS}, NULL, 0), SINTER_OK);
  s->x = read_array(FOLDER, "x", SINTER_F32, ROWS * 64);
  s->y = read_array(FOLDER, "y", SINTER_I64, ROWS);
  return true;
}

static void close_small(Small *s) {
  npy_free(&s->x);
  npy_free(&s->y);
  digits_small_free(s->c);
  digits_small_close(s->w);
}

static void forward(void **state) {
  Small s;
  if (!open_small(&s, *state)) leave_out(*state);
  float logits[ROWS * 10];
  assert_int_equal(digits_small_forward(s.c, &(digits_small_forward_in){.x = s.x.data, .B = ROWS},
                                        &(digits_small_forward_out){.out = logits}),
                   SINTER_OK);
  NpyArray want = read_array(FOLDER, "logits", SINTER_F64, ROWS * 10);
  assert_near("logits", logits, &want, 0);
  npy_free(&want);
  close_small(&s);
}

static void gradients(void **state) {
  Small s;
  if (!open_small(&s, *state)) leave_out(*state);
  float loss, *g[PARAMS];
  NpyArray want[PARAMS], want_loss = read_array(FOLDER, "loss", SINTER_F64, 1);
  double all = 0;
  for (int i = 0; i < PARAMS; i++) {
    g[i] = malloc((size_t)PARAM[i].count * sizeof *g[i]);
    want[i] = read_array(FOLDER, PARAM[i].file, SINTER_F64, PARAM[i].count);
    all = fmax(all, largest(&want[i]));
  }
  digits_small_gradients_out out = {&loss, g[0], g[1], g[2], g[3], g[4], g[5]};
  assert_int_equal(
      digits_small_gradients(s.c, &(digits_small_gradients_in){.x = s.x.data, .y = s.y.data, .B = ROWS}, &out),
      SINTER_OK);
  assert_near("loss", &loss, &want_loss, 0);
  npy_free(&want_loss);
  for (int i = 0; i < PARAMS; i++) {
    assert_near(PARAM[i].name, g[i], &want[i], all);
    npy_free(&want[i]);
    free(g[i]);
  }
  close_small(&s);
}

static void steps(void **state) {
  Small s;
  if (!open_small(&s, *state)) leave_out(*state);
  float loss[STEPS];
  for (int i = 0; i < STEPS; i++)
    assert_int_equal(digits_small_step(s.c, &(digits_small_step_in){.x = s.x.data, .y = s.y.data, .B = ROWS},
                                       &(digits_small_step_out){.loss = &loss[i]}),
                     SINTER_OK);
  NpyArray want = read_array(FOLDER, "step_losses", SINTER_F64, STEPS);
  assert_near("losses", loss, &want, 0);
  npy_free(&want);
  for (int i = 0; i < PARAMS; i++) {
    float *p = malloc((size_t)PARAM[i].count * sizeof *p);
    assert_int_equal(digits_small_get(s.w, PARAM[i].name, p, (size_t)PARAM[i].count * sizeof *p), SINTER_OK);
    want = read_array(FOLDER "after_", PARAM[i].file, SINTER_F64, PARAM[i].count);
    assert_near(PARAM[i].name, p, &want, 0);
    npy_free(&want);
    free(p);
  }
  close_small(&s);
}

static void set_full(digits_weights *w) {
  static const struct {
    const char *name;
    int count, inputs;
  } P[] = {{"fc1.weight", 256 * 64, 64}, {"fc1.bias", 256, 64},         {"fc2.weight", 128 * 256, 256},
           {"fc2.bias", 128, 256},       {"fc3.weight", 10 * 128, 128}, {"fc3.bias", 10, 128}};
  for (int i = 0; i < 6; i++) {
    float *p = start_weight(i, P[i].count, P[i].inputs, 0);
    assert_int_equal(digits_set(w, P[i].name, p, (size_t)P[i].count * sizeof *p), SINTER_OK);
    free(p);
  }
}

static void full_model(void **state) {
  const Setting *on = *state;
  digits_weights *w;
  digits_context *c;
  apply(on);
  if (digits_open(&w, NULL, 1) == SINTER_ERROR_CPU) {
    digits_close(w);
    leave_out(on);
  }
  set_full(w);
  assert_int_equal(digits_new(&c, w, &(digits_dims){FULL_ROWS}, NULL, 0), SINTER_OK);
  char why[SINTER_WHY];
  NpyArray x, y, want = read_array(FOLDER, "full", SINTER_F64, 12);
  assert_true(npy_read(&x, "models/digits/test_x.npy", why) && npy_read(&y, "models/digits/test_y.npy", why));
  float loss, accuracy, p[FULL_ROWS * 10];
  int64_t label[FULL_ROWS];
  assert_int_equal(digits_evaluate(c, &(digits_evaluate_in){.x = x.data, .y = y.data, .B = FULL_ROWS},
                                   &(digits_evaluate_out){.loss = &loss, .accuracy = &accuracy}),
                   SINTER_OK);
  assert_int_equal(digits_predict(c, &(digits_predict_in){.x = x.data, .B = FULL_ROWS},
                                  &(digits_predict_out){.probability = p, .label = label}),
                   SINTER_OK);
  const double *w64 = want.data;
  assert_true(fabs((double)loss - w64[0]) <= 1e-5 * w64[0]);
  assert_true(fabs((double)accuracy - w64[1]) <= 1e-6);
  double most = w64[2], sum = 0;
  for (int i = 0; i < 10; i++) most = fmax(most, w64[2 + i]);
  for (int i = 0; i < 10; i++) sum += exp(w64[2 + i] - most);
  for (int i = 0; i < 10; i++) assert_true(fabs((double)p[i] - exp(w64[2 + i] - most) / sum) <= 1e-5);
  npy_free(&x);
  npy_free(&y);
  npy_free(&want);
  digits_free(c);
  digits_close(w);
}

int main(void) {
  static const TwinTest test[] = {
      {"forward", forward}, {"gradients", gradients}, {"steps", steps}, {"full_model", full_model}, {NULL, NULL}};
  return run_twin("digits", test);
}
