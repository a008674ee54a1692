/* A stand-in for libnvrtc: the first word of a program says what becomes of it. Built by test_fake.c, with
 * MAJOR, the version that it claims, and LACKS_CUBIN, which leaves a function out. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct Program {
  char *text, out[1 << 21], log[256];
  const char *const *header, *const *name;
  int nheaders;
} Program;
enum { DONE = 0, OUT_OF_MEMORY = 1, COMPILATION = 6 };

int nvrtcVersion(int *major, int *minor) { return *major = MAJOR, *minor = 7, DONE; }
int nvrtcGetNumSupportedArchs(int *n) { return *n = 2, DONE; }
int nvrtcGetSupportedArchs(int *a) { return a[0] = 80, a[1] = 90, DONE; }
const char *nvrtcGetErrorString(int status) { return status == COMPILATION ? "NVRTC_ERROR_COMPILATION" : "?"; }

int nvrtcCreateProgram(Program **p, const char *text, const char *name, int n, const char *const *header,
                       const char *const *names) {
  (void)name;
  *p = calloc(1, sizeof **p);
  (*p)->text = strdup(text);
  (*p)->header = header;
  (*p)->name = names;
  (*p)->nheaders = n;
  return DONE;
}

static int begins(const Program *p, const char *word) { return strncmp(p->text, word, strlen(word)) == 0; }

int nvrtcCompileProgram(Program *p, int n, const char *const *option) {
  if (begins(p, "sleeps"))
    for (;;) pause();
  if (begins(p, "spins"))
    for (volatile int i = 0;; i = !i) continue;
  if (begins(p, "crashes")) raise(SIGSEGV);
  if (begins(p, "says") && puts("terminate called after throwing an instance of 'std::bad_alloc'") >= 0) {
    fflush(stdout);
    abort();
  }
  if (begins(p, "is killed")) raise(SIGKILL);
  if (begins(p, "leaves ")) exit(atoi(p->text + 7));
  if (begins(p, "grows")) /* up to the limit of memory */
    for (;;)
      if (!malloc(1 << 24)) return OUT_OF_MEMORY;
  if (begins(p, "is refused")) {
    strcpy(p->log, "a.cu(1): warning: odd\na.cu(2): error: no such thing\n  more\n1 error detected\n");
    return COMPILATION;
  }
  if (begins(p, "warns")) strcpy(p->log, "a.cu(1): warning: odd\n");
  if (begins(p, "has no reason")) return COMPILATION;
  if (begins(p, "is empty")) return DONE;
  char *to = p->out + sprintf(p->out, "%s\n", p->text);
  for (int i = 0; i < n; i++) to += sprintf(to, "%s\n", option[i]);
  for (int i = 0; i < p->nheaders; i++) to += sprintf(to, "%s: %s\n", p->name[i], p->header[i]);
  return DONE;
}
int nvrtcDestroyProgram(Program **p) { return free((*p)->text), free(*p), *p = NULL, DONE; }
int nvrtcGetProgramLogSize(Program *p, size_t *n) { return *n = strlen(p->log) + 1, DONE; }
int nvrtcGetProgramLog(Program *p, char *log) { return strcpy(log, p->log), DONE; }
#ifndef LACKS_CUBIN
int nvrtcGetCUBINSize(Program *p, size_t *n) { return *n = strlen(p->out), DONE; }
#endif
int nvrtcGetCUBIN(Program *p, char *code) { return memcpy(code, p->out, strlen(p->out)), DONE; }
int nvrtcGetPTXSize(Program *p, size_t *n) { return *n = strlen(p->out) + 1, DONE; }
int nvrtcGetPTX(Program *p, char *code) { return strcpy(code, p->out), DONE; }
