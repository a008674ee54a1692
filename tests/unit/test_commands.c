/* The commands on a model compiled by them: what needs a real artefact, and what works where LLVM is not installed. */
#include "sinter.h"
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>
#include "run_sinter.h"

static const char MODEL[] = "use nn, loss, optim\n"
                            "net = nn.Linear(3, 2) as \"\"\n"
                            "opt = optim.SGD(net, lr = 0.1)\n"
                            "entry step(x: f32[B, 3], y: i64[B]) -> {loss: f32[]} where B % 2 == 0, B <= 8 train {\n"
                            "  loss = loss.cross_entropy(net(x), y)\n"
                            "  opt.update(grad(loss, net))\n"
                            "  {loss}\n"
                            "}\n"
                            "entry scale(x: f32[B], by: f32[], times: i64[]) -> f32[B] { x * by * times.to(f32) }\n";

static void path_in(char *path, size_t room, const char *name) { snprintf(path, room, "%s/%s", folder, name); }

static int make(void **state) {
  (void)state;
  char path[128], why[SINTER_WHY];
  snprintf(folder, sizeof folder, "/tmp/test_commands_%d", (int)getpid());
  if (mkdir(folder, 0777)) return 1;
  path_in(path, sizeof path, "m.sir");
  FILE *f = fopen(path, "w");
  if (!f || fputs(MODEL, f) < 0 || fclose(f)) return 1;
  float x[7][3] = {{1, 0, 0}, {0, 1, 0}, {2, 0, 0}, {0, 2, 0}, {3, 0, 1}, {0, 3, 1}, {4, 0, 1}};
  int64_t y[7] = {0, 1, 0, 1, 0, 1, 0};
  path_in(path, sizeof path, "x.npy");
  if (!npy_write(path, SINTER_F32, 2, (int64_t[]){7, 3}, x, why)) return 1;
  path_in(path, sizeof path, "y.npy");
  if (!npy_write(path, SINTER_I64, 1, (int64_t[]){7}, y, why)) return 1;
  path_in(path, sizeof path, "row.npy");
  if (!npy_write(path, SINTER_F32, 1, (int64_t[]){3}, x, why)) return 1;
  return sinter("compile m.sir -o m.so");
}

/* 7 rows of batches of 4: the last one, of 3, breaks `where` and is left out, once with a note. */
static void last_batch(void **state) {
  (void)state;
  assert_int_equal(sinter("train m.so --data x=x.npy y=y.npy --epochs 5 --batch 4 --holdout 0 --save m.st"), 0);
  assert_string_equal(err, "note: the last batch of 3 rows is left out: step: B % 2 == 0 does not hold (B = 3)\n");
  assert_non_null(strstr(out, "epoch 5/5: loss "));
  assert_non_null(strstr(out, "saved m.st after 5 epochs"));
  assert_int_equal(sinter("train m.so --data x=x.npy y=y.npy --batch 3 --holdout 0 --save none.st"), 1);
  assert_string_equal(err, "sinter: step: B % 2 == 0 does not hold (B = 3)\n"); /* not only the last */
}

static void scalars(void **state) {
  (void)state;
  assert_int_equal(sinter("run m.so scale x=row.npy by=0.5 times=6 --init 1"), 0);
  assert_string_equal(out, "scale: f32[3]\n[3.0, 0.0, 0.0]\n");
  assert_int_equal(sinter("run m.so scale x=row.npy by=0.5 times=1.5 --init 1"), 1);
  assert_true(*err && !*out);
}

static void without_llvm(void **state) {
  (void)state;
  char *given = getenv("SINTER_LLVM") ? strdup(getenv("SINTER_LLVM")) : NULL;
  static const char *const work[] = {"--version",
                                     "check m.sir",
                                     "explain m.sir",
                                     "info m.so",
                                     "verify m.so",
                                     "run m.so scale x=row.npy by=1 times=1 --init 1",
                                     "train m.so --data x=x.npy y=y.npy --epochs 1 --batch 4 --holdout 0 --save n.st"};
  setenv("SINTER_LLVM", "/nowhere/libsinter_llvm.so", 1);
  int status[sizeof work / sizeof *work];
  for (size_t i = 0; i < sizeof work / sizeof *work; i++) status[i] = sinter(work[i]);
  int compiled = sinter("compile m.sir -o other.so");
  if (given)
    setenv("SINTER_LLVM", given, 1);
  else
    unsetenv("SINTER_LLVM");
  free(given);
  for (size_t i = 0; i < sizeof work / sizeof *work; i++) assert_int_equal(status[i], 0);
  assert_int_equal(compiled, 1);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(last_batch), cmocka_unit_test(scalars),
                                     cmocka_unit_test(without_llvm)};
  return cmocka_run_group_tests(tests, make, clean);
}
