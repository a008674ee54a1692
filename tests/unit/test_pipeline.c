/* The whole compiler on small models: artefacts that C programs use, what an artefact may depend on, equal bytes, text
 * forms, and every way in which the output cannot be written. Uses ld.lld-19 and cc. */
#include "abi.h"
#include "compiler.h"
#include "loop.h"
#include "sinter.h"
#include "sir.h"
#include <dirent.h>
#include <elf.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include "libc_list.h"

typedef struct Folders {
  char folder[64], scratch[64]; /* where results go; TMPDIR of the compiler */
} Folders;

static int setup(void **state) {
  Folders *p = mem_alloc(sizeof *p);
  strcpy(p->folder, "/tmp/sinter_test_XXXXXX");
  strcpy(p->scratch, "/tmp/sinter_temp_XXXXXX");
  *state = p;
  return mkdtemp(p->folder) && mkdtemp(p->scratch) && setenv("TMPDIR", p->scratch, 1) == 0 ? 0 : -1;
}

static int files_in(const char *folder) {
  int n = 0;
  DIR *d = opendir(folder);
  assert_non_null(d);
  for (struct dirent *e; (e = readdir(d));) n += e->d_name[0] != '.';
  closedir(d);
  return n;
}

static int teardown(void **state) {
  Folders *p = *state;
  char command[256];
  bool clean = files_in(p->scratch) == 0; /* no temporary file is left, whatever the test was */
  snprintf(command, sizeof command, "rm -rf %s %s", p->folder, p->scratch);
  int rc = system(command);
  free(p);
  return clean && rc == 0 ? 0 : -1;
}

static void trace(Ctx *c, const char *model, Program *p) {
  if (sir_trace(c, arena_printf(c->arena, "models/%s.sir", model), NULL, p)) return;
  fail_msg("%s", diag_first(c->diag, NULL));
}

static void must_compile(const char *model, CompileOptions o, CompileResult *r) {
  Ctx c = ctx_new();
  Program p;
  CompileResult mine;
  trace(&c, model, &p);
  o.source = arena_printf(c.arena, "models/%s.sir", model);
  if (!compile_program(&p, &o, r ? r : &mine)) {
    Buf b = {0};
    diag_print(c.diag, &b);
    fail_msg("%s", b.at);
  }
  if (!r) buf_free(&mine.text), buf_free(&mine.notes);
  ctx_free(&c);
}

/* SINTER_LLVM as it was when the program began. */
static char *emitter_given;
static void emitter_back(void) {
  if (emitter_given)
    setenv("SINTER_LLVM", emitter_given, 1);
  else
    unsetenv("SINTER_LLVM");
}

/* False with this id and sentence; nothing is in the folder afterwards. `%s` in the sentence stands for the output. */
static void must_refuse(const Folders *place, CompileOptions o, const char *id, const char *sentence) {
  Ctx c = ctx_new();
  Program p;
  CompileResult r;
  int before = files_in(place->folder);
  trace(&c, "add", &p);
  assert_false(compile_program(&p, &o, &r));
  const char *got_id, *got = diag_first(c.diag, &got_id), *star = strstr(sentence, "%s");
  char want[1024];
  if (star)
    snprintf(want, sizeof want, "%.*s%s%s", (int)(star - sentence), sentence, o.output, star + 2);
  else
    snprintf(want, sizeof want, "%s", sentence);
  assert_string_equal(got_id, id);
  assert_string_equal(got, want);
  assert_int_equal(files_in(place->folder), before);
  assert_int_equal(files_in(place->scratch), 0);
  buf_free(&r.text);
  buf_free(&r.notes);
  ctx_free(&c);
}

static const char *at(const Folders *p, const char *name) {
  static char path[4][128];
  static int k;
  k = (k + 1) % 4;
  snprintf(path[k], sizeof path[k], "%s/%s", p->folder, name);
  return path[k];
}

static char *contents(const char *path, size_t *n) {
  Arena *a = arena_new();
  const char *why = NULL;
  char *p = file_read(a, path, n, &why);
  if (!p) fail_msg("%s", why);
  char *copy = mem_alloc(*n + 1);
  memcpy(copy, p, *n);
  arena_free(a);
  return copy;
}

/* ---- artefacts ---- */

static void c_program(const Folders *p, const char *name, const char *arguments) {
  static const char *const level[] = {"v2", "v3", "v4"};
  char command[1024];
  snprintf(command, sizeof command,
           "cc -std=c17 -Wall -Wextra -Werror -O1 -I%s tests/c/%s.c %s/%s.so -lm -o %s/%s_program", p->folder, name,
           p->folder, name, p->folder, name);
  assert_int_equal(system(command), 0);
  for (int i = 0; i < 3; i++) {
    if (i == 2 && !__builtin_cpu_supports("x86-64-v4")) {
      puts("not run: level v4, this processor does not have it");
      continue;
    }
    for (int threads = 1; threads <= 7; threads += threads == 3 ? 4 : 1) {
      snprintf(command, sizeof command,
               "SINTER_CPU=%s SINTER_THREADS=%d LD_LIBRARY_PATH=%s %s/%s_program %s > /dev/null", level[i], threads,
               p->folder, p->folder, name, arguments);
      assert_int_equal(system(command), 0);
    }
  }
}

static void add_from_c(void **state) {
  must_compile("add", (CompileOptions){.output = at(*state, "add.so"), .check = true}, NULL);
  c_program(*state, "add", "");
}

static void digits_from_c(void **state) {
  must_compile("digits", (CompileOptions){.output = at(*state, "digits.so")}, NULL);
  c_program(*state, "digits", at(*state, "digits.safetensors"));
}

static void same_bytes(const char *a, const char *b) {
  size_t n, m;
  char *x = contents(a, &n), *y = contents(b, &m);
  assert_int_equal(n, m);
  assert_memory_equal(x, y, n);
  free(x);
  free(y);
}

static void equal_bytes(void **state) {
  Folders *p = *state;
  assert_int_equal(mkdir(at(p, "a"), 0777) | mkdir(at(p, "b"), 0777), 0);
  must_compile("digits", (CompileOptions){.output = at(p, "a/digits.so"), .jobs = 1}, NULL);
  must_compile("digits", (CompileOptions){.output = at(p, "b/digits.so"), .jobs = 5}, NULL);
  same_bytes(at(p, "a/digits.so"), at(p, "b/digits.so"));
  same_bytes(at(p, "a/digits.h"), at(p, "b/digits.h"));
}

static void tail(void **state) {
  must_compile("add", (CompileOptions){.output = at(*state, "add.so"), .cpu = "v3"}, NULL);
  size_t n;
  char *p = contents(at(*state, "add.so"), &n);
  SinterTail t;
  assert_true(n > sizeof t);
  memcpy(&t, p + n - sizeof t, sizeof t);
  assert_memory_equal(t.magic, "SINTER\r\n", 8);
  assert_int_equal(t.abi, SINTER_ABI_VERSION);
  assert_int_equal(t.size, sizeof t);
  assert_int_equal(t.length, n - sizeof t);
  assert_int_equal(t.machine, SINTER_MACHINE_X86_64);
  assert_true(t.crc64 == crc64(p, n - sizeof t.crc64, 0));
  SinterModel m;
  assert_true(t.model < n - sizeof t - sizeof m);
  memcpy(&m, p + t.model, sizeof m);
  assert_true(m.size == sizeof m && m.abi == SINTER_ABI_VERSION && m.levels == 1 << SINTER_LEVEL_V3);
  free(p);
}

/* The loader's view: what the file wants, of which version, and what it gives. */
static void check_loading(const char *path, int machine, const char *version) {
  size_t n;
  char *p = contents(path, &n);
  const Elf64_Ehdr *e = (const void *)p;
  assert_int_equal(e->e_machine, machine);
  const Elf64_Shdr *s = (const void *)(p + e->e_shoff);
  int exported = 0, needed = 0;
  for (int i = 0; i < e->e_shnum; i++) {
    const char *strings = s[i].sh_link < e->e_shnum ? p + s[s[i].sh_link].sh_offset : NULL;
    if (s[i].sh_type == SHT_DYNSYM)
      for (const Elf64_Sym *y = (const void *)(p + s[i].sh_offset), *end = y + s[i].sh_size / sizeof *y; ++y < end;) {
        const char *name = strings + y->st_name;
        bool ok;
        if (y->st_shndx != SHN_UNDEF) {
          ok = !strncmp(name, "add_", 4) || !strcmp(name, "sinter_query_v1");
          exported++;
        } else
          ok = of_libc(name) && strncmp(name, "dl", 2); /* libraries are for GPUs */
        if (!ok) fail_msg("the artefact has the symbol %s", name);
        if (!strncmp(name, "pthread_", 8)) assert_int_equal(ELF64_ST_BIND(y->st_info), STB_WEAK);
      }
    if (s[i].sh_type == SHT_DYNAMIC)
      for (const Elf64_Dyn *d = (const void *)(p + s[i].sh_offset); d->d_tag != DT_NULL; d++) {
        if (d->d_tag == DT_NEEDED) assert_string_equal(strings + d->d_un.d_val, "libc.so.6"), needed++;
        if (d->d_tag == DT_SONAME) assert_string_equal(strings + d->d_un.d_val, "add.so");
        assert_true(d->d_tag != DT_RPATH && d->d_tag != DT_RUNPATH && d->d_tag != DT_TEXTREL);
      }
    if (s[i].sh_type == SHT_GNU_verneed) {
      const Elf64_Verneed *v = (const void *)(p + s[i].sh_offset);
      assert_int_equal(v->vn_next, 0);
      assert_int_equal(v->vn_cnt, 1);
      assert_string_equal(strings + ((const Elf64_Vernaux *)(const void *)((const char *)v + v->vn_aux))->vna_name,
                          version);
    }
    assert_int_not_equal(s[i].sh_type, SHT_SYMTAB); /* stripped */
    assert_true((s[i].sh_flags & (SHF_WRITE | SHF_EXECINSTR)) != (SHF_WRITE | SHF_EXECINSTR));
  }
  assert_int_equal(exported, 13);
  assert_int_equal(needed, 1);
  const Elf64_Phdr *h = (const void *)(p + e->e_phoff);
  bool stack = false;
  for (int i = 0; i < e->e_phnum; i++)
    if (h[i].p_type == PT_GNU_STACK) stack = !(h[i].p_flags & PF_X);
  assert_true(stack);
  free(p);
}

static void depends_on_little(void **state) {
  must_compile("add", (CompileOptions){.output = at(*state, "add.so"), .target = "x86_64"}, NULL);
  check_loading(at(*state, "add.so"), EM_X86_64, "GLIBC_2.2.5");
  must_compile("add", (CompileOptions){.output = at(*state, "add.so"), .target = "aarch64"}, NULL);
  check_loading(at(*state, "add.so"), EM_AARCH64, "GLIBC_2.17");
}

/* An artefact for the other machine has the same header; it can be looked at here, and is refused before it is loaded.
 */
static void other_machine(void **state) {
  Folders *p = *state;
  bool arm = sinter_machine() == SINTER_MACHINE_AARCH64;
  const char *here = arm ? "aarch64" : "x86_64", *other = arm ? "x86_64" : "aarch64";
  char why[SINTER_WHY], want[512];
  SinterArtefact a;
  assert_int_equal(mkdir(at(p, "a"), 0777) | mkdir(at(p, "b"), 0777), 0);
  must_compile("digits", (CompileOptions){.output = at(p, "a/digits.so")}, NULL);
  must_compile("digits", (CompileOptions){.output = at(p, "b/digits.so"), .target = other}, NULL);
  same_bytes(at(p, "a/digits.h"), at(p, "b/digits.h"));
  const char *path = at(p, "b/digits.so");
  assert_false(sinter_artefact_open(&a, path, why));
  snprintf(want, sizeof want, "%s is for %s and cannot run on this machine: compile the model with --target %s", path,
           other, here);
  assert_string_equal(why, want);
  uint32_t levels[2];
  for (int i = 0; i < 2; i++) {
    if (!sinter_artefact_read(&a, i ? path : at(p, "a/digits.so"), why)) fail_msg("%s", why);
    assert_null(a.api);
    assert_string_equal(sinter_machine_text(a.machine), i ? other : here);
    assert_string_equal(sinter_text(a.model, a.model->name), "digits");
    levels[i] = a.model->levels;
    sinter_artefact_close(&a);
  }
  assert_int_equal(levels[arm], 1 << SINTER_LEVEL_V2 | 1 << SINTER_LEVEL_V3 | 1 << SINTER_LEVEL_V4);
  assert_int_equal(levels[!arm], 1 << SINTER_LEVEL_A64);
}

static void object(void **state) {
  must_compile("add", (CompileOptions){.output = at(*state, "add.o"), .emit = EMIT_OBJ}, NULL);
  size_t n;
  char *p = contents(at(*state, "add.o"), &n);
  assert_int_equal(((const Elf64_Ehdr *)(const void *)p)->e_type, ET_REL);
  free(p);
  p = contents(at(*state, "add.h"), &n);
  free(p);
}

static void own_prefix(void **state) {
  must_compile("add", (CompileOptions){.output = at(*state, "sum.so"), .prefix = "my_sum", .cpu = "v2"}, NULL);
  size_t n;
  char *p = contents(at(*state, "sum.h"), &n);
  assert_non_null(strstr(p, "int my_sum_add(my_sum_context *, const my_sum_add_in *, my_sum_add_out *);"));
  free(p);
}

/* ---- texts ---- */

static void graph_text(void **state) {
  (void)state;
  CompileResult r, again;
  must_compile("digits", (CompileOptions){.emit = EMIT_GRAPH, .check = true}, &r);
  Ctx c = ctx_new();
  Program p;
  if (!sir_trace_text(&c, "models/flat.sir", r.text.at, r.text.n, NULL, &p)) fail_msg("%s", diag_first(c.diag, NULL));
  Buf b = {0};
  program_print(&p, true, &b);
  assert_string_equal(b.at, r.text.at);
  buf_free(&b);
  ctx_free(&c);
  must_compile("digits", (CompileOptions){.emit = EMIT_GRAPH}, &again);
  assert_string_equal(again.text.at, r.text.at);
  buf_free(&r.text);
  buf_free(&again.text);
}

static void loop_text(void **state) {
  (void)state;
  static const char *const level[] = {"v2", "v3", "v4", "a64"};
  for (int i = 0; i < 4; i++) {
    CompileResult r;
    must_compile(
        "digits",
        (CompileOptions){.emit = EMIT_LOOP, .target = i < 3 ? "x86_64" : "aarch64", .cpu = level[i], .check = true},
        &r);
    Ctx c = ctx_new();
    LoopModule *m;
    if (!loop_parse(&c, "digits.loop", r.text.at, r.text.n, &m) || !loop_verify(m, level[i]))
      fail_msg("%s", diag_first(c.diag, NULL));
    Buf b = {0};
    loop_print(m, &b);
    assert_string_equal(b.at, r.text.at);
    buf_free(&b);
    buf_free(&r.text);
    ctx_free(&c);
  }
}

static void llvm_text(void **state) {
  (void)state;
  CompileResult r;
  must_compile("add", (CompileOptions){.emit = EMIT_LLVM, .cpu = "v2,v3"}, &r);
  assert_non_null(strstr(r.text.at, "; level v2\n"));
  assert_non_null(strstr(r.text.at, "<8 x float>"));
  buf_free(&r.text);
}

static void dumps_and_times(void **state) {
  Folders *p = *state;
  CompileResult r;
  must_compile(
      "add", (CompileOptions){.output = at(p, "add.so"), .dump_dir = at(p, "dumps"), .time = true, .cpu = "v2,v3"}, &r);
  static const char *const files[] = {"00_trace.sir", "01_inline.sir", "02_simplify.sir", "03_half.sir",
                                      "04_plan_v2.loop"};
  for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
    char path[256];
    snprintf(path, sizeof path, "%s/dumps/%s", p->folder, files[i]);
    assert_int_equal(access(path, R_OK), 0);
  }
  assert_non_null(strstr(r.notes.at, " ms  simplify\n"));
  assert_non_null(strstr(r.notes.at, " ms  link\n"));
  buf_free(&r.notes);
}

static void explanation(void **state) {
  (void)state;
  Ctx c = ctx_new();
  Program p;
  Buf b = {0};
  trace(&c, "digits", &p);
  assert_true(explain_program(&p, &(CompileOptions){.emit = EMIT_LOOP, .cpu = "v4"}, &b));
  assert_non_null(strstr(b.at, "entry predict on v4: "));
  assert_non_null(strstr(b.at, "schedule k0 v4 = gemm(MR = "));
  assert_non_null(strstr(b.at, "\n      of the tiles "));
  assert_non_null(strstr(b.at, "fused with dot_general (digits.sir:"));
  assert_non_null(strstr(b.at, "at B = 256, at least "));
  assert_non_null(strstr(b.at, "    work: 33792 * B FLOP, 1280 * B + 66560 bytes; at B = 256: 8.65 MFLOP, 394 kB, "
                               "21.9 FLOP a byte, bound by compute\n"));
  buf_free(&b);
  ctx_free(&c);
}

/* A library carries what is said of its model, of all its levels at once, in a section that no loader maps. */
static void explanation_inside(void **state) {
  Folders *p = *state;
  char why[SINTER_WHY], want[256], *text;
  Ctx c = ctx_new();
  Program q;
  Buf b = {0};
  size_t with, without;
  trace(&c, "digits", &q);
  assert_true(explain_program(&q, &(CompileOptions){.emit = EMIT_LOOP, .cpu = "v2,v3,v4"}, &b));
  assert_non_null(strstr(b.at, "entry predict on v2, v3, v4: 4 kernels\n"));
  must_compile("digits", (CompileOptions){.output = at(p, "digits.so")}, NULL);
  if (!sinter_artefact_explain(at(p, "digits.so"), &text, why)) fail_msg("%s", why);
  assert_string_equal(text, b.at);
  free(text);
  char *file = contents(at(p, "digits.so"), &with);
  const Elf64_Ehdr *e = (const void *)file;
  const Elf64_Shdr *s = (const void *)(file + e->e_shoff);
  int found = 0;
  for (int i = 0; i < e->e_shnum; i++)
    if (!strcmp(file + s[e->e_shstrndx].sh_offset + s[i].sh_name, SINTER_EXPLAIN_SECTION)) {
      assert_int_equal(s[i].sh_flags & SHF_ALLOC, 0);
      assert_int_equal(s[i].sh_size, b.n);
      found++;
    }
  assert_int_equal(found, 1);
  free(file);
  must_compile("digits", (CompileOptions){.output = at(p, "less.so"), .no_explain = true}, NULL);
  free(contents(at(p, "less.so"), &without));
  assert_true(with - without >= b.n && with - without < b.n + 256);
  assert_false(sinter_artefact_explain(at(p, "less.so"), &text, why));
  snprintf(want, sizeof want,
           "%s holds no explanation, for it was compiled with --no-explain: explain the model's file instead",
           at(p, "less.so"));
  assert_string_equal(why, want);
  buf_free(&b);
  ctx_free(&c);
}

/* ---- what cannot be written ---- */

static void output_refused(void **state) {
  Folders *p = *state;
  must_refuse(p, (CompileOptions){.output = p->folder}, "output-folder",
              "cannot write %s: it is a folder; name a file by -o");
  must_refuse(p, (CompileOptions){.output = at(p, "x/")}, "output-folder",
              "cannot write %s: it is a folder; name a file by -o");
  must_refuse(p, (CompileOptions){.output = ""}, "output-name", "the name of the output is empty: give one by -o FILE");
  must_refuse(p, (CompileOptions){.output = "/nowhere/add.so"}, "output-parent",
              "cannot write %s: there is no folder /nowhere");
  must_refuse(p, (CompileOptions){.output = "/dev/null/add.so"}, "output-parent",
              "cannot write %s: there is no folder /dev/null");
  must_refuse(p, (CompileOptions){.output = "/dev/null"}, "output-special",
              "cannot write %s: it is no ordinary file; name one by -o");
  must_refuse(p, (CompileOptions){.output = "models/add.sir", .source = "models/../models/add.sir", .emit = EMIT_GRAPH},
              "output-source", "cannot write %s: it is the model itself; name another file by -o");
  assert_int_equal(mkdir(at(p, "add.h"), 0777), 0); /* the header's place is taken */
  char sentence[256];
  snprintf(sentence, sizeof sentence, "cannot write %s: it is a folder; name a file by -o", at(p, "add.h"));
  must_refuse(p, (CompileOptions){.output = at(p, "add.so")}, "output-folder", sentence);
}

static void linker_refused(void **state) {
  Folders *p = *state;
  must_refuse(p, (CompileOptions){.output = at(p, "add.so"), .linker = "no-such-lld"}, "no-linker",
              "cannot run the linker no-such-lld: it is not installed; install it (Debian: apt-get install lld-19) or "
              "name one by --linker");
  must_refuse(p, (CompileOptions){.output = at(p, "add.so"), .linker = "/dev/null"}, "no-linker",
              "cannot run the linker /dev/null: Permission denied");
  must_refuse(p, (CompileOptions){.output = at(p, "add.so"), .linker = "false"}, "link",
              "the linker false failed: it ended with status 1");
}

static void options_refused(void **state) {
  Folders *p = *state;
  must_refuse(p, (CompileOptions){.output = at(p, "add.so"), .cpu = "v5"}, "cpu-level",
              "'v5' is no CPU level: give --cpu v2, v3, v4, several of them with commas between, a64 for --target "
              "aarch64, or native");
  must_refuse(p, (CompileOptions){.output = at(p, "add.so"), .target = "arm"}, "target",
              "'arm' is no target: give --target x86_64 or aarch64");
  must_refuse(p, (CompileOptions){.output = at(p, "add.so"), .target = "x86_64", .cpu = "v2,a64"}, "cpu-level",
              "'a64' is a CPU level of aarch64, but the target is x86_64: give --target aarch64, or another --cpu");
  must_refuse(p, (CompileOptions){.output = at(p, "add.so"), .target = "aarch64", .cpu = "v3"}, "cpu-level",
              "'v3' is a CPU level of x86_64, but the target is aarch64: give --target x86_64, or another --cpu");
  must_refuse(p, (CompileOptions){.output = at(p, "add.so"), .dump_dir = "/nowhere/dumps"}, "dump-dir",
              "cannot make the folder /nowhere/dumps for dumps: No such file or directory");
}

static void emitter_missing(void **state) {
  Folders *p = *state;
  assert_int_equal(setenv("SINTER_LLVM", "/nowhere/libsinter_llvm.so", 1), 0);
  must_refuse(p, (CompileOptions){.output = at(p, "add.so")}, "no-emitter",
              "cannot open the code generator libsinter_llvm.so beside the program: /nowhere/libsinter_llvm.so: cannot "
              "open shared object file: "
              "No such file or directory; commands that make no code work without it");
  emitter_back();
}

/* A code generator of our own whose emit_object is this. */
static void other_emitter(const Folders *p, const char *name, const char *body, const char *size) {
  char command[1024];
  FILE *f = fopen(at(p, "emitter.c"), "w");
  assert_non_null(f);
  fprintf(f,
          "#include \"emitter.h\"\n#include <signal.h>\n#include <stdlib.h>\n#include <unistd.h>\nstatic bool "
          "bad(const EmitRequest *q, EmitResult *r) { "

          "(void)q; (void)r; %s }\n"
          "const SinterEmitter *sinter_emitter(void) { static const SinterEmitter e = {%s, \"bad\", bad, bad, NULL}; "
          "return &e; }\n",
          body, size);
  assert_int_equal(fclose(f), 0);
  snprintf(command, sizeof command,
           "cc -shared -fPIC -Icompiler/emit -Icompiler/loop -Icompiler/graph -Icompiler/sym -Icompiler/base "
           "-Icompiler/target %s/emitter.c -o %s/%s",
           p->folder, p->folder, name);
  assert_int_equal(system(command), 0);
  assert_int_equal(setenv("SINTER_LLVM", at(p, name), 1), 0);
}

static void emitter_fails(void **state) {
  Folders *p = *state;
  CompileOptions o = {.output = at(p, "add.so"), .cpu = "v2"};
  other_emitter(p, "dies.so", "abort();", "sizeof e");
  must_refuse(p, o, "emit-child",
              "the code generator died of signal 6 on kernel add_0_elementwise for v2; this is a mistake in Sinter, "
              "please report it with the model");
  other_emitter(p, "refuses.so", "r->error = \"it does not want to\"; return false;", "sizeof e");
  must_refuse(p, o, "emit", "cannot generate kernel add_0_elementwise for v2: it does not want to");
  other_emitter(p, "old.so", "return true;", "1");
  must_refuse(p, o, "no-emitter",
              "cannot open the code generator libsinter_llvm.so beside the program: it is of another version; commands "
              "that make no code work without it");
  emitter_back();
}

/* A signal that a user ends programs by, in the middle of the work: the caller's handler runs, or the process ends by
 * it; nothing stays either way. */
static int last_signal;
static void note_signal(int s) { last_signal = s; }
static void interrupted(void **state) {
  Folders *p = *state;
  char output[128];
  snprintf(output, sizeof output, "%s", at(p, "add.so"));
  CompileOptions o = {.output = output, .cpu = "v2"};
  static const int SIGNALS[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};
  for (int i = 0; i < 4; i++) {
    char body[128], name[32], want[128];
    struct sigaction act = {.sa_handler = note_signal}, before;
    snprintf(body, sizeof body, "kill(getppid(), %d); r->error = \"it goes on\"; return false;", SIGNALS[i]);
    snprintf(name, sizeof name, "signals_%d.so", i);
    other_emitter(p, name, body, "sizeof e");
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
      setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
      Ctx c = ctx_new();
      Program program;
      CompileResult r;
      trace(&c, "add", &program);
      compile_program(&program, &o, &r);
      _exit(0);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGNALS[i]);
    assert_int_equal(files_in(p->scratch), 0);
    assert_int_equal(access(o.output, F_OK), -1);
    assert_int_equal(sigaction(SIGNALS[i], &act, &before), 0);
    snprintf(want, sizeof want, "compiling was stopped by signal %d; nothing was written", SIGNALS[i]);
    must_refuse(p, o, "interrupted", want);
    assert_int_equal(last_signal, SIGNALS[i]);
    act.sa_handler = SIG_IGN; /* as under nohup: it goes on */
    assert_int_equal(sigaction(SIGNALS[i], &act, NULL), 0);
    must_refuse(p, o, "emit", "cannot generate kernel add_0_elementwise for v2: it goes on");
    assert_int_equal(sigaction(SIGNALS[i], &before, NULL), 0);
  }
  emitter_back();
}

static void temporary_folder_missing(void **state) {
  Folders *p = *state;
  assert_int_equal(setenv("TMPDIR", "/nowhere", 1), 0);
  must_refuse(p, (CompileOptions){.output = at(p, "add.so")}, "temporary-folder",
              "cannot make a temporary folder in /nowhere: No such file or directory; set TMPDIR to a folder that can "
              "be written");
  setenv("TMPDIR", p->scratch, 1);
}

/* At every limit from nothing to more than enough: a sentence and no file, or all of it. */
static void file_size_limit(void **state) {
  Folders *p = *state;
  bool done = false;
  for (rlim_t limit = 512; !done; limit *= 2) {
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
      Ctx c = ctx_new();
      Program program;
      CompileResult r;
      trace(&c, "add", &program);
      setrlimit(RLIMIT_FSIZE, &(struct rlimit){limit, limit});
      bool ok = compile_program(&program, &(CompileOptions){.output = at(p, "add.so")}, &r);
      static const char *const ids[] = {"emit", "temporary-file", "link", "output-file"}; /* by how far it came */
      const char *id = "", *said = diag_first(c.diag, &id);
      bool known = false;
      for (int i = 0; i < 4; i++) known |= !strcmp(id, ids[i]);
      if (!ok && !(known && strstr(said, "file-size limit")))
        fprintf(stderr, "at %lu: %s [%s]\n", (unsigned long)limit, said, id);
      _exit(ok ? 0 : known && diag_errors(c.diag) == 1 && strstr(said, "file-size limit") ? 1 : 2);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) < 2);
    done = WEXITSTATUS(status) == 0;
    assert_int_equal(files_in(p->folder), done ? 2 : 0);
    assert_int_equal(files_in(p->scratch), 0);
    assert_true(limit < 1 << 20);
  }
}

int main(void) {
  if (getenv("SINTER_LLVM")) emitter_given = strdup(getenv("SINTER_LLVM"));
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
  const struct CMUnitTest tests[] = {
      T(add_from_c),        T(digits_from_c),      T(equal_bytes),    T(tail),
      T(depends_on_little), T(other_machine),      T(object),         T(own_prefix),
      T(graph_text),        T(loop_text),          T(llvm_text),      T(dumps_and_times),
      T(explanation),       T(explanation_inside), T(output_refused), T(linker_refused),
      T(options_refused),   T(emitter_missing),    T(emitter_fails),  T(temporary_folder_missing),
      T(file_size_limit),   T(interrupted),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
