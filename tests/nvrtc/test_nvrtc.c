/* NVRTC itself, without a GPU: the kernels beside this file compiled, counted and audited. Without NVRTC every test is
 * skipped, after the sentence that says why. Runs from the root of the repository. */
#include "cuda_audit.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>
#include "run_sinter.h"

static bool there;      /* an NVRTC that can be used */
static bool the_pinned; /* the version that ./dev installs: what it crashes on is known, and its bytes are recorded */

static int make(void **state) {
  (void)state;
  Ctx c = ctx_new();
  const CudaRtc *rtc = cuda_rtc_open(&c);
  const char *id;
  there = rtc != NULL;
  if (!there) printf("skipped: %s\n", diag_first(c.diag, &id));
  the_pinned = there && strstr(rtc->path, "/nvrtc-venv/");
  snprintf(folder, sizeof folder, "/tmp/test_nvrtc_%d", (int)getpid());
  ctx_free(&c);
  return mkdir(folder, 0777);
}

typedef struct Case {
  Ctx c;
  LinkFolder folder;
  const CudaRtc *rtc;
} Case;

static Case begin(void) {
  if (!there) skip(); /* no NVRTC: why was printed by make() */
  Case t = {.c = ctx_new()};
  t.rtc = cuda_rtc_open(&t.c);
  assert_non_null(t.rtc);
  assert_true(link_folder_make(&t.c, &t.folder));
  return t;
}
static void end(Case *t) {
  link_folder_remove(&t->folder);
  ctx_free(&t->c);
}

static CudaProgram program(Case *t, const char *name) {
  const char *why;
  size_t n;
  CudaProgram p = {.name = name,
                   .text = file_read(t->c.arena, arena_printf(t->c.arena, "tests/nvrtc/%s", name), &n, &why)};
  if (!p.text) fail_msg("%s", why);
  return p;
}

/* One program for one architecture. */
static bool compile(Case *t, const CudaProgram *p, const char *arch, CudaImage *image) {
  CudaOptions o = {.folder = &t->folder, .archs = &arch, .narchs = 1, .keep = folder};
  return cuda_compile(&t->c, t->rtc, p, 1, &o, image);
}

static CudaImage compiled(Case *t, const char *name, const char *arch) {
  CudaProgram *p = ARENA_NEW(t->c.arena, CudaProgram);
  CudaImage m;
  const char *id;
  *p = program(t, name);
  if (!compile(t, p, arch, &m)) fail_msg("%s", diag_first(t->c.diag, &id));
  return m;
}

static void must_say(Case *t, const char *want_id, const char *want) {
  const char *id, *said = diag_first(t->c.diag, &id);
  assert_non_null(said);
  assert_string_equal(said, want);
  assert_string_equal(id, want_id);
  diag_reset(t->c.diag);
}

/* ---- kernels ---- */

static void kernels(void **state) {
  (void)state;
  static const struct {
    const char *name, *arch;
    CudaMinimum least[5];
  } want[] = {
      {"copy.cu", "sm_75", {{"copy", "LDG.128", 1}, {"copy", "STG.128", 1}}},
      {"copy.cu", "sm_100", {{"copy", "LDG.128", 1}, {"copy", "STG.128", 1}}},
      {"shuffles.cu",
       "sm_80",
       {{"softmax", "LDG.128", 1}, {NULL, "STG.128", 1}, {NULL, "SHFL", 10}, {NULL, "BAR", 2}, {NULL, "MUFU", 4}}},
      {"shuffles.cu",
       "sm_90a",
       {{"softmax", "LDG.128", 1}, {NULL, "STG.128", 1}, {NULL, "SHFL", 10}, {NULL, "BAR", 2}, {NULL, "MUFU", 4}}},
      {"mma80.cu", "sm_80", {{"mma80", "HMMA", 1}, {NULL, "LDSM", 2}, {NULL, "LDGSTS.128", 2}}},
      {"mma80.cu", "sm_120", {{"mma80", "HMMA", 1}, {NULL, "LDSM", 2}, {NULL, "LDGSTS.128", 2}}},
      {"wgmma90.cu",
       "sm_90a",
       {{"wgmma90", "HGMMA", 1}, {NULL, "UTMALDG", 2}, {NULL, "SYNCS", 3}, {NULL, "WARPGROUP", 1}}},
  };
  Case t = begin();
  for (size_t i = 0; i < sizeof want / sizeof *want; i++) {
    CudaImage m = compiled(&t, want[i].name, want[i].arch);
    Cubin c;
    const char *why, *id;
    int n = 0;
    while (n < 5 && want[i].least[n].operation) n++;
    if (!cuda_audit(&t.c, &m, want[i].least, n)) fail_msg("%s", diag_first(t.c.diag, &id));
    assert_true(cubin_read(t.c.arena, m.code, m.size, &c, &why));
    assert_int_equal(c.sm, atoi(m.arch + 3));
    assert_int_equal(c.nkernels, 1);
    assert_int_equal(m.functions.n, 1); /* what ptxas says and what the cubin holds agree */
    assert_string_equal(m.functions.at[0].name, c.kernel->name);
    assert_int_equal(m.functions.at[0].registers, c.kernel->registers);
    assert_int_equal(m.functions.at[0].shared, c.kernel->shared);
    assert_int_equal(m.functions.at[0].stack, c.kernel->frame);
    assert_int_equal(m.advice.n, 0);
  }
  end(&t);
}

/* ---- the names of instructions ---- */

typedef struct Named { /* instructions of one kernel by name, as nvdisasm prints them */
  const char *kernel, *name;
  uint32_t n;
} Named;
typedef Vec(Named) Names;

static void add_name(Arena *a, Names *names, const char *kernel, const char *name) {
  for (uint32_t i = 0; i < names->n; i++)
    if (!strcmp(names->at[i].kernel, kernel) && !strcmp(names->at[i].name, name)) {
      names->at[i].n++;
      return;
    }
  vec_push(a, names, (Named){kernel, name, 1});
}

/* "LDG.E.NA.128.CONSTANT R4, ..." as sass.h has it: LDG.128; accesses without a width: LDG.32; others: the name. */
static const char *short_name(Arena *a, const char *text) {
  static const char *const widths[][2] = {{".U8", "u8"},   {".S8", "s8"}, {".U16", "u16"},
                                          {".S16", "s16"}, {".64", "64"}, {".128", "128"}};
  static const char *const wide[] = {"LDG", "STG", "LD", "ST", "LDS", "STS", "LDL", "STL", "LDGSTS"};
  const char *all = arena_strndup(a, text, strcspn(text, " ;")), *name = arena_strndup(a, text, strcspn(text, " ;."));
  if (!strcmp(name, "RED")) return "REDG";
  for (size_t i = 0; i < sizeof wide / sizeof *wide; i++) {
    if (strcmp(name, wide[i])) continue;
    for (size_t w = 0; w < sizeof widths / sizeof *widths; w++) {
      const char *at = strstr(all, widths[w][0]);
      size_t n = strlen(widths[w][0]);
      if (at && (!at[n] || at[n] == '.')) return arena_printf(a, "%s.%s", name, widths[w][1]);
    }
    return arena_printf(a, "%s.32", name);
  }
  return name;
}

static Names disassemble(Arena *a, const char *nvdisasm, const char *cubin) {
  Names names = {0};
  char line[4096];
  const char *kernel = NULL;
  FILE *f = popen(arena_printf(a, "%s %s", nvdisasm, cubin), "r");
  assert_non_null(f);
  while (fgets(line, sizeof line, f)) {
    const char *text = strstr(line, ".section\t.text."), *p = line + strspn(line, " \t");
    if (text) kernel = arena_strndup(a, text + 15, strcspn(text + 15, ","));
    if (!kernel || strncmp(p, "/*", 2) || !(p = strstr(p, "*/"))) continue;
    p += 2 + strspn(p + 2, " \t{");
    if (*p == '@') p += strcspn(p, " "), p += strspn(p, " ");
    if (*p >= 'A' && *p <= 'Z') add_name(a, &names, kernel, short_name(a, p));
  }
  assert_int_equal(pclose(f), 0);
  return names;
}

static void must_agree(const Names *names, const CubinKernel *k, uint32_t sm) {
  const SassCounts counts = sass_count(k, sm);
  uint32_t known = 0, ours = 0, n;
  for (uint32_t i = 0; i < names->n; i++) {
    if (strcmp(names->at[i].kernel, k->name) || !sass_named(&counts, names->at[i].name, &n)) continue;
    if (n != names->at[i].n)
      fail_msg("%s, sm_%u: %u of %s, but nvdisasm finds %u", k->name, sm, n, names->at[i].name, names->at[i].n);
    known += n;
  }
  for (int op = 0; op < SASS_COUNT; op++) ours += sass_of(&counts, (SassOp)op);
  if (ours != known)
    fail_msg("%s, sm_%u: %u instructions with a name, but nvdisasm finds %u", k->name, sm, ours, known);
}

static void every_name(void **state) {
  (void)state;
  static const struct {
    const char *name, *arch;
  } files[] = {{"copy", "sm_75"},   {"shuffles", "sm_75"},  {"shuffles", "sm_80"}, {"mma80", "sm_80"},
               {"spill", "sm_80"},  {"local", "sm_80"},     {"every", "sm_80"},    {"many", "sm_90a"},
               {"mma80", "sm_90a"}, {"wgmma90", "sm_90a"},  {"advice", "sm_90a"},  {"every", "sm_90a"},
               {"many", "sm_100"},  {"shuffles", "sm_120"}, {"mma80", "sm_120"},   {"every", "sm_120"}};
  Case t = begin();
  Arena *a = t.c.arena;
  char *nvdisasm = arena_printf(a, "%s", t.rtc->path), *slash = strrchr(nvdisasm, '/');
  nvdisasm = arena_printf(a, "%.*s/../bin/nvdisasm", (int)(slash ? slash - nvdisasm : 0), nvdisasm);
  if (access(nvdisasm, X_OK)) {
    printf("skipped: there is no %s\n", nvdisasm);
    end(&t);
    skip(); /* NVIDIA's disassembler, with which the names are compared, comes with the pinned NVRTC only */
  }
  uint32_t all[SASS_COUNT] = {0};
  for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
    CudaImage m = compiled(&t, arena_printf(a, "%s.cu", files[i].name), files[i].arch);
    const char *why, *path = arena_printf(a, "%s/disassembled.cubin", folder);
    Cubin c;
    assert_true(cubin_read(a, m.code, m.size, &c, &why) && link_write(a, path, m.code, m.size, &why));
    Names names = disassemble(a, nvdisasm, path);
    for (uint32_t k = 0; k < c.nkernels; k++) {
      must_agree(&names, &c.kernel[k], c.sm);
      const SassCounts counts = sass_count(&c.kernel[k], c.sm);
      for (int op = 0; op < SASS_COUNT; op++) all[op] += sass_of(&counts, (SassOp)op);
    }
  }
  for (int op = 0; op < SASS_COUNT; op++)
    if (!all[op]) fail_msg("no kernel here has the instruction %d of sass.h", op);
  end(&t);
}

static void ptx(void **state) {
  (void)state;
  Case t = begin();
  CudaImage m = compiled(&t, "shuffles.cu", "compute_80");
  const char *text = (const char *)m.code;
  assert_int_equal(strlen(text), m.size);
  assert_non_null(strstr(text, "\n.version "));
  assert_non_null(strstr(text, "\n.target sm_80\n"));
  assert_non_null(strstr(text, ".visible .entry softmax("));
  assert_int_equal(m.functions.n, 0);
  end(&t);
}

static void same_bytes(void **state) {
  (void)state;
  static const char *const archs[] = {"sm_80", "sm_90a", "compute_90a"}, *const names[] = {"shuffles.cu", "copy.cu",
                                                                                           "mma80.cu"};
  Case t = begin();
  CudaProgram p[3];
  CudaImage m[2][9];
  for (int i = 0; i < 3; i++) p[i] = program(&t, names[i]);
  for (int jobs = 1; jobs <= 2; jobs++) {
    CudaOptions o = {.folder = &t.folder, .archs = archs, .narchs = 3, .jobs = jobs};
    assert_true(cuda_compile(&t.c, t.rtc, p, 3, &o, m[jobs - 1]));
  }
  for (int i = 0; i < 9; i++) {
    assert_int_equal(m[0][i].size, m[1][i].size);
    assert_memory_equal(m[0][i].code, m[1][i].code, m[0][i].size);
  }
  end(&t);
}

/* The cubins that test_cubin.c reads are those of the pinned version: BLESS=1 writes them. */
static void recorded(void **state) {
  (void)state;
  static const char *const files[][2] = {{"shuffles", "sm_80"}, {"wgmma90", "sm_90a"}, {"many", "sm_100"}};
  Case t = begin();
  bool bless = getenv("BLESS") != NULL;
  if (!the_pinned) {
    printf("skipped: recorded bytes are of another version than %s\n", t.rtc->path);
    end(&t);
    skip(); /* another version makes other bytes, and is not wrong */
  }
  for (int i = 0; i < 3; i++) {
    CudaImage m = compiled(&t, arena_printf(t.c.arena, "%s.cu", files[i][0]), files[i][1]);
    const char *why, *path = arena_printf(t.c.arena, "tests/nvrtc/cubins/%s.%s.cubin", files[i][0], files[i][1]);
    size_t n;
    if (bless && !link_write(t.c.arena, path, m.code, m.size, &why)) fail_msg("%s", why);
    const char *is = file_read(t.c.arena, path, &n, &why);
    if (!is) fail_msg("%s", why);
    assert_int_equal(n, m.size);
    assert_memory_equal(is, m.code, n);
  }
  end(&t);
}

static void headers_from_memory(void **state) {
  (void)state;
  Case t = begin();
  CudaHeader h[] = {{"width.h", "#define WIDTH 4\n#include \"type.h\""}, {"type.h", "typedef float T;"}};
  CudaProgram p = {.name = "a.cu",
                   .text = "#include \"width.h\"\nextern \"C\" __global__ void k(T *x) { x[WIDTH * 2] = SCALE; }\n",
                   .headers = h,
                   .nheaders = 2};
  static const char *const archs[] = {"compute_80"}, *const options[] = {"-DSCALE=3"};
  CudaOptions o = {.folder = &t.folder, .archs = archs, .narchs = 1, .options = options, .noptions = 1, .keep = folder};
  CudaImage m;
  assert_true(cuda_compile(&t.c, t.rtc, &p, 1, &o, &m));
  assert_non_null(strstr((const char *)m.code, "+32]"));       /* 8 floats on */
  assert_non_null(strstr((const char *)m.code, "1077936128")); /* 3.0f */
  p.nheaders = 1;
  assert_false(cuda_compile(&t.c, t.rtc, &p, 1, &o, &m));
  const char *id;
  assert_non_null(strstr(diag_first(t.c.diag, &id), "cannot open source file \"type.h\""));
  end(&t);
}

/* ---- failures ---- */

static void mistakes(void **state) {
  (void)state;
  Case t = begin();
  CudaImage m;
  CudaProgram p = program(&t, "syntax.cu"), q = program(&t, "wgmma90.cu");
  p.is_file = q.is_file = true;
  assert_false(compile(&t, &p, "sm_80", &m));
  must_say(&t, "cuda-text",
           "cannot compile syntax.cu for sm_80: syntax.cu(2): error: identifier \"missing\" is undefined");
  assert_false(compile(&t, &q, "sm_90", &m)); /* ptxas says it */
  const char *id, *said = diag_first(t.c.diag, &id);
  assert_non_null(strstr(said, "cannot compile wgmma90.cu for sm_90: ptxas application ptx input, line "));
  assert_non_null(strstr(said, "wgmma"));
  diag_reset(t.c.diag);
  assert_false(compile(&t, &q, "sm_70", &m));
  diag_first(t.c.diag, &id);
  assert_string_equal(id, "cuda-arch");
  end(&t);
}

static void crashes(void **state) {
  (void)state;
  static const char *const names[] = {"crash_wgmma.cu", "crash_stmatrix.cu"};
  Case t = begin();
  if (!the_pinned) {
    printf("skipped: what %s crashes on is not known\n", t.rtc->path);
    end(&t);
    skip(); /* another version may compile what the pinned one dies of */
  }
  for (int i = 0; i < 2; i++) {
    CudaImage m;
    CudaProgram p = program(&t, names[i]);
    const char *id, *why;
    size_t n;
    assert_false(compile(&t, &p, "sm_90a", &m));
    const char *said = diag_first(t.c.diag, &id), *at = strstr(said, "/tmp/");
    assert_string_equal(id, "cuda-crash");
    assert_non_null(strstr(said, "NVRTC died of signal 11 (Segmentation fault); its text is in "));
    assert_non_null(at);
    assert_string_equal(file_read(t.c.arena, at, &n, &why), p.text);
    diag_reset(t.c.diag);
  }
  end(&t);
}

static void little_memory(void **state) {
  (void)state;
  static const char *const archs[] = {"sm_80"};
  Case t = begin();
  CudaProgram p = program(&t, "spill.cu");
  CudaImage m;
  const char *id;
  int failed = 0;
  for (uint64_t room = 64; room <= 256; room += 16) { /* from less than NVRTC itself to not quite enough */
    CudaOptions o = {.folder = &t.folder, .archs = archs, .narchs = 1, .keep = folder, .memory = room << 20};
    if (cuda_compile(&t.c, t.rtc, &p, 1, &o, &m)) break;
    failed++;
    const char *said = diag_first(t.c.diag, &id);
    assert_non_null(strstr(said, "its text is in /tmp/"));
    if (room == 64) assert_string_equal(id, "cuda-memory"); /* later ones say it in several ways */
    diag_reset(t.c.diag);
  }
  assert_true(failed > 0);
  end(&t);
}

/* ---- the audit ---- */

static void audit(void **state) {
  (void)state;
  Case t = begin();
  CudaImage spill = compiled(&t, "spill.cu", "sm_80"), local = compiled(&t, "local.cu", "sm_80"),
            advice = compiled(&t, "advice.cu", "sm_90a"), softmax = compiled(&t, "shuffles.cu", "sm_80");
  const char *id, *said;
  assert_false(cuda_audit(&t.c, &spill, NULL, 0));
  assert_int_equal(diag_errors(t.c.diag), 2);
  said = diag_first(t.c.diag, &id);
  assert_string_equal(id, "audit-spill");
  assert_non_null(strstr(said, "spill for sm_80: registers do not suffice: a thread stores "));
  diag_reset(t.c.diag);

  assert_false(cuda_audit(&t.c, &local, NULL, 0));
  assert_int_equal(diag_errors(t.c.diag), 1);
  said = diag_first(t.c.diag, &id);
  assert_string_equal(id, "audit-local");
  assert_non_null(strstr(said, "local_array for sm_80: it uses local memory: 256 bytes a thread, "));
  diag_reset(t.c.diag);

  assert_non_null(strstr(advice.log, "(C7519)")); /* which is none */
  assert_int_equal(advice.advice.n, 1);
  assert_false(cuda_audit(&t.c, &advice, NULL, 0));
  assert_int_equal(diag_errors(t.c.diag), 1);
  said = diag_first(t.c.diag, &id);
  assert_string_equal(id, "audit-advice");
  assert_non_null(strstr(said, "advice.cu for sm_90a: ptxas says (C7508) "));
  diag_reset(t.c.diag);

  static const CudaMinimum most = {"softmax", "LDG.128", 2}, wrong = {"sotfmax", "LDG.128", 1},
                           any = {NULL, "HGMMA", 1};
  assert_false(cuda_audit(&t.c, &softmax, &most, 1));
  must_say(&t, "audit-minimum", "softmax for sm_80: 1 of the instruction LDG.128, at least 2 are expected");
  assert_false(cuda_audit(&t.c, &softmax, &any, 1));
  must_say(&t, "audit-minimum", "softmax for sm_80: 0 of the instruction HGMMA, at least 1 are expected");
  assert_false(cuda_audit(&t.c, &softmax, &wrong, 1));
  must_say(&t, "audit-kernel", "shuffles.cu for sm_80 has no kernel sotfmax, of which LDG.128 is expected");
  assert_true(cuda_audit(&t.c, &softmax, NULL, 0));
  end(&t);
}

/* ---- the command ---- */

static void command(void **state) {
  (void)state;
  if (!there) skip(); /* no NVRTC: why was printed by make() */
#define FILES "$ROOT/tests/nvrtc/"
  assert_int_equal(sinter("cuda " FILES "shuffles.cu " FILES "copy.cu --arch sm_80,compute_80 -o out --audit"), 0);
  assert_string_equal(err, "");
  assert_non_null(strstr(out, "shuffles.cu for sm_80: "));
  assert_non_null(strstr(out, "  softmax: "));
  assert_non_null(strstr(
      out, " registers, 64 bytes of shared memory, 16 bytes of parameters, no spills\n    LDG.128 1, STG.128 1, "));
  assert_non_null(strstr(out, "copy.cu for compute_80: "));
  assert_int_equal(shell("ls out"), 0);
  assert_string_equal(out, "copy.compute_80.ptx\ncopy.sm_80.cubin\nshuffles.compute_80.ptx\nshuffles.sm_80.cubin\n");
  assert_int_equal(sinter("cuda " FILES "spill.cu --arch sm_80 --audit"), 1);
  assert_non_null(strstr(out, ", spills: "));
  assert_non_null(strstr(err, "[audit-spill]"));
  assert_int_equal(sinter("cuda " FILES "spill.cu --arch sm_80"), 0);
  assert_int_equal(sinter("cuda " FILES "copy.cu --least copy:LDG.128=2"), 1);
  assert_non_null(
      strstr(err, "error: copy for sm_80: 1 of the instruction LDG.128, at least 2 are expected [audit-minimum]\n"
                  "error: copy for sm_90a: 1 of the instruction LDG.128"));
  assert_int_equal(sinter("cuda " FILES "advice.cu --arch sm_90a"), 0);
  assert_non_null(strstr(out, "\n  ptxas: (C7508) "));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(kernels),    cmocka_unit_test(every_name), cmocka_unit_test(ptx),
      cmocka_unit_test(same_bytes), cmocka_unit_test(recorded),   cmocka_unit_test(headers_from_memory),
      cmocka_unit_test(mistakes),   cmocka_unit_test(crashes),    cmocka_unit_test(little_memory),
      cmocka_unit_test(audit),      cmocka_unit_test(command),
  };
  return cmocka_run_group_tests(tests, make, clean);
}
