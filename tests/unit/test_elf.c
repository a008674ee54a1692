/* Objects whose inner symbols become local (elf_local.h), and the static library around one (archive.h): objects that
 * clang makes, every kind of damage, the exact bytes of the format. Runs clang-19 and cc. */
#include "archive.h"
#include "elf_local.h"
#include "str.h"
#include <elf.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static char folder[64];

/* The same source twice, as A and as B: both have a `count`, a `state`, a weak `twice`, and a group `shared`. */
static const char SOURCE[] = "#define TEXT_(x) #x\n#define TEXT(x) TEXT_(x)\n"
                             "__attribute__((visibility(\"hidden\"))) int state = START;\n"
                             "extern int getpid(void);\n"
                             "__asm__(\".section .text.shared,\\\"axG\\\",@progbits,shared,comdat\\n.weak "
                             "shared\\nshared: mov $\" TEXT(START) \", %eax\\n"
                             "ret\\n.text\\n\");\n"
                             "int shared(void);\n"
                             "__attribute__((weak)) int twice(int x) { return x * 2 + START; }\n"
                             "__attribute__((noinline, visibility(\"hidden\"))) int count(void) { return ++state; }\n"
                             "int NAME(open)(void) { return getpid() > 0 ? count() : 0; }\n"
                             "int NAME(more)(void) { return twice(count()) + shared() * 1000; }\n";
static const char MAIN[] = "#include <stdio.h>\nint a_open(void), a_more(void), b_open(void), b_more(void);\n"
                           "int count(void) { return 5; }\nint shared(void) { return 6; }\n"
                           "int main(void) { int (*const f[])(void) = {a_open, a_more, b_open, b_more};\n"
                           "for (int i = 0; i < 4; i++) printf(\"%d \", f[i]());\n"
                           "return count() + shared() - 11; }\n";

static const char *at(Arena *a, const char *name) { return arena_printf(a, "%s/%s", folder, name); }

static void write_file(Arena *a, const char *name, const void *p, size_t n) {
  const char *why;
  if (!file_write(a, at(a, name), p, n, &why)) fail_msg("%s", why);
}

static uint8_t *object(Arena *a, char letter, int start, size_t *n) {
  const char *why, *path = at(a, "x.o");
  write_file(a, "x.c", SOURCE, strlen(SOURCE));
  if (system(arena_printf(a,
                          "clang-19 --target=x86_64-linux-gnu -O1 -fPIC -ffunction-sections -fno-ident -fno-addrsig "
                          "'-DNAME(x)=%c_##x' -DSTART=%d -c %s -o %s.part && ld.lld-19 -r %s.part -o %s",
                          letter, start, at(a, "x.c"), path, path, path)))
    fail_msg("no object");
  uint8_t *p = (uint8_t *)file_read(a, path, n, &why);
  assert_non_null(p);
  return p;
}

static int make(void **state) {
  (void)state;
  snprintf(folder, sizeof folder, "/tmp/test_elf_XXXXXX");
  return mkdtemp(folder) ? 0 : -1;
}

static int clean(void **state) {
  (void)state;
  char command[128];
  snprintf(command, sizeof command, "rm -rf %s", folder);
  return system(command);
}

static const char *const A[] = {"a_open", "a_more"}, *const B[] = {"b_open", "b_more"};

static void two_in_one_program(void **state) {
  (void)state;
  Arena *a = arena_new();
  const char *why;
  size_t n, bytes;
  uint8_t *p = object(a, 'a', 10, &n);
  if (!elf_make_local(a, p, n, A, 2, &why)) fail_msg("%s", why);
  write_file(a, "a.o", p, n);
  p = object(a, 'b', 20, &n);
  if (!elf_make_local(a, p, n, B, 2, &why)) fail_msg("%s", why);
  p = archive_write(a, "b.o", p, n, B, 2, &bytes);
  write_file(a, "libb.a", p, bytes);
  write_file(a, "main.c", MAIN, strlen(MAIN));
  const char *said, *const linkers[] = {"cc", "clang-19 -fuse-ld=lld-19 -Wl,--icf=all"};
  for (int i = 0; i < 2; i++) {
    assert_int_equal(
        system(arena_printf(a, "cd %s && %s main.c a.o libb.a -o program && ./program >said", folder, linkers[i])), 0);
    said = file_read(a, at(a, "said"), &n, &why);
    assert_string_equal(said, "11 10034 21 20064 "); /* count, twice, shared: each its own */
  }
  arena_free(a);
}

static bool accepts(const uint8_t *p, size_t n, const char **why) {
  Arena *a = arena_new();
  uint8_t *copy = memcpy(mem_alloc(n ? n : 1), p, n); /* of its exact size: reading beyond it is seen */
  const char *said = NULL;
  bool ok = elf_make_local(a, copy, n, A, 2, &said);
  if (!ok) assert_non_null(said);
  if (why) *why = said;
  free(copy);
  arena_free(a);
  return ok;
}

/* Any byte of the tables changed, the file cut anywhere: an answer, never a step outside. */
static void damage(void **state) {
  (void)state;
  Arena *a = arena_new();
  size_t n;
  uint8_t *p = object(a, 'a', 10, &n);
  assert_true(accepts(p, n, NULL));
  static const uint8_t change[] = {0x01, 0x80, 0xff, 0x10};
  int refused = 0;
  for (size_t i = 0; i < n; i++)
    for (size_t k = 0; k < sizeof change; k++) {
      p[i] ^= change[k];
      refused += !accepts(p, n, NULL);
      p[i] ^= change[k];
    }
  assert_true(refused > 100);
  for (size_t cut = 0; cut < n; cut++) assert_false(accepts(p, cut, NULL));
  arena_free(a);
}

static Elf64_Shdr *section(uint8_t *p, uint32_t type) {
  const Elf64_Ehdr *h = (const void *)p;
  Elf64_Shdr *s = (void *)(p + h->e_shoff);
  for (int i = 1; i < h->e_shnum; i++)
    if (s[i].sh_type == type) return &s[i];
  fail_msg("no section of type %u", type);
  return NULL;
}

static void sentences(void **state) {
  (void)state;
  Arena *a = arena_new();
  const char *why;
  size_t n;
  uint8_t *whole = object(a, 'a', 10, &n), *p = memcpy(arena_alloc(a, n), whole, n);
  Elf64_Ehdr *h = (void *)p;
  Elf64_Shdr *table = section(p, SHT_SYMTAB), *relocations = section(p, SHT_RELA), *group = section(p, SHT_GROUP);
  Elf64_Sym *last = (Elf64_Sym *)(void *)(p + table->sh_offset) + table->sh_size / sizeof *last - 1;
#define REFUSED(change, sentence)                                                                                      \
  do {                                                                                                                 \
    change;                                                                                                            \
    assert_false(accepts(p, n, &why));                                                                                 \
    assert_string_equal(why, sentence);                                                                                \
    memcpy(p, whole, n);                                                                                               \
  } while (0)
  REFUSED(h->e_type = ET_DYN, "it is no relocatable ELF object of 64 bits");
  REFUSED(h->e_ident[EI_DATA] = ELFDATA2MSB, "it is no relocatable ELF object of 64 bits");
  REFUSED(h->e_shnum = 0, "its table of sections is damaged");
  REFUSED(h->e_shoff = n - 64, "its table of sections is damaged");
  REFUSED(table->sh_type = SHT_PROGBITS, "it has no symbol table");
  REFUSED(relocations->sh_type = SHT_SYMTAB, "it has two symbol tables");
  REFUSED(table->sh_size += 1, "its symbol table is damaged");
  REFUSED(table->sh_link = 0, "the names of its symbols are damaged");
  REFUSED(last->st_name = UINT32_MAX, "the names of its symbols are damaged");
  REFUSED(relocations->sh_offset = UINT64_MAX - 7, "its relocations are damaged");
  REFUSED(((Elf64_Rela *)(void *)(p + relocations->sh_offset))->r_info = UINT64_MAX, "its relocations are damaged");
  REFUSED(group->sh_info = UINT32_MAX, "a group of its sections is damaged");
  REFUSED(group->sh_type = SHT_NOTE, "one of its sections refers to symbols in a way that is not known");
  REFUSED(last->st_shndx = SHN_COMMON; last->st_name = 0;
          last->st_info = ELF64_ST_INFO(STB_GLOBAL, STT_OBJECT), "it has a common symbol");
  assert_false(elf_make_local(a, p, n, B, 2, &why));
  assert_string_equal(why, "a function of the header is missing in it");
  arena_free(a);
}

static void archives(void **state) {
  (void)state;
  Arena *a = arena_new();
  size_t n;
  const uint8_t five[] = {'h', 'e', 'l', 'l', 'o'};
  const char *p = (const char *)archive_write(a, "m.o", five, 5, A, 2, &n);
  static const char want[] = "!<arch>\n"
                             "/               0           0     0     0       32        `\n"
                             "\0\0\0\2\0\0\0\x64\0\0\0\x64"
                             "a_open\0a_more\0\0\0\0\0\0\0"
                             "m.o/            0           0     0     644     5         `\n"
                             "hello\n";
  assert_int_equal(n, sizeof want - 1);
  assert_memory_equal(p, want, n);
  const char *name = "sixteen_chars_.o";
  p = (const char *)archive_write(a, name, five, 4, A, 0, &n);
  assert_memory_equal(p + 8 + 60 + 4, "\0\0\0\0\0\0", 4);
  assert_memory_equal(p + n - 64, "/0              0           0     0     644     4         `\nhell", 64);
  assert_memory_equal(p + n - 64 - 18, "sixteen_chars_.o/\n", 18);
  assert_int_equal((n - 4) % 8, 0);
  arena_free(a);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(two_in_one_program), cmocka_unit_test(damage),
                                     cmocka_unit_test(sentences), cmocka_unit_test(archives)};
  return cmocka_run_group_tests(tests, make, clean);
}
