/* Weights that are built into executables: the results of the same file beside `sinter run`, on every level, and the
 * files that are refused. */
#include "sinter.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>
#include "run_sinter.h"

static char why[SINTER_WHY];

static void npy(const char *name, uint32_t dtype, uint32_t rank, const int64_t *dim, const void *data) {
  char path[128];
  snprintf(path, sizeof path, "%s/%s", folder, name);
  assert_true(npy_write(path, dtype, rank, dim, data, why));
}

static void write_weights(const char *name, const char *header, const void *data, size_t bytes) {
  char path[128];
  uint64_t n = strlen(header);
  snprintf(path, sizeof path, "%s/%s", folder, name);
  FILE *f = fopen(path, "wb");
  assert_true(f && fwrite(&n, 8, 1, f) == 1 && fwrite(header, 1, n, f) == n && fwrite(data, 1, bytes, f) == bytes);
  fclose(f);
}

static int make(void **state) {
  (void)state;
  snprintf(folder, sizeof folder, "/tmp/test_embedded_%d", (int)getpid());
  if (mkdir(folder, 0777)) return 1;
  npy("x.npy", SINTER_F32, 1, (int64_t[]){4}, (float[]){1, -2, 3, 0.1f});
  write_weights("w.st", "{\"w\":{\"dtype\":\"F32\",\"shape\":[4],\"data_offsets\":[0,16]}}", (float[]){0.5f, 1, 2, 3},
                16);
  return shell(
      "$SINTER compile $ROOT/tests/exe/kept.sir -o kept.so && $SINTER compile $ROOT/models/digits.sir -o digits.so && "
      "$SINTER compile $ROOT/models/digits_cnn.sir -o digits_cnn.so");
}

/* Runs an entry of NAME.so with the file, and of the executable NAME, and compares what they print. */
static void same(const char *before, const char *name, const char *words, const char *weights) {
  static char printed[sizeof out];
  assert_int_equal(shell("%s $SINTER run %s.so %s --weights %s", before, name, words, weights), 0);
  memcpy(printed, out, sizeof printed);
  if (shell("%s ./%s %s", before, name, words)) fail_msg("%s %s: %s", name, words, err);
  assert_string_equal(err, "");
  assert_string_equal(out, printed);
}

#define DIGITS "x=$ROOT/tests/model/digits/x.npy"
static void every_level(void **state) {
  (void)state;
  static const char *const models[] = {"digits", "digits_cnn"}, *const levels[] = {"v2", "v3", "v4"};
  for (int m = 0; m < 2; m++) {
    assert_int_equal(
        shell("$SINTER train %s.so --data x=$ROOT/models/digits/train_x.npy y=$ROOT/models/digits/train_y.npy "
              "--epochs 1 --save %s.st && $SINTER compile $ROOT/models/%s.sir --emit exe --weights %s.st -o %s",
              models[m], models[m], models[m], models[m], models[m]),
        0);
    for (int l = 0; l < 3; l++) {
      char level[32], weights[32];
      snprintf(level, sizeof level, "SINTER_CPU=%s", levels[l]);
      snprintf(weights, sizeof weights, "%s.st", models[m]);
      if (shell("%s ./%s predict " DIGITS, level, models[m])) {
        assert_non_null(strstr(err, "which this processor does not have"));
        print_message("left out: %s is not of this processor\n", levels[l]);
        continue;
      }
      assert_int_equal(shell("%s $SINTER run %s.so predict " DIGITS " --weights %s --out lib && "
                             "%s ./%s predict " DIGITS " --threads 3 --out own && diff -r lib own",
                             level, models[m], weights, level, models[m]),
                       0);
      same(level, models[m], "step " DIGITS " y=$ROOT/tests/model/digits/y.npy", weights);
    }
  }
}

/* A state dict as PyTorch saves it has nothing of the optimizer. */
static void of_pytorch(void **state) {
  (void)state;
  const char *weights = "$ROOT/tests/model/digits/weights.safetensors";
  assert_int_equal(
      shell("$SINTER compile $ROOT/tests/model/digits_small.sir --emit exe --weights %s -o digits_small && "
            "$SINTER compile $ROOT/tests/model/digits_small.sir -o digits_small.so",
            weights),
      0);
  assert_non_null(strstr(err, "note: 13 states (\"opt.m.fc1.weight\", ...) are not in "));
  assert_int_equal(shell("$SINTER run digits_small.so forward " DIGITS " --weights %s --out lib && "
                         "./digits_small forward " DIGITS " --out own && diff -r lib own",
                         weights),
                   0);
  assert_int_equal(shell("mkdir -p root && cp digits_small $ROOT/tests/model/digits/x.npy root/"), 0);
  if (shell("chroot root /digits_small forward x=x.npy") == 0)
    assert_non_null(strstr(out, "f32[29, 10]\n"));
  else
    assert_non_null(strstr(err, "cannot change root"));
}

/* The same program for the other machine, run by an emulator, which needs nothing of that machine. */
static void on_aarch64(void **state) {
  (void)state;
  if (shell("command -v qemu-aarch64-static || command -v qemu-aarch64")) {
    print_message("skipped: there is no qemu-aarch64-static (Debian: qemu-user-static)\n");
    skip(); /* not every system has the other machine's emulator */
  }
  char qemu[128];
  snprintf(qemu, sizeof qemu, "%.*s", (int)strcspn(out, "\n"), out);
  static const char *const models[] = {"digits", "digits_cnn"};
  for (int m = 0; m < 2; m++) {
    assert_int_equal(shell("$SINTER compile $ROOT/models/%s.sir --emit exe --weights %s.st --target aarch64 -o arm",
                           models[m], models[m]),
                     0);
    assert_int_equal(
        shell("$SINTER run %s.so predict " DIGITS " --weights %s.st --result label >want", models[m], models[m]), 0);
    for (int threads = 1; threads <= 3; threads++)
      assert_int_equal(shell("%s ./arm predict " DIGITS " --result label --threads %d | cmp - want", qemu, threads), 0);
  }
  assert_int_equal(shell("%s ./arm predict x=none.npy", qemu), 1);
  assert_string_equal(err, "digits_cnn: x: cannot open none.npy: there is no such file or folder\n");
  assert_int_equal(shell("%s ./arm step " DIGITS " y=$ROOT/tests/model/digits/y.npy --threads 3 --out arm_out && "
                         "ls arm_out/loss.npy",
                         qemu),
                   0);
}

/* f16 and bf16 from file to file: weights, inputs and results, by the library and by the program; other floats are
 * converted where they are read, never in a weight file. */
static void halves(void **state) {
  (void)state;
  static const uint16_t w[13] = {0x3F80, 0, 0, 0, 0, 0x4000, 0, 0, 0x3F80, 0x3F80, 0x3F80, 0x3F80, 0}, /* and seen */
      x[8] = {0x3F80, 0x4000, 0x4040, 0x4080, 0x3F81, 0x3F81, 0x3C00, 0x3C00}, y[6] = {0};
  char path[128];
  NpyArray a;
#define SEEN(at, end) ",\"seen\":{\"dtype\":\"F16\",\"shape\":[],\"data_offsets\":[" #at "," #end "]}}"
  write_weights("h.st", "{\"w\":{\"dtype\":\"BF16\",\"shape\":[3,4],\"data_offsets\":[0,24]}" SEEN(24, 26), w,
                sizeof w);
  write_weights("f.st", "{\"w\":{\"dtype\":\"F32\",\"shape\":[3,4],\"data_offsets\":[0,48]}" SEEN(48, 50),
                (float[13]){0}, 50);
  npy("h.npy", SINTER_BF16, 2, (int64_t[]){2, 4}, x);
  npy("t.npy", SINTER_BF16, 2, (int64_t[]){2, 3}, y);
  npy("f.npy", SINTER_F32, 2, (int64_t[]){1, 4}, (float[]){1.001f, 5.03f, 0, 0}); /* 1 and 5.03125 */
  assert_int_equal(shell("$SINTER compile $ROOT/tests/exe/half.sir -o half.so && "
                         "$SINTER compile $ROOT/tests/exe/half.sir --emit exe --weights h.st -o half"),
                   0);
  for (int exe = 0; exe < 2; exe++) {
    const char *run = exe ? "./half" : "$SINTER run half.so", *from = exe ? "" : "--weights h.st";
    assert_int_equal(shell("%s predict x=h.npy s=0.5 %s", run, from), 0);
    assert_string_equal(out,
                        "y: bf16[2, 3]\n[[1.0, 4.0, 10.0],\n [1.008, 2.016, 2.031]]\nz: f16[2, 3]\n[[0.5, 2.0, 5.0],\n "
                        "[0.50391, 1.0078, 1.0156]]\n");
    assert_int_equal(shell("%s predict x=h.npy s=0.5 --out out %s", run, from), 0);
    snprintf(path, sizeof path, "%s/out/y.npy", folder);
    assert_true(npy_read(&a, path, why) && a.dtype == SINTER_BF16 && a.rank == 2 && a.dim[0] == 2);
    assert_memory_equal(a.data, ((uint16_t[]){0x3F80, 0x4080, 0x4120, 0x3F81, 0x4001, 0x4002}), 12);
    npy_free(&a);
    snprintf(path, sizeof path, "%s/out/z.npy", folder);
    assert_true(npy_read(&a, path, why) && a.dtype == SINTER_F16);
    npy_free(&a);
    assert_int_equal(shell("%s look x=f.npy %s", run, from), 0);
    assert_string_equal(err, "note: x: f32 is converted to bf16\n");
    assert_string_equal(out, "look: bf16[4]\n[2.0, 6.031, 1.0, 1.0]\n");
  }
  assert_int_equal(shell("$SINTER info half.so"), 0);
  assert_non_null(strstr(out, "predict(x: bf16[N, 4], s: f16[]) -> {y: bf16[N, 3], z: f16[N, 3]}"));
  assert_int_equal(shell("grep -c 'const uint16_t \\*x; /\\* bf16\\[N, 4\\]' half.h"), 0);
  assert_int_equal(shell("$SINTER run half.so predict x=h.npy s=1 --weights f.st"), 1);
  assert_non_null(strstr(err, "BF16[3, 4]"));
  assert_int_equal(
      shell("$SINTER train half.so --weights h.st --data x=h.npy y=t.npy --batch 2 --epochs 1 --save new.st"), 0);
  assert_int_equal(shell("grep -ac '\"w\":{\"dtype\":\"BF16\",\"shape\":\\[3,4\\]' new.st && "
                         "grep -ac '\"seen\":{\"dtype\":\"F16\"' new.st"),
                   0);
  assert_int_equal(shell("$SINTER run half.so predict x=h.npy s=1 --weights new.st"), 0);
}

static void left_out(void **state) {
  (void)state;
  assert_int_equal(shell("$SINTER compile $ROOT/tests/exe/kept.sir --emit exe --weights w.st -o kept --size"), 0);
  assert_non_null(strstr(out, "  weights, also packed\n"));
  assert_string_equal(err, "note: 3 states (\"kept.table\", ...) are not in w.st and begin with their start values\n");
  for (int i = 0; i < 2; i++) { /* what a call changes is its own */
    static const char *const levels[] = {"", "SINTER_CPU=v2"};
    static char printed[sizeof out];
    assert_int_equal(shell("%s $SINTER run kept.so look x=x.npy --weights w.st", levels[i]), 0);
    memcpy(printed, out, sizeof printed);
    assert_int_equal(shell("%s ./kept look x=x.npy", levels[i]), 0);
    assert_string_equal(out, printed);
    assert_int_equal(shell("%s $SINTER run kept.so step x=x.npy --weights w.st", levels[i]), 0);
    memcpy(printed, out, sizeof printed);
    for (int k = 0; k < 2; k++) {
      assert_int_equal(shell("%s ./kept step x=x.npy", levels[i]), 0);
      assert_string_equal(out, printed);
    }
  }
  assert_int_equal(shell("./kept --help"), 0);
  assert_non_null(strstr(out, "\nweights: built in; --weights and --init take others\n"));
  write_weights("v.st", "{\"w\":{\"dtype\":\"F32\",\"shape\":[4],\"data_offsets\":[0,16]}}", (float[]){1, 1, 1, 1}, 16);
  assert_int_equal(
      shell("$SINTER run kept.so look x=x.npy --weights v.st >first && ./kept look x=x.npy --weights v.st >second && "
            "cmp first second && ! ./kept look x=x.npy | cmp -s - first"),
      0);
  assert_int_equal(shell("./kept look x=x.npy --init 1"), 1);
  assert_string_equal(err, "kept: parameter \"w\" has no start value: open kept with a weight file\n");
}

static void refused(void **state) {
  (void)state;
  static const struct {
    const char *name, *header, *sentence;
  } files[] = {
      {"shape.st", "{\"w\":{\"dtype\":\"F32\",\"shape\":[2,2],\"data_offsets\":[0,16]}}",
       "shape.st: tensor \"w\" is F32[2, 2], but kept has F32[4]"},
      {"type.st", "{\"w\":{\"dtype\":\"F64\",\"shape\":[2],\"data_offsets\":[0,16]}}",
       "type.st: tensor \"w\" is F64[2], but kept has F32[4]"},
      {"none.st", "{\"v\":{\"dtype\":\"F32\",\"shape\":[4],\"data_offsets\":[0,16]}}",
       "none.st: tensor \"w\" is missing (f32[4]); 0 of the 1 that kept needs are there"},
      {"cut.st", "{\"w\":{\"dtype\":\"F32\",\"shape\":[5],\"data_offsets\":[0,20]}}",
       "cut.st: its tensors take 20 bytes, but 16 follow the header: the file is damaged or cut short"},
      {"json.st", "{\"w\":", "json.st: the header is damaged at byte 13: an object was expected"},
  };
  char want[512];
  for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
    write_weights(files[i].name, files[i].header, (float[]){1, 2, 3, 4}, 16);
    assert_int_equal(shell("$SINTER compile $ROOT/tests/exe/kept.sir --emit exe --weights %s -o bad", files[i].name),
                     1);
    snprintf(want, sizeof want, "error: %s [weights]\n", files[i].sentence);
    assert_string_equal(err, want);
    assert_int_equal(shell("ls bad*"), 2);
  }
  assert_int_equal(shell("$SINTER compile $ROOT/tests/exe/kept.sir --emit exe --weights nowhere -o bad"), 1);
  assert_string_equal(err, "error: cannot open nowhere: there is no such file or folder [weights]\n");
  assert_int_equal(shell("$SINTER compile $ROOT/tests/exe/kept.sir --weights w.st -o bad.so"), 2);
  assert_string_equal(err, "sinter: --weights goes with --emit exe; a library opens its weights by PREFIX_open\n"
                           "`sinter compile --help` says how it is used.\n");
}

static void same_bytes(void **state) {
  (void)state;
  assert_int_equal(
      shell("mkdir -p a b && cp w.st a/one.st && cp w.st b/two.st && "
            "(cd a && $SINTER compile $ROOT/tests/exe/kept.sir --emit exe --weights one.st -o m -j 1) && "
            "(cd b && $SINTER compile $ROOT/tests/exe/kept.sir --emit exe --weights $PWD/two.st -o m -j 4) && "
            "cmp a/m b/m"),
      0);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(every_level), cmocka_unit_test(of_pytorch),
                                     cmocka_unit_test(on_aarch64),  cmocka_unit_test(halves),
                                     cmocka_unit_test(left_out),    cmocka_unit_test(refused),
                                     cmocka_unit_test(same_bytes)};
  return cmocka_run_group_tests(tests, make, clean);
}
