/* Executables without a C library: what is in the file, that they start in an empty root, and that they do what
 * `sinter run` does on the same words: results bit for bit, and the same sentences. */
#include "sinter.h"
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
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

/* Compiled once: MODEL as a library and as an executable. */
static void compile(const char *source, const char *name) {
  assert_int_equal(
      shell("$SINTER compile %s -o %s.so && $SINTER compile %s --emit exe -o %s", source, name, source, name), 0);
}

static int make(void **state) {
  (void)state;
  snprintf(folder, sizeof folder, "/tmp/test_exe_%d", (int)getpid());
  if (mkdir(folder, 0777)) return 1;
  compile("$ROOT/tests/exe/calls.sir", "calls");
  compile("$ROOT/models/digits.sir", "digits");
  compile("$ROOT/models/digits_cnn.sir", "digits_cnn");
  npy("x.npy", SINTER_F32, 2, (int64_t[]){2, 4}, (float[]){1, 2, 3, 4, 5, 6, 7, 8});
  npy("d.npy", SINTER_F64, 1, (int64_t[]){3}, (double[]){1, 1.0 / 3, 1e-30});
  npy("t.npy", SINTER_F32, 1, (int64_t[]){3}, (float[]){0.1f, 0.25f, 3e20f});
  npy("i.npy", SINTER_I64, 1, (int64_t[]){2}, (int64_t[]){2, 0});
  npy("far.npy", SINTER_I32, 1, (int64_t[]){2}, (int32_t[]){2, 3});
  npy("b.npy", SINTER_BOOL, 1, (int64_t[]){3}, (uint8_t[]){1, 0, 1});
  npy("even.npy", SINTER_F32, 1, (int64_t[]){2}, (float[]){1.5f, -2});
  npy("five.npy", SINTER_F32, 2, (int64_t[]){1, 5}, (float[]){1, 2, 3, 4, 5});
  npy("row.npy", SINTER_F32, 1, (int64_t[]){3}, (float[]){1, 2, 3});
  npy("many.npy", SINTER_F64, 1, (int64_t[]){1200}, (double[1200]){0.5});
  return 0;
}

/* ---- the file ---- */

static char *read_whole(const char *name, size_t *n) {
  char path[128];
  struct stat st;
  snprintf(path, sizeof path, "%s/%s", folder, name);
  assert_int_equal(stat(path, &st), 0);
  char *p = malloc((size_t)st.st_size);
  FILE *f = fopen(path, "rb");
  assert_true(f && fread(p, 1, (size_t)st.st_size, f) == (size_t)st.st_size);
  fclose(f);
  *n = (size_t)st.st_size;
  return p;
}

/* Static, not to be relocated, nothing wanted of anybody, no memory that can be written and run. */
static void the_file(void **state) {
  (void)state;
  static const char *const names[] = {"calls", "digits", "digits_cnn"};
  for (int i = 0; i < 3; i++) {
    size_t n;
    char *p = read_whole(names[i], &n);
    const Elf64_Ehdr *h = (const void *)p;
    assert_memory_equal(h->e_ident, ELFMAG, SELFMAG);
    assert_int_equal(h->e_type, ET_EXEC);
    const Elf64_Phdr *s = (const void *)(p + h->e_phoff);
    for (int k = 0; k < h->e_phnum; k++) {
      assert_true(s[k].p_type != PT_DYNAMIC && s[k].p_type != PT_INTERP && s[k].p_type != PT_TLS);
      assert_true(s[k].p_type != PT_GNU_STACK || !(s[k].p_flags & PF_X));
      assert_false(s[k].p_flags & PF_W && s[k].p_flags & PF_X);
    }
    const Elf64_Shdr *c = (const void *)(p + h->e_shoff);
    for (int k = 0; k < h->e_shnum; k++) assert_true(c[k].sh_type != SHT_SYMTAB && c[k].sh_type != SHT_RELA);
    struct stat st;
    char path[128];
    snprintf(path, sizeof path, "%s/%s", folder, names[i]);
    mode_t mask = umask(0);
    umask(mask);
    assert_true(stat(path, &st) == 0 && (st.st_mode & 0777) == (0777 & ~mask));
    assert_int_equal(shell("$SINTER verify %s", names[i]), 0);
    free(p);
  }
}

/* The program around a model that does next to nothing is the runtime. */
static void small(void **state) {
  (void)state;
  size_t n;
  assert_int_equal(shell("echo 'entry f(x: f32[]) -> f32[] { x + 1.0 }' >tiny.sir && "
                         "$SINTER compile tiny.sir --emit exe --cpu v2 -o tiny && ./tiny x=2"),
                   0);
  assert_string_equal(out, "f: f32[] 3.0\n");
  free(read_whole("tiny", &n));
  print_message("the runtime of an executable: %zu bytes\n", n);
  assert_true(n < 100 * 1000);
}

static void same_bytes(void **state) {
  (void)state;
  assert_int_equal(shell("mkdir -p a b && cp $ROOT/models/digits.sir a/m.sir && cp a/m.sir b/m.sir && "
                         "(cd a && $SINTER compile m.sir --emit exe -o m -j 1) && "
                         "(cd b && $SINTER compile $PWD/m.sir --emit exe -o $PWD/m -j 4) && cmp a/m b/m"),
                   0);
}

static void empty_root(void **state) {
  (void)state;
  assert_int_equal(shell("mkdir -p root && cp calls x.npy root/"), 0);
  if (shell("chroot root /calls --help") != 0 && strstr(err, "cannot change root")) {
    print_message("skipped: chroot is not permitted here\n");
    skip(); /* it wants the superuser, who does not run every test */
  }
  assert_non_null(strstr(out, "\n  predict(x: f32[N, 4]) -> f32[N, 3]  # N 1 to 1000"));
  assert_int_equal(shell("chroot root /calls predict x=x.npy --init 1 --threads 2"), 0);
  char here[sizeof out];
  memcpy(here, out, sizeof out);
  assert_int_equal(shell("./calls predict x=x.npy --init 1"), 0);
  assert_string_equal(out, here);
  assert_int_equal(shell("env -i $(command -v chroot) root /calls predict x=x.npy --init 1 --out results && "
                         "ls -A root/results"),
                   0);
  assert_string_equal(out, "0.npy\n");
}

static void helps(void **state) {
  (void)state;
  assert_int_equal(shell("$SINTER info calls"), 0);
  assert_non_null(strstr(out, "levels: v2 v3 v4\na program: calls --help says how to run it\n\nentries:\n  predict("));
  assert_int_equal(shell("$SINTER run calls"), 1);
  assert_string_equal(err, "sinter: calls is a program, not a library: run it; its --help says how, and `sinter info` "
                           "what it holds\n");
  assert_int_equal(shell("./calls --help"), 0);
  assert_non_null(strstr(out, "calls: the model calls, made by sinter 0.1.0 from calls.sir\n\nusage: calls [ENTRY] "));
  assert_non_null(strstr(out, "\n  predict(x: f32[N, 4]) -> f32[N, 3]  # N 1 to 1000"));
  assert_non_null(strstr(out, "\n      Scores of each row.\n"));
  assert_non_null(strstr(out, "\n  twice(inout c: f32[N])"));
  assert_non_null(strstr(out, "levels of processors: v2 v3 v4\n"));
  assert_string_equal(err, "");
}

/* ---- the same as `sinter run` ---- */

static void replace(char *text, const char *from, const char *to) {
  size_t n = strlen(from), m = strlen(to);
  for (char *p = text; (p = strstr(p, from)); p += m) memmove(p + m, p + n, strlen(p + n) + 1), memcpy(p, to, m);
}

/* Runs both on the same words: the executable's texts must be those of `sinter run` but for its name. */
static int both(const char *before, const char *words) {
  char said[sizeof err], printed[sizeof out];
  int status = shell("%s ./calls %s", before, words);
  memcpy(said, err, sizeof said), memcpy(printed, out, sizeof printed);
  int other = shell("%s $SINTER run calls.so %s", before, words);
  replace(err, "sinter: ", "calls: ");
  replace(err, "`sinter run --help`", "`calls --help`");
  replace(err, "`sinter info calls.so`", "`calls --help`");
  replace(err, "calls.so", "calls");
  if (status != other || strcmp(said, err) != 0 || strcmp(printed, out) != 0)
    fail_msg("%s: %d instead of %d\n%s--- instead of\n%s--- and\n%s--- instead of\n%s", words, status, other, said, err,
             printed, out);
  return status;
}

static void same_results(void **state) {
  (void)state;
  static const char *const words[] = {"predict x=x.npy --init 1",
                                      "predict 0=x.npy --init=7 --threads 3",
                                      "scale x=d.npy k=-2.5 --init 1",
                                      "scale x=t.npy k=1e-3 --result sum --init 1",
                                      "scale x=many.npy k=d.npy --result y --init 1",
                                      "scale x=many.npy k=1 --result y --init 1",
                                      "pick t=t.npy i=i.npy --init 1",
                                      "twice c=even.npy --init 1",
                                      "flip b=b.npy n=41 --init 1",
                                      "flip b=b.npy n=-7 --result c --init 1",
                                      "ones N=3 --init 1",
                                      "--init 2 -- ones N=3",
                                      "pair a=x.npy b=b2.npy --init 1"};
  npy("b2.npy", SINTER_F64, 2, (int64_t[]){4, 2}, (double[]){1, 2, 3, 4, 5, 6, 7, 1e10});
  for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
    int status = both("", words[i]);
    if (!strstr(words[i], "k=d.npy") && status) fail_msg("%s: %s", words[i], err);
  }
}

static void same_refusals(void **state) {
  (void)state;
  static const char *const words[] = {
      "",
      "predict x=x.npy",
      "predict x=x.npy --init two",
      "predict x=x.npy --init 2 --weights w",
      "predict x=x.npy --wieghts w",
      "predict x=x.npy --init",
      "predict x=x.npy --init 1 --init 2",
      "predict x=x.npy --init 1 --raw=1",
      "predict x=x.npy --init 1 --raw",
      "predcit x=x.npy --init 1",
      "xyzzy x=x.npy --init 1",
      "x=x.npy --init 1",
      "predict x=five.npy --init 1",
      "predict x=row.npy --init 1",
      "predict x=d.npy --init 1",
      "predict z=x.npy --init 1",
      "predict zebra=x.npy --init 1",
      "predict --init 1",
      "predict x=x.npy x=x.npy --init 1",
      "predict x=x.npy 0=x.npy --init 1",
      "predict x.npy --init 1",
      "predict =x.npy --init 1",
      "predict x=none.npy --init 1",
      "predict x=. --init 1",
      "predict x=calls --init 1",
      "predict x= --init 1",
      "predict x=x.npy --weights none.st",
      "predict x=x.npy --weights x.npy",
      "predict x=x.npy --init 1 --threads 0",
      "predict x=x.npy --init 1 --threads 257",
      "predict x=x.npy --init 1 --out no/folder",
      "predict x=x.npy --init 1 --out x.npy",
      "predict x=x.npy --init 1 --result z",
      "scale x=d.npy k=two --init 1",
      "scale x=d.npy k=0x1p3 --init 1",
      "scale x=d.npy k=t.npy --init 1",
      "scale x=d.npy k=1 --result som --init 1",
      "pick t=t.npy i=far.npy --init 1",
      "pick t=t.npy i=t.npy --init 1",
      "twice c=row.npy --init 1",
      "flip b=b.npy n=2147483648 --init 1",
      "flip b=b.npy n=1.5 --init 1",
      "flip b=i.npy n=1 --init 1",
      "ones --init 1",
      "ones N=0 --init 1",
      "ones N=13 --init 1",
      "ones N=x --init 1",
      "ones N=99999999999999999999 --init 1",
      "pair a=x.npy b=x.npy --init 1",
      "predict x=short.raw --init 1",
      "predict x=x.raw N=3 --init 1",
      "predict x=none.raw --init 1",
      "predict x=x.raw x=x.raw --init 1",
      "pair a=x.raw b=x.raw --init 1",
      "pair a=- b=- --init 1 </dev/null",
      "predict x=- --init 1 </dev/null",
      "predict x=- --init 1 <x.raw",
      "predict x=- --raw --init 1 <short.raw",
  };
  assert_int_equal(shell("tail -c 32 x.npy >x.raw; tail -c 30 x.npy >short.raw"), 0);
  for (size_t i = 0; i < sizeof words / sizeof *words; i++)
    if (both("", words[i]) == 0) fail_msg("%s: it was expected to be refused", words[i]);
  both("SINTER_THREADS=0", "predict x=x.npy --init 1");
  both("SINTER_THREADS=many", "predict x=x.npy --init 1");
  both("SINTER_CPU=v9", "predict x=x.npy --init 1");
  both("SINTER_CPU=a64", "predict x=x.npy --init 1");
  both("SINTER_CPU=", "predict x=x.npy --init 1");
  assert_int_equal(both("SINTER_DEVICE=cuda", "predict x=x.npy --init 1"), 1);
  assert_int_equal(both("SINTER_DEVICE=cuda", "predict x=x.npy --init 1 --device cpu"), 0);
}

static void same_bits(void **state) {
  (void)state;
  static const char *const models[] = {"digits", "digits_cnn"}, *const levels[] = {"v2", "v3", "v4"};
  static const int threads[] = {1, 2, 3, 7};
  for (int m = 0; m < 2; m++)
    for (int l = 0; l < 3; l++) {
      if (shell("SINTER_CPU=%s ./%s predict x=$ROOT/tests/model/digits/x.npy --init 3 --threads 1 --out lib", levels[l],
                models[m])) {
        assert_non_null(strstr(err, "which this processor does not have"));
        continue;
      }
      assert_int_equal(shell("SINTER_CPU=%s $SINTER run %s.so predict x=$ROOT/tests/model/digits/x.npy "
                             "--init 3 --threads 2 --out lib",
                             levels[l], models[m]),
                       0);
      for (int t = 0; t < 4; t++)
        assert_int_equal(shell("rm -rf own && SINTER_CPU=%s ./%s predict x=$ROOT/tests/model/digits/x.npy --init 3 "
                               "--threads %d --out own && diff -r own lib",
                               levels[l], models[m], threads[t]),
                         0);
    }
  assert_int_equal(shell("./digits step x=$ROOT/tests/model/digits/x.npy y=$ROOT/tests/model/digits/y.npy --init 3 "
                         "--threads 7 --out own && $SINTER run digits.so step "
                         "x=$ROOT/tests/model/digits/x.npy y=$ROOT/tests/model/digits/y.npy --init 3 --out lib && "
                         "diff -r own lib"),
                   0);
}

/* ---- streams and files ---- */

static void streams(void **state) {
  (void)state;
  assert_int_equal(shell("./calls predict x=x.npy --init 1 --out files && ./calls predict x=- --init 1 --out - <x.npy "
                         ">piped && cmp piped files/0.npy"),
                   0);
  assert_int_equal(shell("tail -c 32 x.npy | ./calls predict x=- --raw --init 1 --out - >piped.raw && "
                         "tail -c +129 files/0.npy | cmp - piped.raw"),
                   0);
  assert_int_equal(shell("tail -c 32 x.npy >x.raw && ./calls predict x=x.raw --init 1 --out files --raw && "
                         "cmp files/0.raw piped.raw && ./calls predict x=x.raw N=2 --init 1 --out - | cmp - piped"),
                   0);
  assert_int_equal(shell("cat d.npy | ./calls scale x=- k=2 --init 1 --out - --result sum | tail -c 8 >sum && "
                         "./calls scale x=d.npy k=2 --init 1 --out files && tail -c 8 files/sum.npy | cmp - sum"),
                   0);
  assert_int_equal(
      shell("./calls scale x=d.npy k=2 --init 1 --out - >all && cat files/y.npy files/sum.npy | cmp - all"), 0);
}

static void output_fails(void **state) {
  (void)state;
  assert_int_equal(shell("./calls predict x=x.npy --init 1 >/dev/full"), 1);
  assert_string_equal(err, "calls: cannot write to the standard output: the disk is full\n");
  assert_int_equal(shell("./calls --help >/dev/full"), 1);
  assert_int_equal(shell("./calls predict x=x.npy --init 1 >&-"), 1);
  assert_string_equal(err, "calls: cannot write to the standard output: it is closed\n");
  assert_int_equal(shell("./calls predict x=x.npy --init 1 2>&- >&-"), 1);
  assert_int_equal(shell("mkfifo pipe; (exec 3<>pipe; exec 4>pipe; exec 3>&-; ./calls predict x=x.npy --init 1 >&4)"),
                   1);
  assert_string_equal(err, "calls: cannot write to the standard output: nobody reads it any more\n");
  assert_int_equal(
      shell("rm -rf small && mkdir small && (ulimit -f 1; exec ./calls scale x=many.npy k=1 --init 1 --out small)"), 1);
  assert_non_null(
      strstr(err, "calls: cannot write small/y.npy: the file would be larger than this process may write\n"));
  assert_int_equal(shell("ls -A small"), 0);
  assert_string_equal(out, "");
  /* The second result cannot be written: the first is taken back. */
  assert_int_equal(shell("rm -rf small && mkdir -p small/sum.npy && ./calls scale x=d.npy k=1 --init 1 --out small"),
                   1);
  assert_non_null(strstr(err, "calls: cannot write small/sum.npy: "));
  assert_int_equal(shell("ls -A small"), 0);
  assert_string_equal(out, "sum.npy\n");
}

static uint64_t next_random(uint64_t *s) { return *s = *s * 6364136223846793005u + 1442695040888963407u, *s >> 33; }

/* Headers with bytes changed, files cut: a sentence or results, the same as those of `sinter run`. */
static void damaged_files(void **state) {
  (void)state;
  size_t n;
  char *good = read_whole("x.npy", &n), path[128];
  uint64_t seed = 5;
  snprintf(path, sizeof path, "%s/bad.npy", folder);
  int refused = 0;
  for (int i = 0; i < 150; i++) {
    char bad[512];
    memcpy(bad, good, n);
    size_t length = i < 100 ? n : (size_t)next_random(&seed) % n;
    size_t at = (size_t)next_random(&seed) % 70;
    if (i < 100)
      bad[at] = (char)(i % 2 ? next_random(&seed) : (uint64_t)(unsigned char)bad[at] ^ 1u << next_random(&seed) % 8);
    FILE *f = fopen(path, "wb");
    assert_true(f && fwrite(bad, 1, length, f) == length);
    fclose(f);
    int status = both("", "predict x=bad.npy --init 1");
    assert_true(status == 0 || status == 1);
    assert_true(status == 0 || strncmp(strstr(err, "note: ") ? strchr(err, '\n') + 1 : err, "calls: ", 7) == 0);
    refused += status;
  }
  assert_true(refused > 100);
  free(good);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(the_file),      cmocka_unit_test(small),         cmocka_unit_test(same_bytes),
      cmocka_unit_test(empty_root),    cmocka_unit_test(helps),         cmocka_unit_test(same_results),
      cmocka_unit_test(same_refusals), cmocka_unit_test(same_bits),     cmocka_unit_test(streams),
      cmocka_unit_test(output_fails),  cmocka_unit_test(damaged_files),
  };
  return cmocka_run_group_tests(tests, make, clean);
}
