/* build/sinter (or $SINTER_BIN) in a folder of the test's own, with what it printed. Include after cmocka.h. */
#ifndef SINTER_TESTS_RUN_SINTER_H
#define SINTER_TESTS_RUN_SINTER_H
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static char folder[64], out[32768], err[8192];

static void slurp(const char *name, char *to, size_t room) { /* a file of the folder; "" if there is none */
  char path[128];
  snprintf(path, sizeof path, "%s/%s", folder, name);
  FILE *f = fopen(path, "rb");
  size_t n = f ? fread(to, 1, room - 1, f) : 0;
  to[n] = 0;
  if (f) fclose(f);
}

/* Runs a command of the shell in the folder, with $ROOT the root of the tree and $SINTER the program; exit status, 1000
 * and more for a crash. */
__attribute__((format(printf, 1, 2))) static int shell(const char *fmt, ...) {
  const char *bin = getenv("SINTER_BIN");
  char words[3072], command[4608], root[512];
  va_list ap;
  va_start(ap, fmt);
  vsnprintf(words, sizeof words, fmt, ap);
  va_end(ap);
  assert_non_null(getcwd(root, sizeof root));
  snprintf(command, sizeof command, "cd %s && ROOT=%s && SINTER=%s%s && { %s; } >stdout 2>stderr", folder, root,
           bin && *bin ? "" : root, bin && *bin ? bin : "/build/sinter", words);
  int status = system(command);
  slurp("stdout", out, sizeof out);
  slurp("stderr", err, sizeof err);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + status;
}

/* Runs `sinter ...`. */
static inline int sinter(const char *arguments) { return shell("$SINTER %s", arguments); }

static inline int clean(void **state) { /* a teardown: removes the folder */
  (void)state;
  char command[128];
  snprintf(command, sizeof command, "rm -rf %s", folder);
  return system(command);
}
#endif
