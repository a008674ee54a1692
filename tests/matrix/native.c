#include "native.h"
#include "check.h"
#include "compiler.h"
#include "reference.h"
#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
// cmocka wants the headers above it
#include <cmocka.h>

enum { SEED = 0x5eed, SLOTS = 128, SLOT = 8 << 20, PAGE = 4096, PATTERN = 0xA5 };

/* ---- a crash says where ---------------------------------------------------------------------------------------------
 */

static char now[256]; /* what runs */

static void crashed(int signal) {
  static const char words[] = "crashed in ";
  if (write(2, words, sizeof words - 1) < 0 || write(2, now, strlen(now)) < 0 || write(2, "\n", 1) < 0) _exit(2);
  _exit(signal);
}

/* ---- memory between forbidden pages ---- */

static char *slot_memory(int k) {
  static char *slot[SLOTS];
  if (k >= SLOTS) BUG("an entry with too many tensors");
  if (slot[k]) return slot[k];
  char *p = mmap(NULL, SLOT + 2 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (p == MAP_FAILED || mprotect(p + PAGE, SLOT, PROT_READ | PROT_WRITE)) BUG("no memory");
  return slot[k] = p + PAGE;
}

/* The tensor ends at a forbidden page, or begins after one. */
static void *slot_place(int k, size_t bytes, bool at_end) {
  if (bytes > SLOT) BUG("a tensor of %zu bytes", bytes);
  return slot_memory(k) + (at_end ? SLOT - bytes : 0);
}

/* ---- opening ---- */

static bool complain(Ctx *c, const char *name) {
  Buf b = {0};
  diag_print(c->diag, &b);
  fprintf(stderr, "%s cannot be compiled: %s\n", name, b.n ? b.at : "no message");
  buf_free(&b);
  return false;
}

static bool open_level(Native *n, int level, int64_t cap) {
  const SinterModel *m = n->artefact.model;
  const SinterApi *api = n->artefact.api;
  int64_t most[64] = {0};
  const SinterEntry *e = SINTER_LIST(SinterEntry, m, m->entries);
  if (m->dims.n > 64) BUG("too many dimensions");
  for (uint32_t i = 0; i < m->entries.n; i++) {
    const SinterDim *d = SINTER_LIST(SinterDim, m, e[i].dims);
    for (uint32_t k = 0; k < e[i].dims.n; k++)
      if (d[k].hi > most[d[k].index]) most[d[k].index] = d[k].hi;
  }
  for (int i = 0; i < 64; i++)
    if (most[i] > cap) most[i] = cap;
  setenv("SINTER_CPU", native_machine.level[level], 1);
  int status = api->open(&n->weights[level], NULL, SEED);
  if (!status && native_machine.place) status = native_machine.place(api, n->weights[level]);
  if (!status) status = api->create(&n->context[level], n->weights[level], most, NULL, 0);
  bool right = !strcmp(sinter_level_text((uint32_t)api->level()), native_machine.level[level]);
  unsetenv("SINTER_CPU");
  if (!status && right) return true;
  fprintf(stderr, "%s cannot be opened: %s\n", native_machine.level[level], api->open_message(n->weights[level]));
  return false;
}

bool native_open(Native *n, Program *p, const char *name, int64_t cap) {
  char folder[] = "/tmp/sinter-matrix-XXXXXX", path[128], dump[128], why[SINTER_WHY];
  CompileResult r;
  *n = (Native){.before = check_snapshot(p)};
  snprintf(now, sizeof now, "the compilation of %s", name);
  signal(SIGSEGV, crashed);
  signal(SIGILL, crashed);
  signal(SIGFPE, crashed);
  if (!mkdtemp(folder)) return false;
  snprintf(path, sizeof path, "%s/%s.so", folder, name);
  snprintf(dump, sizeof dump, "%s/dump", folder);
  CompileOptions o = {.emit = EMIT_SO,
                      .output = path,
                      .source = "matrix.sir",
                      .target = native_machine.target,
                      .cpu = native_machine.cpu,
                      .gpu = native_machine.gpu,
                      .dump_dir = native_machine.gpu ? dump : NULL};
  bool ok = compile_program(p, &o, &r) || complain(p->ctx, name);
  buf_free(&r.text);
  buf_free(&r.notes);
  if (ok && !native_machine.open(&n->artefact, path, why)) {
    fprintf(stderr, "%s: %s\n", name, why);
    ok = false;
  }
  unlink(path);
  snprintf(path, sizeof path, "%s/%s.h", folder, name);
  unlink(path);
  rmdir(folder);
  for (int i = 0; ok && i < native_machine.nlevels; i++) ok = !native_machine.has(i) || open_level(n, i, cap);
  return ok;
}

void native_close(Native *n) {
  for (int i = 0; i < NATIVE_LEVELS; i++) {
    if (n->context[i]) n->artefact.api->free(n->context[i]);
    if (n->weights[i]) n->artefact.api->close(n->weights[i]);
  }
  if (n->artefact.api) native_machine.close(&n->artefact);
}

/* ---- comparing ---- */

static size_t bytes_of(const Tensor *t) { return (size_t)tensor_count(t) * dtype_size(t->dtype); }

static int64_t ordered(DType d, double x) { /* neighbours of the type differ by 1; both zeros are 0 */
  if (dtype_is_half(d)) {
    int16_t i;
    scalar_store(d, (Scalar){.f = x}, &i);
    return i < 0 ? (int64_t)INT16_MIN - i : i;
  }
  if (d == DT_F32) {
    float f = (float)x;
    int32_t i;
    memcpy(&i, &f, sizeof i);
    return i < 0 ? (int64_t)INT32_MIN - i : i;
  }
  int64_t i;
  memcpy(&i, &x, sizeof i);
  return i < 0 ? INT64_MIN - i : i;
}

static bool agrees(DType d, double got, double want, const NativeBound *b) {
  if (isnan(want) || isnan(got)) return isnan(want) && isnan(got);
  if (got == 0 && want == 0 && !b->any_zero && signbit(got) != signbit(want)) return false;
  if (got == want) return true;
  int64_t p = ordered(d, got), q = ordered(d, want);
  return (double)(p > q ? (uint64_t)p - (uint64_t)q : (uint64_t)q - (uint64_t)p) <= b->ulps;
}

/* `from`: what the tensor was made of, for the message; operands of its size are shown. */
static bool same(const char *what, const char *name, const Tensor *got, const Tensor *want, const NativeBound *b,
                 const Tensor *from, uint32_t nfrom) {
  static const NativeBound exact;
  if (!memcmp(got->data, want->data, bytes_of(want))) return true;
  bool real = dtype_is_float(want->dtype);
  int64_t bad = 0, first = 0, n = tensor_count(want);
  for (int64_t k = 0; k < n; k++) {
    Scalar x = tensor_at(got, k), y = tensor_at(want, k);
    if (real ? agrees(want->dtype, x.f, y.f, b ? b : &exact) : scalar_same(want->dtype, x, y)) continue;
    if (!bad++) first = k;
  }
  if (!bad && !real) bad = 1; /* a bool that is neither 0 nor 1 */
  if (!bad) return true;
  Scalar x = tensor_at(got, first), y = tensor_at(want, first);
  if (real)
    fprintf(stderr, "%s: %s %s has %.17g (%a) instead of %.17g (%a)", now, what, name, x.f, x.f, y.f, y.f);
  else
    fprintf(stderr, "%s: %s %s has %lld instead of %lld", now, what, name, (long long)x.i, (long long)y.i);
  fprintf(stderr, " at element %lld, %lld of %lld are wrong;", (long long)first, (long long)bad, (long long)n);
  for (uint32_t i = 0; i < nfrom; i++) {
    if (tensor_count(&from[i]) != n) continue;
    Scalar z = tensor_at(&from[i], first);
    if (dtype_is_float(from[i].dtype))
      fprintf(stderr, " %.17g (%a)", z.f, z.f);
    else
      fprintf(stderr, " %lld", (long long)z.i);
  }
  fprintf(stderr, "\n");
  return false;
}

static const char *named(const char *name) { return name ? name : "out"; }

/* ---- one call ---- */

static bool reference(const Native *n, const NativeCall *c, Arena *a, Reference *r) {
  const Program *p = &n->before;
  const Entry *e = &p->entries.at[c->entry];
  NamedTensor *inputs = ARENA_ARRAY(a, NamedTensor, e->inputs.n + 1);
  for (uint32_t i = 0; i < e->inputs.n; i++) inputs[i] = (NamedTensor){e->inputs.at[i].name, c->inputs[i]};
  return reference_run(r, p, e,
                       &(EntryCall){.inputs = inputs,
                                    .ninputs = (int)e->inputs.n,
                                    .dims = c->dims,
                                    .ndims = (int)e->dims.n,
                                    .cells = c->cells,
                                    .seed = SEED,
                                    .arena = a});
}

static bool uses_cells(const Entry *e) {
  for (Id v = 1; v < e->graph->node.n; v++)
    if (graph_op(e->graph, v) == OP_CELL) return true;
  return e->updates.n > 0;
}

/* One call; its tensors lie in slots: outputs first, then inputs. `slot` is the first, so that
 * the results of two calls can lie side by side. */
typedef struct Made {
  Tensor *outputs, *inputs;
} Made;

static bool call(Native *n, const NativeCall *c, int level, const Reference *ref, bool at_end, int slot, Arena *a,
                 Made *made) {
  const SinterModel *m = n->artefact.model;
  const SinterApi *api = n->artefact.api;
  const Entry *e = &n->before.entries.at[c->entry];
  const SinterEntry *s = SINTER_LIST(SinterEntry, m, m->entries) + c->entry;
  const SinterPort *ins = SINTER_LIST(SinterPort, m, s->inputs), *outs = SINTER_LIST(SinterPort, m, s->outputs);
  const SinterDim *dims = SINTER_LIST(SinterDim, m, s->dims);
  char *in = arena_alloc(a, s->in_bytes + 8), *out = arena_alloc(a, s->out_bytes + 8);
  *made = (Made){ARENA_ARRAY(a, Tensor, e->outputs.n + 1), ARENA_ARRAY(a, Tensor, e->inputs.n + 1)};
  for (uint32_t i = 0; i < e->outputs.n; i++) {
    Tensor *t = &made->outputs[i];
    *t = ref->want.outputs[i];
    if (!ref->ok) { /* the reference gives no shape */
      *t = (Tensor){.dtype = e->outputs.at[i].dtype, .rank = 1, .dim = {SLOT / 8}};
    }
    t->data = slot_place(slot++, bytes_of(t), at_end);
    memset(t->data, PATTERN, bytes_of(t));
    memcpy(out + outs[i].field, &t->data, sizeof t->data);
  }
  for (uint32_t i = 0; i < e->inputs.n; i++) {
    Tensor *t = &made->inputs[i];
    *t = c->inputs[i];
    t->data = slot_place(slot++, bytes_of(t), at_end);
    memcpy(t->data, c->inputs[i].data, bytes_of(t));
    memcpy(in + ins[i].field, &t->data, sizeof t->data);
  }
  for (uint32_t i = 0; i < e->dims.n; i++) memcpy(in + dims[i].field, &c->dims[i].value, sizeof(int64_t));
  for (uint32_t i = 0; uses_cells(e) && i < n->before.cells.n; i++)
    if (api->set(n->weights[level], n->before.cells.at[i].name, c->cells[i].data, bytes_of(&c->cells[i]))) {
      fprintf(stderr, "%s: the cell %s cannot be set: %s\n", now, n->before.cells.at[i].name,
              api->open_message(n->weights[level]));
      return false;
    }
  api->set_call_number(n->context[level], (uint32_t)c->entry, 0);
  int status = api->call(n->context[level], (uint32_t)c->entry, in, out);
  const char *message = api->message(n->context[level]);
  if (status != (ref->ok ? SINTER_OK : SINTER_ERROR_INDEX)) {
    fprintf(stderr, "%s: status %d (%s) where the reference %s\n", now, status, message,
            ref->ok ? "succeeds" : "fails");
    return false;
  }
  if (!ref->ok && ((c->place && !strstr(message, c->place)) || !strstr(message, "index out of range"))) {
    fprintf(stderr, "%s: the message is \"%s\", the place is %s\n", now, message, c->place ? c->place : "anywhere");
    return false;
  }
  return true;
}

static bool rounded(Reference *ref, Part part, uint32_t i, const Tensor *got, const NativeBound *b) {
  return b && b->rounded && reference_distance(ref, part, i, got, NULL) <= 1;
}

static bool check_values(Native *n, const NativeCall *c, int level, Reference *ref, const Made *made, Arena *a) {
  const Entry *e = &n->before.entries.at[c->entry];
  bool ok = true;
  const NativeBound *b = c->bound;
  for (uint32_t i = 0; i < e->outputs.n; i++, b += b != NULL)
    if (ref->ok)
      ok &= rounded(ref, PART_OUTPUT, i, &made->outputs[i], b) ||
            same("output", named(e->outputs.at[i].name), &made->outputs[i], reference_result(ref, PART_OUTPUT, i), b,
                 c->inputs, e->inputs.n);
  for (uint32_t i = 0; i < e->inputs.n;
       i++, b += b != NULL) { /* an input is as it was, an inout as the reference says */
    bool changes = e->inputs.at[i].inout && ref->ok;
    ok &= (changes && rounded(ref, PART_INOUT, i, &made->inputs[i], b)) ||
          same("input", named(e->inputs.at[i].name), &made->inputs[i],
               changes ? reference_result(ref, PART_INOUT, i) : &c->inputs[i], changes ? b : NULL, NULL, 0);
  }
  for (uint32_t i = 0; uses_cells(e) && i < n->before.cells.n; i++, b += b != NULL) {
    Tensor got = c->cells[i];
    got.data = arena_alloc(a, bytes_of(&got) + 1);
    ok &= !n->artefact.api->get(n->weights[level], n->before.cells.at[i].name, got.data, bytes_of(&got));
    ok &= rounded(ref, PART_CELL, i, &got, b) ||
          same("cell", n->before.cells.at[i].name, &got, reference_result(ref, PART_CELL, i), b, NULL, 0);
  }
  return ok;
}

static bool check_level(Native *n, const NativeCall *c, int level, Reference *ref, const char *what) {
  const Entry *e = &n->before.entries.at[c->entry];
  const int count = (int)(e->outputs.n + e->inputs.n);
  bool ok = true;
  Made first = {0}, made;
  Arena *kept = NULL;
  const int *threads = native_machine.threads;
  for (int t = 0; ok && threads[t]; t++) {
    Arena *a = arena_new();
    snprintf(now, sizeof now, "%s on %s with %d threads", what, native_machine.level[level], threads[t]);
    n->artefact.api->threads(n->context[level], threads[t]);
    ok = call(n, c, level, ref, t % 2 == 0, t ? count : 0, a, &made) && check_values(n, c, level, ref, &made, a);
    for (uint32_t i = 0; ok && t && ref->ok && i < e->outputs.n; i++)
      if (memcmp(made.outputs[i].data, first.outputs[i].data, bytes_of(&made.outputs[i]))) {
        fprintf(stderr, "%s: output %s is not what one thread gives\n", now, named(e->outputs.at[i].name));
        ok = false;
      }
    if (t)
      arena_free(a);
    else
      first = made, kept = a;
  }
  arena_free(kept);
  return ok;
}

unsigned native_compare(Native *n, const NativeCall *c) {
  const Entry *e = &n->before.entries.at[c->entry];
  const SinterModel *m = n->artefact.model;
  Arena *a = arena_new();
  Reference ref;
  Buf what = {0};
  unsigned good = NATIVE_ALL;
  buf_printf(&what, "%s", e->name);
  for (uint32_t i = 0; i < e->dims.n; i++)
    buf_printf(&what, "%s%s = %lld", i ? ", " : " at ", c->dims[i].name, (long long)c->dims[i].value);
  if (strcmp(sinter_text(m, SINTER_LIST(SinterEntry, m, m->entries)[c->entry].name), e->name))
    BUG("the entries are in another order");
  if (!reference(n, c, a, &ref)) {
    complain(n->before.ctx, what.at);
    good = 0;
  }
  for (int level = 0; good && level < native_machine.nlevels; level++)
    if (n->context[level] && !check_level(n, c, level, &ref, what.at)) good &= ~(1u << level);
  buf_free(&what);
  arena_free(a);
  return good;
}

static void left_out(void **state) {
  (void)state;
  print_message("skipped: %s\n", native_machine.missing());
  skip(); /* not every system has the other machine's emulator */
}

int native_left_out(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(left_out)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
