/* The convolutional digits model, compiled without its dropout, against its PyTorch twin (tests/twin/twin.py), which
 * worked in f64: outputs in training and in prediction, losses, all gradients, running means and variances, and three
 * steps of SGD with momentum, on every CPU level that this machine has and with several threads. Run from the root. */
#include "digits_cnn_twin.h"
#include "twin.h"

#define FOLDER      "tests/model/digits_cnn/"
#define ROWS_FOLDER "tests/model/digits/"
enum { ROWS = 29, PARAMS = 8, STATES = 4, STEPS = 3 };

static const struct {
  const char *name, *file;
  int count, inputs; /* inputs: of its layer; 0 in a normalization */
  double base;
} PARAM[PARAMS] = {{"conv1.weight", "conv1_weight", 16 * 9, 9, 0},
                   {"bn1.weight", "bn1_weight", 16, 0, 1},
                   {"bn1.bias", "bn1_bias", 16, 0, 0},
                   {"conv2.weight", "conv2_weight", 32 * 16 * 9, 16 * 9, 0},
                   {"bn2.weight", "bn2_weight", 32, 0, 1},
                   {"bn2.bias", "bn2_bias", 32, 0, 0},
                   {"fc.weight", "fc_weight", 10 * 512, 512, 0},
                   {"fc.bias", "fc_bias", 10, 512, 0}};

static const struct {
  const char *name, *file;
  int count;
} STATE[STATES] = {{"bn1.running_mean", "bn1_running_mean", 16},
                   {"bn1.running_var", "bn1_running_var", 16},
                   {"bn2.running_mean", "bn2_running_mean", 32},
                   {"bn2.running_var", "bn2_running_var", 32}};

typedef struct Model {
  digits_cnn_twin_weights *w;
  digits_cnn_twin_context *c;
  NpyArray x, y;
} Model;

static void set_start(digits_cnn_twin_weights *w) {
  for (int i = 0; i < PARAMS; i++) {
    float *p = start_weight(i, PARAM[i].count, PARAM[i].inputs, PARAM[i].base);
    assert_int_equal(digits_cnn_twin_set(w, PARAM[i].name, p, (size_t)PARAM[i].count * sizeof *p), SINTER_OK);
    free(p);
  }
}

static void open_model(Model *m, const Setting *on) {
  apply(on);
  int status = digits_cnn_twin_open(&m->w, NULL, 1);
  if (status == SINTER_ERROR_CPU) {
    digits_cnn_twin_close(m->w);
    leave_out(on);
  }
  if (status != SINTER_OK) fail_msg("%s", digits_cnn_twin_open_message(m->w));
  set_start(m->w);
  assert_int_equal(digits_cnn_twin_new(&m->c, m->w, &(digits_cnn_twin_dims){ROWS}, NULL, 0), SINTER_OK);
  m->x = read_array(ROWS_FOLDER, "x", SINTER_F32, ROWS * 64);
  m->y = read_array(ROWS_FOLDER, "y", SINTER_I64, ROWS);
}

static void close_model(Model *m) {
  npy_free(&m->x);
  npy_free(&m->y);
  digits_cnn_twin_free(m->c);
  digits_cnn_twin_close(m->w);
}

static void assert_stored(const char *prefix, const char *file, const float *got, int64_t count, double all) {
  NpyArray want = read_array(prefix, file, SINTER_F64, count);
  assert_near(file, got, &want, all);
  npy_free(&want);
}

static void assert_weight(Model *m, const char *prefix, const char *name, const char *file, int count) {
  float *p = malloc((size_t)count * sizeof *p);
  assert_int_equal(digits_cnn_twin_get(m->w, name, p, (size_t)count * sizeof *p), SINTER_OK);
  assert_stored(prefix, file, p, count, 0);
  free(p);
}

/* The running means and variances, and that both layers have seen so many batches. */
static void assert_running(Model *m, const char *prefix, int64_t batches) {
  for (int i = 0; i < STATES; i++) assert_weight(m, prefix, STATE[i].name, STATE[i].file, STATE[i].count);
  int64_t seen[2];
  assert_int_equal(digits_cnn_twin_get(m->w, "bn1.num_batches_tracked", &seen[0], sizeof *seen), SINTER_OK);
  assert_int_equal(digits_cnn_twin_get(m->w, "bn2.num_batches_tracked", &seen[1], sizeof *seen), SINTER_OK);
  assert_true(seen[0] == batches && seen[1] == batches);
}

static void gradients(void **state) {
  Model m;
  open_model(&m, *state);
  float loss, logits[ROWS * 10], *g[PARAMS];
  double all = 0;
  for (int i = 0; i < PARAMS; i++) {
    NpyArray want = read_array(FOLDER, PARAM[i].file, SINTER_F64, PARAM[i].count);
    all = fmax(all, largest(&want));
    npy_free(&want);
    g[i] = malloc((size_t)PARAM[i].count * sizeof *g[i]);
  }
  digits_cnn_twin_gradients_out out = {logits, &loss, g[0], g[1], g[2], g[3], g[4], g[5], g[6], g[7]};
  assert_int_equal(
      digits_cnn_twin_gradients(m.c, &(digits_cnn_twin_gradients_in){.x = m.x.data, .y = m.y.data, .B = ROWS}, &out),
      SINTER_OK);
  assert_stored(FOLDER, "logits", logits, ROWS * 10, 0);
  assert_stored(FOLDER, "loss", &loss, 1, 0);
  for (int i = 0; i < PARAMS; i++) {
    assert_stored(FOLDER, PARAM[i].file, g[i], PARAM[i].count, all);
    free(g[i]);
  }
  assert_running(&m, FOLDER, 1);
  close_model(&m);
}

static void steps(void **state) {
  Model m;
  open_model(&m, *state);
  float loss[STEPS], logits[ROWS * 10];
  for (int i = 0; i < STEPS; i++)
    assert_int_equal(digits_cnn_twin_step(m.c, &(digits_cnn_twin_step_in){.x = m.x.data, .y = m.y.data, .B = ROWS},
                                          &(digits_cnn_twin_step_out){.loss = &loss[i]}),
                     SINTER_OK);
  assert_stored(FOLDER, "step_losses", loss, STEPS, 0);
  for (int i = 0; i < PARAMS; i++) assert_weight(&m, FOLDER "after_", PARAM[i].name, PARAM[i].file, PARAM[i].count);
  assert_running(&m, FOLDER "after_", STEPS);
  assert_int_equal(digits_cnn_twin_forward(m.c, &(digits_cnn_twin_forward_in){.x = m.x.data, .B = ROWS},
                                           &(digits_cnn_twin_forward_out){.out = logits}),
                   SINTER_OK);
  assert_stored(FOLDER, "predicted", logits, ROWS * 10, 0);
  close_model(&m);
}

int main(void) {
  static const TwinTest test[] = {{"gradients", gradients}, {"steps", steps}, {NULL, NULL}};
  return run_twin("digits_cnn", test);
}
