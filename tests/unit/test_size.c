/* What the bytes of an artefact are, by a linker's map (size_map.h): a map made by hand, and texts that are none. */
#include "size_map.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const char MAP[] =
    "             VMA              LMA     Size Align Out     In      Symbol\n"
    "             17c0             17c0      400    64 .rodata\n"
    "             17c0             17c0       30    16         <internal>:(.rodata.cst16)\n"
    "             1b00             1b00       10     1         /tmp/a:(b)/v2_0.o:(.rodata)\n"
    "             1bc0             1bc0      200    64         /tmp/a:(b)/host.o:(.rodata)\n"
    "             1bc0             1bc0      1c0     1                 sinter_model\n"
    "             1d80             1d80       40     1                 sinter_consts\n"
    "             1dc0             1dc0       80     1                 sinter_gpu\n"
    "             1dc0             1dc0       20     1         <internal>:(.rodata.str1.1)\n"
    "             2000             2000      800    16 .text\n"
    "             2000             2000      123    16         /tmp/a:(b)/v2_0.o:(.text)\n"
    "             2000             2000      100     1                 k0_f_0_gemm_main_v2\n"
    "             2100             2100       23     1                 k1_f_1_row_main_v2\n"
    "             2200             2200      400    16         /tmp/a:(b)/v3_0.o:(.text)\n"
    "             2200             2200      200     1                 k1_f_1_row_main_v3\n"
    "             2400             2400      180     1                 k0_f_0_gemm_main_v3\n"
    "             2600             2600       20    16         /tmp/a:(b)/host.o:(.text)\n"
    "             2600             2600        5     1                 m_open\n"
    "             2700             2700      600    16         /tmp/a:(b)/runtime.o:(.text.sinter_rt_open)\n"
    "             2700             2700      600     1                 sinter_rt_open\n"
    "               0                0       21     1         /tmp/a:(b)/host.o:(.sinter.explain)\n"
    "             4000             4000    10080   128 .bss\n"
    "             4000             4000    10080   128         /tmp/a:(b)/runtime.o:(.bss.pool)\n";
static const char TABLE[] = "m.so: 5000 bytes\n"
                            "       291  kernels for v2\n"
                            "       896  kernels for v3\n"
                            "        64  constants of the kernels\n"
                            "       352  tables\n"
                            "        64  constants of the model\n"
                            "       128  code for GPUs\n"
                            "      1568  runtime\n"
                            "        33  text of sinter explain, not loaded\n"
                            "      1604  headers, symbols, relocations, alignment\n"
                            "\n"
                            "        v2        v3  kernel\n"
                            "       256       384  f_0_gemm_main\n"
                            "        35       512  f_1_row_main\n";

static void table(void **state) {
  (void)state;
  Ctx c = ctx_new();
  SizeMap m;
  Buf b = {0};
  size_map_read(c.arena, MAP, 5000, &m);
  size_map_print(&m, "m.so", &b);
  assert_string_equal(b.at, TABLE);
  buf_free(&b);
  ctx_free(&c);
}

static void limit(void **state) {
  (void)state;
  Ctx c = ctx_new();
  SizeMap m;
  const char *id;
  size_map_read(c.arena, MAP, 5000, &m);
  assert_true(size_map_within(&c, &m, "m.so", 5000));
  assert_false(size_map_within(&c, &m, "m.so", 4999));
  assert_string_equal(
      diag_first(c.diag, &id),
      "m.so would have 5000 bytes, above --max-size 4999; its largest parts: runtime 1568, kernels for v3 "
      "896, tables 352; fewer levels (--cpu) or architectures (--gpu) make it smaller");
  assert_string_equal(id, "max-size");
  ctx_free(&c);
  c = ctx_new();
  size_map_read(c.arena, "", 10, &m);
  assert_false(size_map_within(&c, &m, "m.so", 9));
  assert_string_equal(diag_first(c.diag, &id),
                      "m.so would have 10 bytes, above --max-size 9; its largest parts: not known");
  ctx_free(&c);
}

/* Cut anywhere, and with any byte changed: read without a step outside of the text. */
static void damage(void **state) {
  (void)state;
  for (size_t i = 0; i < sizeof MAP - 1; i++)
    for (int how = 0; how < 4; how++) {
      static const char change[] = "\n :f";
      Arena *a = arena_new();
      SizeMap m;
      char *copy = strdup(MAP);
      if (how)
        copy[i] = change[how];
      else
        copy = realloc(copy, i + 1), copy[i] = 0;
      size_map_read(a, copy, 5000, &m);
      free(copy);
      arena_free(a);
    }
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(table), cmocka_unit_test(limit), cmocka_unit_test(damage)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
