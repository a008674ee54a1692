#include "cuda_gemm90.h"
#include "cuda_strides.h"
#include "gemm90_tile.h"
#include <string.h>

enum { MAP_RANK = 4, WHOLE = 8 /* elements in 16 bytes */ };

typedef struct Map { /* a matrix of 16-bit elements: lines, in which neighbours lie side by side */
  DType type;
  Strides strides; /* over outer axes, sums (of the result: rows), then rows or columns */
  bool along_k;    /* of an operand: a line goes along the sum */
  Sym line;        /* elements from one line to the next */
  Run side, other; /* rows (columns); the innermost run of the sum (of the result: rows) */
  Runs sums;       /* of an operand: the same runs for both, with its own steps */
  Runs outer;      /* a step of 0: the same for all products */
} Map;

typedef struct Product {
  Kernel *k;
  const Stage *st;
  const LoopProduct *p;
  Map a, b, c;
  bool a_filled, b_filled; /* by threads, as parts.a and parts.b say; else a, b are there, for TMA */
  bool plain;              /* the epilogue does no more than to round: c is there */
  int element;             /* bytes */
  ProductParts parts;
} Product;

/* ---- what is where ---- */

static bool is_number(const Kernel *k, Sym s, int64_t n) {
  int64_t v;
  return sym_is_int(k->ctx->syms, s, &v) && v == n;
}

/* Through lets, and conversions from a type. */
static Ex behind(const Kernel *k, Ex e, DType from) {
  for (;;) {
    const Expr *x = ex_at(k, e);
    if (x->op == OP_VAR && k->vars.at[x->ref].kind == VAR_LET)
      e = k->vars.at[x->ref].value;
    else if (x->op == OP_CONVERT && ex_at(k, k->arg.at[x->in])->dtype == from)
      e = k->arg.at[x->in];
    else
      return e;
  }
}

/* The axes of a group as one; of none: one element, from which no step is made. */
static bool one_run(const Kernel *k, const Strides *strides, const LoopAxes *group, int first, Run *run) {
  Runs r;
  Sym one = sym_int(k->ctx->syms, 1);
  strides_runs(k, &strides, 1, group, first, &r);
  *run = r.n ? r.run[0] : (Run){sym_int(k->ctx->syms, WHOLE), one, one, WHOLE};
  return r.n <= 1;
}

static bool steps_whole(const Run *r) { return r->unit % WHOLE == 0; }

/* The axes beyond a matrix; *rank grows by those that a map has. */
static bool outer_runs(const Product *d, Map *m, int *rank) {
  const Strides *strides = &m->strides;
  strides_runs(d->k, &strides, 1, &d->p->outer, 0, &m->outer);
  for (int i = 0; i < m->outer.n; i++) {
    if (!steps_whole(&m->outer.run[i])) return false;
    *rank += !is_number(d->k, m->outer.run[i].step, 0);
  }
  return m->strides.at_unit % WHOLE == 0;
}

static bool only_lets(const Stmt *from, const Stmt *to) {
  while (from != to && from->kind == STMT_LET) from = from->next;
  return from == to;
}

static bool is_stored(const Product *d, uint32_t buf) {
  bool *loads = ARENA_ARRAY(d->k->ctx->arena, bool, 2 * d->k->bufs.n), *stores = loads + d->k->bufs.n;
  loop_uses(d->k, d->st, loads, stores);
  return stores[buf];
}

static bool operand_strides(const Product *d, bool right, Map *m) {
  const LoopProduct *p = d->p;
  const Kernel *k = d->k;
  AxisList axes = {0};
  Ex index[LOOP_RANK];
  m->type = right ? p->b_type : p->a_type;
  const Expr x = *ex_at(k, behind(k, k->vars.at[right ? p->b_value : p->a_value].value, m->type));
  if (x.op != OP_LOAD || x.dtype != m->type || x.mask) return false;
  memcpy(index, k->arg.at + x.in, (size_t)x.nin * sizeof *index);
  strides_axes(&axes, &p->outer);
  strides_axes(&axes, &p->sums);
  strides_axes(&axes, right ? &p->columns : &p->rows);
  return only_lets(right ? p->b : p->a, right ? p->add : p->b) && !is_stored(d, x.ref) &&
         strides_of(d->k, x.ref, index, &axes, &m->strides);
}

static bool runs_map(const Product *d, const Map *other, const LoopAxes *side, Map *m) {
  const Kernel *k = d->k;
  const LoopProduct *p = d->p;
  const Strides *all[] = {&m->strides, &other->strides};
  int rank = 1;
  strides_runs(k, all, 2, &p->sums, p->outer.n, &m->sums);
  if (!m->sums.n || !one_run(k, &m->strides, side, p->outer.n + p->sums.n, &m->side)) return false;
  for (int i = 0; i < m->sums.n; i++, rank++) {
    if (is_number(k, m->sums.run[i].step, 0)) return false;
    if (i < m->sums.n - 1 && !steps_whole(&m->sums.run[i])) return false;
  }
  m->other = m->sums.run[m->sums.n - 1];
  m->along_k = is_number(k, m->other.step, 1) && steps_whole(&m->side) && !is_number(k, m->side.step, 0);
  if (!m->along_k && !(is_number(k, m->side.step, 1) && steps_whole(&m->other))) return false;
  m->line = m->along_k ? m->side.step : m->other.step;
  return outer_runs(d, m, &rank) && rank <= MAP_RANK;
}

/* The epilogue is one store of the sum, rounded to 16 bits, in lines of columns. */
static bool result_map(Product *d) {
  const LoopProduct *p = d->p;
  const Kernel *k = d->k;
  Map *m = &d->c;
  const Stmt *store = NULL;
  if (p->summed) return false;
  for (const Stmt *s = p->epilogue; s; s = s->next) {
    if (s->kind == STMT_LET) continue;
    if (s->kind != STMT_STORE || store || s->mask) return false;
    store = s;
  }
  if (!store || !dtype_is_half(m->type = k->bufs.at[store->ref].dtype)) return false;
  const Expr *x = ex_at(k, behind(k, store->value, DT_F32));
  if (x->op != OP_REG || x->ref != p->sum) return false;
  AxisList axes = {0};
  int rank = 2, rows = p->outer.n, columns = rows + p->rows.n;
  strides_axes(&axes, &p->outer);
  strides_axes(&axes, &p->rows);
  strides_axes(&axes, &p->columns);
  if (!strides_of(d->k, store->ref, store->index, &axes, &m->strides) ||
      !one_run(k, &m->strides, &p->rows, rows, &m->other) || !one_run(k, &m->strides, &p->columns, columns, &m->side) ||
      !is_number(k, m->side.step, 1) || !steps_whole(&m->other))
    return false;
  m->line = m->other.step;
  return outer_runs(d, m, &rank) && rank <= MAP_RANK;
}

/* Steps of a part of the sum; 0: parts do not begin where steps do. */
static Sym part_steps(const Product *d, const Map *m) {
  SymTab *t = d->k->ctx->syms;
  const LoopAxes *s = &d->p->sums;
  return m->sums.n > 1 ? 0
                       : sym_exact(t, sym_mul(t, d->p->chunk, sym_product(t, s->extent + 1, s->n - 1)), sym_int(t, 64));
}

/* The operand is memory that TMA can bring, with the sum in the runs of both operands. */
static bool operand_map(const Product *d, bool right, const Map *other, Map *m) {
  const LoopProduct *p = d->p;
  return runs_map(d, other, right ? &p->columns : &p->rows, m) && (!p->part || part_steps(d, m));
}

static int lanes(const Product *d) { return 16 / d->element; }

static bool make(Kernel *k, const Stage *st, Product *d) {
  const LoopProduct *p = st->product;
  bool half = p->a_type == p->b_type && dtype_is_half(p->a_type);
  *d = (Product){.k = k, .st = st, .p = p, .a_filled = true, .b_filled = true, .element = half ? 2 : 4};
  if (!(half || p->tf32) || k->regs.at[p->sum].dtype != DT_F32) return false;
  if (half) { /* what becomes tf32 is rounded on the way */
    bool a = operand_strides(d, false, &d->a), b = operand_strides(d, true, &d->b);
    if (a && b && operand_map(d, false, &d->b, &d->a) && operand_map(d, true, &d->a, &d->b))
      d->a_filled = d->b_filled = false;
    else { /* beside one whose terms are numbered through */
      d->a_filled = !(a && operand_map(d, false, &d->a, &d->a) && d->a.sums.n == 1);
      d->b_filled = !(b && operand_map(d, true, &d->b, &d->b) && d->b.sums.n == 1);
    }
  }
  if ((d->a_filled && !hole_operand(k, st, false, p->a_type, lanes(d), &d->parts.a)) ||
      (d->b_filled && !hole_operand(k, st, true, p->b_type, lanes(d), &d->parts.b)) ||
      !skeleton_epilogue(k, st, &d->parts))
    return false;
  d->parts.a.in_memory &= half;
  d->parts.b.in_memory &= half;
  d->plain = result_map(d);
  return true;
}

/* ---- maps ---- */

static void add_axis(SymTab *t, CudaTensor *to, const Run *r) {
  to->dim[to->rank] = r->extent;
  to->stride[to->rank - 1] = sym_mul(t, r->step, sym_int(t, 2));
  to->box[to->rank++] = 1;
}

/* Boxes have lines of 128 bytes. */
static CudaTensor tensor(const Kernel *k, const Map *m, bool is_result, int lines) {
  SymTab *t = k->ctx->syms;
  bool along_other = !is_result && m->along_k;
  CudaTensor to = {.buf = m->strides.buf, .dtype = m->type, .rank = 2, .swizzle = 128};
  to.at = sym_mul(t, m->strides.at, sym_int(t, 2));
  to.dim[0] = along_other ? m->other.extent : m->side.extent;
  to.dim[1] = along_other ? m->side.extent : m->other.extent;
  to.stride[0] = sym_mul(t, m->line, sym_int(t, 2));
  to.box[0] = 64;
  to.box[1] = (uint32_t)lines;
  for (int i = is_result ? -1 : m->sums.n - 2; i >= 0; i--) add_axis(t, &to, &m->sums.run[i]);
  for (int i = m->outer.n - 1; i >= 0; i--)
    if (!is_number(k, m->outer.run[i].step, 0)) add_axis(t, &to, &m->outer.run[i]);
  return to;
}

/* ---- text ---- */

#define TEXT(c, ...) arena_printf((c)->arena, __VA_ARGS__)

static const char *size(Cuda *c, Sym s) { return cuda_print_value(c, loop_sym(c->k, s)); }

static void open_function(const HoleText *t, const char *head, const char *suffix, const char *parameters) {
  buf_printf(t->out, "DEVICE %s %s%s(%s_args args%s) {\n  (void)args%s;\n", head, t->name, suffix, t->name, parameters,
             *parameters ? ", (void)outer" : "");
  t->c->out = (Buf){0};
}

static void close_function(const HoleText *t) {
  cuda_print_body(t->given, t->c->out.at, t->out);
  buf_put(t->out, "}\n");
  buf_free(&t->c->out);
}

/* Which one of a run's numbers a flat number has. */
static const char *place_in(Cuda *c, const char *flat, Sym inside, const Run *r, bool first) {
  const char *n = is_number(c->k, inside, 1) ? flat : TEXT(c, "%s / (%s)", flat, size(c, inside));
  return first ? n : TEXT(c, "%s %% (%s)", n, size(c, r->extent));
}

/* Steps that the innermost run of the sum takes. */
static Sym steps(const Kernel *k, const Map *m) {
  return sym_div_up(k->ctx->syms, m->other.extent, sym_int(k->ctx->syms, 64));
}

/* The steps of one product: of its part of the sum. */
static void print_steps(const HoleText *t, const Product *d) {
  Cuda *c = t->c;
  SymTab *s = c->k->ctx->syms;
  const LoopAxes *outer = &d->p->outer;
  Sym all = steps(c->k, &d->a);
  for (int i = 0; i < d->a.sums.n - 1; i++) all = sym_mul(s, all, d->a.sums.run[i].extent);
  for (int end = 0; end < 2; end++) {
    open_function(t, "i32", end ? "_end" : "_begin", ", i32 outer");
    const char *e = end ? size(c, all) : "0";
    if (d->p->part) {
      const char *behind = size(c, sym_product(s, outer->extent + 1, outer->n - 1)),
                 *span = size(c, part_steps(d, &d->a));
      const char *first = TEXT(c, "outer / (%s) * (%s)", behind, span);
      e = end ? TEXT(c, "min_i32((i32)(%s), (i32)(%s + (%s)))", e, first, span) : first;
    }
    buf_printf(&c->out, "  return (i32)(%s);\n", e);
    close_function(t);
  }
}

static const char *outer_places(Cuda *c, const Map *m, int *rank) {
  const char *all = "";
  for (int i = m->outer.n - 1; i >= 0; i--) {
    const Run *r = &m->outer.run[i];
    if (is_number(c->k, r->step, 0)) continue;
    all = TEXT(c, "%s, %s", all, place_in(c, "outer", r->behind, r, !i));
    ++*rank;
  }
  return all;
}

static void print_load(const HoleText *t, const char *suffix, const char *side, const Map *m) {
  Cuda *c = t->c;
  SymTab *s = c->k->ctx->syms;
  int rank = 2;
  Sym inside = steps(c->k, m);
  open_function(t, "void", suffix,
                TEXT(c, ", const TensorMap *map, u32 to, u32 barrier, i32 outer, i32 %s, i32 step", side));
  const char *k = m->sums.n == 1 ? "step * 64" : TEXT(c, "step %% (%s) * 64", size(c, inside));
  const char *at = m->along_k ? TEXT(c, "%s, %s", k, side) : TEXT(c, "%s, %s", side, k);
  for (int i = m->sums.n - 2; i >= 0; i--, rank++) {
    const Run *r = &m->sums.run[i];
    at = TEXT(c, "%s, %s", at, place_in(c, "step", inside, r, !i));
    inside = sym_mul(s, inside, r->extent);
  }
  const char *outer = outer_places(c, m, &rank);
  buf_printf(&c->out, "  tma_load_%dd(to, map, barrier, %s%s);\n", rank, at, outer);
  close_function(t);
}

static void print_store(const HoleText *t, const Map *m) {
  Cuda *c = t->c;
  int rank = 2;
  open_function(t, "void", "_store_c", ", const TensorMap *map, u32 from, i32 outer, i32 m, i32 n");
  const char *outer = outer_places(c, m, &rank);
  buf_printf(&c->out, "  tma_store_%dd(map, from, n, m%s);\n", rank, outer);
  close_function(t);
}

static void print_defines(const Product *d, const Gemm90Tile *tile, SkeletonText *t) {
  const struct {
    const char *name;
    int value;
  } numbers[] = {{"BM", tile->bm},        {"BN", tile->bn},          {"STAGES", tile->stages},
                 {"ELEMENT", d->element}, {"A_FILLED", d->a_filled}, {"B_FILLED", d->b_filled},
                 {"C", d->plain}};
  for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) skeleton_define(t, numbers[i].name, numbers[i].value);
  const char *type = dtype_name(d->p->a_type);
  if (d->element == 2) buf_printf(&t->text, "#define GEMM_WGMMA wgmma_%s\n", type);
  if (d->plain || d->element == 2)
    buf_printf(&t->text, "#define GEMM_PACK pack_%s\n", d->plain ? dtype_name(d->c.type) : type);
  buf_printf(&t->text, "#define GEMM_PARAMETERS (%s_args, args)%s%s%s\n#include \"gemm_sm90.cu\"\n", t->stage.name,
             d->a_filled ? "" : ", (TENSOR_MAP, a_map)", d->b_filled ? "" : ", (TENSOR_MAP, b_map)",
             d->plain ? ", (TENSOR_MAP, c_map)" : "");
}

/* How an operand comes into its tile: its function, and whether its lines go along the sum. */
static void print_operand(const Product *d, bool right, SkeletonText *t) {
  const Map *m = right ? &d->b : &d->a;
  if (right ? d->b_filled : d->a_filled) {
    skeleton_operand(t, right, right ? (Operand *)&d->parts.b : (Operand *)&d->parts.a);
    return;
  }
  print_load(&t->holes, right ? "_load_b" : "_load_a", right ? "n" : "m", m);
  skeleton_define(t, right ? "B_K" : "A_K", m->along_k);
}

/* ---- the kernel ---- */

static int stored_bytes(const Product *d) {
  int bytes = 0;
  for (const Stmt *s = d->p->epilogue; s != d->p->end; s = s->next)
    if (s->kind == STMT_STORE) bytes += (int)dtype_size(d->k->bufs.at[s->ref].dtype);
  return bytes;
}

static Sym total(SymTab *t, const LoopAxes *a) { return sym_product(t, a->extent, a->n); }
static int64_t likely(const Kernel *k, const LoopAxes *a) { return (int64_t)loop_likely(k, total(k->ctx->syms, a)); }

static Sym grid(const Product *d, const Gemm90Tile *tile) {
  SymTab *t = d->k->ctx->syms;
  Sym tiles = sym_mul(t, sym_div_up(t, total(t, &d->p->rows), sym_int(t, tile->bm)),
                      sym_div_up(t, total(t, &d->p->columns), sym_int(t, tile->bn)));
  return sym_op(t, SYM_MIN, sym_mul(t, total(t, &d->p->outer), tiles),
                sym_int(t, GEMM90_MULTIPROCESSORS * tile->together));
}

static void add_tensor(SkeletonText *t, Arena *a, CudaTensor to) {
  vec_push(a, &t->stage.args, ((CudaArg){CUDA_TENSOR, t->stage.tensors.n}));
  vec_push(a, &t->stage.tensors, to);
}

/* What the epilogue stores, what operands cost, as the model of tiles wants it. */
static Gemm90Size sizes(const Product *d) {
  const LoopProduct *p = d->p;
  const Kernel *k = d->k;
  int64_t terms = likely(k, &p->sums) / (p->part ? (int64_t)loop_likely(k, p->outer.extent[0]) : 1);
  return (Gemm90Size){.products = likely(k, &p->outer),
                      .m = likely(k, &p->rows),
                      .n = likely(k, &p->columns),
                      .k = terms,
                      .stored = stored_bytes(d),
                      .element = d->element,
                      .a = !d->a_filled           ? GEMM90_TMA
                           : d->parts.a.in_memory ? GEMM90_COPIED
                                                  : GEMM90_WORKED,
                      .b = !d->b_filled           ? GEMM90_TMA
                           : d->parts.b.in_memory ? GEMM90_COPIED
                                                  : GEMM90_WORKED};
}

bool cuda_gemm90_stage(Kernel *k, const Stage *st, const CudaWanted *want, CudaStage *made, Buf *out) {
  static const char *const by[] = {[GEMM90_TMA] = "TMA", [GEMM90_COPIED] = "cp.async", [GEMM90_WORKED] = "threads"};
  Product d;
  Arena *a = k->ctx->arena;
  if (!make(k, st, &d)) return false;
  const Gemm90Size size = sizes(&d);
  const char *why;
  const Gemm90Tile *tile = gemm90_tile(a, &size, &why);
  SkeletonText t;
  skeleton_open(&t, k, st, want, &d.parts);
  if (!d.a_filled && !d.b_filled) print_steps(&t.holes, &d);
  print_operand(&d, false, &t);
  print_operand(&d, true, &t);
  if (d.plain) print_store(&t.holes, &d.c);
  print_defines(&d, tile, &t);
  if (!d.a_filled) add_tensor(&t, a, tensor(k, &d.a, false, d.a.along_k ? tile->bm : 64));
  if (!d.b_filled) add_tensor(&t, a, tensor(k, &d.b, false, d.b.along_k ? tile->bn : 64));
  if (d.plain) add_tensor(&t, a, tensor(k, &d.c, true, 16));
  t.stage.threads = (d.a_filled || d.b_filled ? 2 * tile->bm : 128) + 2 * tile->bm;
  t.stage.grid = grid(&d, tile);
  t.stage.shared = tile->shared;
  t.stage.reordered = true;
  if (d.element == 4) t.stage.rounds = DT_F16; /* which has as many bits of mantissa */
  t.stage.schedule = arena_printf(
      a, "gemm_sm90(%s%d x %d x %d, %d stages, a %s-major by %s, b %s-major by %s, c by %s); %s",
      d.element == 4 ? "tf32, " : "", tile->bm, tile->bn, 128 / d.element, tile->stages,
      (d.a_filled ? d.parts.a.along_k : d.a.along_k) ? "k" : "m", by[size.a],
      (d.b_filled ? d.parts.b.along_k : d.b.along_k) ? "k" : "n", by[size.b], d.plain ? "TMA" : "rows", why);
  return skeleton_close(&t, made, out);
}
