/* The commands run, train, info, verify of build/sinter (or $SINTER_BIN) over the artefact of fake_model.h: results,
 * sentences, exit status, and that nothing is written on failure. Runs from the repository's root. */
#include "fake_artefact.h"
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include "run_sinter.h"

static char why[SINTER_WHY];

static void npy(const char *name, uint32_t dtype, uint32_t rank, const int64_t *dim, const void *data) {
  char path[128];
  snprintf(path, sizeof path, "%s/%s", folder, name);
  assert_true(npy_write(path, dtype, rank, dim, data, why));
}

static bool there(const char *name) {
  char path[128];
  snprintf(path, sizeof path, "%s/%s", folder, name);
  return access(path, F_OK) == 0;
}

enum { ROWS = 70 };
static int make(void **state) {
  (void)state;
  snprintf(folder, sizeof folder, "/tmp/test_cli_%d", (int)getpid());
  char path[128];
  snprintf(path, sizeof path, "%s/fake.so", folder);
  if (mkdir(folder, 0777) || !fake_artefact(path)) return 1;
  double x[ROWS][4];
  int64_t y[ROWS], wrong[ROWS];
  for (int i = 0; i < ROWS; i++) { /* accuracy: x[0] == y; loss: the mean of x[1] */
    y[i] = i % 3, wrong[i] = i == 40 ? 3 : y[i];
    x[i][0] = (double)(i % 10 == 0 ? 7 : y[i]);
    x[i][1] = i, x[i][2] = x[i][3] = 0;
  }
  npy("x.npy", SINTER_F64, 2, (int64_t[]){ROWS, 4}, x);
  npy("y.npy", SINTER_I64, 1, (int64_t[]){ROWS}, y);
  npy("wrong.npy", SINTER_I64, 1, (int64_t[]){ROWS}, wrong);
  npy("short.npy", SINTER_I64, 1, (int64_t[]){ROWS - 1}, y);
  x[3][0] = NAN;
  npy("nan.npy", SINTER_F64, 2, (int64_t[]){ROWS, 4}, x);
  npy("one.npy", SINTER_F32, 2, (int64_t[]){1, 4}, (float[]){1, 2, 3, 4});
  npy("five.npy", SINTER_F32, 2, (int64_t[]){1, 5}, (float[]){1, 2, 3, 4, 5});
  npy("row.npy", SINTER_F32, 1, (int64_t[]){3}, (float[]){1, 2, 3});
  npy("model.sir", SINTER_F32, 1, (int64_t[]){1}, (float[]){1}); /* by its name */
  npy("index.npy", SINTER_I32, 1, (int64_t[]){2}, (int32_t[]){2, 3});
  return 0;
}

static void says(const char *arguments, int status, const char *sentence) {
  assert_int_equal(sinter(arguments), status);
  assert_string_equal(err, sentence);
}

#define NO_GPU                                                                                                         \
  "sinter: fake runs on \"cpu\" alone, not on \"cuda\": code for GPUs is in a .so, .o or .a that is compiled with "    \
  "--gpu\n"

static void runs(void **state) {
  (void)state;
  assert_int_equal(sinter("run fake.so predict x=one.npy --init 2"), 0);
  assert_string_equal(out, "y: f32[1, 3]\n[[41.0, 81.0, 121.0]]\n");
  assert_string_equal(err, "");
  assert_int_equal(sinter("run fake.so predict 0=one.npy --init=2 --threads 3 --device cpu --out results"), 0);
  assert_string_equal(out, "");
  char path[128];
  snprintf(path, sizeof path, "%s/results/y.npy", folder);
  NpyArray a;
  assert_true(npy_read(&a, path, why));
  assert_memory_equal(a.data, ((float[]){41, 81, 121}), 12);
  npy_free(&a);
  assert_int_equal(sinter("run fake.so sum x=row.npy --init 1 --out results"), 0);
  assert_true(there("results/0.npy"));
  assert_int_equal(sinter("run fake.so noise N=2 --init 5"), 0);
  assert_string_equal(out, "noise: f32[2]\n[5.0, 6.0]\n");
  assert_int_equal(sinter("run fake.so predict x=x.npy --init 5"), 0);
  assert_string_equal(err, "note: x: f64 is converted to f32\n");
  assert_int_equal(sinter("run fake.so evaluate x=x.npy y=y.npy --init 5"), 0);
  assert_string_equal(out, "loss: f32[] 34.5\naccuracy: f32[] 0.9\n");
}

static void run_refuses(void **state) {
  (void)state;
#define USE "`sinter run --help` says how it is used.\n"
  says("run", 2, "sinter: run wants an artefact\n" USE);
  says("run fake.so predict x=one.npy", 1,
       "sinter: fake.so has parameters: give --weights FILE, or --init SEED for start values\n");
  says("run fake.so predict x=one.npy --init two", 2, "sinter: --init is \"two\": a seed, a number, is expected\n" USE);
  says("run fake.so predict x=one.npy --init 2 --weights w", 2,
       "sinter: --weights and --init exclude each other\n" USE);
  says("run fake.so predict x=one.npy --wieghts w", 2,
       "sinter: there is no option --wieghts; did you mean --weights?\n" USE);
  says("run fake.so predict x=one.npy --init", 2, "sinter: --init wants a value\n" USE);
  says("run fake.so predcit x=one.npy --init 1", 1,
       "sinter: fake.so has no entry \"predcit\"; did you mean predict?\n");
  says("run fake.so x=one.npy --init 1", 1,
       "sinter: fake.so has several entries: name one of its entries: predict, train, sum, gather, noise, double, "
       "wait, look, evaluate\n");
  says("run fake.so predict x=five.npy --init 1", 1,
       "sinter: x is f32[1, 5], but predict takes f32[N, 4] with N = 1\n");
  says("run fake.so predict x=row.npy --init 1", 1, "sinter: x is f32[3], but predict takes f32[N, 4]\n");
  says("run fake.so predict x=y.npy --init 1", 1,
       "note: x: i64 is converted to f32\nsinter: x is f32[70], but predict takes f32[N, 4]\n");
  says("run fake.so evaluate x=x.npy y=short.npy --init 1", 1,
       "note: x: f64 is converted to f32\nsinter: y is i64[69], but evaluate takes i64[N] with N = 70\n");
  says("run fake.so evaluate x=one.npy y=row.npy --init 1", 1, "sinter: y: it holds f32, but i64 is expected\n");
  says("run fake.so predict z=one.npy --init 1", 1,
       "sinter: predict has no input or dimension \"z\"; did you mean x?\n");
  says("run fake.so predict --init 1", 1, "sinter: predict takes an input x: f32[N, 4]; add x=FILE.npy\n");
  says("run fake.so predict x=one.npy x=one.npy --init 1", 2, "sinter: x is given twice\n" USE);
  says("run fake.so predict one.npy --init 1", 2,
       "sinter: \"one.npy\" is not of the form NAME=FILE.npy or DIM=NUMBER\n" USE);
  says("run fake.so noise --init 1", 1, "sinter: noise has a dimension N that no input gives; add N=NUMBER\n");
  says("run fake.so noise N=0 --init 1", 1, "sinter: noise: dimension N is 0, but it goes from 1 to 2147483647\n");
  says("run fake.so noise N=x --init 1", 1, "sinter: N is \"x\": a number is expected, as it is a dimension\n");
  says("run fake.so double c=row.npy --init 1", 1, "sinter: double: N % 2 == 0 does not hold (N = 3)\n");
  says("run fake.so gather t=row.npy i=index.npy --init 1 --out none", 1,
       "note: i: i32 is converted to i64\nsinter: fake.sir:20:3: index out of range in gather; nothing was stored\n");
  assert_false(there("none"));
  says("run fake.so predict x=none.npy --init 1", 1,
       "sinter: x: cannot open none.npy: there is no such file or folder\n");
  says("run fake.so predict x=one.npy --weights none.st", 1,
       "sinter: cannot open none.st: there is no such file or folder\n");
  says("run fake.so predict x=one.npy --init 1 --out no/folder", 1,
       "sinter: cannot make the folder no/folder: there is no such file or folder\n");
  says("run fake.so predict x=one.npy --init 1 --device cuda", 1, NO_GPU);
  says("run fake.so predict x=one.npy --init 1 --device x", 1,
       "sinter: fake runs on \"cpu\" alone, not on \"x\": code for GPUs is in a .so, .o or .a that is compiled with "
       "--gpu\n");
  says("run fake.so predict x=one.npy --init 1 --threads 0", 1,
       "sinter: --threads is \"0\": a number from 1 to 256 is expected\n");
  says("run none.so", 1, "sinter: cannot open none.so: there is no such file or folder\n");
  says("run model.sir", 1,
       "sinter: model.sir is a model: `sinter compile model.sir -o FILE.so` makes an artefact of it\n");
  says("run one.npy", 1,
       "sinter: one.npy is not an artefact, or was stripped or damaged: its last bytes are missing\n");
  assert_int_equal(sinter("run fake.so predict x=one.npy --init 1 >/dev/full; exit $?"),
                   1); /* a full disk is no success */
}

/* Bare elements, the standard input and output, one result of several. */
static void runs_on_streams(void **state) {
  (void)state;
  assert_int_equal(shell("tail -c 16 one.npy >one.raw && $SINTER run fake.so predict x=one.raw --init 2"), 0);
  assert_string_equal(out, "y: f32[1, 3]\n[[41.0, 81.0, 121.0]]\n");
  assert_int_equal(shell("$SINTER run fake.so predict x=- --init 2 --out - <one.npy | tail -c 12 | od -An -v -t f4"),
                   0);
  assert_string_equal(out, "              41              81             121\n");
  assert_int_equal(shell("$SINTER run fake.so predict x=- --raw --init 2 --out - <one.raw | od -An -v -t f4"), 0);
  assert_string_equal(out, "              41              81             121\n");
  assert_int_equal(
      shell("$SINTER run fake.so predict x=one.raw N=1 --init 2 --out raw_out --raw && od -An -t f4 raw_out/y.raw"), 0);
  assert_string_equal(out, "              41              81             121\n");
  assert_int_equal(sinter("run fake.so evaluate x=x.npy y=y.npy --init 5 --result accuracy"), 0);
  assert_string_equal(out, "accuracy: f32[] 0.9\n");
  says("run fake.so evaluate x=x.npy y=y.npy --init 5 --result los", 1,
       "sinter: evaluate has no result \"los\"; did you mean loss?\n");
  says("run fake.so evaluate x=x.npy y=y.npy --init 5 --result perplexity", 1,
       "sinter: evaluate has no result \"perplexity\": it has loss, accuracy\n");
  says("run fake.so predict x=one.raw N=2 --init 1", 1, "sinter: x: one.raw has 16 bytes, but f32[2, 4] takes 32\n");
  says("run fake.so sum x=one.raw N=5 --init 1", 1, "sinter: x: one.raw has 16 bytes, but f32[5] takes 20\n");
  assert_int_equal(shell("head -c 15 one.raw >odd.raw"), 0);
  says("run fake.so predict x=odd.raw --init 1", 1,
       "sinter: x: odd.raw has 15 bytes, but f32[N, 4] takes a multiple of 16\n");
  says("run fake.so predict x=none.raw --init 1", 1,
       "sinter: x: cannot open none.raw: there is no such file or folder\n");
  says("run fake.so predict x=- --init 1 <odd.raw", 1, "sinter: x: the standard input: it is not a .npy file\n");
  says("run fake.so predict x=- --init 1 <&-", 1, "sinter: x: cannot read the standard input: it is closed\n");
  says("run fake.so predict x=- --raw --init 1 <odd.raw", 1,
       "sinter: x: the standard input has 15 bytes, but f32[N, 4] takes a multiple of 16\n");
#define USE "`sinter run --help` says how it is used.\n"
  says("run fake.so evaluate x=- y=- --init 1 <x.npy", 2,
       "note: x: f64 is converted to f32\nsinter: y=-: the standard input was read for another input already\n" USE);
  says("run fake.so predict x=one.npy --raw --init 1", 2, "sinter: --raw goes with --out or with NAME=-\n" USE);
#undef USE
}

static void trains(void **state) {
  (void)state;
  assert_int_equal(
      sinter("train fake.so --data x=x.npy y=y.npy --lr 0.5 --epochs 3 --batch 32 --holdout 0.2 --seed 4 --save a.st"),
      0);
  assert_string_equal(err, "note: x: f64 is converted to f32\n");
  assert_non_null(strstr(out, "epoch 3/3: loss "));
  assert_non_null(strstr(out, "\nheld out: loss "));
  assert_non_null(strstr(out, "saved a.st after 3 epochs"));
  assert_int_equal(sinter("train fake.so --data x=x.npy y=y.npy --lr 0.5 --epochs 3 --batch 32 --holdout 0.2 --seed 4 "
                          "--threads 1 --save b.st"),
                   0);
  assert_int_equal(sinter("--version; cmp a.st b.st"),
                   0); /* the same seed, whatever the number of threads: the same file */
  assert_int_equal(sinter("train fake.so --data x=x.npy y=y.npy --lr 0.5 --epochs 1 --batch 1 --eval x=x.npy y=y.npy "
                          "--weights a.st --save c.st"),
                   0);
  assert_non_null(strstr(out, "held out: loss 34.5000 accuracy 0.900\n"));
  assert_int_equal(sinter("train fake.so --data x=x.npy y=y.npy lr=0.25 --epochs 1 --holdout 0.0 --save c.st"), 0);
  assert_null(strstr(out, "held out"));
  assert_int_equal(sinter("run fake.so predict x=one.npy --weights c.st"), 0);
  /* 70 rows of 64 and 6: two steps of 0.25 */
  assert_string_equal(out, "y: f32[1, 3]\n[[26.0, 66.0, 106.0]]\n");
}

static void train_refuses(void **state) {
  (void)state;
#undef USE
#define USE  "`sinter train --help` says how it is used.\n"
#define NOTE "note: x: f64 is converted to f32\n"
  says("train", 2, "sinter: train wants an artefact\n" USE);
  says("train fake.so --data x=x.npy y=y.npy --lr 1 --device cuda --save d.st", 1,
       "note: x: f64 is converted to f32\n" NO_GPU);
  says("train fake.so --save d.st", 2, "sinter: train wants --data NAME=FILE.npy ...\n" USE);
  says("train fake.so --data x=x.npy", 2, "sinter: train wants --save FILE\n" USE);
  says("train fake.so x=x.npy --data y=y.npy --save d.st", 2,
       "sinter: \"x=x.npy\" is not expected here: data come after --data\n" USE);
  says("train fake.so --data x=x.npy --save d.st --lr 1", 1,
       NOTE "sinter: train takes an input y: add --data y=FILE.npy\n");
  says("train fake.so --data x=x.npy y=y.npy --save d.st", 1,
       NOTE "sinter: train takes a learning rate: add --lr NUMBER\n");
  says("train fake.so --data x=x.npy y=short.npy --save d.st --lr 1", 1, NOTE "sinter: y has 69 rows, but x has 70\n");
  says("train fake.so --data x=row.npy y=y.npy --save d.st --lr 1", 1,
       "sinter: x is f32[3], but train takes f32[N, 4]\n");
  says("train fake.so --data x=five.npy y=y.npy --save d.st --lr 1", 1, "sinter: y has 70 rows, but x has 1\n");
  says("train fake.so --data z=x.npy --save d.st", 1,
       "sinter: --data: there is no input \"z\" in train(x: f32[N, 4], y: i64[N], lr: f32[]) -> {loss: f32[]}  # N 1 "
       "to 1000\n");
  says("train fake.so --data x=x.npy y=wrong.npy --save d.st --lr 1", 1,
       NOTE "sinter: fake.sir:12:5: index out of range in cross_entropy; nothing was stored\n");
  says("train fake.so --data x=x.npy y=y.npy --save d.st --lr 1 --step look", 1,
       "sinter: look updates nothing: it is no entry to train by\n");
  says("train fake.so --data x=x.npy y=y.npy --save d.st --lr 1 --batch 0", 2,
       "sinter: --batch is \"0\": a number from 1 is expected\n" USE);
  says("train fake.so --data x=x.npy y=y.npy --save d.st --lr 1 --holdout 1", 2,
       NOTE "sinter: --holdout is \"1\": a fraction from 0 to below 1 is expected\n" USE);
  says("train fake.so --data x=x.npy y=y.npy --save no/d.st --lr 1", 1,
       "sinter: cannot write no/d.st: no/: No such file or directory\n");
  says("train fake.so --data x=x.npy y=y.npy --save . --lr 1", 1, "sinter: cannot write .: it is a folder\n");
  says("train fake.so --data x=nan.npy y=y.npy --save d.st --lr 1 --holdout 0", 1,
       NOTE "sinter: epoch 1: the loss is nan; a smaller learning rate may help\n");
  assert_false(there("d.st"));
}

static void informs(void **state) {
  (void)state;
  assert_int_equal(sinter("info fake.so"), 0);
  assert_non_null(strstr(out, "fake.so: model fake, made by sinter 0.1.0 from fake.sir, "));
  assert_non_null(
      strstr(out, "\n  predict(x: f32[N, 4]) -> {y: f32[N, 3]}  # N 1 to 1000\n      scores of each row\n"));
  assert_non_null(strstr(out, "parameters: 2 (15 elements, 60 bytes)\n"));
  assert_int_equal(sinter("verify fake.so"), 0);
  says("verify one.npy", 1,
       "sinter: one.npy is not an artefact, or was stripped or damaged: its last bytes are missing\n");
  says("explain fake.so", 0, "");
  assert_string_equal(out, "entry predict: no kernel was fused\n");
  says("explain fake.so --cpu v3", 2,
       "sinter: fake.so is an artefact, explained as it was compiled: it is the only word that goes with it\n"
       "`sinter explain --help` says how it is used.\n");
  says("bench fake.so predict --device cuda", 1, NO_GPU);
  setenv("SINTER_DEVICE", "cuda", 1); /* --device is stronger, and the processor is what bench measures without */
  says("run fake.so predict x=one.npy --init 1 --device cpu", 0, "");
  says("train fake.so --data x=x.npy y=y.npy --lr 1 --device cpu --epochs 1 --save e.st", 0,
       "note: x: f64 is converted to f32\n");
  says("bench fake.so predict --runs 3 --rounds 1", 0, "");
  assert_int_equal(sinter("run fake.so predict x=one.npy --init 1"), 1);
  assert_string_equal(err, "sinter: SINTER_DEVICE is cuda: fake runs on \"cpu\" alone, not on \"cuda\": code for GPUs "
                           "is in a .so, .o or .a that is compiled with --gpu\n");
  unsetenv("SINTER_DEVICE");
  says("bench fake.so predict --device cuda --threads 2", 2,
       "sinter: --threads and --svg are about the processor, and --device is \"cuda\"\n"
       "`sinter bench --help` says how it is used.\n");
  says("bench fake.so --kernel k0 --emit c", 2,
       "sinter: --emit c wants the model's file, FILE.sir, not \"fake.so\": an artefact holds machine code only\n"
       "`sinter bench --help` says how it is used.\n");
  says("bench m.sir --emit c", 2,
       "sinter: --emit c wants --kernel K, one of those that `sinter explain` lists\n"
       "`sinter bench --help` says how it is used.\n");
  says("bench m.sir --kernel k0", 2,
       "sinter: --kernel and --emit c go together\n`sinter bench --help` says how it is used.\n");
  says("bench m.sir f x.npy --kernel k0 --emit c", 2,
       "sinter: \"x.npy\" is no DIM=NUMBER, which is all that --emit c takes beside the entry\n"
       "`sinter bench --help` says how it is used.\n");
  says("info", 2, "sinter: info wants one artefact\n`sinter info --help` says how it is used.\n");
  char path[128];
  snprintf(path, sizeof path, "%s/m.sir", folder);
  FILE *model = fopen(path, "w");
  assert_non_null(model);
  fputs("entry f(x: f32[3]) -> f32[3] { x + 1 }\n", model);
  fclose(model);
  says("compile m.sir --emit graph -o -", 0, "");
  assert_non_null(strstr(out, "entry f("));
  assert_false(there("-"));
  says("compile m.sir -o -", 2,
       "sinter: where to? Name the output by -o FILE\n`sinter compile --help` says how it is used.\n");
  says("compile m.sir --precision half -o m.so", 2,
       "sinter: --precision wants exact or tf32, not \"half\"\n`sinter compile --help` says how it is used.\n");
  says("compile m.sir --precision tf32 -o m.so", 2,
       "sinter: --precision tf32 is about GPUs: it goes with --gpu\n`sinter compile --help` says how it is used.\n");
  says("explain m.sir --precision tf32", 2,
       "sinter: --precision tf32 is about GPUs: it goes with --gpu\n`sinter explain --help` says how it is used.\n");
  says("compile", 2, "sinter: which model? Name its file\n`sinter compile --help` says how it is used.\n");
  says("check none.sir", 1, "error: cannot open none.sir: No such file or directory [sir-no-file]\n");
  says("trian", 2, "sinter: there is no command \"trian\"; did you mean train?\n");
  assert_int_equal(sinter("--version"), 0);
  assert_true(strncmp(out, "sinter ", 7) == 0);
  assert_int_equal(sinter(""), 2);
  static const char *const commands[] = {"run", "train", "info", "verify", "compile", "check", "explain"};
  for (int i = 0; i < 7; i++) {
    char words[64];
    snprintf(words, sizeof words, "%s --help", commands[i]);
    assert_int_equal(sinter(words), 0);
    assert_true(strlen(out) > 100 && strstr(out, commands[i]));
    assert_string_equal(err, "");
  }
}

/* An artefact that says it is for another machine: refused before any of it is loaded. */
static void other_machine(void **state) {
  (void)state;
  char path[128];
  SinterTail tail;
  snprintf(path, sizeof path, "%s/fake.so", folder);
  FILE *f = fopen(path, "rb");
  unsigned char *bytes = malloc(1 << 20);
  size_t n = fread(bytes, 1, 1 << 20, f) - sizeof tail;
  fclose(f);
  memcpy(&tail, bytes + n, sizeof tail);
  tail.machine ^= SINTER_MACHINE_X86_64 ^ SINTER_MACHINE_AARCH64;
  tail.crc64 = sinter_crc64(&tail, offsetof(SinterTail, crc64), sinter_crc64(bytes, n, 0));
  memcpy(bytes + n, &tail, sizeof tail);
  snprintf(path, sizeof path, "%s/other.so", folder);
  f = fopen(path, "wb");
  assert_int_equal(fwrite(bytes, 1, n + sizeof tail, f), n + sizeof tail);
  fclose(f);
  free(bytes);
  char sentence[256];
  snprintf(sentence, sizeof sentence,
           "sinter: other.so is for %s and cannot run on this machine: compile the model with --target %s\n",
           sinter_machine_text(tail.machine), sinter_machine_text(sinter_machine()));
  says("run other.so predict x=one.npy --init 1", 1, sentence);
  says("train other.so --data x=x.npy y=y.npy --save d.st --lr 1", 1, sentence);
  says("bench other.so", 1, sentence);
  assert_int_equal(sinter("verify other.so"), 0);
  says("info other.so", 1, "sinter: other.so is damaged: its description is not where its last bytes say\n");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(runs),         cmocka_unit_test(run_refuses),   cmocka_unit_test(runs_on_streams),
      cmocka_unit_test(trains),       cmocka_unit_test(train_refuses), cmocka_unit_test(informs),
      cmocka_unit_test(other_machine)};
  return cmocka_run_group_tests(tests, make, clean);
}
