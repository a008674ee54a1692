/* What an artefact may want of the C library. Include after cmocka.h. */
#ifndef SINTER_TESTS_LIBC_LIST_H
#define SINTER_TESTS_LIBC_LIST_H
#include <stdio.h>
#include <string.h>

/* Whether compiler/emit/libc.list has the name. */
static bool of_libc(const char *name) {
  char line[256];
  bool found = false;
  FILE *f = fopen("compiler/emit/libc.list", "r");
  assert_non_null(f);
  while (fgets(line, sizeof line, f)) {
    line[strcspn(line, " #\n")] = 0;
    found |= *line && !strcmp(line, name);
  }
  fclose(f);
  return found;
}
#endif
