#include "eval_run.h"
#include "philox.h"
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_DEPTH = 200 };
#define MAX_ELEMENTS ((int64_t)1 << 32)

static EvalFn *const EVAL[OP_COUNT] = {
#define OP(NAME, text, arity, cls, flags, dtypes, attrs, shape, vjp, eval, ...) [OP_##NAME] = eval_##eval,
#include "ops.def"
#undef OP
};

/* ---- tensors -------------------------------------------------------------------------------------------------------
 */
static bool count(const int64_t *dim, int rank, int64_t *n) {
  *n = 1;
  for (int i = 0; i < rank; i++)
    if (dim[i] < 0 || __builtin_mul_overflow(*n, dim[i], n) || *n > MAX_ELEMENTS) return false;
  return true;
}

int64_t tensor_count(const Tensor *t) {
  int64_t n;
  if (!count(t->dim, t->rank, &n)) BUG("a tensor with an impossible shape");
  return n;
}

Tensor tensor_new(Arena *a, DType d, const int64_t *dim, int rank) {
  Tensor t = {d, rank, {0}, NULL};
  for (int i = 0; i < rank; i++) t.dim[i] = dim[i];
  t.data = arena_alloc(a, (size_t)tensor_count(&t) * dtype_size(d) + 1);
  return t;
}

Scalar tensor_at(const Tensor *t, int64_t k) {
  return scalar_load(t->dtype, (const char *)t->data + (size_t)k * dtype_size(t->dtype));
}

void tensor_set(Tensor *t, int64_t k, Scalar x) {
  scalar_store(t->dtype, x, (char *)t->data + (size_t)k * dtype_size(t->dtype));
}

double tensor_distance(const Tensor *a, const Tensor *b, int64_t *where) {
  double worst = 0;
  if (where) *where = 0;
  if (a->dtype != b->dtype || a->rank != b->rank) return INFINITY;
  for (int i = 0; i < a->rank; i++)
    if (a->dim[i] != b->dim[i]) return INFINITY;
  int64_t n = tensor_count(a);
  for (int64_t k = 0; k < n; k++) {
    Scalar x = tensor_at(a, k), y = tensor_at(b, k);
    double d;
    if (!dtype_is_float(a->dtype))
      d = fabs((double)x.i - (double)y.i);
    else if (x.f == y.f || (isnan(x.f) && isnan(y.f)))
      d = 0;
    else
      d = isfinite(x.f) && isfinite(y.f) ? fabs(x.f - y.f) : INFINITY;
    if (d > worst) {
      worst = d;
      if (where) *where = k;
    }
  }
  return worst;
}

double tensor_largest(const Tensor *t) {
  double r = 0;
  int64_t n = tensor_count(t);
  for (int64_t k = 0; k < n; k++) {
    Scalar x = tensor_at(t, k);
    double d = fabs(dtype_is_float(t->dtype) ? x.f : (double)x.i);
    if (isfinite(d) && d > r) r = d;
  }
  return r;
}

/* ---- values --------------------------------------------------------------------------------------------------------
 */
void value_free(Value *v) {
  for (int i = 0; i < v->nparts; i++) value_free(&v->part[i]);
  free(v->part);
  free(v->at);
  *v = (Value){0};
}

static void value_copy(Value *to, const Value *from) {
  *to = *from;
  to->at = mem_alloc((size_t)from->n * sizeof(Scalar) + 1);
  memcpy(to->at, from->at, (size_t)from->n * sizeof(Scalar));
}

/* Elements are widened or rounded only between f32 and f64, and only in wide mode. */
static void value_load(Value *v, const Tensor *t) {
  for (int64_t k = 0; k < v->n; k++) v->at[k] = tensor_at(t, k);
}

static Tensor value_store(const Value *v, Arena *a) {
  Tensor t = tensor_new(a, v->dtype, v->dim, v->rank);
  for (int64_t k = 0; k < v->n; k++) tensor_set(&t, k, v->at[k]);
  return t;
}

/* ---- helpers of the ops --------------------------------------------------------------------------------------------
 */
static Loc place(const Frame *f, Id v) { return graph_at(f->g, v)->loc; }

bool eval_refuse(const Frame *f, Id v, const char *why) {
  return diag_error(f->g->ctx->diag, "eval-shape", place(f, v), "`%s` cannot be evaluated at these dimensions: %s",
                    OP_INFO[graph_op(f->g, v)].text, why);
}

void eval_fail(Frame *f, Id v) {
  Id node = f->outer ? f->outer : v;
  if (f->e->fail.node && f->e->fail.node <= node) return;
  f->e->fail = (EvalFail){node, place(f, v)};
}

void eval_add(const Frame *f, DType d, Scalar *sum, Scalar term) {
  if (dtype_is_float(d)) {
    sum->f += term.f;
    if (f->e->stepwise) *sum = scalar_fit(dtype_computed(d), *sum);
  } else
    sum->i = (int64_t)((uint64_t)sum->i + (uint64_t)term.i);
}

void eval_add_product(const Frame *f, DType d, Scalar *sum, Scalar x, Scalar y) {
  bool floats = dtype_is_float(d);
  eval_add(f, d, sum, floats ? (Scalar){.f = x.f * y.f} : (Scalar){.i = (int64_t)((uint64_t)x.i * (uint64_t)y.i)});
}

DType eval_type(const Frame *f, DType d) { return f->e->wide && dtype_is_float(d) ? DT_F64 : d; }

static bool no_dims(void *ctx, const char *name, int64_t *value) {
  (void)ctx, (void)name, (void)value;
  return false;
}

bool eval_sym(const Frame *f, Id v, Sym s, int64_t *out) {
  const Ctx *c = f->g->ctx;
  if (sym_eval(c->syms, s, f->e->dims ? f->e->dims : no_dims, f->e->dims_ctx, out)) return true;
  return diag_error(c->diag, "eval-dimension", place(f, v),
                    "`%s` has no value: a dimension in it is not given, or it is beyond 64 bits",
                    sym_text(c->syms, s, c->arena));
}

bool eval_syms(const Frame *f, Id v, const char *attr, int64_t *out) {
  int n;
  const int64_t *w = graph_attr(f->g, v, attr, &n);
  for (int i = 0; i < n; i++)
    if (!eval_sym(f, v, (Sym)w[i], &out[i])) return false;
  return true;
}

void eval_strides(const int64_t *dim, int rank, int64_t *stride) {
  int64_t s = 1;
  for (int i = rank - 1; i >= 0; s *= dim[i--]) stride[i] = s;
}

void eval_copy(Scalar *dst, int64_t to, const int64_t *dstride, const Scalar *src, int64_t from, const int64_t *sstride,
               const int64_t *dim, int rank) {
  if (!rank) {
    dst[to] = src[from];
    return;
  }
  for (int64_t k = 0; k < dim[0]; k++)
    eval_copy(dst, to + k * dstride[0], dstride + 1, src, from + k * sstride[0], sstride + 1, dim + 1, rank - 1);
}

/* ---- running a graph -----------------------------------------------------------------------------------------------
 */
/* Type, shape and memory of a node's value. */
static bool prepare(const Frame *f, Id v, Value *out) {
  const Node *n = graph_at(f->g, v);
  if (graph_results(f->g, v) > 1) return true;
  out->dtype = eval_type(f, (DType)n->dtype);
  out->rank = n->rank;
  for (int i = 0; i < n->rank; i++)
    if (!eval_sym(f, v, graph_shape(f->g, v)[i], &out->dim[i])) return false;
  if (!count(out->dim, out->rank, &out->n)) return eval_refuse(f, v, "its shape is negative or too large");
  out->at = mem_alloc((size_t)out->n * sizeof(Scalar) + 1);
  return true;
}

/* Whether results of the op are rounded, and not just chosen or moved. */
static bool rounds(Op op) {
  switch (op) {
  case OP_NEG:
  case OP_ABS:
  case OP_SIGN:
  case OP_FLOOR:
  case OP_CEIL:
  case OP_ROUND:
  case OP_TRUNC:
  case OP_LEAF:
  case OP_STOP_GRADIENT:
  case OP_MAXIMUM:
  case OP_MINIMUM:
  case OP_SELECT:
  case OP_REDUCE_MAX:
  case OP_REDUCE_MIN:
  case OP_WINDOW_MAX:
  case OP_SELECT_GATHER: return false;
  case OP_SCATTER_ADD: return true;
  default:
    return op_elementwise(op) || OP_INFO[op].cls == CLASS_REDUCE || OP_INFO[op].cls == CLASS_DOT ||
           OP_INFO[op].cls == CLASS_WINDOW;
  }
}

/* Half of the elements become their neighbours. */
static void round_carelessly(Id v, Value *x) {
  for (int64_t k = 0; k < x->n; k++) {
    uint32_t bits = ((uint32_t)k + 97 * v) * 2654435761u; /* Knuth's multiplicative hash */
    if (bits >> 31) x->at[k].f = scalar_beside(x->dtype, x->at[k].f, bits >> 30 & 1);
  }
}

static bool node_run(Frame *f, Id v, Value *values, const Value **in) {
  const Node *n = graph_at(f->g, v);
  for (uint32_t i = 0; i < n->nin; i++) in[i] = &values[graph_in(f->g, v)[i]];
  if (!prepare(f, v, &values[v]) || !EVAL[n->op](f, v, in, (int)n->nin, &values[v])) return false;
  if (f->e->stepwise && dtype_is_float(values[v].dtype) && rounds(n->op)) round_carelessly(v, &values[v]);
  return true;
}

bool frame_run(Frame *f, const Id *outputs, int n, Value *results) {
  const Graph *g = f->g;
  if (f->depth > MAX_DEPTH)
    return diag_error(g->ctx->diag, "eval-depth", g->loc, "bodies nest more than %d deep", MAX_DEPTH);
  Value *values = mem_alloc(sizeof(Value) * g->node.n);
  uint32_t *uses = mem_alloc(sizeof(uint32_t) * g->node.n);
  Id *order = mem_alloc(sizeof(Id) * g->node.n);
  const Value **in = mem_alloc(sizeof(Value *) * (g->edge.n + 1));
  int count = graph_reach(g, outputs, n, order);
  for (int i = 0; i < n; i++) uses[outputs[i]]++;
  for (int k = 0; k < count; k++)
    for (uint32_t i = 0; i < graph_at(g, order[k])->nin; i++) uses[graph_in(g, order[k])[i]]++;
  bool ok = true;
  for (int k = 0; ok && k < count; k++) {
    Id v = order[k];
    ok = node_run(f, v, values, in);
    for (uint32_t i = 0; i < graph_at(g, v)->nin; i++) {
      Id a = graph_in(g, v)[i];
      if (!--uses[a]) value_free(&values[a]);
    }
  }
  for (int i = 0; ok && i < n; i++) value_copy(&results[i], &values[outputs[i]]);
  for (uint32_t k = 0; k < g->node.n; k++) value_free(&values[k]);
  free(values), free(uses), free(order), free(in);
  return ok;
}

/* A tensor from outside as the value of a leaf. */
static bool take(const Frame *f, Id v, const char *what, const Tensor *t, Value *out) {
  const Graph *g = f->g;
  const Ctx *c = g->ctx;
  bool floats = f->e->wide && dtype_is_float(t->dtype) && dtype_is_float(graph_dtype(g, v));
  bool fits = (t->dtype == graph_dtype(g, v) || (floats && t->dtype == DT_F64)) && t->rank == out->rank;
  for (int i = 0; fits && i < out->rank; i++) fits = t->dim[i] == out->dim[i];
  if (!fits || !t->data) {
    Sym dim[MAX_RANK];
    for (int i = 0; i < t->rank && i < MAX_RANK; i++) dim[i] = sym_int(c->syms, t->dim[i]);
    return diag_error(c->diag, "eval-input", place(f, v), "%s needs a value of type %s and gets %s", what,
                      graph_type(g, v), !t->data ? "none" : graph_shape_text((Ctx *)c, t->dtype, dim, t->rank));
  }
  value_load(out, t);
  return true;
}

bool graph_eval(const Graph *g, Eval *e, const Id *outputs, int n, Tensor *results) {
  e->fail = (EvalFail){0};
  Frame f = {.e = e, .g = g};
  Value *values = mem_alloc(sizeof(Value) * (size_t)(n + 1));
  bool ok = frame_run(&f, outputs, n, values);
  for (int i = 0; i < n; i++) {
    if (ok) results[i] = value_store(&values[i], e->arena);
    value_free(&values[i]);
  }
  free(values);
  return ok;
}

/* ---- leaves and bodies ---------------------------------------------------------------------------------------------
 */
bool eval_none(Frame *f, Id v, const Value *const *in, int nin, Value *out) {
  (void)in, (void)nin, (void)out;
  BUG("`%s` is no op of a graph", OP_INFO[graph_op(f->g, v)].text);
}

bool eval_input(Frame *f, Id v, const Value *const *in, int nin, Value *out) {
  (void)in, (void)nin;
  int64_t k = graph_attr_int(f->g, v, "ordinal");
  if (f->outer) {
    if (k < 0 || k >= f->nargs || f->args[k]->n != out->n)
      return eval_refuse(f, v, "an operand does not fit the body's input");
    memcpy(out->at, f->args[k]->at, sizeof(Scalar) * (size_t)out->n);
    return true;
  }
  static const Tensor missing = {0};
  char what[32];
  snprintf(what, sizeof what, "input %" PRId64, k);
  return take(f, v, what, k >= 0 && k < f->e->ninputs ? &f->e->inputs[k] : &missing, out);
}

bool eval_cell(Frame *f, Id v, const Value *const *in, int nin, Value *out) {
  (void)in, (void)nin;
  static const Tensor missing = {0};
  int64_t k = graph_attr_int(f->g, v, "cell");
  char what[32];
  snprintf(what, sizeof what, "cell %" PRId64, k);
  return take(f, v, what, k >= 0 && k < f->e->ncells ? &f->e->cells[k] : &missing, out);
}

bool eval_constant(Frame *f, Id v, const Value *const *in, int nin, Value *out) {
  (void)in, (void)nin;
  int n;
  const int64_t *w = graph_attr(f->g, v, "value", &n);
  if (n != 1 && n != out->n) return eval_refuse(f, v, "the number of its values is not that of its shape");
  for (int64_t k = 0; k < out->n; k++) out->at[k] = scalar_fit(out->dtype, (Scalar){.i = w[n == 1 ? 0 : k]});
  return true;
}

bool eval_data(Frame *f, Id v, const Value *const *in, int nin, Value *out) {
  (void)in, (void)nin;
  const Graph *g = f->g;
  DType d = graph_dtype(g, v);
  const char *path = graph_attr_str(g, v, "file");
  size_t bytes = (size_t)out->n * dtype_size(d);
  char *raw = mem_alloc(bytes + 1);
  FILE *file = fopen(path, "rb");
  bool ok = file && !fseek(file, (long)graph_attr_int(g, v, "offset"), SEEK_SET) && fread(raw, 1, bytes, file) == bytes;
  if (file) fclose(file);
  for (int64_t k = 0; ok && k < out->n; k++) out->at[k] = scalar_load(d, raw + (size_t)k * dtype_size(d));
  free(raw);
  return ok || diag_error(g->ctx->diag, "eval-data", place(f, v), "cannot read %zu bytes of `%s`", bytes, path);
}

bool eval_iota(Frame *f, Id v, const Value *const *in, int nin, Value *out) {
  (void)in, (void)nin;
  int64_t axis = graph_attr_int(f->g, v, "axis"), stride[MAX_RANK];
  eval_strides(out->dim, out->rank, stride);
  for (int64_t k = 0; k < out->n; k++)
    out->at[k] = scalar_convert(DT_I64, out->dtype, (Scalar){.i = k / stride[axis] % out->dim[axis]});
  return true;
}

bool eval_dim(Frame *f, Id v, const Value *const *in, int nin, Value *out) {
  (void)in, (void)nin;
  return eval_syms(f, v, "value", &out->at[0].i);
}

bool eval_random(Frame *f, Id v, const Value *const *in, int nin, Value *out) {
  (void)in, (void)nin;
  const Graph *g = f->g;
  const char *kind = graph_attr_str(g, v, "kind");
  DType d = graph_dtype(g, v);
  bool uniform = !strcmp(kind, "uniform") && dtype_is_float(d), bits = !strcmp(kind, "bits") && d == DT_I32;
  if (!uniform && !bits) BUG("random of kind %s as %s", kind, dtype_name(d));
  if (graph_attr_int(g, v, "lanes"))
    return diag_error(g->ctx->diag, "eval-random", place(f, v), "`random` with lanes is not supported yet");
  Draw draw = {f->e->seed, hash_fnv32(graph_attr_str(g, v, "key")), 0, f->e->call};
  for (int64_t k = 0; k < out->n; k++)
    if (uniform)
      out->at[k].f = philox_uniform(&draw, d, (uint64_t)k);
    else
      out->at[k].i = philox_bits(&draw, (uint64_t)k);
  return true;
}

bool eval_body(Frame *f, Id v, const Value *const *in, int nin, Value *out) {
  const Graph *body = graph_body(f->g, v);
  Frame inner = {f->e, body, in, nin, f->depth + 1, f->outer ? f->outer : v};
  int n = (int)body->output.n;
  Value *part = mem_alloc(sizeof(Value) * (size_t)(n + 1));
  bool ok = frame_run(&inner, body->output.at, n, part);
  if (n > 1) {
    out->part = part;
    out->nparts = n;
    return ok;
  }
  ok = ok && (part->n == out->n || eval_refuse(f, v, "its body gives another shape"));
  if (ok) memcpy(out->at, part->at, sizeof(Scalar) * (size_t)out->n);
  if (n) value_free(part);
  free(part);
  return ok;
}

bool eval_get(Frame *f, Id v, const Value *const *in, int nin, Value *out) {
  (void)nin;
  int64_t k = graph_attr_int(f->g, v, "index");
  const Value *from = in[0]->nparts ? &in[0]->part[k] : in[0];
  if (k < 0 || (in[0]->nparts && k >= in[0]->nparts) || from->n != out->n)
    return eval_refuse(f, v, "there is no such result");
  memcpy(out->at, from->at, sizeof(Scalar) * (size_t)out->n);
  return true;
}

/* ---- element by element --------------------------------------------------------------------------------------------
 */
bool eval_elem(Frame *f, Id v, const Value *const *in, int nin, Value *out) {
  Op op = graph_op(f->g, v);
  DType d = in[nin - 1]->dtype; /* the last: select's first is its condition */
  const Scalar *x[3];
  int step[3];
  for (int i = 0; i < nin; i++) {
    if (in[i]->rank && in[i]->n != out->n) return eval_refuse(f, v, "its operands differ in shape");
    x[i] = in[i]->at;
    step[i] = in[i]->rank != 0;
  }
  if (!scalar_map(op, d, out->n, x, step, out->at)) BUG("`%s` of %s", OP_INFO[op].text, dtype_name(d));
  return true;
}

bool eval_convert(Frame *f, Id v, const Value *const *in, int nin, Value *out) {
  (void)f, (void)v, (void)nin;
  for (int64_t k = 0; k < out->n; k++) out->at[k] = scalar_convert(in[0]->dtype, out->dtype, in[0]->at[k]);
  return true;
}
