/* A test a file: the files named on the command line, else those of the patterns. Include after cmocka.h. */
#ifndef SINTER_TESTS_EACH_FILE_H
#define SINTER_TESTS_EACH_FILE_H
#include <glob.h>
#include <stdlib.h>

/* `one` gets the path as *state. Returns the number of failures, as main does; 1 if a pattern finds nothing. */
static inline int each_file(const char *group, int argc, char **argv, const char *const *patterns,
                            CMUnitTestFunction one) {
  glob_t g = {0};
  for (size_t i = 0; argc < 2 && patterns[i]; i++)
    if (glob(patterns[i], i ? GLOB_APPEND : 0, NULL, &g)) return 1;
  size_t n = argc < 2 ? g.gl_pathc : (size_t)argc - 1;
  struct CMUnitTest *tests = calloc(n, sizeof *tests);
  for (size_t i = 0; i < n; i++) {
    char *path = argc < 2 ? g.gl_pathv[i] : argv[i + 1];
    tests[i] = (struct CMUnitTest){path, one, NULL, NULL, path};
  }
  int failed = _cmocka_run_group_tests(group, tests, n, NULL, NULL);
  free(tests);
  if (argc < 2) globfree(&g);
  return failed;
}
#endif
