/* The loop of a product of 512 x 512 matrices for AArch64: what share of its vector instructions multiply and add. Runs
 * `sinter compile` from the root; nothing of the other machine is wanted. */
#include "scan.h"
#include "str.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include "run_sinter.h"

static void take(const ScanFunction *f, void *ctx) {
  if (strstr(f->name, "_gemm_main_")) *(ScanFunction *)ctx = *f;
}

static void product_loop(void **state) {
  (void)state;
  char path[128];
  size_t n;
  const char *why = "";
  ScanFunction f = {0};
  Arena *a = arena_new();
  strcpy(folder, "/tmp/sinter_tile_XXXXXX");
  assert_non_null(mkdtemp(folder));
  int status = sinter("compile $ROOT/tests/bench/models/gemm.sir --target aarch64 --emit obj -o gemm.o");
  snprintf(path, sizeof path, "%s/gemm.o", folder);
  char *object = file_read(a, path, &n, &why);
  char command[128];
  snprintf(command, sizeof command, "rm -rf %s", folder);
  assert_int_equal(system(command), 0);
  if (status || !object) fail_msg("%s%s", err, why);
  scan_open();
  why = scan_object((const uint8_t *)object, n, NULL, &(ScanVisit){take, NULL}, &f);
  if (why) fail_msg("%s", why);
  print_message("%d of %d vector instructions of the loop multiply and add\n", f.products, f.vectors);
  assert_true(f.products >= 20 && 4 * f.products >= 3 * f.vectors);
  assert_int_equal(f.loop_spills, 0);
  arena_free(a);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(product_loop)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
