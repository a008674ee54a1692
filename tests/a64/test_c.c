/* C programs written against generated headers, for AArch64: the shared library is found by the C library's own loader,
 * the static library is linked in. Run from the root. */
#include "qemu.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
// cmocka wants the headers above it
#include <cmocka.h>
#include "run_sinter.h"

static void must(int status) {
  if (status) fail_msg("status %d: %s%s", status, out, err);
}

/* tests/c/NAME.c with the library that `compile` makes of models/NAME.sir, with `least` threads and with 3. */
static void program(const char *name, const char *kind, const char *file, const char *arguments, int least) {
  char command[512], source[64], library[128], path[128];
  if (qemu_missing()) {
    print_message("skipped: %s\n", qemu_missing());
    skip(); /* not every system has the other machine's emulator */
  }
  snprintf(command, sizeof command, "compile $ROOT/models/%s.sir --target aarch64 --emit %s -o %s", name, kind, file);
  must(sinter(command));
  snprintf(source, sizeof source, "tests/c/%s.c", name);
  snprintf(library, sizeof library, "%s/%s", folder, file);
  snprintf(path, sizeof path, "%s/%s_%s", folder, name, kind);
  assert_true(qemu_program(path, source, folder, library));
  for (int threads = least; threads <= 3; threads += 2) assert_int_equal(qemu_run(path, arguments, threads), 0);
}

static void add_shared(void **state) { (void)state, program("add", "so", "add.so", "", 1); }
static void add_static(void **state) { (void)state, program("add", "lib", "libadd.a", "", 1); }

static void digits_shared(void **state) {
  (void)state;
  char weights[128];
  snprintf(weights, sizeof weights, "%s/digits.safetensors", folder);
  program("digits", "so", "digits.so", weights, 3);
}

static void looked_at(void **state) {
  (void)state;
  must(sinter("compile $ROOT/models/add.sir --target aarch64 -o other.so"));
  must(sinter("info other.so"));
  assert_non_null(strstr(out, "machine: aarch64\nlevels: a64 (here: none)\n"));
  assert_int_equal(sinter("run other.so add 1 2"), 1);
  assert_string_equal(err, "sinter: other.so is for aarch64 and cannot run on this machine: compile the model with "
                           "--target x86_64\n");
  must(sinter("explain $ROOT/models/add.sir --target aarch64"));
  assert_non_null(strstr(out, "entry add on a64: "));
  must(sinter("explain other.so"));
  assert_non_null(strstr(out, "entry add on a64: "));
  must(sinter("compile $ROOT/models/add.sir --target aarch64 --emit llvm"));
  assert_non_null(strstr(out, "target triple = \"aarch64-unknown-linux-gnu\""));
}

static int make(void **state) {
  (void)state;
  strcpy(folder, "/tmp/sinter_a64_c_XXXXXX");
  return !mkdtemp(folder);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(looked_at), cmocka_unit_test(add_shared),
                                     cmocka_unit_test(add_static), cmocka_unit_test(digits_shared)};
  return cmocka_run_group_tests(tests, make, clean);
}
