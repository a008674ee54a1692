/* Runs AArch64 code under an emulator for tests on another machine: opens the shared library argv[1], then does what
 * the requests on its standard input say (wire.h) until they end. Buffers lie against pages that nobody may touch, at
 * their end and at their beginning in turn. An artefact's stages are said to be long, so that all of them are shared
 * out among threads. Any failure of its own ends it with a sentence. */
#include "sinter.h"
#include "wire.h"
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { BUFFERS = 256, ROOM = 8 << 20, PAGE = 65536, PATTERN = 0xA5, NANOSECONDS = 1000000 };

static void fail(const char *what) {
  fprintf(stderr, "driver: %s\n", what);
  exit(3);
}

static void get(void *p, size_t n) {
  if (wire_read(0, p, n)) return;
  exit(0); /* the other side has ended */
}

static int64_t get_word(void) {
  int64_t v;
  return get(&v, sizeof v), v;
}

static void put(const void *p, size_t n) {
  if (!wire_write(1, p, n)) exit(0);
}

static void put_word(int64_t v) { put(&v, sizeof v); }

static void put_text(const char *s) {
  put_word((int64_t)strlen(s));
  put(s, strlen(s));
}

static void *buffer(int k, int64_t bytes, bool at_end) {
  static char *at[BUFFERS];
  if (k >= BUFFERS || bytes > ROOM) fail("too many or too large buffers");
  if (!at[k]) {
    char *p = mmap(NULL, ROOM + 2 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED || mprotect(p + PAGE, ROOM, PROT_READ | PROT_WRITE)) fail("no memory");
    at[k] = p + PAGE;
  }
  char *p = at[k] + (at_end ? ROOM - bytes : 0);
  return memset(p, PATTERN, (size_t)bytes);
}

static void share_out(const SinterModel *m) {
  uintptr_t from = (uintptr_t)m & ~(uintptr_t)(4096 - 1);
  if (mprotect((void *)from, (uintptr_t)m + m->bytes - from, PROT_READ | PROT_WRITE))
    fail("the description cannot be changed");
  const SinterPlan *plan = SINTER_LIST(SinterPlan, m, m->plans);
  for (uint32_t i = 0; i < m->plans.n; i++) {
    SinterStep *step = (SinterStep *)(uintptr_t)SINTER_LIST(SinterStep, m, plan[i].steps);
    for (uint32_t k = 0; k < plan[i].steps.n; k++)
      if (step[k].kind == SINTER_STEP_LAUNCH) step[k].work = (SinterSym){NANOSECONDS, 0};
  }
}

/* ---- requests ---- */

static const SinterApi *api;

static void open_weights(void) {
  SinterWeights *w;
  int status = api->open(&w, NULL, (uint64_t)get_word());
  put_word(status);
  put_word((int64_t)(intptr_t)w);
  put_text(api->open_message(w));
}

static void create(void) {
  SinterWeights *w = (SinterWeights *)(intptr_t)get_word();
  int64_t most[WIRE_DIMS], n = api->model->dims.n;
  if (n > WIRE_DIMS) fail("too many dimensions");
  get(most, (size_t)n * sizeof *most);
  SinterContext *c = NULL;
  put_word(api->create(&c, w, most, NULL, 0));
  put_word((int64_t)(intptr_t)c);
  put_text(api->open_message(w));
}

static void cell(bool set) {
  SinterWeights *w = (SinterWeights *)(intptr_t)get_word();
  char name[WIRE_NAME];
  int64_t n = get_word(), bytes = get_word();
  if (n >= WIRE_NAME) fail("too long a name");
  get(name, (size_t)n);
  name[n] = 0;
  void *data = buffer(0, bytes, true);
  if (set) get(data, (size_t)bytes);
  put_word(set ? api->set(w, name, data, (size_t)bytes) : api->get(w, name, data, (size_t)bytes));
  put_text(api->open_message(w));
  if (!set) put(data, (size_t)bytes);
}

/* Ports' bytes come from the other side, which evaluates the formulas of the same description. */
static void call(bool at_end) {
  SinterContext *c = (SinterContext *)(intptr_t)get_word();
  uint32_t entry = (uint32_t)get_word();
  const SinterModel *m = api->model;
  const SinterEntry *e = SINTER_LIST(SinterEntry, m, m->entries) + entry;
  const SinterPort *ins = SINTER_LIST(SinterPort, m, e->inputs), *outs = SINTER_LIST(SinterPort, m, e->outputs);
  const SinterDim *dims = SINTER_LIST(SinterDim, m, e->dims);
  char *in = calloc(1, e->in_bytes + 8), *out = calloc(1, e->out_bytes + 8);
  int64_t bytes[BUFFERS];
  void *data[BUFFERS];
  uint32_t n = 0;
  if (!in || !out || e->inputs.n + e->outputs.n > BUFFERS) fail("no memory");
  for (uint32_t i = 0; i < e->dims.n; i++) {
    int64_t v = get_word();
    memcpy(in + dims[i].field, &v, sizeof v);
  }
  for (uint32_t i = 0; i < e->outputs.n; i++, n++) {
    bytes[n] = get_word();
    data[n] = buffer((int)n, bytes[n], at_end);
    memcpy(out + outs[i].field, &data[n], sizeof data[n]);
  }
  for (uint32_t i = 0; i < e->inputs.n; i++, n++) {
    bytes[n] = get_word();
    data[n] = buffer((int)n, bytes[n], at_end);
    get(data[n], (size_t)bytes[n]);
    memcpy(in + ins[i].field, &data[n], sizeof data[n]);
  }
  put_word(api->call(c, entry, in, out));
  put_text(api->message(c));
  for (uint32_t i = 0; i < n; i++) put(data[i], (size_t)bytes[i]);
  free(in);
  free(out);
}

static void kernel(SinterKernel *const *stages, bool at_end) {
  int64_t dims[WIRE_DIMS], bytes[BUFFERS];
  void *block[BUFFERS], *bufs[BUFFERS];
  SinterFail said[WIRE_THREADS_MOST] = {{0}};
  int64_t stage = get_word(), lo = get_word(), hi = get_word(), tid = get_word(), threads = get_word();
  if (tid >= WIRE_THREADS_MOST) fail("too many threads");
  get(&said[tid], sizeof *said);
  int64_t ndims = get_word();
  if (ndims > WIRE_DIMS) fail("too many dimensions");
  get(dims, (size_t)ndims * sizeof *dims);
  int64_t nblocks = get_word();
  if (nblocks > BUFFERS) fail("too many blocks");
  for (int64_t i = 0; i < nblocks; i++) {
    bytes[i] = get_word();
    block[i] = buffer((int)i, bytes[i], at_end);
    get(block[i], (size_t)bytes[i]);
  }
  int64_t nbufs = get_word();
  if (nbufs > BUFFERS) fail("too many buffers");
  for (int64_t i = 0; i < nbufs; i++) {
    int64_t in = get_word(), at = get_word();
    bufs[i] = in < 0 ? NULL : (char *)block[in] + at;
  }
  SinterCall c = {sizeof c, (uint32_t)threads, dims, bufs, said};
  stages[stage](&c, lo, hi, (int32_t)tid);
  put(&said[tid], sizeof *said);
  for (int64_t i = 0; i < nblocks; i++) put(block[i], (size_t)bytes[i]);
}

int main(int argc, char **argv) {
  void *lib = argc == 2 ? dlopen(argv[1], RTLD_NOW | RTLD_LOCAL) : NULL;
  if (!lib) fail(argc == 2 ? dlerror() : "name one shared library");
  SinterQuery *query;
  *(void **)(void *)&query = dlsym(lib, "sinter_query_v1");
  SinterKernel *const *stages = dlsym(lib, "stages");
  api = query ? query() : NULL;
  if (api) share_out(api->model);
  put_word(0); /* loaded */
  for (bool at_end = false;; at_end = !at_end) {
    int64_t what = get_word();
    if (what == WIRE_KERNEL ? !stages : !api) fail("not in this library");
    switch (what) {
    case WIRE_OPEN: open_weights(); break;
    case WIRE_CREATE: create(); break;
    case WIRE_CLOSE: api->close((SinterWeights *)(intptr_t)get_word()); break;
    case WIRE_FREE: api->free((SinterContext *)(intptr_t)get_word()); break;
    case WIRE_SET: cell(true); break;
    case WIRE_GET: cell(false); break;
    case WIRE_THREADS: {
      SinterContext *c = (SinterContext *)(intptr_t)get_word();
      put_word(api->threads(c, (int)get_word()));
      break;
    }
    case WIRE_NUMBER: {
      SinterContext *c = (SinterContext *)(intptr_t)get_word();
      uint32_t entry = (uint32_t)get_word();
      api->set_call_number(c, entry, (uint64_t)get_word());
      break;
    }
    case WIRE_LEVEL: put_word(api->level()); break;
    case WIRE_CALL: call(at_end); break;
    case WIRE_KERNEL: kernel(stages, at_end); break;
    default: fail("an unknown request");
    }
  }
}
