/* From the model's text to the card: programs compiled with --gpu sm_80, their kernel text compiled as C for the
 * emulator, each entry called on the CPU and, through the fake driver, on a GPU, with several sizes: the same statuses
 * and sentences, outputs, states. Wants NVRTC, whose code says what the kernels' parameters are; else all are skipped.
 * Arguments: the files to try, instead of all. Run from the root. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>
#include "each_file.h"
#include "run_sinter.h"

/* In the folder: NAME.so with its code, and NAME.code.so, the same as C: -O0 for what runs for a moment, -O1 for what
 * is trained. */
static void build(const char *root, const char *path, const char *name, const char *gpu, const char *optimised) {
  if (shell("$SINTER compile %s/%s --gpu %s --cpu native --dump-dir %s.dump -o %s.so", root, path, gpu, name, name))
    fail_msg("%s", err);
  if (shell("cc -std=gnu17 %s -x c -fno-strict-aliasing -ffp-contract=off -w -Wno-psabi -shared -fPIC "
            "-I$ROOT/kernels/cuda "
            "-I$ROOT/kernels/emulator %s.dump/*_kernels_*.cu -o %s.code.so",
            optimised, name, name))
    fail_msg("%s", err);
}

static bool there; /* NVRTC */

static void one_file(void **state_) {
  const char *path = *state_, *slash = strrchr(path, '/');
  char root[512], name[128];
  if (!there) skip(); /* NVRTC is not installed; make() said so */
  assert_non_null(getcwd(root, sizeof root));
  snprintf(name, sizeof name, "%s", slash ? slash + 1 : path);
  *strrchr(name, '.') = 0;
  build(*path == '/' ? "" : root, path, name, "sm_80", "-O0");
  if (shell("SINTER_FAKE_CC=80 SINTER_FAKE_CODE=$PWD/%s.code.so " CALL_BOTH " ./%s.so", name, name))
    fail_msg("%s", err);
}

/* Kernels that take maps of tensors, on the one card that runs them. */
static void hopper(void **state_) {
  static const char *const names[][2] = {{"plan", "skeletons"}, {"gpu_text", "tensor_maps"}};
  char root[512], name[32], path[64];
  (void)state_;
  if (!there) skip(); /* NVRTC is not installed; make() said so */
  assert_non_null(getcwd(root, sizeof root));
  for (int i = 0; i < 2; i++) {
    snprintf(name, sizeof name, "%s90", names[i][1]);
    snprintf(path, sizeof path, "tests/%s/%s.sir", names[i][0], names[i][1]);
    build(root, path, name, "sm_90a", "-O0");
    if (shell("SINTER_FAKE_CC=90 SINTER_FAKE_CODE=$PWD/%s.code.so " CALL_BOTH " ./%s.so", name, name))
      fail_msg("%s", err);
  }
}

/* ---- the commands ---- */

static void must(int status) {
  if (status) fail_msg("status %d: %s", status, err);
}

static double after(const char *text, const char *word) {
  const char *at = strstr(text, word);
  if (!at) fail_msg("no \"%s\" in %s", word, text);
  return atof(at + strlen(word));
}

/* Training on both: the mean loss of the steps, and the loss on the rows held out. */
static void trains(const char *root, const char *path, const char *arch, int sm, const char *data, double bound) {
  char name[64];
  snprintf(name, sizeof name, "trained%d", sm);
  build(root, path, name, arch, "-O1");
  must(shell("$SINTER train %s.so %s --epochs 1 --save cpu.st --device cpu", name, data));
  double loss = after(out, "loss "), held = after(out, "held out: loss ");
  must(shell("SINTER_FAKE_CC=%d SINTER_FAKE_CODE=$PWD/%s.code.so $SINTER train %s.so %s --epochs 1 --save gpu.st "
             "--device cuda",
             sm, name, name, data));
  if (!(fabs(after(out, "loss ") - loss) <= bound) || !(fabs(after(out, "held out: loss ") - held) <= bound))
    fail_msg("%s on %s: on the CPU loss %g, held out %g; on the GPU: %s", path, arch, loss, held, out);
}

static void convolutions(void **state_) {
  (void)state_;
  char root[512];
  if (!there) skip(); /* NVRTC is not installed; make() said so */
  assert_non_null(getcwd(root, sizeof root));
  trains(root, "models/digits_cnn.sir", "sm_80", 80,
         "--data x=$ROOT/models/digits/test_x.npy y=$ROOT/models/digits/test_y.npy --batch 64 --holdout 0.3", 5e-4);
}

/* Rows of text as i64, from byte `first` on. */
static void put_text(const char *name, const char *text, int first) {
  enum { ROWS = 48, COLUMNS = 32 };
  char path[128], head[128];
  snprintf(path, sizeof path, "%s/%s", folder, name);
  FILE *f = fopen(path, "w");
  int n = snprintf(head, sizeof head, "{'descr': '<i8', 'fortran_order': False, 'shape': (%d, %d), }", ROWS, COLUMNS);
  assert_true(f && fprintf(f, "\x93NUMPY\x01%c%c%c%s%*s\n", 0, 118, 0, head, 118 - n - 1, "") > 0);
  for (int i = 0; i < ROWS * COLUMNS; i++) {
    int64_t token = (unsigned char)text[first + i];
    assert_true(fwrite(&token, sizeof token, 1, f) == 1);
  }
  assert_int_equal(fclose(f), 0);
}

/* A transformer in bf16: a rounding here and there falls otherwise, in sums of another order. */
static void transformer(void **state_) {
  (void)state_;
  char root[512], text[4096];
  if (!there) skip(); /* NVRTC is not installed; make() said so */
  assert_non_null(getcwd(root, sizeof root));
  must(shell("head -c 2000 $ROOT/models/gpt_small/shakespeare.txt"));
  strcpy(text, out);
  put_text("text.x.npy", text, 0);
  put_text("text.y.npy", text, 1);
  const char *data = "--data x=text.x.npy y=text.y.npy --batch 8 --holdout 0.2";
  trains(root, "tests/gpu_runtime/gpt_bf16.sir", "sm_80", 80, data, 2e-3);
  trains(root, "tests/gpu_runtime/gpt_bf16.sir", "sm_90a", 90, data, 2e-3);
}

/* Five steps of training and an evaluation, on both; then predictions with the weights of the GPU. */
static void commands(void **state_) {
  (void)state_;
#define GPU  "SINTER_FAKE_CC=80 SINTER_FAKE_CODE=$PWD/digits.code.so $SINTER"
#define DATA "--data x=$ROOT/models/digits/test_x.npy y=$ROOT/models/digits/test_y.npy --epochs 1 --holdout 0.2"
  char root[512], labels[4096];
  if (!there) skip(); /* NVRTC is not installed; make() said so */
  assert_non_null(getcwd(root, sizeof root));
  build(root, "models/digits.sir", "digits", "sm_80", "-O1");
  must(shell("$SINTER train digits.so " DATA " --device cpu --save cpu.st"));
  double loss = after(out, "held out: loss "), accuracy = after(out, "accuracy ");
  must(shell(GPU " train digits.so " DATA " --device cuda --save gpu.st"));
  assert_true(fabs(after(out, "held out: loss ") - loss) < 1e-3); /* AdamW makes much of small differences */
  assert_true(fabs(after(out, "accuracy ") - accuracy) < 0.05);
  must(shell("{ head -c 128 $ROOT/models/digits/test_x.npy | LC_ALL=C sed 's/(360, 64), }/(5, 64), }  /' && "
             "tail -c +129 $ROOT/models/digits/test_x.npy | head -c 1280; } >five.npy"));
  must(shell("$SINTER run digits.so predict x=five.npy --weights gpu.st --result label"));
  strcpy(labels, out);
  must(shell(GPU " run digits.so predict x=five.npy --weights gpu.st --result label --device cuda:0"));
  assert_string_equal(out, labels);
  must(shell("SINTER_DEVICE=cuda " GPU " run digits.so predict x=five.npy --weights gpu.st --result label"));
  assert_string_equal(out, labels);
  must(shell(GPU " bench digits.so predict B=9 --device cuda --runs 2 --rounds 2 --json bench.json"));
  assert_non_null(strstr(out, "digits.so, predict, B = 9, on cuda:\n"));
  assert_non_null(strstr(out, " ms a call, with its copies from and to the host ("));
  assert_non_null(strstr(out, "; 4 calls in 2 rounds)\n  4 launches: "));
  must(shell("cat bench.json"));
  assert_ptr_equal(
      strstr(out, "{\"workload\": \"digits.predict\", \"engine\": \"sinter\", \"device\": \"cuda\", \"median_ms\": "),
      out);
  assert_non_null(strstr(out, ", \"launches\": 4, \"rounds\": 2, \"dims\": {\"B\": 9}}\n"));
  must(shell(GPU
             " bench digits.so step B=5 --device cuda:0 --runs 2 --rounds 2")); /* updates: from the start each round */
  static const char *const refused[][2] = {
      {"SINTER_FAKE_CC=80", "there is no GPU 1: this system has 1 GPU, numbered from 0"},
      {"SINTER_FAKE_CC=90",
       "no code for this GPU, a fake GPU of compute capability 9.0: there is sm_80; compile with --gpu sm_90a, or "
       "compute_80 for all from 8.0 on"},
      {"SINTER_LIBCUDA=/nowhere", "SINTER_LIBCUDA is /nowhere, which cannot be loaded"}};
  for (int i = 0; i < 3; i++) {
    char want[256];
    snprintf(want, sizeof want, "sinter: %s\n", refused[i][1]);
    for (int bench = 0; bench < 2; bench++) {
      assert_int_equal(shell("%s $SINTER %s --weights gpu.st --device cuda%s", refused[i][0],
                             bench ? "bench digits.so predict" : "run digits.so predict x=five.npy", i ? "" : ":1"),
                       1);
      assert_string_equal(err, want);
    }
  }
}

/* ---- linked into programs ---- */

static void put(const char *name, const char *text) {
  char path[128];
  snprintf(path, sizeof path, "%s/%s", folder, name);
  FILE *f = fopen(path, "w");
  assert_true(f && fputs(text, f) >= 0 && !fclose(f));
}

static void linked(void **state_) {
  (void)state_;
#define SCALE "SINTER_FAKE_CC=80 SINTER_FAKE_CODE=$PWD/scale.code.so "
  static const char *const dynamic[] = {
      "gcc use.c -I. libscale.a", "gcc -no-pie -fno-pie use.c -I. scale.o",
      "clang-19 -fuse-ld=lld-19 -Wl,--gc-sections use.c -I. libscale.a",
      "gcc -shared -Wl,--whole-archive libscale.a -Wl,--no-whole-archive -o libuse.so && "
      "gcc use.c -I. -L. -luse -Wl,-rpath,$PWD"};
  static const char *const alone[] = {"gcc -static", "gcc -static-pie", "clang-19 -static -fuse-ld=lld-19"};
  if (!there) skip(); /* NVRTC is not installed; make() said so */
  put("scale.sir", "entry scale(x: f32[N]) -> f32[N] where N <= 100 { x * 2 }\n");
  put("use.c", "#include \"scale.h\"\n#include <stdio.h>\n"
               "int main(int n, char **v) {\n"
               "  scale_weights *w;\n  scale_context *c;\n  float x[3] = {1, 2, 3}, y[3];\n"
               "  scale_dims d = {3};\n  scale_scale_in in = {.x = x, .N = 3};\n  scale_scale_out out = {.out = y};\n"
               "  if (scale_open(&w, NULL, 1)) return 1;\n"
               "  if (scale_to(w, n > 1 ? v[1] : \"cuda\")) return puts(scale_open_message(w)), 2;\n"
               "  if (scale_new(&c, w, &d, NULL, 0) || scale_scale(c, &in, &out)) return 3;\n"
               "  printf(\"%g %g %g\\n\", y[0], y[1], y[2]);\n"
               "  scale_free(c);\n  scale_close(w);\n}\n");
  build(folder, "scale.sir", "scale", "sm_80", "-O0");
  must(shell("nm -D scale.so | grep -c ' w dl'"));
  assert_string_equal(out, "2\n");
  must(shell("$SINTER compile scale.sir --gpu sm_80 --cpu native --emit obj -o scale.o"));
  must(shell("$SINTER compile scale.sir --gpu sm_80 --cpu native --emit lib -o libscale.a"));
  for (size_t i = 0; i < sizeof dynamic / sizeof *dynamic; i++) {
    must(shell("%s -o use", dynamic[i]));
    must(shell(SCALE "./use"));
    assert_string_equal(out, "2 4 6\n");
  }
  for (size_t i = 0; i < sizeof alone / sizeof *alone; i++) {
    must(shell("%s use.c -I. libscale.a -o use", alone[i]));
    assert_int_equal(shell(SCALE "./use"), 2);
    assert_string_equal(out,
                        "no GPU can be used: this program is static or without libdl, and loads no NVIDIA driver\n");
    must(shell("./use cpu"));
    assert_string_equal(out, "2 4 6\n");
  }
}

static int make(void) {
  snprintf(folder, sizeof folder, "/tmp/test_gpu_models_%d", (int)getpid());
  if (mkdir(folder, 0777)) return 1;
  setenv("SINTER_LIBCUDA", FAKE_LIBCUDA, 1);
  there = !shell("$SINTER cuda --where");
  if (!there) printf("skipped: %s", err);
  return 0;
}

int main(int argc, char **argv) {
  /* NVRTC works for minutes on deep.sir; the models are the programs of test_programs_* */
  static const char *const patterns[] = {"tests/plan/[!d]*.sir", NULL};
  const struct CMUnitTest tests[] = {cmocka_unit_test(linked), cmocka_unit_test(hopper), cmocka_unit_test(commands),
                                     cmocka_unit_test(convolutions), cmocka_unit_test(transformer)};
  if (make()) return 1;
  int bad = argc < 2 ? cmocka_run_group_tests(tests, NULL, NULL) : 0;
  bad += each_file("gpu_models", argc, argv, patterns, one_file);
  return clean(NULL) || bad;
}
