/* CUDA compilation with a stand-in for NVRTC: where it is looked for, what goes in and out, and everything that can go
 * wrong in it, so without NVIDIA's software. Runs cc from the root of the repository. */
#include "cuda_audit.h"
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>
#include "run_sinter.h"

#if defined(__has_feature)                         /* clang */
#define SANITIZED __has_feature(address_sanitizer) /* whose own memory is above any limit */
#else
#define SANITIZED 0
#endif

static char fake[128], kept[128]; /* folders: with libnvrtc.so.13; for texts of failed programs */

static int make(void **state) {
  (void)state;
  char root[512];
  snprintf(folder, sizeof folder, "/tmp/test_fake_%d", (int)getpid());
  snprintf(fake, sizeof fake, "%s/fake", folder);
  snprintf(kept, sizeof kept, "%s/kept", folder);
  if (mkdir(folder, 0777) || mkdir(fake, 0777) || mkdir(kept, 0777) || !getcwd(root, sizeof root)) return 1;
  setenv("SINTER_NVRTC", fake, 1);
  return shell("cc -shared -fPIC -DMAJOR=13 $ROOT/tests/nvrtc/fake_nvrtc.c -o fake/libnvrtc.so.13 && "
               "cc -shared -fPIC -x c /dev/null -o fake/libnvrtc-builtins.so.13.7");
}

typedef struct Case {
  Ctx c;
  LinkFolder folder;
  const CudaRtc *rtc;
} Case;

static Case begin(void) {
  Case t = {.c = ctx_new()};
  const char *id;
  t.rtc = cuda_rtc_open(&t.c);
  if (!t.rtc || !link_folder_make(&t.c, &t.folder)) fail_msg("%s", diag_first(t.c.diag, &id));
  return t;
}
static void end(Case *t) {
  link_folder_remove(&t->folder);
  ctx_free(&t->c);
}

static const char *const SM80[] = {"sm_80"};

/* A program of this text, compiled for sm_80. */
static bool compile(Case *t, const char *text, CudaOptions o, CudaImage *image) {
  CudaProgram *p = ARENA_NEW(t->c.arena, CudaProgram); /* the image names it */
  *p = (CudaProgram){.name = "a.cu", .text = text};
  o.folder = &t->folder;
  o.archs = SM80;
  o.narchs = 1;
  o.keep = kept;
  return cuda_compile(&t->c, t->rtc, p, 1, &o, image);
}

static void must_say(Case *t, const char *want_id, const char *want) {
  const char *id, *said = diag_first(t->c.diag, &id);
  assert_non_null(said);
  assert_string_equal(said, want);
  assert_string_equal(id, want_id);
  diag_reset(t->c.diag);
}

/* ---- finding it ---- */

static void found(const char *variable, const char *value, const char *path) {
  Ctx c = ctx_new();
  setenv(variable, value, 1);
  const CudaRtc *rtc = cuda_rtc_open(&c);
  const char *id;
  if (!rtc) fail_msg("%s", diag_first(c.diag, &id));
  assert_string_equal(rtc->path, path);
  assert_int_equal(rtc->major, 13);
  assert_int_equal(rtc->minor, 7);
  assert_int_equal(rtc->narchs, 2);
  assert_int_equal(rtc->arch[1], 90);
  unsetenv(variable);
  ctx_free(&c);
}

static void finds(void **state) {
  (void)state;
  static const char *const below[] = {"",
                                      "/lib64",
                                      "/lib",
                                      "/targets/sbsa-linux/lib",
                                      "/nvidia/cu13/lib",
                                      "/lib/python3.99/site-packages/nvidia/cu13/lib"};
  char root[128], path[256];
  for (int i = 0; i < 6; i++) {
    assert_int_equal(shell("mkdir -p tree%d%s && cp fake/* tree%d%s", i, below[i], i, below[i]), 0);
    snprintf(root, sizeof root, "%s/tree%d", folder, i);
    snprintf(path, sizeof path, "%s%s/libnvrtc.so.13", root, below[i]);
    found("SINTER_NVRTC", root, path);
  }
  found("SINTER_NVRTC", path, path); /* a file */
  found("CUDA_HOME", root, path);
  if (access("/usr/local/cuda/lib64/libnvrtc.so.13", F_OK) == 0)
    skip(); /* the toolkit there is found before the stand-in that the rest looks for */
  found("VIRTUAL_ENV", root, path);
  setenv("VIRTUAL_ENV", "/nowhere", 1);
  found("CUDA_HOME", root, path);
  unsetenv("VIRTUAL_ENV");
}

static void not_found(const char *value, const char *want) {
  Ctx c = ctx_new();
  char sentence[1100];
  const char *id;
  setenv("SINTER_NVRTC", value, 1);
  assert_null(cuda_rtc_open(&c));
  snprintf(sentence, sizeof sentence, "SINTER_NVRTC: %s", want);
  assert_string_equal(diag_first(c.diag, &id), sentence);
  assert_string_equal(id, "no-nvrtc");
  ctx_free(&c);
}

static void unusable(void **state) {
  (void)state;
  char path[256], want[1024];
#define IN(...) (snprintf(want, sizeof want, __VA_ARGS__), want)
  snprintf(path, sizeof path, "%s/kept", folder);
  not_found(path, IN("there is no libnvrtc.so.13 in %s", path));
  assert_int_equal(
      shell("mkdir old && cc -shared -fPIC -DMAJOR=12 $ROOT/tests/nvrtc/fake_nvrtc.c -o old/libnvrtc.so.12"), 0);
  snprintf(path, sizeof path, "%s/old", folder);
  not_found(path, IN("%s/libnvrtc.so.12 cannot be used: it is version 12.7, but 13 is wanted", path));
  assert_int_equal(shell("cc -shared -fPIC -DMAJOR=13 -DLACKS_CUBIN $ROOT/tests/nvrtc/fake_nvrtc.c -o lacking.so"), 0);
  snprintf(path, sizeof path, "%s/lacking.so", folder);
  not_found(path, IN("%s cannot be used: it has no function nvrtcGetCUBINSize", path));
  assert_int_equal(shell("cc -shared -fPIC -DMAJOR=13 $ROOT/tests/nvrtc/fake_nvrtc.c -o alone.so"), 0);
  snprintf(path, sizeof path, "%s/alone.so", folder);
  not_found(path, IN("%s cannot be used: libnvrtc-builtins.so.13.7 is not beside it", path));
  assert_int_equal(shell("echo text > text.so"), 0);
  snprintf(path, sizeof path, "%s/text.so", folder);
  not_found(path, IN("%s cannot be used: %s: file too short", path, path));
  not_found("/nowhere/lib.so",
            "/nowhere/lib.so cannot be used: /nowhere/lib.so: cannot open shared object file: No such "
            "file or directory");
  setenv("SINTER_NVRTC", fake, 1);
}

/* ---- what goes in and comes out ---- */

static void in_and_out(void **state) {
  (void)state;
  Case t = begin();
  static const char *const archs[] = {"sm_90a", "compute_80"}, *const options[] = {"-DN=4"};
  CudaHeader h = {"h.h", "int h;"};
  CudaProgram p[3] = {{.name = "a.cu", .text = "one", .headers = &h, .nheaders = 1},
                      {.name = "b.cu", .text = "two"},
                      {.name = "c.cu", .text = "three"}};
  for (int jobs = 1; jobs <= 4; jobs++) {
    CudaImage m[6];
    CudaOptions o = {.folder = &t.folder, .archs = archs, .narchs = 2, .options = options, .noptions = 1, .jobs = jobs};
    assert_true(cuda_compile(&t.c, t.rtc, p, 3, &o, m));
    for (int i = 0; i < 6; i++) {
      char want[256];
      snprintf(want, sizeof want, "%s\n-arch=%s\n-std=c++17\n--ptxas-options=-v\n--no-cache\n-DN=4\n%s", p[i / 2].text,
               archs[i % 2], i < 2 ? "h.h: int h;\n" : "");
      assert_int_equal(m[i].size, strlen(want));
      assert_string_equal((const char *)m[i].code, want);
      assert_ptr_equal(m[i].program, &p[i / 2]);
      assert_string_equal(m[i].arch, archs[i % 2]);
      assert_true(m[i].seconds >= 0 && m[i].seconds < 5);
    }
  }
  end(&t);
}

static void architectures(void **state) {
  (void)state;
  static const char *const wrong[] = {"sm_70", "sm_", "90", "sm_90b", "sm_901", "sm_90aa", "compute_75", ""};
  Case t = begin();
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
    char want[512];
    snprintf(want, sizeof want,
             "NVRTC 13.7 does not compile for the architecture \"%s\"; it does for sm_80, sm_90 (some also with a "
             "letter, as sm_90a), and to PTX for compute_80 and so on",
             wrong[i]);
    assert_false(cuda_rtc_arch(&t.c, t.rtc, wrong[i]));
    must_say(&t, "cuda-arch", want);
  }
  assert_true(cuda_rtc_arch(&t.c, t.rtc, "sm_90f"));
  end(&t);
}

static void reads_the_log(void **state) {
  (void)state;
  Ctx c = ctx_new();
  CudaImage m = {.log = "ptxas info    : (C7508) Potential: 'setmaxnreg' ignored.\n"
                        "ptxas info    : (C7519) warpgroup.arrive is injected in function 'f'\n"
                        "ptxas info    : 0 bytes gmem\n"
                        "ptxas info    : Compiling entry function 'f' for 'sm_90a'\n"
                        "ptxas info    : Function properties for f\n"
                        "ptxas         .     808 bytes stack frame, 888 bytes spill stores, 1816 bytes spill loads\n"
                        "ptxas info    : Used 64 registers, used 1 barriers, 400 bytes smem, 8 bytes cmem[2]\n"
                        "ptxas info    : Function properties for _Z1gv\n"
                        "    16 bytes stack frame, 1 bytes spill stores, 2 bytes spill loads\n"
                        "ptxas info    : Compiling entry function 'h' for 'sm_90a'\n"
                        "ptxas info    : Function properties for h\n"
                        "    0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads\n"
                        "ptxas info    : Used 8 registers"};
  cuda_read_log(c.arena, &m);
  assert_int_equal(m.advice.n, 1);
  assert_string_equal(m.advice.at[0], "(C7508) Potential: 'setmaxnreg' ignored.");
  static const CudaFunction want[] = {
      {"f", true, 64, 400, 808, 888, 1816}, {"_Z1gv", false, 0, 0, 16, 1, 2}, {"h", true, 8, 0, 0, 0, 0}};
  assert_int_equal(m.functions.n, 3);
  for (int i = 0; i < 3; i++) {
    const CudaFunction *f = &m.functions.at[i];
    assert_string_equal(f->name, want[i].name);
    assert_int_equal(f->kernel, want[i].kernel);
    assert_int_equal(f->registers, want[i].registers);
    assert_int_equal(f->shared, want[i].shared);
    assert_int_equal(f->stack, want[i].stack);
    assert_int_equal(f->spill_stores, want[i].spill_stores);
    assert_int_equal(f->spill_loads, want[i].spill_loads);
  }
  ctx_free(&c);
}

/* ---- failures ---- */

/* The sentence up to where the text is; the text is there. */
static void fails_with(const char *text, CudaOptions o, const char *id, const char *want) {
  Case t = begin();
  CudaImage m;
  const char *got_id, *why;
  size_t n;
  assert_false(compile(&t, text, o, &m));
  assert_null(m.code);
  const char *said = diag_first(t.c.diag, &got_id), *at = strstr(said, "; its text is in ");
  assert_string_equal(got_id, id);
  assert_non_null(at);
  assert_string_equal(arena_strndup(t.c.arena, said, (size_t)(at - said)), want);
  at += strlen("; its text is in ");
  assert_memory_equal(at, kept, strlen(kept));
  assert_string_equal(file_read(t.c.arena, at, &n, &why), text);
  end(&t);
}

static void failures(void **state) {
  (void)state;
  const CudaOptions o = {0}, short_time = {.seconds = 1}, little_memory = {.memory = 1 << 30};
#define CANNOT "cannot compile a.cu for sm_80: "
  fails_with("is refused", o, "cuda-text", CANNOT "a.cu(2): error: no such thing");
  fails_with("has no reason", o, "cuda-text", CANNOT "NVRTC_ERROR_COMPILATION");
  fails_with("is empty", o, "cuda-text", CANNOT "it gave no code");
  fails_with("crashes", o, "cuda-crash", CANNOT "NVRTC died of signal 11 (Segmentation fault)");
  fails_with("says something", o, "cuda-crash",
             CANNOT "NVRTC died of signal 6 (Aborted): terminate called after throwing an instance of "
                    "'std::bad_alloc'");
  static const char *const leaves[] = {"leaves 0", "leaves 1", "leaves 2", "leaves 99"};
  for (int i = 0; i < 4; i++) fails_with(leaves[i], o, "cuda-crash", CANNOT "NVRTC ended its process");
  fails_with("is killed", o, "cuda-memory", CANNOT "NVRTC was killed, as the system does when memory runs out");
  if (!SANITIZED) fails_with("grows", little_memory, "cuda-memory", CANNOT "NVRTC ran out of memory");
  fails_with("sleeps", short_time, "cuda-time", CANNOT "NVRTC did not end within 1 s");
  fails_with("spins", short_time, "cuda-time", CANNOT "NVRTC did not end within 1 s");
}

static void each_is_said(void **state) { /* others are compiled, and come out whole */
  (void)state;
  Case t = begin();
  static const char *const archs[] = {"sm_80", "sm_90"};
  CudaHeader h = {"h.h", "int h;"};
  CudaProgram p[] = {{.name = "good.cu", .text = "one"},
                     {.name = "bad.cu", .text = "is refused", .headers = &h, .nheaders = 1},
                     {.name = "file.cu", .text = "is refused", .is_file = true}};
  CudaImage m[6];
  CudaOptions o = {.folder = &t.folder, .archs = archs, .narchs = 2, .keep = kept, .jobs = 3};
  assert_false(cuda_compile(&t.c, t.rtc, p, 3, &o, m));
  assert_int_equal(diag_errors(t.c.diag), 4);
  Buf said = {0};
  diag_print(t.c.diag, &said);
  const char *first = strstr(said.at, "its text is in "), *again = strstr(first + 1, "its text is in ");
  assert_non_null(again); /* the same file for both architectures, none for what is a file */
  size_t n = strcspn(first, " \n") + strcspn(first + 15, " ");
  assert_memory_equal(first, again, n);
  assert_null(strstr(again + 1, "its text is in "));
  char *path = arena_strndup(t.c.arena, first + 15, strcspn(first + 15, " ")), *why_at = strrchr(path, '/');
  const char *why;
  strcpy(why_at, "/h.h");
  assert_string_equal(file_read(t.c.arena, path, &n, &why), "int h;");
  assert_true(m[0].code && m[1].code && !m[2].code && !m[5].code);
  buf_free(&said);
  diag_reset(t.c.diag);
  o.keep = "/nowhere";
  assert_false(cuda_compile(&t.c, t.rtc, &p[1], 1, &o, m));
  must_say(&t, "cuda-text",
           "cannot compile bad.cu for sm_80: a.cu(2): error: no such thing; its text cannot be kept in "
           "/nowhere: No such file or directory");
  end(&t);
}

/* A signal that the user ends the program by, while NVRTC does not end: program, child and temporary files are gone. */
static void interrupted(void **state) {
  (void)state;
  int alive[2], started[2]; /* every process of it holds the writing ends */
  char byte;
  assert_int_equal(shell("mkdir scratch"), 0);
  assert_int_equal(pipe(alive) | pipe(started), 0);
  fflush(NULL);
  pid_t pid = fork();
  if (pid == 0) {
    char scratch[128];
    snprintf(scratch, sizeof scratch, "%s/scratch", folder);
    setenv("TMPDIR", scratch, 1);
    Case t = begin();
    CudaImage m;
    if (write(started[1], "", 1) == 1) compile(&t, "sleeps", (CudaOptions){.seconds = 1000}, &m);
    end(&t); /* the signal arrives */
    _exit(0);
  }
  close(alive[1]);
  assert_int_equal(read(started[0], &byte, 1), 1);
  nanosleep(&(struct timespec){.tv_nsec = 200000000}, NULL); /* so that the child runs; if not, it holds all the same */
  assert_int_equal(kill(pid, SIGTERM), 0);
  int status;
  assert_int_equal(waitpid(pid, &status, 0), pid);
  assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
  assert_int_equal(read(alive[0], &byte, 1), 0);
  assert_int_equal(shell("ls scratch"), 0);
  assert_string_equal(out, "");
  close(alive[0]), close(started[0]), close(started[1]);
}

/* ---- the audit, and what is no cubin ---- */

static void no_cubin(void **state) {
  (void)state;
  Case t = begin();
  CudaImage m;
  assert_true(compile(&t, "one", (CudaOptions){0}, &m));
  assert_false(cuda_audit(&t.c, &m, NULL, 0));
  must_say(&t, "audit-cubin", "a.cu for sm_80: the cubin cannot be read: it is no cubin");
  end(&t);
}

/* ---- the command ---- */

static void says(const char *arguments, int status, const char *sentence) {
  assert_int_equal(sinter(arguments), status);
  assert_string_equal(err, sentence);
}

static void command(void **state) {
  (void)state;
#define USE "`sinter cuda --help` says how it is used.\n"
  assert_int_equal(shell("mkdir -p a b && echo one >a/k.cu && echo two >b/k.cu && echo is refused >c.cu && echo warns "
                         ">w.cu && echo x >x"),
                   0);
  says("cuda", 2, "sinter: which kernels? Name their files, FILE.cu\n" USE);
  says("cuda a/k.cu -j x", 2, "sinter: -j wants a number from 1 to 10000, not \"x\"\n" USE);
  says("cuda a/k.cu --seconds 0", 2, "sinter: --seconds wants a number from 1 to 10000, not \"0\"\n" USE);
  says("cuda --where a/k.cu", 2, "sinter: --where takes no file\n" USE);
  says("cuda nothing.cu", 1, "error: cannot open nothing.cu: No such file or directory [cuda-file]\n");
  static const char *const wrong[] = {"HGMMA", "HGMMA=", "HGMMA=x", "HGMMA=0", "LDG.256=1", "ABC=1", "k:=1", "=1"};
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
    char arguments[128], want[256];
    snprintf(arguments, sizeof arguments, "cuda a/k.cu --least %s", wrong[i]);
    snprintf(want, sizeof want,
             "error: \"%s\" is no minimum of instructions: it is HGMMA=4 or KERNEL:LDG.128=2, with a name that the "
             "report can print [cuda-least]\n",
             wrong[i]);
    says(arguments, 1, want);
  }
  says("cuda a/k.cu b/k.cu --arch compute_80 -o out", 1,
       "error: a/k.cu and b/k.cu would both be written to out/k.compute_80.ptx [cuda-output]\n");
  says("cuda a/k.cu --arch compute_80 -o x", 1,
       "error: cannot write x/k.compute_80.ptx: Not a directory [cuda-output]\n");
  says("cuda a/k.cu --arch compute_80 -o no/where", 1,
       "error: cannot make the folder no/where: No such file or directory [cuda-output]\n");
  says("cuda c.cu --arch compute_80,sm_90", 1,
       "error: cannot compile c.cu for compute_80: a.cu(2): error: no such thing [cuda-text]\n"
       "error: cannot compile c.cu for sm_90: a.cu(2): error: no such thing [cuda-text]\n");
  assert_int_equal(sinter("cuda w.cu --arch compute_80"), 0);
  assert_non_null(strstr(out, " s\n  NVRTC: a.cu(1): warning: odd\n"));
  says("cuda a/k.cu --arch sm_90", 1,
       "error: a/k.cu for sm_90: the cubin cannot be read: it is no cubin [audit-cubin]\n");
  says("cuda a/k.cu c.cu --arch compute_90 -o out -D N=4 M -I inc -j 2", 1,
       "error: cannot compile c.cu for compute_90: a.cu(2): error: no such thing [cuda-text]\n");
  assert_non_null(strstr(out, "a/k.cu for compute_90: "));
  char ptx[512];
  slurp("out/k.compute_90.ptx", ptx, sizeof ptx);
  assert_string_equal(
      ptx, "one\n\n-arch=compute_90\n-std=c++17\n--ptxas-options=-v\n--no-cache\n-DN=4\n-DM\n-Iinc\n-Ia/\n-I.\n");
  assert_int_equal(sinter("cuda --where"), 0);
  char want[512];
  snprintf(want, sizeof want, "NVRTC 13.7: %s/libnvrtc.so.13\narchitectures: sm_80 sm_90\n", fake);
  assert_string_equal(out, want);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(finds),         cmocka_unit_test(unusable),      cmocka_unit_test(in_and_out),
      cmocka_unit_test(architectures), cmocka_unit_test(reads_the_log), cmocka_unit_test(failures),
      cmocka_unit_test(each_is_said),  cmocka_unit_test(interrupted),   cmocka_unit_test(no_cubin),
      cmocka_unit_test(command),
  };
  return cmocka_run_group_tests(tests, make, clean);
}
