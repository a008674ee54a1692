/* Emitted code against the interpreter of the Loop IR, bit by bit: every plan of tests/loop on every level of the
 * machine that runs it (JitMachine), at several dimensions, tasks cut in pieces. Buffers end at a page that faults.
 * Code of a level that this processor lacks is made, not run. */
#include "expand_math.h"
#include "jit.h"
#include "scalar.h"
#include <elf.h>
#include <llvm-c/Analysis.h>
#include <llvm-c/Core.h>
#include <llvm-c/IRReader.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/mman.h>

#include <cmocka.h>

/* ---- a plan runner ---- */
typedef struct Env {
  const char *name[32];
  int64_t value[32];
  int n;
} Env;
static bool lookup(void *ctx, const char *name, int64_t *v) {
  Env *e = ctx;
  for (int i = e->n; i-- > 0;)
    if (!strcmp(e->name[i], name)) return *v = e->value[i], true;
  return false;
}
static void env_add(Env *e, const char *name, int64_t v) {
  e->name[e->n] = name;
  e->value[e->n++] = v;
}
static int64_t eval(const LoopModule *m, Sym s, Env *e) {
  int64_t v = 0;
  assert_true(sym_eval(m->ctx->syms, s, lookup, e, &v));
  return v;
}
static int64_t elements(const LoopModule *m, const LoopBuf *b, Env *e) {
  int64_t n = 1;
  for (int i = 0; i < b->rank; i++) {
    int64_t d = eval(m, b->dim[i], e);
    if (b->layout == LAYOUT_PANEL && i == b->panel_axis) d = (d + b->width - 1) / b->width * b->width;
    n *= d;
  }
  return n;
}

/* Memory whose end lies at a page that nobody may touch. */
static char *guarded(size_t bytes) {
  size_t page = 4096, n = (bytes + page - 1) / page * page + page;
  char *p = mmap(NULL, n + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  assert_true(p != MAP_FAILED && !mprotect(p + n, page, PROT_NONE));
  memset(p, 0xFF, n);
  return p + n - bytes;
}

typedef struct Runner {
  const LoopModule *m;
  void *code;
  JitBlock block[64]; /* the buffers of the plans that run */
  int nblocks;
  SinterFail fail[3];
  const char *why;
} Runner;

static int64_t failed(const Runner *r) {
  int64_t code = 0;
  for (int i = 0; i < 3; i++)
    if (r->fail[i].code && (!code || r->fail[i].code < code)) code = r->fail[i].code;
  return code;
}

static char *view(Runner *r, const Plan *p, const View *v, char **buf, Env *e) {
  if (v->buf < 0) return NULL;
  const LoopBuf *b = &p->bufs.at[v->buf];
  int64_t at = 0;
  for (int i = 0; i < b->rank; i++)
    at = at * eval(r->m, b->dim[i], e) + (i < v->nindex ? eval(r->m, v->index[i], e) : 0);
  return buf[v->buf] + at * (int64_t)dtype_size(b->dtype);
}

static int64_t view_elements(Runner *r, const Plan *p, const View *v, Env *e) {
  const LoopBuf *b = &p->bufs.at[v->buf];
  int64_t n = 1;
  for (int i = v->nindex; i < b->rank; i++) n *= eval(r->m, b->dim[i], e);
  return v->hi ? n * (eval(r->m, v->hi, e) - eval(r->m, v->index[v->nindex - 1], e)) : n;
}

static void run_plan(Runner *, int plan, const int64_t *dims, char **params);

static void run_steps(Runner *r, const Plan *p, const Step *s, char **buf, Env *e) {
  for (; s; s = s->next) {
    switch (s->kind) {
    case STEP_BARRIER: break;
    case STEP_COPY:
      memcpy(view(r, p, &s->views[0], buf, e), view(r, p, &s->views[1], buf, e),
             (size_t)view_elements(r, p, &s->views[0], e) * dtype_size(p->bufs.at[s->views[0].buf].dtype));
      break;
    case STEP_LOOP:
      for (int64_t i = eval(r->m, s->lo, e), hi = eval(r->m, s->hi, e); i < hi; i++) {
        Env inner = *e;
        env_add(&inner, s->var, i);
        run_steps(r, p, s->body, buf, &inner);
      }
      break;
    case STEP_LOOP_UNTIL:
      for (int64_t i = 0, hi = s->hi ? eval(r->m, s->hi, e) : 1000; i < hi; i++) {
        const View *v = &s->views[0];
        const char *flag = view(r, p, v, buf, e), zero[8] = {0};
        if (memcmp(flag, zero, dtype_size(p->bufs.at[v->buf].dtype))) break;
        run_steps(r, p, s->body, buf, e);
      }
      break;
    case STEP_BRANCH: {
      bool yes;
      if (s->lo)
        yes = eval(r->m, s->lo, e) != 0;
      else {
        const char zero[8] = {0};
        yes = memcmp(view(r, p, &s->views[0], buf, e), zero, dtype_size(p->bufs.at[s->views[0].buf].dtype)) != 0;
      }
      run_steps(r, p, yes ? s->body : s->other, buf, e);
      break;
    }
    case STEP_CALL: {
      int64_t dims[32];
      char *params[64];
      for (int i = 0; i < s->ndims; i++) dims[i] = eval(r->m, s->dims[i], e);
      for (int i = 0; i < s->nviews; i++) params[i] = view(r, p, &s->views[i], buf, e);
      run_plan(r, s->plan, dims, params);
      break;
    }
    case STEP_LAUNCH: {
      if (s->commit && failed(r)) break;
      const Kernel *k = r->m->kernels.at[s->kernel];
      const Stage *st = k->stages.at[s->stage];
      int64_t dims[32], n = 1;
      void *bufs[64];
      Env ke = {.n = 0};
      for (uint32_t i = 0; i < k->dims.n; i++) env_add(&ke, k->dims.at[i].name, dims[i] = eval(r->m, s->dims[i], e));
      for (int i = 0; i < s->nviews; i++) bufs[i] = view(r, p, &s->views[i], buf, e);
      for (int i = 0; i < st->naxes; i++) n *= eval(r->m, st->extent[i], &ke);
      int index = s->stage;
      for (int i = 0; i < s->kernel; i++) index += (int)r->m->kernels.at[i]->stages.n;
      SinterCall call = {sizeof call, 3, dims, bufs, r->fail};
      for (int t = s->serial ? 2 : 0; t < 3; t++)
        jit_machine.call(r->code, index, &call, (int)k->dims.n, s->nviews, r->block, r->nblocks,
                         s->serial ? 0 : t * n / 3, (t + 1) * n / 3, t);
      break;
    }
    }
  }
}

static void run_plan(Runner *r, int plan, const int64_t *dims, char **params) {
  const Plan *p = r->m->plans.at[plan];
  char *buf[128];
  Env e = {.n = 0};
  for (uint32_t i = 0; i < p->dims.n; i++) env_add(&e, p->dims.at[i].name, dims[i]);
  size_t arena = 64;
  for (uint32_t i = 0; i < p->bufs.n; i++) {
    const LoopBuf *b = &p->bufs.at[i];
    if (i < (uint32_t)p->nparams) {
      buf[i] = params[i];
      continue;
    }
    size_t bytes = (size_t)elements(r->m, b, &e) * dtype_size(b->dtype),
           at = b->at ? (size_t)eval(r->m, b->at, &e) : arena;
    if (at + bytes > arena) arena = (at + bytes + 63) / 64 * 64;
  }
  char *base = guarded(arena);
  assert_true(r->nblocks < 64);
  r->block[r->nblocks++] = (JitBlock){base, arena};
  arena = 64;
  for (uint32_t i = (uint32_t)p->nparams; i < p->bufs.n; i++) {
    const LoopBuf *b = &p->bufs.at[i];
    size_t bytes = (size_t)elements(r->m, b, &e) * dtype_size(b->dtype),
           at = b->at ? (size_t)eval(r->m, b->at, &e) : arena;
    if (at + bytes > arena) arena = (at + bytes + 63) / 64 * 64;
    buf[i] = base + at;
  }
  run_steps(r, p, p->steps, buf, &e);
  r->nblocks--;
}

/* ---- comparison ---- */
static uint64_t next(uint64_t *s) {
  uint64_t z = *s += 0x9E3779B97F4A7C15;
  z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9;
  z = (z ^ z >> 27) * 0x94D049BB133111EB;
  return z ^ z >> 31;
}
static void fill(char *p, DType d, int64_t n, uint64_t *seed, int index_limit) {
  for (int64_t i = 0; i < n; i++) {
    uint64_t r = next(seed);
    double u = (double)(r >> 11) * 0x1p-53 * 4 - 2;
    switch (d) {
    case DT_F32: ((float *)(void *)p)[i] = (float)u; break;
    case DT_F64: ((double *)(void *)p)[i] = u; break;
    case DT_F16:
    case DT_BF16: scalar_store(d, (Scalar){.f = u}, p + 2 * i); break;
    case DT_I32: ((int32_t *)(void *)p)[i] = (int32_t)(r % (uint64_t)index_limit); break;
    case DT_I64: ((int64_t *)(void *)p)[i] = (int64_t)(r % (uint64_t)index_limit); break;
    case DT_BOOL: p[i] = r & 1; break;
    default: memcpy(p + i * (int64_t)dtype_size(d), &r, dtype_size(d));
    }
  }
}
static bool same(const char *a, const char *b, DType d, int64_t i) {
  size_t n = dtype_size(d);
  if (!memcmp(a + (size_t)i * n, b + (size_t)i * n, n)) return true;
  if (d == DT_F32) return isnan(((const float *)(const void *)a)[i]) && isnan(((const float *)(const void *)b)[i]);
  return d == DT_F64 && isnan(((const double *)(const void *)a)[i]) && isnan(((const double *)(const void *)b)[i]);
}

/* One plan at one set of dimensions; false if the interpreter refuses them (bounds, indices that do not fit). */
static bool compare(Runner *r, int plan, const Target *t, const int64_t *dims, uint64_t seed, int index_limit) {
  const Plan *p = r->m->plans.at[plan];
  LoopArg args[64] = {{0}};
  assert_true(p->nparams < 64);
  char *mine[64], *theirs[64];
  int64_t n[64];
  Env e = {.n = 0};
  for (uint32_t i = 0; i < p->dims.n; i++) env_add(&e, p->dims.at[i].name, dims[i]);
  for (int i = 0; i < p->nparams; i++) {
    const LoopBuf *b = &p->bufs.at[i];
    size_t bytes = (size_t)(n[i] = elements(r->m, b, &e)) * dtype_size(b->dtype);
    mine[i] = guarded(bytes);
    r->block[i] = (JitBlock){mine[i], bytes};
    theirs[i] = guarded(bytes);
    if (b->kind != BUF_OUT) fill(mine[i], b->dtype, n[i], &seed, index_limit), memcpy(theirs[i], mine[i], bytes);
    args[i].data = theirs[i];
  }
  LoopRun run = {.level = t->level == LEVEL_V2 ? "v2" : "v4",
                 .seed = 1}; /* the same meaning on v3, without its register count */
  if (!loop_run(r->m, p->name, dims, args, &run)) {
    r->why = diag_first(r->m->ctx->diag, NULL);
    diag_reset(r->m->ctx->diag);
    return false;
  }
  r->nblocks = p->nparams;
  memset(r->fail, 0, sizeof r->fail);
  run_plan(r, plan, dims, mine);
  if (failed(r) != run.status)
    fail_msg("%s %s: status %ld, the interpreter %ld", t->name, p->name, (long)failed(r), (long)run.status);
  for (int i = 0; i < p->nparams && !run.status; i++)
    for (int64_t j = 0; j < n[i]; j++)
      if (!same(mine[i], theirs[i], p->bufs.at[i].dtype, j)) {
        Buf text = {0};
        for (int q = 0; q < (int)p->dims.n; q++) buf_printf(&text, " %s=%ld", p->dims.at[q].name, (long)dims[q]);
        if (p->bufs.at[i].dtype == DT_F32)
          buf_printf(&text, ": %a, the interpreter %a", (double)((float *)(void *)mine[i])[j],
                     (double)((float *)(void *)theirs[i])[j]);
        fail_msg("%s %s: element %ld of %s differs at%s", t->name, p->name, (long)j, p->bufs.at[i].name, text.at);
      }
  return true;
}

static LoopModule *read_module(Ctx *c, const char *path, const Target *t) {
  size_t size;
  const char *why = NULL;
  char *text = file_read(c->arena, path, &size, &why);
  LoopModule *m = NULL;
  assert_non_null(text);
  if (!loop_parse(c, path, text, size, &m)) {
    Buf b = {0};
    diag_print(c->diag, &b);
    fail_msg("%s", b.at);
  }
  expand_math_module(m, t);
  return m;
}

static bool uses(const Step *s, const bool *refused) {
  for (; s; s = s->next)
    if ((s->kind == STEP_LAUNCH && refused[s->kernel]) || uses(s->body, refused) || uses(s->other, refused))
      return true;
  return false;
}

static void test_file(const char *path, const Target *t) {
  Ctx c = jit_ctx();
  LoopModule *m = read_module(&c, path, t);
  bool refused[64] = {false};
  for (uint32_t i = 0; i < m->kernels.n;
       i++) { /* lists of tensors, and scratch too large for a stack, are refused with a sentence */
    EmitRequest q = {.module = m, .target = t, .first = (int)i, .count = 1, .arena = c.arena};
    EmitResult out;
    if (emit_object(&q, &out)) continue;
    if (!strstr(out.error, "later order") && !strstr(out.error, "the scratch of a task")) fail_msg("%s", out.error);
    refused[i] = true;
    for (uint32_t j = 0; j < m->kernels.at[i]->stages.n; j++) { /* an empty stage keeps the numbers of the others */
      m->kernels.at[i]->stages.at[j]->body = NULL;
      m->kernels.at[i]->stages.at[j]->segmented = false;
    }
  }
  EmitRequest q = {.module = m, .target = t, .arena = c.arena};
  EmitResult out, again;
  if (!emit_object(&q, &out)) fail_msg("%s", out.error);
  assert_true(emit_object(&q, &again));
  assert_int_equal(out.size, again.size);
  assert_memory_equal(out.object, again.object, out.size);
  if (!jit_machine.runs(t)) {
    arena_free(c.arena);
    return;
  }
  Runner r = {.m = m, .code = jit_machine.open(m, t, &out)};
  for (uint32_t i = 0; i < m->plans.n; i++) {
    const Plan *p = m->plans.at[i];
    if (uses(p->steps, refused)) continue;
    int ran = 0;
    uint64_t seed = 7 + i;
    for (int turn = 0; turn < 6; turn++) {
      int64_t dims[32];
      for (uint32_t j = 0; j < p->dims.n; j++) {
        int64_t lo = p->dims.at[j].lo, hi = p->dims.at[j].hi,
                top = p->dims.n > 3   ? 9
                      : p->dims.n > 2 ? 25
                                      : 41,
                v = turn == 0 ? lo : lo + (int64_t)(next(&seed) % (uint64_t)top);
        if (turn == 1) v = 16;
        dims[j] = v < lo ? lo : v > hi ? hi : v;
      }
      ran += compare(&r, (int)i, t, dims, next(&seed), turn == 5 ? 50 : turn % 2 ? 1 : (int)dims[p->dims.n > 1]);
    }
    if (!ran && t->level == LEVEL_V2 && r.why && strstr(r.why, "vector registers"))
      continue; /* a tile for another level */
    if (!ran) fail_msg("%s: no dimensions fit: %s", p->name, r.why);
  }
  arena_free(c.arena);
}

static void test_level(void **state) {
  const Target *t = *state;
  static const char *const files[] = {"elem", "half", "rows", "gemm", "conv", "attention", "lstm"};
  if (!jit_machine.runs(t)) printf("%s: code is made, not run here\n", t->says);
  for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
    char path[64];
    snprintf(path, sizeof path, "tests/loop/%s.loop", files[i]);
    test_file(path, t);
  }
}

/* The text reads back, and objects ask for nothing that an artefact has not. */
static void test_text(void **state) {
  (void)state;
  Ctx c = jit_ctx();
  LoopModule *m = read_module(&c, "tests/loop/rows.loop", NULL);
  for (int level = 0; level < LEVEL_COUNT; level++) {
    EmitRequest q = {.module = m, .target = &TARGETS[level], .text = true, .arena = c.arena};
    EmitResult out, text;
    assert_true(emit_object(&q, &out));
    assert_true(sinter_emitter()->print_ir(&q, &text));
    assert_string_equal(out.text, text.text);
    LLVMContextRef cx = LLVMContextCreate();
    LLVMModuleRef back;
    char *why = NULL;
    LLVMMemoryBufferRef buf = LLVMCreateMemoryBufferWithMemoryRangeCopy(out.text, strlen(out.text), "text");
    if (LLVMParseIRInContext(cx, buf, &back, &why)) fail_msg("%s", why);
    assert_false(LLVMVerifyModule(back, LLVMReturnStatusAction, &why));
    LLVMDisposeMessage(why);
    LLVMDisposeModule(back);
    LLVMContextDispose(cx);
    const Elf64_Ehdr *h = (const void *)out.object;
    const Elf64_Shdr *s = (const void *)(out.object + h->e_shoff);
    int functions = 0;
    for (int i = 0; i < h->e_shnum; i++) {
      if (s[i].sh_type != SHT_SYMTAB) continue;
      const Elf64_Sym *sym = (const void *)(out.object + s[i].sh_offset);
      const char *names = (const char *)out.object + s[s[i].sh_link].sh_offset;
      for (uint64_t k = 1; k < s[i].sh_size / sizeof *sym; k++) {
        if (sym[k].st_shndx == SHN_UNDEF) fail_msg("%s wants %s", TARGETS[level].name, names + sym[k].st_name);
        if (ELF64_ST_BIND(sym[k].st_info) != STB_GLOBAL) continue;
        assert_int_equal(ELF64_ST_VISIBILITY(sym[k].st_other), STV_HIDDEN);
        functions++;
      }
    }
    int stages = 0;
    for (uint32_t i = 0; i < m->kernels.n; i++) stages += (int)m->kernels.at[i]->stages.n;
    assert_int_equal(functions, stages);
  }
  arena_free(c.arena);
}

/* Integer corner cases: the definedness column. */
static void test_defined(void **state) {
  (void)state;
  Ctx c = jit_ctx();
  LoopModule *m = loop_module_new(&c);
  static const Op ops[] = {OP_DIV, OP_REM, OP_FLOOR_DIV, OP_FLOOR_MOD, OP_SHL, OP_SHR, OP_MAXIMUM, OP_MINIMUM, OP_POW};
  enum { OPS = sizeof ops / sizeof *ops, N = 16 };
  for (int w = 1; w <= 4; w *= 4)
    for (int o = 0; o < OPS; o++) {
      Kernel *k = loop_kernel(m, "defined");
      Sym n = sym_int(c.syms, N);
      uint32_t x = loop_param(k, "x", BUF_IN, DT_I32, &n, 1), y = loop_param(k, "y", BUF_IN, DT_I32, &n, 1),
               z = loop_param(k, "z", BUF_OUT, DT_I32, &n, 1);
      Ex j;
      loop_stage(k, "main");
      loop_axis(k, "t", sym_int(c.syms, 1));
      loop_for(k, "j", ex_idx(k, 0), ex_idx(k, N), w == 1 ? FOR_SERIAL : FOR_VECTOR, w, TAIL_NONE, &j);
      loop_store(k, z, &j, 1, ex_op2(k, ops[o], ex_load(k, x, &j, 1, 0, 0), ex_load(k, y, &j, 1, 0, 0)), 0);
      loop_end(k);
    }
  for (int o = 0; o < 2; o++) { /* float to int, and rem of floats */
    Kernel *k = loop_kernel(m, "floats");
    Sym n = sym_int(c.syms, N);
    uint32_t x = loop_param(k, "x", BUF_IN, DT_F32, &n, 1), y = loop_param(k, "y", BUF_IN, DT_F32, &n, 1),
             z = loop_param(k, "z", BUF_OUT, o ? DT_F32 : DT_I32, &n, 1);
    Ex j;
    loop_stage(k, "main");
    loop_axis(k, "t", sym_int(c.syms, 1));
    loop_for(k, "j", ex_idx(k, 0), ex_idx(k, N), FOR_VECTOR, 4, TAIL_NONE, &j);
    Ex a = ex_load(k, x, &j, 1, 0, 0);
    loop_store(k, z, &j, 1, o ? ex_op2(k, OP_REM, a, ex_load(k, y, &j, 1, 0, 0)) : ex_convert(k, DT_I32, a), 0);
    loop_end(k);
  }
  expand_math_module(m, NULL);
  int32_t X[N] = {7, -7, 7, -7, INT32_MIN, INT32_MIN, 5, 0, 1, -1, 1, -1, INT32_MAX, 100, -100, 3};
  int32_t Y[N] = {2, 2, -2, -2, -1, 0, 0, 0, 31, 31, 32, 40, -1, 3, 7, 33};
  float F[N] = {0,   -0.0f,         1.9f,           -1.9f,     3e9f, -3e9f, INFINITY, -INFINITY,
                NAN, 2147483520.0f, -2147483648.0f, 0x1p-149f, 5.5f, -5.5f, 1e20f,    0x1.8p-140f};
  float G[N] = {1, 1, 0.5f, 0.7f, 7, -7, 2, 2, 1, INFINITY, 3, 0x1p-149f, 0, 2.5f, 0.3f, 0x1p-141f};
  for (int level = 0; level < LEVEL_COUNT; level++) {
    const Target *t = &TARGETS[level];
    if (!jit_machine.runs(t)) continue;
    EmitResult made;
    if (!emit_object(&(EmitRequest){.module = m, .target = t, .arena = c.arena}, &made)) fail_msg("%s", made.error);
    void *code = jit_machine.open(m, t, &made);
    for (int i = 0; i < 2 * OPS + 2; i++) {
      bool fl = i >= 2 * OPS;
      int32_t z[N];
      void *bufs[] = {fl ? (void *)F : X, fl ? (void *)G : Y, z};
      SinterFail fail[1] = {0};
      SinterCall call = {sizeof call, 1, NULL, bufs, fail};
      JitBlock blocks[] = {{bufs[0], sizeof X}, {bufs[1], sizeof Y}, {z, sizeof z}};
      jit_machine.call(code, i, &call, 0, 3, blocks, 3, 0, 1, 0);
      for (int j = 0; j < N; j++) {
        int64_t x = X[j], y = Y[j], q = y ? x / y : 0, r = y ? x % y : 0, want = 0;
        bool off = r && (r < 0) != (y < 0);
        if (fl && i == 2 * OPS + 1) {
          float want_f = fmodf(F[j], G[j]), got;
          memcpy(&got, &z[j], 4);
          if (isnan(want_f) ? !isnan(got) : memcmp(&want_f, &got, 4))
            fail_msg("%s: %a rem %a = %a, expected %a", t->name, (double)F[j], (double)G[j], (double)got,
                     (double)want_f);
          continue;
        }
        if (fl)
          want = isnan(F[j])              ? 0
                 : F[j] >= 2147483648.0f  ? INT32_MAX
                 : F[j] <= -2147483648.0f ? INT32_MIN
                                          : (int32_t)F[j];
        else
          switch (ops[i % OPS]) {
          case OP_DIV: want = (int32_t)q; break;
          case OP_REM: want = r; break;
          case OP_FLOOR_DIV: want = (int32_t)(y ? q - off : 0); break;
          case OP_FLOOR_MOD: want = y ? (off ? r + y : r) : 0; break;
          case OP_SHL: want = y < 0 || y > 31 ? 0 : (int32_t)((uint32_t)x << y); break;
          case OP_SHR: want = x >> (y < 0 || y > 31 ? 31 : y); break;
          case OP_MAXIMUM: want = x > y ? x : y; break;
          case OP_MINIMUM: want = x < y ? x : y; break;
          default: {
            uint32_t p = 1;
            for (int64_t e = 0; e < y; e++) p *= (uint32_t)x;
            want = y < 0 ? 0 : (int32_t)p;
          }
          }
        if (z[j] != (int32_t)want)
          fail_msg("%s: %s of %ld and %ld is %d, expected %ld", t->name, fl ? "to i32" : OP_INFO[ops[i % OPS]].text,
                   (long)x, (long)y, z[j], (long)want);
      }
    }
  }
  arena_free(c.arena);
}

enum { PATTERNS = 1 << 16, EACH = 6, HALF_TESTS = 8 };

static LoopModule *half_kernels(Ctx *c) {
  LoopModule *m = loop_module_new(c);
  for (int i = 0; i < HALF_TESTS; i++) { /* bit 0: type, bit 1: vectors, bit 2: from f32 */
    DType d = i & 1 ? DT_F16 : DT_BF16, from = i & 4 ? DT_F32 : d, to = i & 4 ? d : DT_F32;
    Kernel *k = loop_kernel(m, "halves");
    Sym n = sym_int(c->syms, i & 4 ? EACH * PATTERNS : PATTERNS);
    uint32_t x = loop_param(k, "x", BUF_IN, from, &n, 1), y = loop_param(k, "y", BUF_OUT, to, &n, 1);
    Ex j;
    loop_stage(k, "main");
    loop_axis(k, "t", sym_int(c->syms, 1));
    loop_for(k, "j", ex_idx(k, 0), loop_sym(k, n), i & 2 ? FOR_VECTOR : FOR_SERIAL, i & 2 ? 8 : 0, TAIL_NONE, &j);
    loop_store(k, y, &j, 1, ex_convert(k, to, ex_load(k, x, &j, 1, 0, 0)), 0);
    loop_end(k);
  }
  return m;
}

/* f16 and bf16: every pattern as f32; every number, the middle to the next one and what lies beside it, as 16 bits. */
static void test_halves(void **state) {
  (void)state;
  Ctx c = jit_ctx();
  uint16_t *bits = arena_alloc(c.arena, sizeof *bits * PATTERNS), *got = arena_alloc(c.arena, 2 * EACH * PATTERNS);
  float *wide = arena_alloc(c.arena, 4 * EACH * PATTERNS), *back = arena_alloc(c.arena, 4 * PATTERNS);
  for (int i = 0; i < PATTERNS; i++) bits[i] = (uint16_t)i;
  for (int level = 0; level < LEVEL_COUNT; level++) {
    const Target *t = &TARGETS[level];
    if (!jit_machine.runs(t)) continue;
    LoopModule *m = half_kernels(&c);
    expand_math_module(m, t);
    EmitResult made;
    if (!emit_object(&(EmitRequest){.module = m, .target = t, .arena = c.arena}, &made)) fail_msg("%s", made.error);
    void *code = jit_machine.open(m, t, &made);
    for (int i = 0; i < HALF_TESTS; i++) {
      DType d = i & 1 ? DT_F16 : DT_BF16;
      int n = i & 4 ? EACH * PATTERNS : PATTERNS;
      for (int k = 0; k < PATTERNS; k++) {
        double a = scalar_load(d, &bits[k]).f, b = scalar_load(d, &(uint16_t){(uint16_t)(k ^ 1)}).f;
        float middle =
            isinf(a) ? (float)(d == DT_F16 ? copysign(65520, a) : copysign(0x1.FFp127, a)) : (float)((a + b) / 2);
        float *w = wide + EACH * k;
        w[0] = (float)a, w[1] = middle, w[2] = nextafterf(middle, INFINITY), w[3] = nextafterf(middle, -INFINITY);
        w[4] = (float)(a + (a - b) / 2), w[5] = (float)(a * 1.7);
      }
      void *in = i & 4 ? (void *)wide : bits, *out = i & 4 ? (void *)got : back, *bufs[] = {in, out};
      SinterFail fail[1] = {0};
      SinterCall call = {sizeof call, 1, NULL, bufs, fail};
      JitBlock blocks[] = {{in, (size_t)n * (i & 4 ? 4 : 2)}, {out, (size_t)n * (i & 4 ? 2 : 4)}};
      jit_machine.call(code, i, &call, 0, 2, blocks, 2, 0, 1, 0);
      for (int k = 0; k < n; k++) {
        DType from = i & 4 ? DT_F32 : d, to = i & 4 ? d : DT_F32;
        Scalar x = scalar_load(from, (char *)in + (size_t)k * dtype_size(from)), want = scalar_convert(from, to, x);
        Scalar y = scalar_load(to, (char *)out + (size_t)k * dtype_size(to));
        if (!scalar_same(to, want, y))
          fail_msg("%s: %a as %s is %a, expected %a", t->name, x.f, dtype_name(to), y.f, want.f);
      }
    }
  }
  arena_free(c.arena);
}

static void left_out(void **state) {
  (void)state;
  print_message("skipped: %s\n", jit_machine.missing());
  skip(); /* not every system has the other machine's emulator */
}

int main(void) {
  if (jit_machine.missing()) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(left_out)};
    return cmocka_run_group_tests(tests, NULL, NULL);
  }
  struct CMUnitTest tests[LEVEL_COUNT + 3] = {cmocka_unit_test(test_defined), cmocka_unit_test(test_text),
                                              cmocka_unit_test(test_halves)};
  size_t n = 3;
  for (int i = 0; i < LEVEL_COUNT; i++)
    if (!strcmp(TARGETS[i].arch, jit_machine.arch))
      tests[n++] = (struct CMUnitTest){TARGETS[i].name, test_level, NULL, NULL, (void *)(uintptr_t)&TARGETS[i]};
  return _cmocka_run_group_tests("emit", tests, n, NULL, NULL);
}
