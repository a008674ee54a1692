/* The reader of cubins and the counts of instructions (cubin.h, sass.h): on cubins of NVRTC 13.0.88 that lie in
 * tests/nvrtc/cubins (test_nvrtc.c makes them), truncated at every byte, and with bytes changed at random. */
#include "sass.h"
#include <elf.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static uint8_t *load(Arena *a, const char *name, size_t *n) {
  const char *why;
  uint8_t *p = (uint8_t *)file_read(a, arena_printf(a, "tests/nvrtc/cubins/%s.cubin", name), n, &why);
  if (!p) fail_msg("%s", why);
  return p;
}

static void read_all(Arena *a, const char *name, Cubin *c) {
  size_t n;
  const char *why;
  const uint8_t *p = load(a, name, &n);
  if (!cubin_read(a, p, n, c, &why)) fail_msg("%s: %s", name, why);
}

static void must_count(const Cubin *c, uint32_t k, const char *want) {
  const SassCounts counts = sass_count(&c->kernel[k], c->sm);
  Buf b = {0};
  sass_print(&counts, &b);
  assert_string_equal(b.at, want);
  buf_free(&b);
}

static void softmax(void **state) {
  (void)state;
  Arena *a = arena_new();
  Cubin c;
  read_all(a, "shuffles.sm_80", &c);
  const CubinKernel *k = c.kernel;
  assert_int_equal(c.sm, 80);
  assert_int_equal(c.nkernels, 1);
  assert_string_equal(k->name, "softmax");
  assert_int_equal(k->registers, 21);
  assert_int_equal(k->frame, 0);
  assert_int_equal(k->shared, 64);
  assert_int_equal(k->threads[0], 256);
  assert_int_equal(k->threads[1] * k->threads[2], 1);
  assert_int_equal(k->param_bytes, 16);
  assert_int_equal(k->nparams, 2);
  assert_int_equal(k->param[0].offset, 0);
  assert_int_equal(k->param[0].size, 8);
  assert_int_equal(k->param[1].offset, 8);
  must_count(&c, 0, "LDG.128 1, STG.128 1, LDS.128 4, STS.32 2, SHFL 10, BAR 2, MUFU 9, FFMA 9, CALL 1, 129 others");
  arena_free(a);
}

static void tensor_maps(void **state) {
  (void)state;
  Arena *a = arena_new();
  Cubin c;
  read_all(a, "wgmma90.sm_90a", &c);
  const CubinKernel *k = c.kernel;
  assert_int_equal(c.sm, 90);
  assert_int_equal(k->registers, 30);
  assert_int_equal(k->shared, 64 * 32 + 8 * 32 + 8); /* without what the system takes */
  assert_int_equal(k->threads[0], 128);
  assert_int_equal(k->nparams, 3);
  assert_int_equal(k->param[1].offset, 48); /* 64-byte alignment counts from the start of the constants, at 528 */
  assert_int_equal(k->param[2].offset, 48 + 128);
  assert_int_equal(k->param[2].size, 128);
  assert_int_equal(k->param_bytes, 48 + 2 * 128);
  must_count(&c, 0, "HGMMA 1, UTMALDG 2, SYNCS 4, WARPGROUP 2, STG.32 4, BAR 1, 74 others");
  arena_free(a);
}

static void several_kernels(void **state) {
  (void)state;
  static const struct {
    const char *name;
    uint32_t nparams, param_bytes, threads;
    const char *counts;
  } want[] = {{"copies", 1, 8, 0, "LDGSTS.32 1, LDGSTS.64 1, LDGSTS.128 1, LDS.32 3, 26 others"},
              {"large", 4, 5024, 0, "STG.u8 1, 23 others"},
              {"none", 0, 0, 0, "16 others"},
              {"widths", 2, 16, 128,
               "LDG.u8 1, LDG.u16 1, LDG.32 1, LDG.64 1, LDG.128 1, STG.u8 1, STG.u16 1, STG.32 1, STG.64 1, "
               "STG.128 1, 14 others"}};
  Arena *a = arena_new();
  Cubin c;
  read_all(a, "many.sm_100", &c);
  assert_int_equal(c.sm, 100);
  assert_int_equal(c.nkernels, 4);
  for (uint32_t i = 0; i < 4; i++) {
    assert_string_equal(c.kernel[i].name, want[i].name);
    assert_int_equal(c.kernel[i].nparams, want[i].nparams);
    assert_int_equal(c.kernel[i].param_bytes, want[i].param_bytes);
    assert_int_equal(c.kernel[i].threads[0], want[i].threads);
    must_count(&c, i, want[i].counts);
  }
  static const uint32_t large[4][2] = {{0, 5000}, {5000, 8}, {5008, 1}, {5016, 8}};
  for (int i = 0; i < 4; i++) {
    assert_int_equal(c.kernel[1].param[i].offset, large[i][0]);
    assert_int_equal(c.kernel[1].param[i].size, large[i][1]);
  }
  arena_free(a);
}

static void names(void **state) {
  (void)state;
  Arena *a = arena_new();
  Cubin c;
  uint32_t n;
  read_all(a, "many.sm_100", &c);
  const SassCounts widths = sass_count(&c.kernel[3], c.sm);
  assert_true(sass_named(&widths, "LDG", &n) && n == 5);
  assert_true(sass_named(&widths, "LDG.128", &n) && n == 1);
  assert_true(sass_named(&widths, "LDG.s8", &n) && n == 0);
  assert_true(sass_named(&widths, "MUFU", &n) && n == 0);
  assert_int_equal(sass_of(&widths, SASS_STG), 5);
  static const char *const unknown[] = {"", "LD G", "LDGX", "LDG.256", "LDG.", "MUFU.32", "NOP"};
  for (size_t i = 0; i < sizeof unknown / sizeof *unknown; i++) assert_false(sass_named(&widths, unknown[i], &n));
  arena_free(a);
}

/* ---- damage ---- */

/* Reads bytes that end where their memory ends, so that the address sanitizer sees a read beyond them; counts. */
static bool read_exactly(const uint8_t *p, size_t n, const char **why) {
  Arena *a = arena_new();
  uint8_t *copy = malloc(n ? n : 1);
  Cubin c;
  assert_non_null(copy);
  memcpy(copy, p, n);
  bool ok = cubin_read(a, copy, n, &c, why);
  for (uint32_t k = 0; ok && k < c.nkernels; k++) {
    const SassCounts counts = sass_count(&c.kernel[k], c.sm);
    uint32_t sum = counts.others;
    for (int op = 0; op < SASS_COUNT; op++) sum += sass_of(&counts, (SassOp)op);
    assert_int_equal(sum, c.kernel[k].ninstructions);
    assert_true(strlen(c.kernel[k].name) < n);
  }
  free(copy);
  arena_free(a);
  return ok;
}

static void truncated(void **state) {
  (void)state;
  Arena *a = arena_new();
  static const char *const files[] = {"shuffles.sm_80", "wgmma90.sm_90a"};
  for (int f = 0; f < 2; f++) {
    size_t n;
    const char *why;
    const uint8_t *p = load(a, files[f], &n);
    const Elf64_Ehdr *h = (const void *)p;
    size_t sections = h->e_shoff + h->e_shnum * sizeof(Elf64_Shdr); /* all that is read lies before their end */
    for (size_t k = 0; k <= n; k++) assert_int_equal(read_exactly(p, k, &why), k >= sections);
  }
  arena_free(a);
}

static void random_bytes(void **state) {
  (void)state;
  Arena *a = arena_new();
  static const char *const files[] = {"shuffles.sm_80", "wgmma90.sm_90a", "many.sm_100"};
  uint64_t seed = 1;
  int accepted = 0, refused = 0;
  for (int f = 0; f < 3; f++) {
    size_t n;
    const char *why;
    const uint8_t *p = load(a, files[f], &n);
    const Elf64_Ehdr *h = (const void *)p;
    uint8_t *q = malloc(n);
    assert_non_null(q);
    for (int round = 0; round < 4000; round++) {
      memcpy(q, p, n);
      for (int k = round % 4; k >= 0; k--) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        size_t room = n, from = 0;
        if (round % 3 == 1) from = h->e_shoff, room = h->e_shnum * sizeof(Elf64_Shdr); /* where it hurts most */
        if (round % 3 == 2) room = sizeof *h;
        q[from + (seed >> 33) % room] = (uint8_t)(seed >> 20);
      }
      *(read_exactly(q, n, &why) ? &accepted : &refused) += 1;
    }
    free(q);
  }
  assert_true(accepted > 1000 && refused > 1000); /* it gets past the first check, and not all is accepted */
  arena_free(a);
}

static Elf64_Shdr *section(uint8_t *p, const char *name) {
  Elf64_Ehdr *h = (void *)p;
  Elf64_Shdr *s = (void *)(p + h->e_shoff);
  for (int i = 0; i < h->e_shnum; i++)
    if (!strcmp((char *)p + s[h->e_shstrndx].sh_offset + s[i].sh_name, name)) return &s[i];
  fail_msg("no section %s", name);
  return NULL;
}

/* One change to a file, and what is said of it. */
#define REFUSED(change, want)                                                                                          \
  do {                                                                                                                 \
    const char *why_ = NULL;                                                                                           \
    size_t n;                                                                                                          \
    uint8_t *p = load(a, "wgmma90.sm_90a", &n);                                                                        \
    Elf64_Ehdr *h = (void *)p;                                                                                         \
    (void)h;                                                                                                           \
    change;                                                                                                            \
    assert_false(read_exactly(p, n, &why_));                                                                           \
    assert_string_equal(why_, want);                                                                                   \
  } while (0)

static void damaged(void **state) {
  (void)state;
  Arena *a = arena_new();
  REFUSED(h->e_type = ET_REL, "it is no cubin");
  REFUSED(h->e_machine = EM_X86_64, "it is no cubin");
  REFUSED(h->e_ident[EI_ABIVERSION] = 7, "it is no cubin of CUDA 13");
  REFUSED(h->e_shoff = n, "its table of sections is damaged");
  REFUSED(h->e_shstrndx = 200, "the names of its sections are damaged");
  REFUSED(section(p, ".strtab")->sh_offset = n, "the names of its symbols are damaged");
  REFUSED(section(p, ".symtab")->sh_type = SHT_NOTE, "it has no symbol table");
  REFUSED(section(p, ".symtab")->sh_size--, "its symbol table is damaged");
  REFUSED(section(p, ".text.wgmma90")->sh_offset = n - 16, "the code of a kernel is damaged");
  REFUSED(section(p, ".text.wgmma90")->sh_size -= 8, "the code of a kernel is damaged");
  REFUSED(p[section(p, ".shstrtab")->sh_offset + section(p, ".text.wgmma90")->sh_name] = ',',
          "the code of a kernel is missing");
  REFUSED(section(p, ".nv.shared.wgmma90")->sh_size = 1023, "the shared memory of a kernel is damaged");
  REFUSED(section(p, ".nv.info")->sh_offset = n, "the attributes of a kernel are damaged");
  REFUSED(section(p, ".nv.info.wgmma90")->sh_size -= 4, "the attributes of a kernel are damaged");
  REFUSED(section(p, ".nv.info.wgmma90")->sh_size -= 3, "the attributes of a kernel are damaged");
  REFUSED(p[section(p, ".nv.info.wgmma90")->sh_offset + 3] = 64, "the attributes of a kernel are damaged");
  REFUSED(p[section(p, ".nv.info.wgmma90")->sh_offset + 17] = 0x20, "a kernel has too many parameters");
  REFUSED(p[section(p, ".nv.info")->sh_offset + 6] = 1, "the attributes of a kernel are damaged");
  arena_free(a);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(softmax), cmocka_unit_test(tensor_maps), cmocka_unit_test(several_kernels),
      cmocka_unit_test(names),   cmocka_unit_test(truncated),   cmocka_unit_test(random_bytes),
      cmocka_unit_test(damaged),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
