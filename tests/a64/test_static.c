/* Executables for AArch64 under an emulator, which nothing is installed for: the file, results of the digits models
 * with the weights inside beside those of this machine, a step of training, threads, the sentences of wrong calls. */
#include "qemu.h"
#include <elf.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
// cmocka wants the headers above it
#include <cmocka.h>
#include "run_sinter.h"

#define X "x=$ROOT/tests/model/digits/x.npy"
#define Y "y=$ROOT/tests/model/digits/y.npy"
static const char *const MODELS[] = {"digits", "digits_cnn"};

static void must(int status) {
  if (status) fail_msg("status %d: %s%s", status, out, err);
}

static void must_have_emulator(void) {
  if (!qemu_emulator_missing()) return;
  print_message("skipped: %s\n", qemu_emulator_missing());
  skip(); /* not every system has the other machine's emulator */
}

/* MODEL.so for this machine, MODEL.safetensors a little trained, MODEL with them for AArch64, MODEL_bare without. */
static int make(void **state) {
  (void)state;
  strcpy(folder, "/tmp/sinter_a64_exe_XXXXXX");
  if (!mkdtemp(folder)) return 1;
  for (int i = 0; i < 2; i++) {
    const char *m = MODELS[i];
    if (shell("$SINTER compile $ROOT/models/%s.sir -o %s.so && $SINTER train %s.so --data "
              "x=$ROOT/models/digits/test_x.npy y=$ROOT/models/digits/test_y.npy --epochs 1 --save %s.safetensors && "
              "$SINTER compile $ROOT/models/%s.sir --emit exe --target aarch64 -o %s_bare && "
              "$SINTER compile $ROOT/models/%s.sir --emit exe --target aarch64 --weights %s.safetensors -o %s",
              m, m, m, m, m, m, m, m, m)) {
      print_error("%s%s", out, err);
      return 1;
    }
  }
  return 0;
}

static void the_file(void **state) {
  (void)state;
  for (int i = 0; i < 2; i++) {
    char path[128];
    Elf64_Ehdr h;
    Elf64_Phdr s;
    snprintf(path, sizeof path, "%s/%s", folder, MODELS[i]);
    FILE *f = fopen(path, "rb");
    assert_true(f && fread(&h, sizeof h, 1, f) == 1);
    assert_true(h.e_machine == EM_AARCH64 && h.e_type == ET_EXEC);
    for (int k = 0; k < h.e_phnum; k++) {
      assert_true(!fseek(f, (long)(h.e_phoff + (size_t)k * sizeof s), SEEK_SET) && fread(&s, sizeof s, 1, f) == 1);
      assert_true(s.p_type != PT_DYNAMIC && s.p_type != PT_INTERP);
      assert_false(s.p_flags & PF_W && s.p_flags & PF_X);
    }
    fclose(f);
    must(shell("$SINTER verify %s && $SINTER info %s", MODELS[i], MODELS[i]));
    assert_non_null(strstr(out, "machine: aarch64\nlevels: a64\na program: "));
  }
}

/* One result in two folders: floats within 1e-4 of the largest, integers equal. */
static void near(const char *a, const char *b, const char *name, bool bits) {
  char path[2][160], why[SINTER_WHY];
  NpyArray x, y;
  snprintf(path[0], sizeof path[0], "%s/%s/%s.npy", folder, a, name);
  snprintf(path[1], sizeof path[1], "%s/%s/%s.npy", folder, b, name);
  if (!npy_read(&x, path[0], why) || !npy_read(&y, path[1], why)) fail_msg("%s", why);
  assert_true(x.dtype == y.dtype && x.count == y.count && x.count > 0);
  if (bits || x.dtype != SINTER_F32)
    assert_memory_equal(x.data, y.data, (size_t)x.count * sinter_dtype_size(x.dtype));
  else {
    const float *p = x.data, *q = y.data;
    float most = 0;
    for (int64_t i = 0; i < x.count; i++) most = fmaxf(most, fabsf(p[i]));
    for (int64_t i = 0; i < x.count; i++) assert_true(fabsf(p[i] - q[i]) <= 1e-4f * most);
  }
  npy_free(&x);
  npy_free(&y);
}

/* `sinter run` of MODEL.so here against the program there, with one thread and with three. */
static void same_results(const char *model, const char *words, const char *options, const char *program,
                         const char *program_options, const char *const *results) {
  must(shell("rm -rf here one three && mkdir here one three && $SINTER run %s.so %s %s --out here", model, words,
             options));
  must(shell(QEMU_RUN " ./%s %s %s --threads 1 --out one", program, words, program_options));
  must(shell(QEMU_RUN " ./%s %s %s --threads 3 --out three", program, words, program_options));
  for (; *results; results++) near("one", "three", *results, true), near("here", "one", *results, false);
}

static void predicts(void **state) {
  (void)state;
  must_have_emulator();
  static const char *const results[] = {"probability", "label", NULL};
  static const char words[] = "predict " X;
  same_results("digits", words, "--weights digits.safetensors", "digits", "", results);
  same_results("digits_cnn", words, "--weights digits_cnn.safetensors", "digits_cnn", "", results);
}

static void trains(void **state) {
  (void)state;
  must_have_emulator();
  static const char *const results[] = {"loss", "accuracy", NULL};
  static const char words[] = "step " X " " Y;
  same_results("digits", words, "--init 7", "digits_bare", "--init 7", results);
  same_results("digits_cnn", words, "--init 7", "digits_cnn_bare", "--init 7", results);
}

/* The program under the emulator says what `sinter run` says. */
static void sentences(void **state) {
  (void)state;
  must_have_emulator();
  static const char *const wrong[] = {"predict", "predict x=nowhere.npy", "step " X, "predict " X " --threads 0"};
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
    char said[512];
    int status = shell("$SINTER run digits.so %s --init 1", wrong[i]);
    assert_int_equal(strncmp(err, "sinter: ", 8), 0);
    size_t n = strcspn(err, ";\n") - 8; /* after it each says what to do in its own words */
    memcpy(said, err + 8, n);
    assert_int_equal(shell(QEMU_RUN " ./digits_bare %s --init 1", wrong[i]), status);
    if (!status || strncmp(err, "digits: ", 8) || memcmp(err + 8, said, n))
      fail_msg("\"%s\" instead of \"%.*s\"", err, (int)n, said);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(the_file), cmocka_unit_test(predicts), cmocka_unit_test(trains),
                                     cmocka_unit_test(sentences)};
  return cmocka_run_group_tests(tests, make, clean);
}
