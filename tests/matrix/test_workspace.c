/* The memory of a context, of compiled models at the bounds of their dimensions: workspace() is what it takes, to the
 * byte. A context in exactly so many bytes, between guard bytes before and a page that nobody may touch behind, serves
 * every entry; one byte less is refused; the end of the memory is used; and no call allocates: mmap of this program
 * stands before the C library's, which the runtime inside the artefact calls. Run from the root. */
#include "compiler.h"
#include "sinter.h"
#include "sir.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>
// cmocka wants the headers above it
#include <cmocka.h>
#include "each_file.h"

enum { CAP = 256, PAGE = 4096, GUARD = 0xA5, DIMS = 16, PORTS = 64, END = 256 };

static int mapped; /* how often memory was asked for, by any thread */

void *counted_mmap(void *at, size_t bytes, int protection, int flags, int file, long offset) __asm__("mmap");
void *counted_mmap(void *at, size_t bytes, int protection, int flags, int file, long offset) {
  __atomic_add_fetch(&mapped, 1, __ATOMIC_RELAXED);
  return (void *)syscall(SYS_mmap, at, bytes, protection, flags, file, offset);
}

typedef struct Model {
  SinterArtefact artefact;
  int64_t most[DIMS];
} Model;

static void open_model(Model *m, const char *path) {
  char folder[] = "/tmp/sinter-workspace-XXXXXX", file[128], why[SINTER_WHY];
  Ctx c = ctx_new();
  Program p;
  CompileResult r = {0};
  assert_non_null(mkdtemp(folder));
  snprintf(file, sizeof file, "%s/m.so", folder);
  CompileOptions options = {.emit = EMIT_SO, .output = file, .source = path, .cpu = "native"};
  if (!sir_trace(&c, path, NULL, &p) || !compile_program(&p, &options, &r))
    fail_msg("%s: %s", path, diag_first(c.diag, NULL));
  if (!sinter_artefact_open(&m->artefact, file, why)) fail_msg("%s: %s", path, why);
  unlink(file);
  snprintf(file, sizeof file, "%s/m.h", folder);
  unlink(file);
  rmdir(folder);
  buf_free(&r.text);
  buf_free(&r.notes);
  ctx_free(&c);
  const SinterModel *d = m->artefact.model;
  const SinterEntry *e = SINTER_LIST(SinterEntry, d, d->entries);
  assert_true(d->dims.n <= DIMS);
  for (uint32_t i = 0; i < d->entries.n; i++) {
    const SinterDim *dim = SINTER_LIST(SinterDim, d, e[i].dims);
    for (uint32_t k = 0; k < e[i].dims.n; k++) {
      int64_t hi = dim[k].hi < CAP ? dim[k].hi : CAP;
      if (hi > m->most[dim[k].index]) m->most[dim[k].index] = hi;
    }
  }
}

/* Memory for a port at the largest dimensions; zeros: indices in range, and the numbers do not matter. */
static void *port_memory(const SinterModel *d, const SinterPort *p, const int64_t *dims) {
  int64_t n = 8;
  for (int i = 0; i < p->rank; i++) {
    int64_t size;
    assert_true(sinter_sym(d, p->dim[i], dims, &size));
    n *= size;
  }
  void *at = calloc((size_t)n + 8, 1);
  assert_non_null(at);
  return at;
}

static void call_entry(const Model *m, SinterContext *c, uint32_t number) {
  const SinterModel *d = m->artefact.model;
  const SinterEntry *e = SINTER_LIST(SinterEntry, d, d->entries) + number;
  const SinterPort *ins = SINTER_LIST(SinterPort, d, e->inputs), *outs = SINTER_LIST(SinterPort, d, e->outputs);
  const SinterDim *dims = SINTER_LIST(SinterDim, d, e->dims);
  int64_t size[DIMS] = {0};
  char *in = calloc(e->in_bytes + 8, 1), *out = calloc(e->out_bytes + 8, 1);
  void *made[PORTS];
  uint32_t n = 0;
  assert_true(e->inputs.n + e->outputs.n <= PORTS);
  for (uint32_t i = 0; i < e->dims.n; i++) {
    int64_t v = dims[i].hi < m->most[dims[i].index] ? dims[i].hi : m->most[dims[i].index];
    size[dims[i].index] = v;
    memcpy(in + dims[i].field, &v, sizeof v);
  }
  for (uint32_t i = 0; i < e->inputs.n; i++) {
    made[n] = port_memory(d, &ins[i], size);
    memcpy(in + ins[i].field, &made[n++], sizeof *made);
  }
  for (uint32_t i = 0; i < e->outputs.n; i++) {
    made[n] = port_memory(d, &outs[i], size);
    memcpy(out + outs[i].field, &made[n++], sizeof *made);
  }
  int before = __atomic_load_n(&mapped, __ATOMIC_RELAXED), status = m->artefact.api->call(c, number, in, out);
  int after = __atomic_load_n(&mapped, __ATOMIC_RELAXED);
  if (status) fail_msg("%s: %s", sinter_text(d, e->name), m->artefact.api->message(c));
  assert_int_equal(before, after);
  for (uint32_t i = 0; i < n; i++) free(made[i]);
  free(in);
  free(out);
}

static void in_exactly(const Model *m, SinterWeights *w, int threads) {
  const SinterApi *api = m->artefact.api;
  SinterContext *c;
  size_t bytes = api->workspace(m->most, threads), pages = (bytes + 2 * PAGE - 1) / PAGE * PAGE;
  assert_true(bytes > 0 && bytes % 64 == 0);
  char *block = mmap(NULL, pages + PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  assert_true(block != MAP_FAILED && !mprotect(block + pages, PAGE, PROT_NONE));
  char *memory = block + pages - bytes;
  memset(block, GUARD, pages);
  if (threads == 1) assert_int_equal(api->create(&c, w, m->most, memory, bytes - 1), SINTER_ERROR_WORKSPACE);
  if (api->create(&c, w, m->most, memory, bytes)) fail_msg("%s", api->open_message(w));
  assert_int_equal(api->threads(c, threads), SINTER_OK);
  for (int turn = 0; turn < 2; turn++)
    for (uint32_t i = 0; i < m->artefact.model->entries.n; i++)
      if (i != m->artefact.model->init) call_entry(m, c, i);
  for (char *p = block; p < memory; p++)
    if (*p != (char)GUARD) fail_msg("a byte before the memory of the context was written");
  bool used = false; /* the failures of the threads stand last, before them the arena */
  size_t fails = (size_t)threads * sizeof(SinterFail);
  for (size_t i = bytes - fails < END ? 0 : bytes - fails - END; i < bytes - fails; i++)
    used |= memory[i] != (char)GUARD;
  if (!used) fail_msg("the end of the %zu bytes was never used", bytes);
  api->free(c);
  munmap(block, pages + PAGE);
}

static void one_model(void **state) {
  static const int threads[] = {1, 2, 3, 7};
  Model m = {0};
  SinterWeights *w;
  open_model(&m, *state);
  int before = mapped;
  if (m.artefact.api->open(&w, NULL, 1)) fail_msg("%s", m.artefact.api->open_message(w));
  assert_true(mapped > before); /* it is this program's mmap that the artefact calls */
  for (int i = 0; i < 4; i++) in_exactly(&m, w, threads[i]);
  m.artefact.api->close(w);
  sinter_artefact_close(&m.artefact);
}

int main(int argc, char **argv) {
  static const char *const patterns[] = {"models/*.sir", "tests/plan/training.sir", NULL};
  return each_file("workspace", argc, argv, patterns, one_model);
}
