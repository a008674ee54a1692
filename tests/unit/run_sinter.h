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

/* Runs `sinter ...` in the folder, with $ROOT the root of the tree; exit status, 1000 and more for a crash. */
static int sinter(const char *arguments) {
  const char *bin = getenv("SINTER_BIN");
  char command[2048], root[512];
  assert_non_null(getcwd(root, sizeof root));
  snprintf(command, sizeof command, "cd %s && ROOT=%s && %s%s %s >stdout 2>stderr", folder, root,
           bin && *bin ? "" : root, bin && *bin ? bin : "/build/sinter", arguments);
  int status = system(command);
  slurp("stdout", out, sizeof out);
  slurp("stderr", err, sizeof err);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + status;
}
#endif
