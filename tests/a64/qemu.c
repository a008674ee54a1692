#include "qemu.h"
#include "wire.h"
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#define EMULATOR "qemu-aarch64-static"
#define LIBRARY  "/usr/aarch64-linux-gnu"

static struct {
  char folder[64];
  pid_t pid;
  int to, from;
  const SinterModel *model;
  char message[4096];
} q;

/* ---- programs ---- */

static void remove_driver(void) {
  char command[128];
  snprintf(command, sizeof command, "rm -rf %s", q.folder);
  if (system(command)) fprintf(stderr, "cannot remove %s\n", q.folder);
}

bool qemu_program(const char *output, const char *source, const char *include, const char *libraries) {
  char command[2048];
  int n =
      snprintf(command, sizeof command,
               "clang-19 --target=aarch64-linux-gnu -std=gnu17 -Wall -Wextra -Werror -O2 -fPIE -I%s -isystem " LIBRARY
               "/include -c %s -o %s.o && ld.lld-19 -pie -dynamic-linker /lib/ld-linux-aarch64.so.1 -rpath '$ORIGIN' "
               "-o %s " LIBRARY "/lib/Scrt1.o " LIBRARY "/lib/crti.o %s.o %s " LIBRARY "/lib/libc.so.6 " LIBRARY
               "/lib/libm.so.6 " LIBRARY "/lib/crtn.o",
               include, source, output, output, output, libraries);
  return n < (int)sizeof command && system(command) == 0;
}

int qemu_run(const char *program, const char *arguments, int threads) {
  char command[1024];
  int n = snprintf(command, sizeof command, "SINTER_THREADS=%d " QEMU_RUN " -L " LIBRARY " %s %s", threads, program,
                   arguments);
  return n < (int)sizeof command ? system(command) : -1;
}

static bool make_driver(void) {
  char driver[128];
  strcpy(q.folder, "/tmp/sinter_a64_XXXXXX");
  if (!mkdtemp(q.folder)) return false;
  atexit(remove_driver);
  snprintf(driver, sizeof driver, "%s/driver", q.folder);
  return qemu_program(driver, "tests/a64/driver.c", "runtime", "");
}

const char *qemu_emulator_missing(void) {
  return system("command -v " EMULATOR " >/dev/null") ? EMULATOR " is not installed (Debian: qemu-user-static)" : NULL;
}

const char *qemu_missing(void) {
  if (q.folder[0]) return NULL;
  if (qemu_emulator_missing()) return qemu_emulator_missing();
  if (access(LIBRARY "/lib/Scrt1.o", R_OK) || access(LIBRARY "/include/stdio.h", R_OK))
    return "there is no C library for AArch64 (Debian: libc6-dev-arm64-cross)";
  if (!make_driver()) {
    fprintf(stderr, "the driver does not build\n");
    exit(1);
  }
  return NULL;
}

static void stop(void) {
  if (!q.pid) return;
  close(q.to);
  close(q.from);
  int status;
  waitpid(q.pid, &status, 0);
  q.pid = 0;
}

static void died(void) {
  int status = 0;
  waitpid(q.pid, &status, 0);
  fprintf(stderr, "the driver under " EMULATOR " ended with status %d, signal %d\n",
          WIFEXITED(status) ? WEXITSTATUS(status) : 0, WIFSIGNALED(status) ? WTERMSIG(status) : 0);
  raise(SIGABRT);
}

static void put(const void *p, size_t n) {
  if (!wire_write(q.to, p, n)) died();
}
static void put_word(int64_t v) { put(&v, sizeof v); }
static void put_object(const void *p) { put_word((int64_t)(intptr_t)p); }

static void get(void *p, size_t n) {
  if (!wire_read(q.from, p, n)) died();
}
static int64_t get_word(void) {
  int64_t v;
  return get(&v, sizeof v), v;
}
static void get_message(void) {
  int64_t n = get_word();
  if (n >= (int64_t)sizeof q.message) died();
  get(q.message, (size_t)n);
  q.message[n] = 0;
}

static void start(const char *library) {
  char driver[128];
  int to[2], from[2];
  stop();
  snprintf(driver, sizeof driver, "%s/driver", q.folder);
  signal(SIGPIPE, SIG_IGN); /* a driver that died is said by died() */
  fflush(NULL);
  if (pipe(to) || pipe(from) || (q.pid = fork()) < 0) {
    perror("cannot start " EMULATOR);
    exit(1);
  }
  if (q.pid == 0) {
    dup2(to[0], 0);
    dup2(from[1], 1);
    close(to[0]), close(to[1]), close(from[0]), close(from[1]);
    execlp(EMULATOR, EMULATOR, "-cpu", QEMU_CPU, "-L", LIBRARY, driver, library, (char *)NULL);
    _exit(127);
  }
  close(to[0]);
  close(from[1]);
  q.to = to[1];
  q.from = from[0];
  get_word(); /* the library is loaded */
}

/* ---- the functions of an artefact ---- */

static int api_open(SinterWeights **w, const char *file, uint64_t seed) {
  if (file) return SINTER_ERROR_IO; /* weights are set one by one */
  put_word(WIRE_OPEN);
  put_word((int64_t)seed);
  int status = (int)get_word();
  *w = (SinterWeights *)(intptr_t)get_word();
  get_message();
  return status;
}

static void api_close(SinterWeights *w) { put_word(WIRE_CLOSE), put_object(w); }

static int cell(int what, SinterWeights *w, const char *name, size_t bytes, const void *data, void *to) {
  put_word(what);
  put_object(w);
  put_word((int64_t)strlen(name));
  put_word((int64_t)bytes);
  put(name, strlen(name));
  if (data) put(data, bytes);
  int status = (int)get_word();
  get_message();
  if (to) get(to, bytes);
  return status;
}
static int api_get(SinterWeights *w, const char *name, void *data, size_t bytes) {
  return cell(WIRE_GET, w, name, bytes, NULL, data);
}
static int api_set(SinterWeights *w, const char *name, const void *data, size_t bytes) {
  return cell(WIRE_SET, w, name, bytes, data, NULL);
}

static const char *api_open_message(const SinterWeights *w) { return (void)w, q.message; }
static const char *api_message(const SinterContext *c) { return (void)c, q.message; }

static int api_create(SinterContext **c, SinterWeights *w, const int64_t *most, void *memory, size_t bytes) {
  if (memory || bytes) return SINTER_ERROR_ARGUMENT;
  put_word(WIRE_CREATE);
  put_object(w);
  put(most, q.model->dims.n * sizeof *most);
  int status = (int)get_word();
  *c = (SinterContext *)(intptr_t)get_word();
  get_message();
  return status;
}

static void api_free(SinterContext *c) { put_word(WIRE_FREE), put_object(c); }

static int64_t port_bytes(const SinterPort *p, const int64_t *dims) {
  int64_t bytes = sinter_dtype_size(p->dtype), n;
  for (uint32_t i = 0; i < p->rank; i++)
    if (!sinter_sym(q.model, p->dim[i], dims, &n) || __builtin_mul_overflow(bytes, n, &bytes)) abort();
  return bytes;
}

static int api_call(SinterContext *c, uint32_t entry, const void *in, void *out) {
  const SinterModel *m = q.model;
  const SinterEntry *e = SINTER_LIST(SinterEntry, m, m->entries) + entry;
  const SinterPort *ins = SINTER_LIST(SinterPort, m, e->inputs), *outs = SINTER_LIST(SinterPort, m, e->outputs);
  const SinterDim *d = SINTER_LIST(SinterDim, m, e->dims);
  int64_t dims[WIRE_DIMS] = {0};
  char *data;
  put_word(WIRE_CALL);
  put_object(c);
  put_word(entry);
  for (uint32_t i = 0; i < e->dims.n; i++) {
    memcpy(&dims[d[i].index], (const char *)in + d[i].field, sizeof *dims);
    put_word(dims[d[i].index]);
  }
  for (uint32_t i = 0; i < e->outputs.n; i++) put_word(port_bytes(&outs[i], dims));
  for (uint32_t i = 0; i < e->inputs.n; i++) {
    int64_t bytes = port_bytes(&ins[i], dims);
    memcpy(&data, (const char *)in + ins[i].field, sizeof data);
    put_word(bytes);
    put(data, (size_t)bytes);
  }
  int status = (int)get_word();
  get_message();
  for (uint32_t i = 0; i < e->outputs.n; i++) {
    memcpy(&data, (char *)out + outs[i].field, sizeof data);
    get(data, (size_t)port_bytes(&outs[i], dims));
  }
  for (uint32_t i = 0; i < e->inputs.n; i++) {
    memcpy(&data, (const char *)in + ins[i].field, sizeof data);
    get(data, (size_t)port_bytes(&ins[i], dims));
  }
  return status;
}

static int api_threads(SinterContext *c, int n) {
  put_word(WIRE_THREADS);
  put_object(c);
  put_word(n);
  return (int)get_word();
}

static void api_set_call_number(SinterContext *c, uint32_t entry, uint64_t n) {
  put_word(WIRE_NUMBER);
  put_object(c);
  put_word(entry);
  put_word((int64_t)n);
}

static int api_level(void) {
  put_word(WIRE_LEVEL);
  return (int)get_word();
}

static const SinterApi API = {.size = sizeof API,
                              .abi = SINTER_ABI_VERSION,
                              .open = api_open,
                              .close = api_close,
                              .get = api_get,
                              .set = api_set,
                              .open_message = api_open_message,
                              .create = api_create,
                              .free = api_free,
                              .call = api_call,
                              .message = api_message,
                              .threads = api_threads,
                              .set_call_number = api_set_call_number,
                              .level = api_level};

bool qemu_artefact_open(SinterArtefact *a, const char *path, char *why) {
  if (!sinter_artefact_read(a, path, why)) return false;
  if (a->machine != SINTER_MACHINE_AARCH64 || a->model->dims.n > WIRE_DIMS) {
    snprintf(why, SINTER_WHY, "%s is not for AArch64, or has too many dimensions", path);
    sinter_artefact_close(a);
    return false;
  }
  start(path);
  q.model = a->model;
  a->api = &API;
  return true;
}

void qemu_artefact_close(SinterArtefact *a) {
  stop();
  sinter_artefact_close(a);
}

/* ---- kernels ---- */

void qemu_kernels_open(const char *path) { start(path); }

void qemu_kernel(int stage, const SinterCall *c, int ndims, int nbufs, const QemuBlock *blocks, int nblocks, int64_t lo,
                 int64_t hi, int32_t tid) {
  put_word(WIRE_KERNEL);
  put_word(stage);
  put_word(lo);
  put_word(hi);
  put_word(tid);
  put_word(c->threads);
  put(&c->fail[tid], sizeof *c->fail);
  put_word(ndims);
  if (ndims) put(c->dims, (size_t)ndims * sizeof *c->dims);
  put_word(nblocks);
  for (int i = 0; i < nblocks; i++) {
    put_word((int64_t)blocks[i].bytes);
    put(blocks[i].at, blocks[i].bytes);
  }
  put_word(nbufs);
  for (int i = 0; i < nbufs; i++) {
    const char *at = c->bufs[i];
    int in = -1;
    for (int k = 0; at && k < nblocks; k++) { /* an empty buffer may begin where its block ends */
      const char *begin = blocks[k].at, *end = begin + blocks[k].bytes;
      if (at >= begin && (at < end || (at == end && in < 0))) in = k;
    }
    if (at && in < 0) abort();
    put_word(in);
    put_word(at ? at - (char *)blocks[in].at : 0);
  }
  get(&c->fail[tid], sizeof *c->fail);
  for (int i = 0; i < nblocks; i++) get(blocks[i].at, blocks[i].bytes);
}
