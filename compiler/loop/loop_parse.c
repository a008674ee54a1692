#include "loop.h"
#include "loop_read.h"
#include "loop_words.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Reads modules: kernels, plans, entries. A kernel's statements are built while they are read; expressions are read
 * into small trees first (loop_read_expr.c makes them typed), because a fn is read once and used with many types. */

_Noreturn void read_fail(Reader *r, const char *id, Loc loc, const char *fmt, ...) {
  char text[512];
  va_list v;
  va_start(v, fmt);
  vsnprintf(text, sizeof text, fmt, v);
  va_end(v);
  diag_error(r->ctx->diag, id, loc, "%s", text);
  longjmp(r->out, 1);
}

/* ---- tokens ---- */

static const Token *tok(const Reader *r) { return &r->tok.at[r->at]; }
static Loc here(const Reader *r) { return tok(r)->loc; }
static int line_of(Reader *r, const Token *t) {
  for (; r->line_at < t->at; r->line_at++) r->line += r->text[r->line_at] == '\n';
  return r->line;
}

static const char *shown(Reader *r) {
  const Token *t = tok(r);
  if (t->kind == TOK_END) return "the end of the file";
  if (t->kind == TOK_NL) return "the end of the line";
  return arena_printf(r->ctx->arena, "`%.*s`", (int)(t->n < 40 ? t->n : 40), r->text + t->at);
}

static bool is(const Reader *r, const char *text) {
  const Token *t = tok(r);
  return (t->kind == TOK_NAME || t->kind == TOK_OP) && !strcmp(t->text, text);
}

static bool take(Reader *r, const char *text) {
  if (!is(r, text)) return false;
  r->at++;
  return true;
}

static void need(Reader *r, const char *text) {
  if (!take(r, text)) read_fail(r, "loop-syntax", here(r), "expected `%s`, found %s", text, shown(r));
}

static const char *need_name(Reader *r) {
  if (tok(r)->kind != TOK_NAME) read_fail(r, "loop-syntax", here(r), "expected a name, found %s", shown(r));
  return r->tok.at[r->at++].text;
}

static const char *new_name(Reader *r) {
  if (tok(r)->kind == TOK_NAME && loop_reserved(tok(r)->text))
    read_fail(r, "loop-name", here(r), "`%s` begins a statement or is a number: nothing may be called so",
              tok(r)->text);
  return need_name(r);
}

static void skip_lines(Reader *r) {
  while (tok(r)->kind == TOK_NL || is(r, ";")) r->at++;
}

/* Reads `item` until `close`, separated by commas. */
static void commas(Reader *r, const char *close, void (*item)(Reader *, void *), void *ctx) {
  while (!take(r, close)) {
    item(r, ctx);
    if (!is(r, close)) need(r, ",");
  }
}

/* ---- expressions ---- */

static Ast *parse_expr(Reader *r, int level);

static Ast *new_ast(Reader *r, AstKind kind, const char *name, Loc loc) {
  Ast *a = ARENA_NEW(r->ctx->arena, Ast);
  a->kind = kind;
  a->name = name;
  a->loc = loc;
  a->depth = 1;
  return a;
}

static void add_ast(Reader *r, Ast *a, Ast *x) {
  vec_push(r->ctx->arena, &a->in, x);
  if (x->depth >= a->depth) a->depth = x->depth + 1;
  if (a->depth > 400)
    read_fail(r, "loop-deep", a->loc, "this expression is nested more than 400 deep: name parts of it with `let`");
}

static void operand(Reader *r, void *ctx) { add_ast(r, ctx, parse_expr(r, 0)); }

static Ast *parse_unary(Reader *r) {
  const Token *t = tok(r);
  Ast *a;
  if (t->kind == TOK_BAD) read_fail(r, "loop-syntax", t->loc, "%s", t->u.why);
  if (++r->nested > 200)
    read_fail(r, "loop-deep", t->loc, "this expression is nested more than 200 deep: name parts of it with `let`");
  if (is(r, "-") || is(r, "!")) {
    a = new_ast(r, AST_UNARY, t->text, t->loc);
    r->at++;
    add_ast(r, a, parse_unary(r));
  } else if (take(r, "(")) {
    a = parse_expr(r, 0);
    need(r, ")");
  } else if (t->kind == TOK_INT || t->kind == TOK_FLOAT) {
    a = new_ast(r, AST_NUMBER, NULL, t->loc);
    a->real = t->kind == TOK_FLOAT;
    if (a->real)
      a->f = t->u.f;
    else
      a->i = t->u.i;
    r->at++;
  } else {
    const char *name = need_name(r);
    if (take(r, "(")) {
      a = new_ast(r, AST_CALL, name, t->loc);
      commas(r, ")", operand, a);
    } else {
      a = new_ast(r, is(r, "[") ? AST_INDEX : AST_NAME, name, t->loc);
      while (take(r, "[")) commas(r, "]", operand, a);
    }
  }
  r->nested--;
  return a;
}

static const LoopInfix *infix_here(const Reader *r, int level) {
  if (tok(r)->kind == TOK_OP)
    for (int i = 0; i < LOOP_INFIXES; i++)
      if (LOOP_INFIX[i].level == level && !strcmp(LOOP_INFIX[i].text, tok(r)->text)) return &LOOP_INFIX[i];
  return NULL;
}

static Ast *parse_expr(Reader *r, int level) {
  if (level == LOOP_UNARY) return parse_unary(r);
  Ast *a = parse_expr(r, level + 1);
  while (infix_here(r, level)) {
    Ast *b = new_ast(r, AST_BINARY, tok(r)->text, here(r));
    r->at++;
    add_ast(r, b, a);
    add_ast(r, b, parse_expr(r, level + 1));
    a = b;
  }
  return a;
}

static Sym parse_sym(Reader *r, int level) { return read_sym(r, parse_expr(r, level)); }

static int64_t parse_int(Reader *r, int level) {
  Ast *a = parse_expr(r, level);
  Kernel *k = r->k; /* constants only: no kernel's names */
  r->k = NULL;
  Val v = read_value(r, a);
  r->k = k;
  if (!v.lit || v.real || v.big) read_fail(r, "loop-constant", a->loc, "an integer constant is needed here");
  return v.i;
}

static int parse_small(Reader *r, int level, int64_t lo, int64_t hi) {
  Loc at = here(r);
  int64_t v = parse_int(r, level);
  if (v < lo || v > hi)
    read_fail(r, "loop-constant", at, "%lld stands where %lld to %lld is possible", (long long)v, (long long)lo,
              (long long)hi);
  return (int)v;
}

/* ---- headers ---- */

static void later(Reader *r, const char *what, const char *when) {
  read_fail(r, "loop-later", here(r), "%s: this comes with the order for %s", what, when);
}

typedef struct SymList {
  Sym at[LOOP_RANK];
  int n;
} SymList;

static void one_sym(Reader *r, void *ctx) {
  SymList *l = ctx;
  if (l->n == LOOP_RANK) read_fail(r, "loop-rank", here(r), "more than %d axes", LOOP_RANK);
  l->at[l->n++] = parse_sym(r, 0);
}

/* name ':' dtype '[' dims ']' {attribute}; *inplace gets the name after `inplace`. */
static LoopBuf parse_buffer(Reader *r, BufKind kind, const char **inplace) {
  LoopBuf b = {.kind = kind, .inplace = -1, .line = line_of(r, tok(r))};
  b.name = new_name(r);
  need(r, ":");
  Loc at = here(r);
  const char *type = need_name(r);
  b.dtype = dtype_parse(type);
  if (b.dtype == DT_NONE || b.dtype == DT_IDX) read_fail(r, "loop-type", at, "unknown type %s", type);
  if (take(r, "list")) {
    b.list = true;
    b.rank = 1;
    return b;
  }
  need(r, "[");
  SymList dims = {0};
  commas(r, "]", one_sym, &dims);
  b.rank = dims.n;
  memcpy(b.dim, dims.at, sizeof b.dim);
  for (;;) {
    at = here(r);
    if (take(r, "align"))
      b.align = parse_sym(r, LOOP_SUM);
    else if (take(r, "buffers"))
      b.buffers = parse_sym(r, LOOP_SUM);
    else if (take(r, "at"))
      b.at = parse_sym(r, LOOP_SUM);
    else if (take(r, "inplace")) {
      const char *name = need_name(r);
      if (!inplace) read_fail(r, "loop-syntax", at, "inplace stands with parameters only");
      *inplace = name;
    } else if (is(r, "thread") || is(r, "shared")) {
      if (kind != BUF_THREAD && kind != BUF_SHARED)
        read_fail(r, "loop-syntax", at, "%s stands with alloc only", tok(r)->text);
      b.kind = kind = is(r, "shared") ? BUF_SHARED : BUF_THREAD;
      r->at++;
    } else if (take(r, "strides")) {
      SymList s = {0};
      need(r, "(");
      commas(r, ")", one_sym, &s);
      if (s.n != b.rank) read_fail(r, "loop-rank", at, "%d strides for %d axes of %s", s.n, b.rank, b.name);
      b.layout = LAYOUT_STRIDES;
      memcpy(b.stride, s.at, sizeof b.stride);
    } else if (take(r, "panel")) {
      need(r, "(");
      b.panel_axis = parse_small(r, 0, 0, b.rank - 1);
      need(r, ",");
      b.width = parse_small(r, 0, 1, 4096);
      need(r, ")");
      b.layout = LAYOUT_PANEL;
    } else if (take(r, "swizzle")) {
      need(r, "(");
      b.width = parse_small(r, 0, 1, 4096);
      need(r, ")");
      b.layout = LAYOUT_SWIZZLE;
    } else {
      return b;
    }
  }
}

typedef struct Header {
  Vec(Dim) dims;
  Vec(LoopBuf) bufs;
  Vec(const char *) inplace;
  Vec(Sym) facts;
  bool plan;
} Header;

static void one_param(Reader *r, void *ctx) {
  Header *h = ctx;
  BufKind kind = BUF_IN;
  if (take(r, "out"))
    kind = BUF_OUT;
  else if (take(r, "inout"))
    kind = BUF_INOUT;
  else
    need(r, "in");
  Loc at = here(r);
  const char *inplace = NULL;
  LoopBuf b = parse_buffer(r, kind, h->plan ? NULL : &inplace);
  for (uint32_t i = 0; i < h->bufs.n; i++)
    if (h->bufs.at[i].name == b.name) read_fail(r, "loop-twice", at, "%s is declared twice", b.name);
  for (uint32_t i = 0; i < h->dims.n; i++)
    if (h->dims.at[i].name == b.name) read_fail(r, "loop-twice", at, "%s is declared twice", b.name);
  vec_push(r->ctx->arena, &h->bufs, b);
  vec_push(r->ctx->arena, &h->inplace, inplace);
}

/* '(' dims ';' params ')' ['where' facts] */
static void parse_header(Reader *r, Header *h) {
  r->ndims = 0;
  need(r, "(");
  while (!take(r, ";")) {
    Loc at = here(r);
    Dim d = {.name = new_name(r)};
    need(r, "in");
    d.lo = parse_int(r, LOOP_SUM);
    need(r, "..=");
    d.hi = parse_int(r, LOOP_SUM);
    if (d.lo > d.hi)
      read_fail(r, "loop-bounds", at, "dimension %s has no value: %lld..=%lld", d.name, (long long)d.lo,
                (long long)d.hi);
    d.var = sym_var(r->ctx->syms, d.name);
    for (uint32_t i = 0; i < h->dims.n; i++)
      if (h->dims.at[i].name == d.name) read_fail(r, "loop-twice", at, "%s is declared twice", d.name);
    vec_push(r->ctx->arena, &h->dims, d);
    r->dims = h->dims.at;
    r->ndims = h->dims.n;
    if (!is(r, ";")) need(r, ",");
  }
  commas(r, ")", one_param, h);
  for (uint32_t i = 0; i < h->bufs.n; i++) {
    if (!h->inplace.at[i]) continue;
    for (uint32_t j = 0; j < h->bufs.n; j++)
      if (h->bufs.at[j].name == h->inplace.at[i] && i != j) h->bufs.at[i].inplace = (int)j;
    if (h->bufs.at[i].inplace < 0)
      read_fail(r, "loop-name", here(r), "%s is in place of %s, which is no other parameter", h->bufs.at[i].name,
                h->inplace.at[i]);
  }
  if (take(r, "where")) do {
      Sym s = parse_sym(r, 0);
      vec_push(r->ctx->arena, &h->facts, s);
    } while (take(r, ","));
}

/* Statements or steps of a block: each ends with its line, a `;` or the block. */
static void parse_block(Reader *r, void (*item)(Reader *, void *), void *ctx) {
  need(r, "{");
  if (++r->blocks > 48) read_fail(r, "loop-deep", here(r), "blocks are nested more than 48 deep");
  skip_lines(r);
  while (!take(r, "}")) {
    item(r, ctx);
    if (tok(r)->kind != TOK_NL && !is(r, ";") && !is(r, "}"))
      read_fail(r, "loop-syntax", here(r), "expected the end of a statement, found %s", shown(r));
    skip_lines(r);
  }
  r->blocks--;
}

/* ---- statements ---- */

static void parse_stmt(Reader *r, void *);

static void scoped_block(Reader *r) {
  uint32_t seen = r->scope.n;
  parse_block(r, parse_stmt, NULL);
  r->scope.n = seen;
}

static void parse_let(Reader *r) {
  Loc at = here(r);
  const char *name = new_name(r);
  need(r, "=");
  Ex e = read_plain(r, read_value(r, parse_expr(r, 0)), at);
  read_declare(r, at, (Scoped){.name = name, .kind = SCOPE_VALUE, .val = {.e = loop_let(r->k, name, e)}});
}

static void parse_reg(Reader *r) {
  Loc at = here(r);
  const char *name = new_name(r);
  int64_t dim[2];
  int rank = 0;
  while (take(r, "[")) {
    if (rank == 2) read_fail(r, "loop-rank", here(r), "a register tile has at most two axes");
    dim[rank++] = parse_small(r, 0, 1, 256);
    need(r, "]");
  }
  need(r, ":");
  Loc type_at = here(r);
  const char *type = need_name(r), *x = strchr(type, 'x');
  DType d = DT_NONE;
  int64_t lanes = 1;
  if (strcmp(type, "idx")) {
    d = dtype_parse(str_intern_n(r->ctx->names, type, x ? (size_t)(x - type) : strlen(type)));
    if (x) lanes = strtol(x + 1, NULL, 10);
  }
  if (d == DT_NONE || dtype_is_half(d))
    read_fail(r, "loop-type", type_at, "a register of %s: use f32, f64, bool or an integer", type);
  if (lanes < 1 || lanes > LOOP_LANES || (lanes & (lanes - 1)))
    read_fail(r, "loop-lanes", type_at, "a vector has 2, 4, .. %d lanes", LOOP_LANES);
  Ex start = 0;
  if (take(r, "=")) {
    Loc value_at = here(r);
    start = read_as(r, read_value(r, parse_expr(r, 0)), d, value_at);
    int w = ex_at(r->k, start)->lanes;
    if (w != 1 && w != lanes) read_fail(r, "loop-lanes", value_at, "%d lanes where %d are needed", w, (int)lanes);
  }
  uint32_t reg = loop_reg(r->k, name, d, (int)lanes, rank, dim, start);
  read_declare(r, at, (Scoped){.name = name, .kind = SCOPE_REG, .id = reg});
}

static void parse_alloc(Reader *r) {
  Loc at = here(r);
  LoopBuf b = parse_buffer(r, BUF_THREAD, NULL);
  uint32_t id = loop_alloc(r->k, b.name, b.dtype, b.dim, b.rank);
  if (b.list || b.at) read_fail(r, "loop-syntax", at, "scratch is no list and has no offset");
  *loop_buf(r->k, id) = b;
  read_declare(r, at, (Scoped){.name = b.name, .kind = SCOPE_BUF, .id = id});
}

static void parse_for(Reader *r) {
  Loc at = here(r);
  const char *name = new_name(r);
  need(r, "in");
  Val lo = read_value(r, parse_expr(r, 3));
  need(r, "..");
  Val hi = read_value(r, parse_expr(r, 3));
  Ex a = read_as(r, lo, DT_IDX, at), b = read_as(r, hi, DT_IDX, at), var;
  int64_t step = 1;
  if (ex_at(r->k, a)->lanes > 1 || ex_at(r->k, b)->lanes > 1)
    read_fail(r, "loop-bounds", at, "bounds of loop %s are scalars", name);
  if (take(r, "step")) step = parse_int(r, 3);
  if (step < 1) read_fail(r, "loop-bounds", at, "the step of loop %s is a positive constant", name);
  ForMode mode = FOR_SERIAL;
  int width = 0;
  if (take(r, "unroll"))
    mode = FOR_UNROLL;
  else if (take(r, "vector")) {
    Loc w = here(r);
    mode = FOR_VECTOR;
    width = parse_small(r, 3, 1, LOOP_LANES);
    if (width < 2 || (width & (width - 1)) || step != 1)
      read_fail(r, "loop-vector", w, "the width of a vector loop is a power of two, 2 to %d, and its step 1",
                LOOP_LANES);
  } else if (take(r, "thread"))
    mode = FOR_THREAD;
  else
    take(r, "serial");
  Tail tail = TAIL_NONE;
  if (take(r, "tail")) {
    static const char *const word[] = {"", "mask", "peel", "overlap", "pad"};
    for (Tail t = TAIL_MASK; t <= TAIL_PAD; t++)
      if (take(r, word[t])) tail = t;
    if (!tail) read_fail(r, "loop-syntax", here(r), "expected mask, peel, overlap or pad, found %s", shown(r));
    if (mode != FOR_VECTOR) read_fail(r, "loop-vector", at, "loop %s has a tail and is no vector loop", name);
  }
  if (mode == FOR_SERIAL)
    loop_for_step(r->k, name, a, b, step, &var);
  else {
    loop_for(r->k, name, a, b, mode, width, tail, &var);
    r->k->open[r->k->depth]->step = r->k->vars.at[ex_at(r->k, var)->ref].step = mode == FOR_VECTOR ? width : step;
    if (mode == FOR_VECTOR) r->k->open[r->k->depth]->step = 1;
  }
  uint32_t seen = r->scope.n;
  read_declare(r, at, (Scoped){.name = name, .kind = SCOPE_VALUE, .val = {.e = var}});
  scoped_block(r);
  r->scope.n = seen;
  loop_end(r->k);
}

static void parse_if(Reader *r) {
  Loc at = here(r);
  Ex cond = read_as(r, read_value(r, parse_expr(r, 0)), DT_BOOL, at);
  loop_if(r->k, cond);
  scoped_block(r);
  if (take(r, "else")) {
    loop_else(r->k);
    if (is(r, "if")) {
      if (++r->blocks > 48) read_fail(r, "loop-deep", here(r), "else if is chained more than 48 deep");
      uint32_t seen = r->scope.n;
      parse_stmt(r, NULL);
      r->scope.n = seen;
      r->blocks--;
    } else
      scoped_block(r);
  }
  loop_end(r->k);
}

static void parse_fail(Reader *r) {
  Loc at = here(r);
  int64_t code = parse_int(r, 3);
  if (code < 1) read_fail(r, "loop-constant", at, "the code of fail is 1 or more: 0 means that nothing failed");
  need(r, "if");
  at = here(r);
  loop_fail(r->k, code, read_as(r, read_value(r, parse_expr(r, 0)), DT_BOOL, at));
}

static void parse_assign(Reader *r, Loc at) {
  const char *name = need_name(r);
  Ast *place = new_ast(r, AST_INDEX, name, at);
  while (take(r, "[")) commas(r, "]", operand, place);
  need(r, "=");
  const Scoped *s = read_find(r, name, at);
  if (s->kind == SCOPE_VALUE)
    read_fail(r, "loop-assign", at, "%s is a value: only registers and buffers are assigned", name);
  uint32_t id = s->id;
  bool reg = s->kind == SCOPE_REG;
  Ex index[LOOP_RANK];
  int n = read_place(r, place, s, index);
  Loc value_at = here(r);
  DType d = reg ? r->k->regs.at[id].dtype : r->k->bufs.at[id].dtype;
  Ex value = read_as(r, read_value(r, parse_expr(r, 0)), d, value_at), mask = 0;
  if (take(r, "mask")) {
    value_at = here(r);
    mask = read_as(r, read_value(r, parse_expr(r, 0)), DT_BOOL, value_at);
  }
  if (reg)
    loop_assign(r->k, id, index, n, value, mask);
  else
    loop_store(r->k, id, index, n, value, mask);
}

static LoopScope parse_scope(Reader *r) {
  for (LoopScope s = LOOP_BLOCK; s <= LOOP_WARP; s++)
    if (take(r, LOOP_SCOPE_TEXT[s])) return s;
  read_fail(r, "loop-syntax", here(r), "expected block or warp, found %s", shown(r));
}

static void parse_reduce(Reader *r) {
  static const uint8_t op[] = {OP_ADD, OP_MAXIMUM, OP_MINIMUM};
  Loc at = here(r);
  const char *name = new_name(r);
  need(r, "=");
  int o = 0;
  while (o < 3 && !take(r, loop_reduce_word(op[o]))) o++;
  if (o == 3) read_fail(r, "loop-syntax", here(r), "expected add, max or min, found %s", shown(r));
  LoopScope scope = parse_scope(r);
  Loc value_at = here(r);
  Ex e = read_plain(r, read_value(r, parse_expr(r, 0)), value_at);
  if (ex_at(r->k, e)->lanes > 1)
    read_fail(r, "loop-lanes", value_at, "a vector is reduced: fold its lanes first, by hadd, hmax or hmin");
  const char *why = ex_why_not(r->k, op[o], (Ex[]){e, e}, 2);
  if (why) read_fail(r, "loop-type", value_at, "%s", why);
  read_declare(r, at,
               (Scoped){.name = name, .kind = SCOPE_VALUE, .val = {.e = loop_reduce(r->k, name, op[o], scope, e)}});
}

static void parse_stmt(Reader *r, void *ctx) {
  (void)ctx;
  Loc at = here(r);
  r->k->cur_line = line_of(r, tok(r));
  if (take(r, "let"))
    parse_let(r);
  else if (take(r, "reg"))
    parse_reg(r);
  else if (take(r, "alloc"))
    parse_alloc(r);
  else if (take(r, "for"))
    parse_for(r);
  else if (take(r, "if"))
    parse_if(r);
  else if (take(r, "fail"))
    parse_fail(r);
  else if (take(r, "reduce"))
    parse_reduce(r);
  else if (take(r, "barrier"))
    loop_barrier(r->k, parse_scope(r));
  else if (take(r, "prefetch")) {
    Ast *place = parse_unary(r);
    Ex index[LOOP_RANK];
    const Scoped *s = place->kind == AST_INDEX ? read_find(r, place->name, at) : NULL;
    if (!s || s->kind != SCOPE_BUF) read_fail(r, "loop-syntax", at, "prefetch takes an element of a buffer");
    uint32_t buf = s->id;
    int n = read_place(r, place, s, index);
    loop_prefetch(r->k, buf, index, n);
  } else {
    if (tok(r)->kind != TOK_NAME) read_fail(r, "loop-syntax", at, "expected a statement, found %s", shown(r));
    parse_assign(r, at);
  }
}

/* ---- kernels ---- */

/* After `threads`: the axes of a block, and the names that every block has. */
static void parse_threads(Reader *r) {
  Kernel *k = r->k;
  int64_t threads = 1;
  Loc at = here(r);
  need(r, "(");
  while (!take(r, ")")) {
    Loc axis_at = here(r);
    const char *axis = new_name(r);
    need(r, "<");
    int64_t extent = parse_small(r, 3, 1, LOOP_BLOCK_THREADS);
    if (k->stage->nthread == LOOP_THREAD_AXES)
      read_fail(r, "loop-rank", axis_at, "a block has at most %d axes", LOOP_THREAD_AXES);
    threads *= extent;
    read_declare(r, axis_at, (Scoped){.name = axis, .kind = SCOPE_VALUE, .val = {.e = loop_threads(k, axis, extent)}});
    if (!is(r, ")")) need(r, ",");
  }
  if (!k->stage->nthread || threads > LOOP_BLOCK_THREADS)
    read_fail(r, "loop-threads", at, "a block has 1 to %d threads", LOOP_BLOCK_THREADS);
  const Ex given[] = {loop_tid(k), loop_warp(k), loop_lane_id(k)};
  for (int i = 0; i < 3; i++)
    read_declare(
        r, at,
        (Scoped){.name = str_intern(r->ctx->names, LOOP_THREAD_TEXT[i]), .kind = SCOPE_VALUE, .val = {.e = given[i]}});
}

static void parse_stage(Reader *r, void *ctx) {
  (void)ctx;
  Kernel *k = r->k;
  uint32_t seen = r->scope.n;
  k->cur_line = line_of(r, tok(r));
  need(r, "stage");
  Loc at = here(r);
  const char *name = new_name(r);
  for (uint32_t i = 0; i < k->stages.n; i++)
    if (k->stages.at[i]->name == name) read_fail(r, "loop-twice", at, "stage %s is declared twice", name);
  loop_stage(k, name);
  need(r, "(");
  if (take(r, "segment")) {
    const char *s = new_name(r);
    need(r, ",");
    const char *o = new_name(r);
    need(r, "of");
    at = here(r);
    const Scoped *list = read_find(r, need_name(r), at);
    if (list->kind != SCOPE_BUF || !k->bufs.at[list->id].list)
      read_fail(r, "loop-segment", at, "segments are of a list of tensors");
    uint32_t buf = list->id;
    need(r, "chunk");
    int64_t chunk = parse_small(r, 0, 1, 1 << 30);
    need(r, ")");
    Ex se, oe;
    loop_segment(k, s, o, buf, chunk, &se, &oe);
    read_declare(r, at, (Scoped){.name = s, .kind = SCOPE_VALUE, .val = {.e = se}});
    read_declare(r, at, (Scoped){.name = o, .kind = SCOPE_VALUE, .val = {.e = oe}});
  } else {
    while (!take(r, ")")) {
      at = here(r);
      const char *axis = new_name(r);
      need(r, "<");
      Sym extent = parse_sym(r, 3);
      if (k->stage->naxes == LOOP_AXES) read_fail(r, "loop-rank", at, "a stage has at most %d axes", LOOP_AXES);
      read_declare(r, at, (Scoped){.name = axis, .kind = SCOPE_VALUE, .val = {.e = loop_axis(k, axis, extent)}});
      if (!is(r, ")")) need(r, ",");
    }
    if (!k->stage->naxes) read_fail(r, "loop-rank", at, "a stage has at least one axis: (t < 1) is one task");
  }
  if (take(r, "threads")) parse_threads(r);
  parse_block(r, parse_stmt, NULL);
  r->scope.n = seen;
}

static void parse_kernel(Reader *r, const char *name, Loc at, int line) {
  if (loop_module_kernel(r->mod, name, NULL)) read_fail(r, "loop-twice", at, "kernel %s is declared twice", name);
  Header h = {0};
  parse_header(r, &h);
  Kernel *k = r->k = loop_kernel(r->mod, name);
  k->line = line;
  r->scope.n = 0;
  for (uint32_t i = 0; i < h.dims.n; i++) {
    const Dim *d = &h.dims.at[i];
    read_declare(r, at,
                 (Scoped){.name = d->name, .kind = SCOPE_VALUE, .val = {.e = loop_dim(k, d->name, d->lo, d->hi)}});
  }
  for (uint32_t i = 0; i < h.bufs.n; i++) {
    const LoopBuf *b = &h.bufs.at[i];
    uint32_t id = loop_param(k, b->name, b->kind, b->dtype, b->dim, b->rank);
    *loop_buf(k, id) = *b;
    read_declare(r, at, (Scoped){.name = b->name, .kind = SCOPE_BUF, .id = id});
  }
  for (uint32_t i = 0; i < h.facts.n; i++) loop_fact(k, h.facts.at[i]);
  parse_block(r, parse_stage, NULL);
  r->k = NULL;
  r->scope.n = 0;
}

/* fn NAME(args) { let .. ; return expr } */
static void fn_arg(Reader *r, void *ctx) {
  Fn *f = ctx;
  const char *name = new_name(r);
  vec_push(r->ctx->arena, &f->args, name);
}

static void fn_line(Reader *r, void *ctx) {
  Fn *f = ctx;
  if (f->result) read_fail(r, "loop-syntax", here(r), "nothing stands after the return of a fn");
  if (take(r, "return")) {
    f->result = parse_expr(r, 0);
    return;
  }
  if (!take(r, "let")) read_fail(r, "loop-syntax", here(r), "a fn is lets and one return, found %s", shown(r));
  FnLet l = {.loc = here(r), .name = new_name(r)};
  need(r, "=");
  l.value = parse_expr(r, 0);
  vec_push(r->ctx->arena, &f->lets, l);
}

static void parse_fn(Reader *r, const char *name, Loc at) {
  Fn f = {.name = name, .loc = at};
  need(r, "(");
  commas(r, ")", fn_arg, &f);
  parse_block(r, fn_line, &f);
  if (!f.result) read_fail(r, "loop-syntax", at, "fn %s returns nothing", name);
  vec_push(r->ctx->arena, &r->fns, f);
}

/* ---- plans ---- */

static int plan_buffer(Reader *r, const Plan *p) {
  Loc at = here(r);
  const char *name = need_name(r);
  for (uint32_t i = 0; i < p->bufs.n; i++)
    if (p->bufs.at[i].name == name) return (int)i;
  read_fail(r, "loop-name", at, "unknown buffer %s", name);
}

static View parse_view(Reader *r, const Plan *p) {
  View v = {.buf = -1};
  if (take(r, "{")) {
    Vec(View) list = {0};
    if (++r->nested > 8) read_fail(r, "loop-deep", here(r), "lists of lists");
    while (!take(r, "}")) {
      View one = parse_view(r, p);
      vec_push(r->ctx->arena, &list, one);
      if (!is(r, "}")) need(r, ",");
    }
    r->nested--;
    v.list = list.at;
    v.nlist = (int)list.n;
    return v;
  }
  v.buf = plan_buffer(r, p);
  Loc at = here(r);
  if (take(r, "["))
    while (!take(r, "]")) {
      if (v.nindex == p->bufs.at[v.buf].rank || v.hi)
        read_fail(r, "loop-rank", at, "too many indices of %s", p->bufs.at[v.buf].name);
      v.index[v.nindex++] = parse_sym(r, LOOP_SUM);
      if (take(r, "..")) v.hi = parse_sym(r, LOOP_SUM);
      if (!is(r, "]")) need(r, ",");
    }
  return v;
}

static void parse_launch(Reader *r, const Plan *p, Step *s) {
  Loc at = here(r);
  const char *kernel = need_name(r);
  need(r, ".");
  const char *stage = need_name(r);
  const Kernel *k = loop_module_kernel(r->mod, kernel, &s->kernel);
  s->stage = -1;
  for (uint32_t i = 0; k && i < k->stages.n; i++)
    if (k->stages.at[i]->name == stage) s->stage = (int)i;
  if (!k || s->stage < 0)
    read_fail(r, "loop-name", at, "no kernel %s.%s: a kernel stands before the plans that launch it", kernel, stage);
  s->ndims = (int)k->dims.n;
  s->nviews = k->nparams;
  s->dims = ARENA_ARRAY(r->ctx->arena, Sym, s->ndims + 1);
  s->views = ARENA_ARRAY(r->ctx->arena, View, s->nviews + 1);
  for (int i = 0; i < s->nviews; i++) s->views[i].buf = -1;
  need(r, "(");
  while (!take(r, ";")) {
    at = here(r);
    const char *name = need_name(r);
    int d = -1;
    for (int i = 0; i < s->ndims; i++)
      if (k->dims.at[i].name == name) d = i;
    if (d < 0) read_fail(r, "loop-name", at, "kernel %s has no dimension %s", kernel, name);
    if (s->dims[d]) read_fail(r, "loop-twice", at, "dimension %s is given twice", name);
    if (take(r, "="))
      s->dims[d] = parse_sym(r, 3);
    else
      s->dims[d] = read_sym(r, new_ast(r, AST_NAME, name, at));
    if (!is(r, ";")) need(r, ",");
  }
  for (int i = 0; i < s->ndims; i++)
    if (!s->dims[i]) read_fail(r, "loop-name", at, "%s: dimension %s is missing", kernel, k->dims.at[i].name);
  while (!take(r, ")")) {
    at = here(r);
    const char *name = need_name(r);
    int b = -1;
    for (int i = 0; i < s->nviews; i++)
      if (k->bufs.at[i].name == name) b = i;
    if (b < 0) read_fail(r, "loop-name", at, "kernel %s has no parameter %s", kernel, name);
    if (s->views[b].buf >= 0 || s->views[b].nlist) read_fail(r, "loop-twice", at, "parameter %s is given twice", name);
    if (!take(r, "=")) r->at--;
    s->views[b] = parse_view(r, p);
    if (!is(r, ")")) need(r, ",");
  }
  s->serial = take(r, "serial");
  s->commit = take(r, "commit");
}

typedef struct PlanCtx {
  Plan *plan;
  Step **tail;
} PlanCtx;

static void parse_step(Reader *r, void *ctx) {
  PlanCtx *c = ctx;
  Plan *p = c->plan;
  int line = line_of(r, tok(r));
  Loc at = here(r);
  if (take(r, "buf")) {
    LoopBuf b = parse_buffer(r, BUF_INOUT, NULL);
    if (p->steps) read_fail(r, "loop-syntax", at, "the buffers of a plan stand before its steps");
    for (uint32_t i = 0; i < p->bufs.n; i++)
      if (p->bufs.at[i].name == b.name) read_fail(r, "loop-twice", at, "%s is declared twice", b.name);
    vec_push(r->ctx->arena, &p->bufs, b);
    return;
  }
  Step *s = ARENA_NEW(r->ctx->arena, Step);
  s->line = line;
  if (take(r, "barrier"))
    s->kind = STEP_BARRIER;
  else if (take(r, "copy")) {
    s->kind = STEP_COPY;
    s->nviews = 2;
    s->views = ARENA_ARRAY(r->ctx->arena, View, 2);
    s->views[0] = parse_view(r, p);
    need(r, "<-");
    s->views[1] = parse_view(r, p);
    s->commit = take(r, "commit");
  } else if (take(r, "launch")) {
    s->kind = STEP_LAUNCH;
    parse_launch(r, p, s);
  } else if (is(r, "loop") || is(r, "branch") || is(r, "call")) {
    later(r, arena_printf(r->ctx->arena, "`%s` in a plan", tok(r)->text), "control flow at run time");
  } else
    read_fail(r, "loop-syntax", at, "expected a step of a plan, found %s", shown(r));
  *c->tail = s;
  c->tail = &s->next;
}

static void parse_plan(Reader *r, const char *name, Loc at, int line) {
  if (loop_module_plan(r->mod, name, NULL)) read_fail(r, "loop-twice", at, "plan %s is declared twice", name);
  Header h = {.plan = true};
  parse_header(r, &h);
  Plan *p = ARENA_NEW(r->ctx->arena, Plan);
  p->name = name;
  p->line = line;
  for (uint32_t i = 0; i < h.dims.n; i++) vec_push(r->ctx->arena, &p->dims, h.dims.at[i]);
  for (uint32_t i = 0; i < h.bufs.n; i++) vec_push(r->ctx->arena, &p->bufs, h.bufs.at[i]);
  for (uint32_t i = 0; i < h.facts.n; i++) vec_push(r->ctx->arena, &p->facts, h.facts.at[i]);
  p->nparams = (int)h.bufs.n;
  PlanCtx c = {p, &p->steps};
  parse_block(r, parse_step, &c);
  vec_push(r->ctx->arena, &r->mod->plans, p);
}

static void parse_variant(Reader *r, void *ctx) {
  PlanEntry *e = ctx;
  PlanVariant v = {0};
  need(r, "variant");
  Loc at = here(r);
  Ast *when = take(r, "when") ? parse_expr(r, 0) : NULL;
  if (is(r, "gpu")) later(r, "a variant for GPUs", "GPU kernels");
  if (take(r, "cpu")) v.level = need_name(r);
  need(r, "->");
  at = here(r);
  v.plan = need_name(r);
  const Plan *p = loop_module_plan(r->mod, v.plan, NULL);
  if (!p) read_fail(r, "loop-name", at, "no plan %s: a plan stands before the entries that name it", v.plan);
  r->dims = p->dims.at;
  r->ndims = p->dims.n;
  if (when) v.when = read_sym(r, when);
  vec_push(r->ctx->arena, &e->variants, v);
}

/* ---- modules ---- */

static void parse_module(Reader *r) {
  for (skip_lines(r); tok(r)->kind != TOK_END; skip_lines(r)) {
    const Token *t = tok(r);
    int line = line_of(r, t);
    if (t->kind == TOK_BAD) read_fail(r, "loop-syntax", t->loc, "%s", t->u.why);
    const char *what = t->kind == TOK_NAME ? t->text : "";
    if (strcmp(what, "const") && strcmp(what, "fn") && strcmp(what, "kernel") && strcmp(what, "plan") &&
        strcmp(what, "entry"))
      read_fail(r, "loop-syntax", t->loc, "expected const, fn, kernel, plan or entry, found %s", shown(r));
    r->at++;
    Loc at = here(r);
    const char *name = new_name(r);
    if (!strcmp(what, "const")) {
      need(r, "=");
      Const c = {name, parse_int(r, 0)};
      vec_push(r->ctx->arena, &r->consts, c);
    } else if (!strcmp(what, "fn"))
      parse_fn(r, name, at);
    else if (!strcmp(what, "kernel"))
      parse_kernel(r, name, at, line);
    else if (!strcmp(what, "plan"))
      parse_plan(r, name, at, line);
    else {
      PlanEntry *e = ARENA_NEW(r->ctx->arena, PlanEntry);
      e->name = name;
      e->line = line;
      for (uint32_t i = 0; i < r->mod->entries.n; i++)
        if (r->mod->entries.at[i]->name == name) read_fail(r, "loop-twice", at, "entry %s is declared twice", name);
      parse_block(r, parse_variant, e);
      vec_push(r->ctx->arena, &r->mod->entries, e);
    }
  }
}

bool loop_parse(Ctx *c, const char *path, const char *text, size_t n, LoopModule **out) {
  Reader *r = ARENA_NEW(c->arena, Reader);
  r->ctx = c;
  r->text = text;
  r->line = 1;
  r->mod = loop_module_new(c);
  r->mod->text = text;
  r->mod->ntext = n;
  r->mod->source = diag_source(c->diag, path, text, n);
  Tokens all = lex(c->arena, c->names, r->mod->source, text, n,
                   "..= .. <- -> << >> // <= >= == != && || + - * / % < > = ! & | ^ ( ) { } [ ] , ; : .");
  Vec(char) open = {0};
  for (uint32_t i = 0; i < all.n; i++) { /* a line ends a statement, but not inside ( ) and [ ] */
    const Token *t = &all.at[i];
    if (t->kind == TOK_COMMENT || (t->kind == TOK_NL && open.n && vec_last(&open) != '{')) continue;
    if (t->kind == TOK_OP && strchr("([{", *t->text)) vec_push(c->arena, &open, *t->text);
    if (t->kind == TOK_OP && strchr(")]}", *t->text) && open.n) open.n--;
    vec_push(c->arena, &r->tok, *t);
  }
  if (setjmp(r->out)) return false;
  parse_module(r);
  *out = r->mod;
  return true;
}
