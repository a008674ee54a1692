#include "loop.h"
#include "loop_words.h"
#include <math.h>
#include <string.h>

/* Names are ids in the tree, so two of one name may be visible at once; the text then tells them apart by _2, _3. */
typedef struct Printer {
  const Kernel *k;
  Buf *out;
  Arena *arena; /* of the printed names */
  const char **var, **reg, **buf;
  const char **shared;  /* of an expression printed as a let before its statement; else NULL */
  uint32_t *size, *use; /* of an expression: operations of its text, and how often the statement holds it */
  Vec(Ex) order;        /* expressions of the statement, operands first */
  Vec(const char *) visible;
  int indent;
} Printer;

static bool is_visible(const Printer *p, const char *name) {
  for (uint32_t i = 0; i < p->visible.n; i++)
    if (!strcmp(p->visible.at[i], name)) return true;
  return loop_reserved(name);
}

static const char *declare(Printer *p, const char *name) {
  const char *n = name;
  for (int i = 2; is_visible(p, n); i++) n = arena_printf(p->arena, "%s_%d", name, i);
  vec_push(p->arena, &p->visible, n);
  return n;
}

/* ---- expressions ---- */

static void put_ex(Printer *p, Ex e, int level, bool typed);

/* Whether a bare literal is read as this type where nothing else says so. */
static bool plain(const Expr *x) { return x->op != OP_LITERAL || x->dtype == DT_IDX || x->dtype == DT_F32; }

static void put_literal(Printer *p, const Expr *x, bool typed) {
  char text[40];
  if (!typed) buf_printf(p->out, "%s(", dtype_name(x->dtype));
  if (dtype_is_float(x->dtype))
    buf_put(p->out, isnan(x->u.f) ? "nan" : format_float(text, x->u.f, x->dtype == DT_F64 ? 17 : 9));
  else if (x->dtype == DT_U64)
    buf_printf(p->out, "%llu", (unsigned long long)x->u.i);
  else
    buf_printf(p->out, "%lld", (long long)x->u.i);
  if (!typed) buf_put(p->out, ")");
}

/* Operands from..to of one type: bare literals are read right if one of them is no literal. */
static void put_group(Printer *p, const Ex *in, int from, int to) {
  bool all = true;
  for (int i = from; i < to; i++) all &= ex_at(p->k, in[i])->op == OP_LITERAL;
  for (int i = from; i < to; i++) {
    if (i) buf_put(p->out, ", ");
    put_ex(p, in[i], 0, !all);
  }
}

static void put_place(Printer *p, const char *name, bool reg, const Ex *index, int n) {
  buf_put(p->out, name);
  if (!reg) buf_put(p->out, "["); /* `y[]` of a buffer without axes */
  for (int i = 0; i < n; i++) {
    buf_put(p->out, reg ? "[" : i ? ", " : "");
    put_ex(p, index[i], 0, true);
    if (reg) buf_put(p->out, "]");
  }
  if (!reg) buf_put(p->out, "]");
}

static void put_call(Printer *p, const Expr *x, const Ex *in) {
  const char *name = OP_INFO[x->op].text;
  switch (x->op) {
  case OP_LANE: buf_printf(p->out, "lane(%d)", x->lanes); return;
  case OP_MINIMUM: name = "min"; break;
  case OP_MAXIMUM: name = "max"; break;
  case OP_CONVERT: name = dtype_name(x->dtype); break;
  case OP_BITS: buf_put(p->out, "bits_"), name = dtype_name(x->dtype); break;
  case OP_LEN: buf_printf(p->out, "len(%s, ", p->buf[x->ref]), put_ex(p, in[0], 0, true), buf_put(p->out, ")"); return;
  default: break;
  }
  buf_printf(p->out, "%s(", name);
  if (x->op == OP_SELECT) {
    put_ex(p, in[0], 0, true);
    put_group(p, in, 1, 3);
  } else if (x->op == OP_EXTRACT || x->op == OP_PERM || x->op == OP_PERM2 || x->op == OP_DOT4) {
    for (int i = 0; i < x->nin; i++) {
      if (i) buf_put(p->out, ", ");
      put_ex(p, in[i], 0, x->op != OP_DOT4 && i == x->nin - 1);
    }
  } else {
    put_group(p, in, 0, x->nin);
  }
  if (x->op == OP_SPLAT) buf_printf(p->out, ", %d", x->lanes);
  buf_put(p->out, ")");
}

static void put_ex(Printer *p, Ex e, int level, bool typed) {
  const Expr *x = ex_at(p->k, e);
  const Ex *in = p->k->arg.at + x->in;
  if (p->shared[e]) {
    buf_put(p->out, p->shared[e]);
    return;
  }
  const LoopInfix *f = x->nin == 2 ? loop_infix_of(x->op, ex_at(p->k, in[0])->dtype) : NULL;
  if (x->op == OP_LITERAL) {
    put_literal(p, x, typed);
  } else if (x->op == OP_VAR) {
    buf_put(p->out, p->var[x->ref]);
  } else if (x->op == OP_REG) {
    put_place(p, p->reg[x->ref], true, in, x->nin);
  } else if (x->op == OP_LOAD) {
    if (x->mask) buf_put(p->out, "load(");
    put_place(p, p->buf[x->ref], false, in, x->nin);
    if (x->mask) {
      buf_put(p->out, ", ");
      put_ex(p, x->mask, 0, true);
      if (x->other) buf_put(p->out, ", "), put_ex(p, x->other, 0, true);
      buf_put(p->out, ")");
    }
  } else if (f) {
    bool all = ex_at(p->k, in[0])->op == OP_LITERAL && ex_at(p->k, in[1])->op == OP_LITERAL;
    if (f->level < level) buf_put(p->out, "(");
    put_ex(p, in[0], f->level, !all);
    buf_printf(p->out, " %s ", f->text);
    put_ex(p, in[1], f->level + 1, !all);
    if (f->level < level) buf_put(p->out, ")");
  } else if (x->op == OP_NEG || (x->op == OP_NOT && x->dtype == DT_BOOL)) {
    buf_put(p->out, x->op == OP_NEG ? "-" : "!");
    put_ex(p, in[0], LOOP_UNARY, false);
  } else {
    put_call(p, x, in);
  }
}

/* ---- statements ---- */

static const char *const TAIL_TEXT[] = {"", " tail mask", " tail peel", " tail overlap", " tail pad"};

static void put_type(Printer *p, DType d, int lanes) {
  buf_put(p->out, dtype_name(d));
  if (lanes > 1) buf_printf(p->out, "x%d", lanes);
}

static void put_sym(Buf *out, const SymTab *t, const char *before, Sym s) {
  buf_put(out, before);
  sym_print(t, s, out);
}

/* name: dtype[dims] attributes, without in, out, thread */
static void put_buffer(Buf *out, const SymTab *t, const LoopBuf *b, const char *name, const char *inplace) {
  buf_printf(out, "%s: %s", name, dtype_name(b->dtype));
  if (b->list) {
    buf_put(out, " list");
    return;
  }
  buf_put(out, "[");
  for (int i = 0; i < b->rank; i++) put_sym(out, t, i ? ", " : "", b->dim[i]);
  buf_put(out, "]");
  if (b->layout == LAYOUT_STRIDES) {
    for (int i = 0; i < b->rank; i++) put_sym(out, t, i ? ", " : " strides(", b->stride[i]);
    buf_put(out, ")");
  }
  if (b->layout == LAYOUT_PANEL) buf_printf(out, " panel(%d, %d)", b->panel_axis, b->width);
  if (b->layout == LAYOUT_SWIZZLE) buf_printf(out, " swizzle(%d)", b->width);
  if (b->align) put_sym(out, t, " align ", b->align);
  if (b->buffers) put_sym(out, t, " buffers ", b->buffers);
  if (inplace) buf_printf(out, " inplace %s", inplace);
  if (b->at) put_sym(out, t, " at ", b->at);
}

/* Puts a word and a new name before what stands from `at` on, which does not see the name. */
static void put_named(Printer *p, const char *word, const char **as, const char *name, size_t at) {
  char *value = arena_strndup(p->arena, p->out->at + at, p->out->n - at);
  p->out->n = at;
  buf_printf(p->out, "%s %s%s", word, *as = declare(p, name), value);
}

/* The text of a statement without its blocks. Declares what it declares. */
static void put_head(Printer *p, const Stmt *s) {
  static const char *const mode[] = {"", " unroll", " vector", " thread"};
  const Kernel *k = p->k;
  Buf *out = p->out;
  switch (s->kind) {
  case STMT_LET: {
    const Expr *x = ex_at(k, s->value);
    size_t at = out->n;
    buf_put(out, " = ");
    put_ex(p, s->value, 0, plain(x));
    put_named(p, "let", &p->var[s->ref], k->vars.at[s->ref].name, at);
    break;
  }
  case STMT_REG: {
    const LoopReg *r = &k->regs.at[s->ref];
    buf_printf(out, "reg %s", p->reg[s->ref] = declare(p, r->name));
    for (int i = 0; i < r->rank; i++) buf_printf(out, "[%lld]", (long long)r->dim[i]);
    buf_put(out, ": ");
    put_type(p, r->dtype, r->lanes);
    if (s->value) buf_put(out, " = "), put_ex(p, s->value, 0, true);
    break;
  }
  case STMT_ALLOC: {
    const LoopBuf *b = &k->bufs.at[s->ref];
    buf_put(out, "alloc ");
    put_buffer(out, k->ctx->syms, b, p->buf[s->ref] = declare(p, b->name), NULL);
    buf_put(out, b->kind == BUF_SHARED ? " shared" : " thread");
    break;
  }
  case STMT_ASSIGN:
  case STMT_STORE:
    put_place(p, s->kind == STMT_ASSIGN ? p->reg[s->ref] : p->buf[s->ref], s->kind == STMT_ASSIGN, s->index, s->nindex);
    buf_put(out, " = ");
    put_ex(p, s->value, 0, true);
    if (s->mask) buf_put(out, " mask "), put_ex(p, s->mask, 0, true);
    break;
  case STMT_FOR: {
    size_t at = out->n;
    put_ex(p, s->lo, LOOP_SUM, true);
    buf_put(out, "..");
    put_ex(p, s->hi, LOOP_SUM, true);
    char *bounds = arena_strndup(p->arena, out->at + at, out->n - at);
    out->n = at;
    buf_printf(out, "for %s in %s", p->var[s->ref] = declare(p, k->vars.at[s->ref].name), bounds);
    if (s->step != 1) buf_printf(out, " step %lld", (long long)s->step);
    buf_put(out, mode[s->mode]);
    if (s->mode == FOR_VECTOR) buf_printf(out, " %d", s->width);
    buf_put(out, TAIL_TEXT[s->tail]);
    break;
  }
  case STMT_IF: buf_put(out, "if "), put_ex(p, s->value, 0, true); break;
  case STMT_FAIL: buf_printf(out, "fail %lld if ", (long long)s->code), put_ex(p, s->value, 0, true); break;
  case STMT_PREFETCH: buf_put(out, "prefetch "), put_place(p, p->buf[s->ref], false, s->index, s->nindex); break;
  case STMT_BARRIER: buf_printf(out, "barrier %s", LOOP_SCOPE_TEXT[s->scope]); break;
  case STMT_REDUCE: {
    size_t at = out->n;
    buf_printf(out, " = %s %s ", loop_reduce_word(s->op), LOOP_SCOPE_TEXT[s->scope]);
    put_ex(p, s->value, 0, plain(ex_at(k, s->value)));
    put_named(p, "reduce", &p->var[s->ref], k->vars.at[s->ref].name, at);
    break;
  }
  }
}

/* Expressions share their parts, text does not: a part used twice in a long statement is printed as a let of its own.
 */
enum { LONG_TEXT = 300, LET_SIZE = 6 };

static uint32_t measure(Printer *p, Ex e) {
  if (!e || p->use[e]++) return e ? p->size[e] : 0;
  const Expr *x = ex_at(p->k, e);
  uint32_t n = 1 + measure(p, x->mask) + measure(p, x->other);
  for (int i = 0; i < x->nin; i++) {
    n += measure(p, p->k->arg.at[x->in + (uint32_t)i]);
    if (n > 1u << 20) n = 1u << 20;
  }
  vec_push(p->arena, &p->order, e);
  return p->size[e] = n;
}

static uint32_t measure_stmt(Printer *p, const Stmt *s) {
  uint32_t n = measure(p, s->value) + measure(p, s->mask) + measure(p, s->lo) + measure(p, s->hi);
  for (int i = 0; i < s->nindex; i++) n += measure(p, s->index[i]);
  return n;
}

static void forget(Printer *p) {
  for (uint32_t i = 0; i < p->order.n; i++) p->use[p->order.at[i]] = 0, p->shared[p->order.at[i]] = NULL;
  p->order.n = 0;
}

static void blanks(Printer *p) { buf_printf(p->out, "%*s", 2 * p->indent, ""); }

static void put_shared(Printer *p, const Stmt *s) {
  if (measure_stmt(p, s) <= LONG_TEXT) return;
  for (uint32_t i = 0; i < p->order.n; i++) {
    Ex e = p->order.at[i];
    if (p->use[e] < 2 || p->size[e] < LET_SIZE) continue;
    size_t at = p->out->n;
    put_ex(p, e, 0, true);
    char *value = arena_strndup(p->arena, p->out->at + at, p->out->n - at);
    p->out->n = at;
    buf_printf(p->out, "let %s = %s\n", p->shared[e] = declare(p, "e"), value);
    blanks(p);
  }
}

static bool is_long(Printer *p, const Stmt *s) {
  uint32_t n = measure_stmt(p, s);
  forget(p);
  return n > LONG_TEXT;
}

static void put_block(Printer *p, const Stmt *s);

static void put_stmt(Printer *p, const Stmt *s) {
  put_shared(p, s);
  uint32_t seen = p->visible.n;
  put_head(p, s);
  forget(p);
  if (s->kind == STMT_FOR || s->kind == STMT_IF) {
    buf_put(p->out, " {\n");
    put_block(p, s->body);
    p->visible.n = seen;
    while (s->kind == STMT_IF && s->other) {
      const Stmt *o = s->other;
      blanks(p);
      if (o->kind == STMT_IF && !o->next && !is_long(p, o)) {
        buf_put(p->out, "} else ");
        put_head(p, o);
        buf_put(p->out, " {\n");
        put_block(p, o->body);
        s = o;
      } else {
        buf_put(p->out, "} else {\n");
        put_block(p, o);
        break;
      }
    }
    blanks(p);
    buf_put(p->out, "}");
  }
  buf_put(p->out, "\n");
}

static void put_block(Printer *p, const Stmt *s) {
  uint32_t seen = p->visible.n;
  p->indent++;
  for (; s; s = s->next) {
    blanks(p);
    put_stmt(p, s);
  }
  p->indent--;
  p->visible.n = seen;
}

/* ---- kernels ---- */

static void put_dims(Buf *out, const Dim *d, uint32_t n) {
  buf_put(out, "(");
  for (uint32_t i = 0; i < n; i++)
    buf_printf(out, "%s%s in %lld..=%lld", i ? ", " : "", d[i].name, (long long)d[i].lo, (long long)d[i].hi);
  buf_put(out, ";");
}

static void put_params(Buf *out, const SymTab *t, const LoopBuf *b, int n, const char *const *name, const Sym *facts,
                       uint32_t nfacts) {
  static const char *const kind[] = {"in", "out", "inout"};
  for (int i = 0; i < n; i++) {
    buf_printf(out, "%s%s ", i ? ", " : " ", kind[b[i].kind]);
    put_buffer(out, t, &b[i], name[i], b[i].inplace < 0 ? NULL : name[b[i].inplace]);
  }
  buf_put(out, ")");
  for (uint32_t i = 0; i < nfacts; i++) put_sym(out, t, i ? ", " : " where ", facts[i]);
}

static Printer printer(const Kernel *k, Buf *out) {
  Arena *a = arena_new();
  Printer p = {.k = k, .out = out, .arena = a};
  p.var = ARENA_ARRAY(a, const char *, k->vars.n + 1);
  p.reg = ARENA_ARRAY(a, const char *, k->regs.n + 1);
  p.buf = ARENA_ARRAY(a, const char *, k->bufs.n + 1);
  p.shared = ARENA_ARRAY(a, const char *, k->ex.n + 1);
  p.size = ARENA_ARRAY(a, uint32_t, k->ex.n + 1);
  p.use = ARENA_ARRAY(a, uint32_t, k->ex.n + 1);
  for (uint32_t i = 0; i < k->vars.n; i++) p.var[i] = k->vars.at[i].name;
  for (uint32_t i = 0; i < k->regs.n; i++) p.reg[i] = k->regs.at[i].name;
  for (uint32_t i = 0; i < k->bufs.n; i++) p.buf[i] = k->bufs.at[i].name;
  for (uint32_t i = 0; i < k->dims.n; i++) vec_push(a, &p.visible, k->dims.at[i].name);
  for (uint32_t i = 0; i < k->stages.n; i++)
    for (int j = 0; k->stages.at[i]->threads && j < 3; j++) vec_push(a, &p.visible, LOOP_THREAD_TEXT[j]);
  for (int i = 0; i < k->nparams; i++) p.buf[i] = declare(&p, k->bufs.at[i].name);
  return p;
}

static void put_stage(Printer *p, const Stage *s) {
  const SymTab *t = p->k->ctx->syms;
  uint32_t seen = p->visible.n;
  buf_printf(p->out, "  stage %s(", s->name);
  for (int i = 0; i < s->naxes; i++) p->var[s->axis[i]] = declare(p, p->k->vars.at[s->axis[i]].name);
  if (s->segmented)
    buf_printf(p->out, "segment %s, %s of %s chunk %lld", p->var[s->axis[0]], p->var[s->axis[1]],
               p->buf[s->segment_buf], (long long)s->chunk);
  for (int i = 0; i < s->naxes && !s->segmented; i++) {
    buf_printf(p->out, "%s%s < ", i ? ", " : "", p->var[s->axis[i]]);
    sym_print(t, s->extent[i], p->out);
  }
  buf_put(p->out, ")");
  for (int i = 0; i < s->nthread; i++)
    buf_printf(p->out, "%s%s < %lld%s", i ? ", " : " threads(",
               p->var[s->thread[i]] = declare(p, p->k->vars.at[s->thread[i]].name), (long long)s->thread_extent[i],
               i == s->nthread - 1 ? ")" : "");
  buf_put(p->out, " {\n");
  p->indent = 1;
  put_block(p, s->body);
  buf_put(p->out, "  }\n");
  p->visible.n = seen;
}

void loop_print_kernel(const Kernel *k, Buf *out) {
  Printer p = printer(k, out);
  buf_printf(out, "kernel %s", k->name);
  put_dims(out, k->dims.at, k->dims.n);
  put_params(out, k->ctx->syms, k->bufs.at, k->nparams, p.buf, k->facts.at, k->facts.n);
  buf_put(out, " {\n");
  for (uint32_t i = 0; i < k->stages.n; i++) put_stage(&p, k->stages.at[i]);
  buf_put(out, "}\n");
  arena_free(p.arena);
}

void loop_print_stmt(const Kernel *k, const Stmt *s, Buf *out) {
  Printer p = printer(k, out);
  p.visible.n = 0;
  uint32_t n = measure_stmt(&p, s);
  if (n > LONG_TEXT)
    buf_printf(out, "a statement of %u operations", n);
  else
    put_head(&p, s);
  arena_free(p.arena);
}

/* ---- plans, entries ---- */

static void put_view(Buf *out, const SymTab *t, const Plan *p, const View *v) {
  if (v->nlist) {
    for (int i = 0; i < v->nlist; i++) {
      buf_put(out, i ? ", " : "{");
      put_view(out, t, p, &v->list[i]);
    }
    buf_put(out, "}");
    return;
  }
  buf_put(out, p->bufs.at[v->buf].name);
  for (int i = 0; i < v->nindex; i++) put_sym(out, t, i ? ", " : "[", v->index[i]);
  if (v->hi) put_sym(out, t, " .. ", v->hi);
  if (v->nindex) buf_put(out, "]");
}

static void put_launch(Buf *out, const LoopModule *m, const Plan *p, const Step *s) {
  const SymTab *t = m->ctx->syms;
  const Kernel *k = m->kernels.at[s->kernel];
  Printer names = printer(k, out);
  buf_printf(out, "launch %s.%s(", k->name, k->stages.at[s->stage]->name);
  for (int i = 0; i < s->ndims; i++) {
    const char *same = sym_var_name(t, s->dims[i]);
    buf_printf(out, "%s%s", i ? ", " : "", k->dims.at[i].name);
    if (!same || strcmp(same, k->dims.at[i].name)) put_sym(out, t, " = ", s->dims[i]);
  }
  buf_put(out, ";");
  bool first = true;
  for (int i = 0; i < s->nviews; i++) {
    const View *v = &s->views[i];
    if (v->buf < 0 && !v->nlist) continue;
    buf_printf(out, "%s%s", first ? " " : ", ", names.buf[i]);
    first = false;
    if (v->nlist || v->nindex || strcmp(p->bufs.at[v->buf].name, names.buf[i]))
      buf_put(out, " = "), put_view(out, t, p, v);
  }
  buf_printf(out, ")%s%s", s->serial ? " serial" : "", s->commit ? " commit" : "");
  arena_free(names.arena);
}

static void print_plan(const LoopModule *m, const Plan *p, Buf *out) {
  const SymTab *t = m->ctx->syms;
  Arena *a = arena_new();
  const char **name = ARENA_ARRAY(a, const char *, p->nparams + 1);
  for (int i = 0; i < p->nparams; i++) name[i] = p->bufs.at[i].name;
  buf_printf(out, "plan %s", p->name);
  put_dims(out, p->dims.at, p->dims.n);
  put_params(out, t, p->bufs.at, p->nparams, name, p->facts.at, p->facts.n);
  buf_put(out, " {\n");
  for (uint32_t i = (uint32_t)p->nparams; i < p->bufs.n; i++) {
    buf_put(out, "  buf ");
    put_buffer(out, t, &p->bufs.at[i], p->bufs.at[i].name, NULL);
    buf_put(out, "\n");
  }
  for (const Step *s = p->steps; s; s = s->next) {
    buf_put(out, "  ");
    if (s->kind == STEP_BARRIER)
      buf_put(out, "barrier");
    else if (s->kind == STEP_LAUNCH)
      put_launch(out, m, p, s);
    else if (s->kind == STEP_COPY) {
      buf_put(out, "copy ");
      put_view(out, t, p, &s->views[0]);
      buf_put(out, " <- ");
      put_view(out, t, p, &s->views[1]);
      buf_put(out, s->commit ? " commit" : "");
    } else
      BUG("plan %s: a step that has no text yet", p->name);
    buf_put(out, "\n");
  }
  buf_put(out, "}\n");
  arena_free(a);
}

static void print_entry(const LoopModule *m, const PlanEntry *e, Buf *out) {
  buf_printf(out, "entry %s {\n", e->name);
  for (uint32_t i = 0; i < e->variants.n; i++) {
    const PlanVariant *v = &e->variants.at[i];
    buf_put(out, "  variant ");
    if (v->when) put_sym(out, m->ctx->syms, "when ", v->when), buf_put(out, " ");
    if (v->level) buf_printf(out, "%s %s ", v->gpu ? "gpu" : "cpu", v->level);
    buf_printf(out, "-> %s\n", v->plan);
  }
  buf_put(out, "}\n");
}

void loop_print(const LoopModule *m, Buf *out) {
  bool first = true;
  for (uint32_t i = 0; i < m->kernels.n; i++, first = false) {
    buf_put(out, first ? "" : "\n");
    loop_print_kernel(m->kernels.at[i], out);
  }
  for (uint32_t i = 0; i < m->plans.n; i++, first = false) {
    buf_put(out, first ? "" : "\n");
    print_plan(m, m->plans.at[i], out);
  }
  for (uint32_t i = 0; i < m->entries.n; i++, first = false) {
    buf_put(out, first ? "" : "\n");
    print_entry(m, m->entries.at[i], out);
  }
}
