/* Static libraries and objects of models, as other compilers and linkers take them: two models in one program, in C and
 * in C++. Runs `sinter compile`, gcc, g++ and clang from the root of the repository. */
#include <elf.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>
#include "libc_list.h"
#include "run_sinter.h"

static char file[1 << 20];
static size_t file_bytes;

static void must(int status) {
  if (status) fail_msg("status %d: %s%s", status, out, err);
}

static void read_file(const char *name) {
  char path[128];
  snprintf(path, sizeof path, "%s/%s", folder, name);
  FILE *f = fopen(path, "rb");
  assert_non_null(f);
  file_bytes = fread(file, 1, sizeof file, f);
  assert_true(file_bytes && file_bytes < sizeof file);
  fclose(f);
}

static int make(void **state) {
  (void)state;
  snprintf(folder, sizeof folder, "/tmp/test_deploy_%d", (int)getpid());
  return mkdir(folder, 0777) || sinter("compile $ROOT/models/add.sir --emit lib -o libadd.a") ||
         sinter("compile $ROOT/models/digits.sir --emit lib -o libdigits.a") ||
         sinter("compile $ROOT/models/add.sir --emit obj -o add.o") ||
         sinter("compile $ROOT/models/digits.sir --emit obj --cpu v2,v3 -o digits.o");
}

/* ---- programs ---- */

static char first_run[256];

static void build_and_run(const char *compiler, const char *models) {
  must(shell("%s -Wall -Wextra -Werror -I. $ROOT/tests/c/two_models.c %s -o program", compiler, models));
  assert_string_equal(err, ""); /* no linker warns */
  for (int threads = 1; threads <= 3; threads += 2) {
    must(shell("SINTER_CPU=v3 SINTER_THREADS=%d ./program", threads));
    if (!*first_run) snprintf(first_run, sizeof first_run, "%.255s", out);
    assert_string_equal(out, first_run); /* the same result whatever linked it */
  }
}

static void c_programs(void **state) {
  (void)state;
  build_and_run("gcc -std=c17", "-L. -ldigits -ladd");
  build_and_run("gcc -std=c99 -O2 -flto -Wl,--gc-sections", "libadd.a libdigits.a");
  build_and_run("gcc -no-pie -fno-pie", "-L. -ldigits -ladd");
  build_and_run("clang-19 -std=c17", "-L. -ladd -ldigits");
  build_and_run("clang-19 -fuse-ld=lld-19 -Wl,--gc-sections,--icf=all", "-L. -ladd -ldigits");
}

static void cxx_programs(void **state) {
  (void)state;
  build_and_run("g++ -x c++ -std=c++11", "-x none -L. -ladd -ldigits");
  build_and_run("clang++-19 -nostdlib++ -x c++ -std=c++20", "-x none libadd.a libdigits.a");
}

static void static_program(void **state) {
  (void)state;
  build_and_run("gcc -static", "-L. -ladd -ldigits");
  build_and_run("gcc -static -Wl,-u,pthread_create,-u,pthread_join", "-L. -ladd -ldigits"); /* with threads */
}

static void objects(void **state) {
  (void)state;
  build_and_run("gcc", "add.o digits.o");
  build_and_run("clang++-19 -nostdlib++ -fuse-ld=lld-19 -x c++", "-x none digits.o add.o");
}

static void in_a_shared_library(void **state) {
  (void)state;
  must(shell("gcc -shared -Wl,--whole-archive libadd.a -Wl,--no-whole-archive libdigits.a -Wl,-z,defs -o libboth.so"));
  assert_string_equal(err, "");
  must(shell("gcc -shared -Wl,--whole-archive libadd.a libdigits.a -Wl,--no-whole-archive -o libboth.so"));
  build_and_run("gcc", "-L. -lboth -Wl,-rpath,$PWD");
}

/* ---- models/digits/digits_filter.c ---- */

static void filter_refuses(const char *input, const char *sentence) {
  assert_int_equal(shell("printf '%s' | ./digits_filter weights", input), 1);
  assert_string_equal(out, "");
  assert_string_equal(err, sentence);
}

static void digits_filter(void **state) {
  (void)state;
  must(shell("T=$ROOT/models/digits/test_x.npy; { head -c 128 $T | LC_ALL=C sed 's/(360, 64)/(250, 64)/'; "
             "tail -c +129 $T | head -c 64000; } >x.npy"));
  must(sinter("compile $ROOT/models/digits.sir --cpu v2,v3 -o digits.so"));
  must(sinter("train digits.so --data x=$ROOT/models/digits/train_x.npy y=$ROOT/models/digits/train_y.npy --epochs 2 "
              "--save weights"));
  must(sinter("run digits.so predict x=x.npy --weights weights --out ."));
  must(shell(
      "gcc -std=gnu17 -Wall -Wextra -Werror -I. $ROOT/models/digits/digits_filter.c -L. -ldigits -o digits_filter"));
  must(shell("od -An -v -t d8 -w8 -j128 label.npy | tr -d ' ' >want && [ $(wc -l <want) = 250 ]"));
  must(shell("od -An -v -t f4 -w256 -j128 x.npy | ./digits_filter weights | cmp - want"));
  must(shell("od -An -v -t f4 -w32 -j128 x.npy | sed '8~8G;s/  */, /2g' | ./digits_filter weights | cmp - want"));
  filter_refuses("1 2\\n", "digits_filter: input, line 1: a line has 8 numbers or 64\n");
  filter_refuses("1 2 3 4 5 6 7 8\\n\\n8 7 6 five\\n",
                 "digits_filter: input, line 3: there is something that is no number\n");
  filter_refuses("1 2 3 4 5 6 7 17\\n", "digits_filter: input, line 1: a number is not from 0 to 16\n");
  filter_refuses("nan 2 3 4 5 6 7 8\\n", "digits_filter: input, line 1: a number is not from 0 to 16\n");
  filter_refuses("1 2 3 4 5 6 7 8\\n1 2 3 4 5 6 7 8",
                 "digits_filter: input, line 2: it ends within a digit: 8 lines of 8 numbers make one\n");
  assert_int_equal(shell("{ echo 1 1 1 1 1 1 1 1; yes 1 | head -n 64 | paste -s -d ' ' -; } | ./digits_filter weights"),
                   1);
  assert_string_equal(err, "digits_filter: input, line 2: there are more numbers than the 64 of a digit\n");
  assert_int_equal(shell("./digits_filter weights </"), 1);
  assert_string_equal(err, "digits_filter: input: it cannot be read\n");
  assert_int_equal(shell("od -An -v -t f4 -w256 -j128 x.npy | ./digits_filter weights >/dev/full"), 1);
  assert_string_equal(err, "digits_filter: output: it cannot be written\n");
  assert_int_equal(shell("./digits_filter none </dev/null"), 1);
  assert_string_equal(err, "digits_filter: weights: cannot open none: there is no such file or folder\n");
  must(shell("./digits_filter weights </dev/null"));
  assert_int_equal(shell("./digits_filter"), 2);
}

/* ---- what they hold ---- */

static void check_symbols(const char *p, size_t n, const char *prefix, int functions) {
  const Elf64_Ehdr *h = (const void *)p;
  assert_memory_equal(h->e_ident, ELFMAG, SELFMAG);
  assert_int_equal(h->e_type, ET_REL);
  assert_true(h->e_shoff + h->e_shnum * sizeof(Elf64_Shdr) <= n);
  const Elf64_Shdr *s = (const void *)(p + h->e_shoff);
  int defined = 0, undefined = 0, tables = 0;
  bool stack = false;
  for (int i = 0; i < h->e_shnum; i++) {
    stack |=
        !strcmp(p + s[h->e_shstrndx].sh_offset + s[i].sh_name, ".note.GNU-stack") && !(s[i].sh_flags & SHF_EXECINSTR);
    assert_int_not_equal(s[i].sh_type, SHT_GROUP);
    if (s[i].sh_type != SHT_SYMTAB) continue;
    tables++;
    const Elf64_Sym *y = (const void *)(p + s[i].sh_offset);
    for (uint64_t k = 1; k < s[i].sh_size / sizeof *y; k++) {
      const char *name = p + s[s[i].sh_link].sh_offset + y[k].st_name;
      bool local = ELF64_ST_BIND(y[k].st_info) == STB_LOCAL, known = false;
      assert_true(local == (k < s[i].sh_info));
      if (local) continue;
      if (y[k].st_shndx == SHN_UNDEF)
        known = of_libc(name), undefined++;
      else
        known = !strncmp(name, prefix, strlen(prefix)), defined++;
      if (!known) fail_msg("there is a global symbol %s", name);
      if (!strncmp(name, "pthread_", 8)) assert_int_equal(ELF64_ST_BIND(y[k].st_info), STB_WEAK);
    }
  }
  assert_int_equal(defined, functions);
  assert_true(undefined > 10);
  assert_int_equal(tables, 1);
  assert_true(stack); /* or the stack of the program becomes executable */
}

static void library_format(void **state) {
  (void)state;
  read_file("libadd.a");
  static char object[1 << 20];
  size_t n = file_bytes;
  memcpy(object, file, n);
  read_file("add.o");
  assert_memory_equal(object, "!<arch>\n/               0           0     0     0       ", 56);
  assert_memory_equal(object + n - file_bytes - file_bytes % 2, file, file_bytes); /* ends with the object itself */
  assert_int_equal((n - file_bytes - file_bytes % 2) % 8, 0);
  must(shell("ar t libadd.a && ar t libdigits.a"));
  assert_string_equal(out, "add.o\ndigits.o\n");
  must(shell("nm -s libadd.a | sed -n '/^Archive index/,/^$/p'"));
  assert_string_equal(
      out, "Archive index:\nadd_open in add.o\nadd_close in add.o\nadd_save in add.o\nadd_get in add.o\n"
           "add_set in add.o\nadd_to in add.o\nadd_open_message in add.o\nadd_workspace in add.o\nadd_new in add.o\n"
           "add_free in add.o\nadd_message in add.o\nadd_add in add.o\nadd_query_v1 in add.o\n\n");
  check_symbols(file, file_bytes, "add_", 13);
  read_file("digits.o");
  check_symbols(file, file_bytes, "digits_", 15);
}

static void long_names(void **state) {
  (void)state;
  must(sinter("compile $ROOT/models/add.sir --emit lib --cpu v2 --prefix a_rather_long_prefix -o m.a"));
  must(shell("ar t m.a && llvm-ar-19 t m.a && nm m.a | grep -c ' T a_rather_long_prefix_' && ls m.h"));
  assert_string_equal(out, "a_rather_long_prefix.o\na_rather_long_prefix.o\n13\nm.h\n");
}

static void names_of_headers(void **state) {
  (void)state;
  must(shell("ls add.h digits.h"));
  assert_int_not_equal(shell("ls libadd.h"), 0);
  must(sinter("compile $ROOT/models/add.sir --emit lib --cpu v2 -o lib.a && cd . && ls lib.h"));
  assert_string_equal(out, "lib.h\n");
}

static void aarch64(void **state) {
  (void)state;
  must(sinter("compile $ROOT/models/digits.sir --emit lib --target aarch64 -o libarm.a"));
  must(shell("ar p libarm.a >arm.o && ar t libarm.a"));
  read_file("arm.o");
  check_symbols(file, file_bytes, "digits_", 15);
}

/* ---- the same bytes ---- */

/* Two folders, ways to name the model, folders for temporary files, numbers of processes. */
static void same_bytes(void **state) {
  (void)state;
  static const char *const kinds[] = {"so", "lib", "exe", "so --target aarch64", "exe --target aarch64"};
  must(shell("mkdir -p here/tmp there/deeper/temporary && cp $ROOT/models/digits.sir here && "
             "cp $ROOT/models/digits.sir there/deeper"));
  for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
    char arguments[512];
    snprintf(arguments, sizeof arguments, "compile $PWD/there/deeper/digits.sir --emit %s -j 4 --size -o there/m.o",
             kinds[i]);
    assert_int_equal(setenv("TMPDIR", "there/deeper/temporary", 1), 0);
    must(sinter(arguments));
    assert_int_equal(setenv("TMPDIR", "here/tmp", 1), 0);
    snprintf(arguments, sizeof arguments, "compile here/digits.sir --emit %s -j 1 -o here/m.o", kinds[i]);
    must(sinter(arguments));
    unsetenv("TMPDIR");
    must(shell("cmp here/m.o there/m.o && cmp here/m.h there/m.h"));
  }
}

/* ---- assembly ---- */

/* What it assembles to has every kernel of the object, in the same size. */
static void assembly(void **state) {
  (void)state;
  static const char *const level[] = {"v2", "v3", "v4", "a64"}, *const machine[] = {"x86_64", "x86_64", "x86_64",
                                                                                    "aarch64"};
  for (int i = 0; i < 4; i++) {
    char arguments[256];
    snprintf(arguments, sizeof arguments, "compile $ROOT/models/digits.sir --emit asm --target %s --cpu %s -o k.s",
             machine[i], level[i]);
    must(sinter(arguments));
    snprintf(arguments, sizeof arguments, "compile $ROOT/models/digits.sir --emit obj --target %s --cpu %s -o k.o",
             machine[i], level[i]);
    must(sinter(arguments));
    must(shell("clang-19 --target=%s-linux-gnu -c k.s -o text.o && for f in text k; do "
               "llvm-nm-19 -S $f.o | awk '$4 ~ /^k[0-9]+_.*_%s$/ {print $2, $4}' | sort >$f.sizes; done; "
               "cmp text.sizes k.sizes && [ $(wc -l <k.sizes) -gt 30 ]",
               machine[i], level[i]));
  }
  must(sinter("compile $ROOT/models/add.sir --emit asm --cpu v2,v3"));
  assert_non_null(strstr(out, "# level v2\n"));
  assert_non_null(strstr(out, "# level v3\n"));
  assert_non_null(strstr(out, "\nk0_add_0_elementwise_main_v3: "));
  assert_non_null(strstr(out, "Inner Loop Header: Depth=2\n"));
}

/* ---- sizes ---- */

/* The number before a word at the end of a line. */
static long number_of(const char *what) {
  const char *at = strstr(out, what);
  if (!at) fail_msg("no line `%s` in\n%s", what, out);
  while (at > out && at[-1] != '\n') at--;
  return strtol(at, NULL, 10);
}

static void sizes(void **state) {
  (void)state;
  static const char *const kinds[] = {"so", "lib"};
  for (int i = 0; i < 2; i++) {
    char command[256];
    snprintf(command, sizeof command, "compile $ROOT/models/digits.sir --emit %s --size -o m_%s", kinds[i], kinds[i]);
    must(sinter(command));
    snprintf(command, sizeof command, "m_%s", kinds[i]);
    read_file(command);
    assert_int_equal(number_of(" bytes\n"), 0); /* the name of the file comes first */
    assert_int_equal(strtol(strstr(out, ": ") + 2, NULL, 10), file_bytes);
    long kernels = number_of("  kernels for v2\n") + number_of("  kernels for v3\n") + number_of("  kernels for v4\n");
    long rest = number_of("  headers, symbols, relocations, alignment\n"), runtime = number_of("  runtime\n");
    long explain = i == 0 ? number_of("  text of sinter explain, not loaded\n") : 0;
    assert_int_equal(kernels + number_of("  constants of the kernels\n") + number_of("  tables\n") + runtime + explain +
                         rest,
                     file_bytes);
    assert_true(runtime > 10 * 1024 && runtime < 100 * 1024);
    assert_true(rest > 0 && (i > 0 || rest < 16 * 1024));
    long each = 0;
    for (const char *line = strstr(out, "  kernel\n"); (line = strchr(line, '\n')) && line[1];) {
      char *p = (char *)++line;
      for (int level = 0; level < 3; level++) each += strtol(p, &p, 10);
    }
    assert_int_equal(each, kernels);
  }
}

static void size_limit(void **state) {
  (void)state;
  must(sinter("compile $ROOT/models/add.sir --cpu v2 --max-size 100K -o small.so && ls small.so small.h"));
  assert_int_equal(sinter("compile $ROOT/models/add.sir --max-size 20000 -o large.so"), 1);
  assert_non_null(strstr(err, "error: large.so would have "));
  assert_non_null(strstr(err, " bytes, above --max-size 20000; its largest parts: runtime "));
  assert_non_null(strstr(err, "; fewer levels (--cpu) make it smaller [max-size]\n"));
  assert_int_not_equal(shell("ls large.so large.h"), 0);
}

/* ---- refusals ---- */

static void says(const char *arguments, int status, const char *sentence) {
  assert_int_equal(sinter(arguments), status);
  assert_string_equal(err, sentence);
}

static void not_to_open(void **state) {
  (void)state;
#define SENTENCE " is made to be linked into a program: to open it, compile the model with --emit so\n"
  says("run libdigits.a predict", 1, "sinter: libdigits.a" SENTENCE);
  says("info add.o", 1, "sinter: add.o" SENTENCE);
}

#define USE "`sinter compile --help` says how it is used.\n"
static void refusals(void **state) {
  (void)state;
  says("compile $ROOT/models/add.sir --emit lib", 2, "sinter: where to? Name the output by -o FILE\n" USE);
  says("compile $ROOT/models/add.sir --emit a -o m.a", 2,
       "sinter: --emit wants so, exe, obj, lib, graph, loop, llvm or asm, not \"a\"\n" USE);
  says("compile $ROOT/models/add.sir --emit lib --target x86_64 --cpu v2,a64 -o m2.a", 1,
       "error: 'a64' is a CPU level of aarch64, but the target is x86_64: give --target aarch64, or another --cpu "
       "[cpu-level]\n");
  static const char *const numbers[] = {"x", "0", "-1", "10k", "1G", "9999999999999", "K"};
  for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
    char arguments[128], sentence[256];
    snprintf(arguments, sizeof arguments, "compile $ROOT/models/add.sir -o m2.a --max-size=%s", numbers[i]);
    snprintf(sentence, sizeof sentence,
             "sinter: --max-size wants a number of bytes, also as 300K or 2M, not \"%s\"\n" USE, numbers[i]);
    says(arguments, 2, sentence);
  }
  says("compile $ROOT/models/add.sir --emit loop --size", 2,
       "sinter: --size and --max-size go with --emit so, lib or obj, not with loop\n" USE);
  says("compile $ROOT/models/add.sir --emit lib --cpu v2 --size=2 -o m2.a", 2, "sinter: --size takes no value\n" USE);
  must(shell("printf '#!/bin/sh\\nwhile [ \"$1\" != -o ]; do shift; done; echo no object >\"$2\"\\n' >odd_lld && "
             "chmod +x odd_lld"));
  says("compile $ROOT/models/add.sir --emit lib --cpu v2 --linker ./odd_lld -o m2.a", 1,
       "error: cannot use the object that the linker ./odd_lld made: it is no relocatable ELF object of 64 bits "
       "[link-object]\n");
  assert_int_not_equal(shell("ls m2.a m2.h"), 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(c_programs),  cmocka_unit_test(cxx_programs),        cmocka_unit_test(static_program),
      cmocka_unit_test(objects),     cmocka_unit_test(in_a_shared_library), cmocka_unit_test(library_format),
      cmocka_unit_test(long_names),  cmocka_unit_test(names_of_headers),    cmocka_unit_test(aarch64),
      cmocka_unit_test(not_to_open), cmocka_unit_test(digits_filter),       cmocka_unit_test(assembly),
      cmocka_unit_test(sizes),       cmocka_unit_test(same_bytes),          cmocka_unit_test(size_limit),
      cmocka_unit_test(refusals),
  };
  return cmocka_run_group_tests(tests, make, clean);
}
