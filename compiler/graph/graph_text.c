#include "graph.h"
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

typedef struct Const { /* a constant with a line of its own: of rank above 0, or from a file */
  const Graph *g;
  Id v;
} Const;

typedef struct Printer {
  const Program *p; /* NULL: one graph only */
  Ctx *ctx;
  Buf *out;
  bool places;
  const char *tail; /* after our names, where a user's name looks like one of them */
  const char **cell;
  Vec(Const) consts;
} Printer;

static void put(Printer *t, const char *s) { buf_put(t->out, s); }

static void put_string(Printer *t, const char *s) {
  put(t, "\"");
  for (; *s; s++) {
    if (*s == '\n')
      put(t, "\\n");
    else if (*s == '\t')
      put(t, "\\t");
    else
      buf_printf(t->out, *s == '"' || *s == '\\' ? "\\%c" : "%c", *s);
  }
  put(t, "\"");
}

static void put_place(Printer *t, Loc loc) {
  Place p;
  if (!t->places || !diag_place(t->ctx->diag, loc, &p)) return;
  const char *slash = strrchr(p.path, '/');
  put(t, "  #@ ");
  put_string(t, slash ? slash + 1 : p.path);
  buf_printf(t->out, ":%d:%d", p.line, p.col);
}

static void put_doc(Printer *t, const char *doc, const char *indent) {
  while (doc) {
    size_t n = strcspn(doc, "\n");
    buf_printf(t->out, "%s## %.*s\n", indent, (int)n, doc);
    doc = doc[n] ? doc + n + 1 : NULL;
  }
}

static void put_number(Printer *t, DType d, int64_t w) {
  char text[40];
  double x;
  memcpy(&x, &w, sizeof x);
  if (d == DT_BOOL)
    put(t, w ? "true" : "false");
  else if (dtype_is_float(d))
    put(t, format_float(text, x, d == DT_F64 ? 17 : 9));
  else
    buf_printf(t->out, "%lld", (long long)w);
}

/* "batch.x.0" as a path: batch.x[0] */
static void put_path(Printer *t, const char *name) {
  while (*name) {
    size_t n = strcspn(name, ".");
    buf_printf(t->out, isdigit((unsigned char)*name) ? "[%.*s]" : "%.*s", (int)n, name);
    name += n;
    if (*name) name++;
    if (*name && !isdigit((unsigned char)*name)) put(t, ".");
  }
}

/* ---- constants with a line of their own ----------------------------------------------------------------------------
 */

static bool own_line(const Graph *g, Id v) {
  return graph_op(g, v) == OP_DATA || (graph_op(g, v) == OP_CONSTANT && graph_rank(g, v));
}

static int const_index(const Printer *t, const Graph *g, Id v) {
  const Node *x = graph_at(g, v);
  for (uint32_t i = 0; i < t->consts.n; i++) {
    const Const *c = &t->consts.at[i];
    const Node *y = graph_at(c->g, c->v);
    if (x->op == y->op && x->nword == y->nword &&
        !memcmp(g->word.at + x->attr, c->g->word.at + y->attr, x->nword * sizeof(int64_t)))
      return (int)i;
  }
  return -1;
}

static void collect(Printer *t, const Graph *g) {
  Id *order = mem_alloc(g->node.n * sizeof(Id));
  int n = graph_reach(g, g->output.at, (int)g->output.n, order);
  for (int i = 0; i < n; i++) {
    Id v = order[i];
    if (own_line(g, v) && const_index(t, g, v) < 0) vec_push(t->ctx->arena, &t->consts, (Const){g, v});
    if (graph_op(g, v) == OP_COMPOSITE || graph_op(g, v) == OP_CALL) collect(t, graph_body(g, v));
  }
  free(order);
}

static void put_const(Printer *t, int k) {
  const Graph *g = t->consts.at[k].g;
  Id v = t->consts.at[k].v;
  buf_printf(t->out, "const c%d%s: %s = ", k, t->tail, graph_type(g, v));
  if (graph_op(g, v) == OP_DATA) {
    put(t, "load(");
    put_string(t, graph_attr_str(g, v, "file"));
    buf_printf(t->out, ", offset = %lld)", (long long)graph_attr_int(g, v, "offset"));
  } else {
    int n;
    const int64_t *w = graph_attr(g, v, "value", &n);
    put(t, "constant([");
    for (int i = 0; i < n; i++) {
      put(t, i ? ", " : "");
      put_number(t, graph_dtype(g, v), w[i]);
    }
    put(t, "])");
  }
  put_place(t, graph_at(g, v)->loc);
  put(t, "\n");
}

/* ---- a block of nodes ----------------------------------------------------------------------------------------------
 */

static bool in_place(const Graph *g, Id v) { return graph_op(g, v) == OP_CONSTANT && !graph_rank(g, v); }

/* The dtype that a bare number among the operands has; DT_NONE: it is written with its dtype. */
static DType context(const Graph *g, Id v) {
  Op op = graph_op(g, v);
  if (OP_INFO[op].cls == CLASS_BODY) return DT_NONE;
  for (uint32_t i = op == OP_SELECT; i < graph_at(g, v)->nin; i++)
    if (!in_place(g, graph_in(g, v)[i])) return graph_dtype(g, graph_in(g, v)[i]);
  return OP_INFO[op].cls == CLASS_COMPARE || op == OP_IS_NAN || op == OP_IS_INF || op == OP_IS_FINITE
             ? DT_NONE
             : graph_dtype(g, v);
}

static void put_operand(Printer *t, const Graph *g, Id v, const char **name, DType want) {
  if (!in_place(g, v)) {
    put(t, name[v] ? name[v] : "?");
    return;
  }
  bool bare = graph_dtype(g, v) == want || graph_dtype(g, v) == DT_BOOL; /* true and false have one dtype only */
  put(t, bare ? "" : "constant(");
  put_number(t, graph_dtype(g, v), graph_attr(g, v, "value", NULL)[0]);
  if (!bare) buf_printf(t->out, ", %s)", dtype_name(graph_dtype(g, v)));
}

static void put_list(Printer *t, const int64_t *w, int n, bool sizes) {
  put(t, "[");
  for (int i = 0; i < n; i++) {
    put(t, i ? ", " : "");
    if (sizes)
      sym_print(t->ctx->syms, (Sym)w[i], t->out);
    else
      buf_printf(t->out, "%lld", (long long)w[i]);
  }
  put(t, "]");
}

static void put_attr(Printer *t, const Graph *g, Id v, const char *name, int len, char kind) {
  int n;
  const char *key = arena_strndup(t->ctx->arena, name, (size_t)len);
  const int64_t *w = graph_attr(g, v, key, &n);
  buf_printf(t->out, "%s = ", key);
  switch (kind) {
  case 'i': buf_printf(t->out, "%lld", (long long)w[0]); break;
  case 'd': put(t, dtype_name((DType)w[0])); break;
  case 's': put_string(t, (const char *)(intptr_t)w[0]); break;
  case 'I': put_list(t, w, n, false); break;
  case 'S':
    if (graph_op(g, v) == OP_DIM)
      sym_print(t->ctx->syms, (Sym)w[0], t->out);
    else
      put_list(t, w, n, true);
    break;
  case 'P':
    put(t, "[");
    put_list(t, w, n / 2, false);
    put(t, ", ");
    put_list(t, w + n / 2, n / 2, false);
    put(t, "]");
    break;
  default: BUG("attribute %s of kind %c is not printed", key, kind);
  }
}

static void put_block(Printer *t, const Graph *g, const char **name, int indent);

static void put_body(Printer *t, const Graph *body, int indent) {
  const char **name = mem_alloc(body->node.n * sizeof *name);
  put(t, "fn(");
  for (uint32_t i = 0; i < body->input.n; i++) {
    Id v = body->input.at[i];
    name[v] = arena_printf(t->ctx->arena, "a%u%s", i, t->tail);
    buf_printf(t->out, "%s%s: %s", i ? ", " : "", name[v], graph_type(body, v));
  }
  put(t, ") {\n");
  put_block(t, body, name, indent + 2);
  buf_printf(t->out, "%*s", indent + 2, "");
  for (uint32_t i = 0; i < body->output.n; i++) {
    put(t, i ? ", " : body->output.n > 1 ? "(" : "");
    put_operand(t, body, body->output.at[i], name, DT_NONE);
  }
  buf_printf(t->out, "%s\n%*s}", body->output.n > 1 ? ")" : "", indent, "");
  free(name);
}

/* Names of the results of node v from count on; gets of it take theirs. */
static int put_left(Printer *t, const Graph *g, Id v, const char **name, const Id *order, int n, int count) {
  int results = graph_results(g, v);
  for (int k = 0; k < results; k++) {
    const char *mine = arena_printf(t->ctx->arena, "v%d%s", count + k, t->tail);
    if (results == 1) name[v] = mine;
    for (int i = 0; i < n && results > 1; i++)
      if (graph_op(g, order[i]) == OP_GET && graph_in(g, order[i])[0] == v && graph_attr_int(g, order[i], "index") == k)
        name[order[i]] = mine;
    buf_printf(t->out, "%s%s", k ? ", " : results > 1 ? "(" : "", mine);
  }
  buf_printf(t->out, "%s: %s = ", results > 1 ? ")" : "", graph_type(g, v));
  return count + results;
}

static void put_node(Printer *t, const Graph *g, Id v, const char **name, int indent) {
  Op op = graph_op(g, v);
  const char *comma = "";
  DType want = context(g, v);
  buf_printf(t->out, "%s(", OP_INFO[op].text);
  if (op == OP_COMPOSITE) {
    put_string(t, graph_attr_str(g, v, "name"));
    comma = ", ";
  }
  if (op == OP_COMPOSITE || op == OP_CALL) {
    put(t, comma);
    put_body(t, graph_body(g, v), indent);
    comma = ", ";
  }
  for (uint32_t i = 0; i < graph_at(g, v)->nin; i++, comma = ", ") {
    put(t, comma);
    put_operand(t, g, graph_in(g, v)[i], name, want);
  }
  const char *key;
  int len;
  char kind;
  for (int k = 0; op_attr(op, k, &key, &len, &kind); k++) {
    if (op == OP_COMPOSITE || op == OP_CALL) break;
    put(t, comma);
    put_attr(t, g, v, key, len, kind);
    comma = ", ";
  }
  if (graph_at(g, v)->copy) buf_printf(t->out, "%scopy = %u", comma, graph_at(g, v)->copy);
  put(t, ")");
}

/* The nodes that the outputs need, a line each. name[] holds the inputs' names and gets all others. */
static void put_block(Printer *t, const Graph *g, const char **name, int indent) {
  Id *order = mem_alloc(g->node.n * sizeof(Id));
  int n = graph_reach(g, g->output.at, (int)g->output.n, order), count = 0;
  for (int i = 0; i < n; i++) {
    Id v = order[i];
    Op op = graph_op(g, v);
    if (op == OP_CELL) {
      int64_t k = graph_attr_int(g, v, "cell");
      name[v] = t->p && k < t->p->cells.n ? t->cell[k] : arena_printf(t->ctx->arena, "cell%lld", (long long)k);
    } else if (op == OP_INPUT && !name[v]) {
      name[v] = arena_printf(t->ctx->arena, "a%lld%s", (long long)graph_attr_int(g, v, "ordinal"), t->tail);
    } else if (own_line(g, v)) {
      name[v] = arena_printf(t->ctx->arena, "c%d%s", const_index(t, g, v), t->tail);
    }
    if (op == OP_CELL || op == OP_INPUT || op == OP_CONSTANT || op == OP_DATA || op == OP_GET) continue;
    buf_printf(t->out, "%*s", indent, "");
    count = put_left(t, g, v, name, order, n, count);
    put_node(t, g, v, name, indent);
    put_place(t, graph_at(g, v)->loc);
    put(t, "\n");
  }
  free(order);
}

/* ---- entries -------------------------------------------------------------------------------------------------------
 */

/* Ports lo..hi, whose names agree in their first `skip` letters, as a record or tuple of what follows. With `name` the
 * values (NULL: the types). */
static void put_tree(Printer *t, const Graph *g, const Port *port, uint32_t lo, uint32_t hi, size_t skip,
                     const char **name) {
  const Port *x = &port[lo];
  if (!x->name || !x->name[skip]) {
    if (name)
      put_operand(t, g, x->node, name, DT_NONE);
    else
      put(t, graph_shape_text(t->ctx, x->dtype, x->shape, x->rank));
    return;
  }
  skip += x->name[skip] == '.';
  bool tuple = isdigit((unsigned char)x->name[skip]);
  put(t, tuple ? "(" : "{");
  for (uint32_t i = lo, k; i < hi; i = k) {
    const char *part = port[i].name + skip;
    size_t n = strcspn(part, ".");
    for (k = i + 1; k < hi && strncmp(port[k].name + skip, part, n) == 0 &&
                    (port[k].name[skip + n] == '.' || !port[k].name[skip + n]);
         k++) {
    }
    put(t, i > lo ? ", " : "");
    if (!name && k == i + 1 && port[i].doc && !tuple && !part[n]) {
      put(t, "\n");
      put_doc(t, port[i].doc, "    ");
      put(t, "    ");
    }
    if (!tuple) buf_printf(t->out, name ? "%.*s = " : "%.*s: ", (int)n, part);
    put_tree(t, g, port, i, k, skip + n, name);
    if (tuple && i == lo && k == hi) put(t, ",");
  }
  put(t, tuple ? ")" : "}");
}

/* Letters that count when a condition as written is compared with ours. */
static bool same_words(const char *a, const char *b) {
  for (;; a++, b++) {
    while (*a && strchr(" ()", *a)) a++;
    while (*b && strchr(" ()", *b)) b++;
    if (*a != *b) return false;
    if (!*a) return true;
  }
}

/* The condition of a check without its outer brackets, and the same turned round (`N >= 2`). */
static const char *condition(Printer *t, Sym cond) {
  const char *s = sym_text(t->ctx->syms, cond, t->ctx->arena);
  size_t n = strlen(s);
  return s[0] == '(' && s[n - 1] == ')' ? arena_strndup(t->ctx->arena, s + 1, n - 2) : s;
}

static const char *turned(Printer *t, const char *cond) {
  static const char *const sign[][2] = {{" <= ", " >= "}, {" < ", " > "}, {" == ", " == "}, {" != ", " != "}};
  for (int i = 0; i < 4; i++) {
    const char *at = strstr(cond, sign[i][0]);
    if (at) return arena_printf(t->ctx->arena, "%s%s%.*s", at + strlen(sign[i][0]), sign[i][1], (int)(at - cond), cond);
  }
  return cond;
}

/* How a check is written in `where`; NULL: it has a sentence of its own and becomes an assert. */
static const char *where_text(Printer *t, const Check *c) {
  const char *cond = condition(t, c->cond);
  if (!c->text || !strcmp(c->text, cond)) return cond;
  return !strpbrk(c->text, "()") && (same_words(c->text, cond) || same_words(c->text, turned(t, cond))) ? c->text
                                                                                                        : NULL;
}

static void put_params(Printer *t, const Entry *e) {
  const char *comma = "";
  uint32_t dim = 0;
  for (uint32_t i = 0, k; i <= e->inputs.n; i = k) {
    uint32_t upto = dim; /* `dim N` stands before the first input that has a dimension of a later number */
    if (i == e->inputs.n) upto = e->dims.n;
    size_t n = 0;
    k = i + 1;
    if (i < e->inputs.n) {
      n = strcspn(e->inputs.at[i].name, ".");
      while (k < e->inputs.n && !strncmp(e->inputs.at[k].name, e->inputs.at[i].name, n) &&
             (!e->inputs.at[k].name[n] || e->inputs.at[k].name[n] == '.'))
        k++;
      for (uint32_t x = i; x < k; x++)
        for (int r = 0; r < e->inputs.at[x].rank; r++) {
          SymNames names = {0};
          sym_names(t->ctx->syms, e->inputs.at[x].shape[r], t->ctx->arena, &names);
          for (uint32_t q = 0; q < names.n; q++)
            for (uint32_t d = upto; d < e->dims.n; d++)
              if (!strcmp(e->dims.at[d].name, names.at[q])) upto = d;
        }
    }
    for (; dim < upto; dim++)
      if (e->dims.at[dim].given) {
        buf_printf(t->out, "%sdim %s", comma, e->dims.at[dim].name);
        comma = ", ";
      }
    if (i == e->inputs.n) break;
    put(t, comma);
    comma = ", ";
    if (e->inputs.at[i].doc && !e->inputs.at[i].name[n]) {
      put(t, "\n");
      put_doc(t, e->inputs.at[i].doc, "  ");
      put(t, "  ");
    }
    buf_printf(t->out, "%s%.*s: ", e->inputs.at[i].inout ? "inout " : "", (int)n, e->inputs.at[i].name);
    put_tree(t, e->graph, e->inputs.at, i, k, n, NULL);
  }
}

static void put_entry(Printer *t, const Entry *e) {
  const char **name = mem_alloc(e->graph->node.n * sizeof *name);
  put(t, "\n");
  put_doc(t, e->doc, "");
  buf_printf(t->out, "entry %s(", e->name);
  put_params(t, e);
  put(t, ")");
  if (e->outputs.n) {
    put(t, " -> ");
    put_tree(t, e->graph, e->outputs.at, 0, e->outputs.n, 0, NULL);
  }
  const char *comma = " where ";
  for (uint32_t i = 0; i < e->checks.n; i++, comma = ", ") {
    const char *text = where_text(t, &e->checks.at[i]);
    if (!text) break; /* asserts keep the order: all from the first with a sentence */
    buf_printf(t->out, "%s%s", comma, text);
  }
  put(t, e->training ? " train {\n" : " {\n");
  bool rest = false;
  for (uint32_t i = 0; i < e->checks.n; i++) {
    const Check *c = &e->checks.at[i];
    const char *text = where_text(t, c);
    rest |= !text;
    if (!rest) continue;
    buf_printf(t->out, "  assert %s", text ? text : condition(t, c->cond));
    if (!text) {
      put(t, ", ");
      put_string(t, c->text);
    }
    put_place(t, c->loc);
    put(t, "\n");
  }
  for (uint32_t i = 0; i < e->inputs.n; i++) {
    Buf b = {0};
    Printer path = {.out = &b};
    put_path(&path, e->inputs.at[i].name);
    name[e->inputs.at[i].node] = arena_strndup(t->ctx->arena, b.at, b.n);
    buf_free(&b);
  }
  put_block(t, e->graph, name, 2);
  for (uint32_t i = 0; i < e->inputs.n; i++) {
    const Port *x = &e->inputs.at[i];
    if (!x->update) continue;
    put(t, "  ");
    put_path(t, x->name);
    put(t, " <- ");
    put_operand(t, e->graph, x->update, name, DT_NONE);
    put(t, "\n");
  }
  for (uint32_t i = 0; i < e->updates.n; i++) {
    buf_printf(t->out, "  %s <- ", t->cell[e->updates.at[i].cell]);
    put_operand(t, e->graph, e->updates.at[i].value, name, DT_NONE);
    put_place(t, e->updates.at[i].loc);
    put(t, "\n");
  }
  if (e->outputs.n) {
    put(t, "  ");
    put_tree(t, e->graph, e->outputs.at, 0, e->outputs.n, 0, name);
    put(t, "\n");
  }
  put(t, "}");
  put_place(t, e->loc);
  put(t, "\n");
  free(name);
}

/* ---- programs ------------------------------------------------------------------------------------------------------
 */

/* A user's name that looks like one of ours, with k `_` after it: k + 1; else 0. Ours get that many. */
static int like_ours(const char *name) {
  size_t n = strcspn(name, "."), i = 1;
  if (n < 2 || !strchr("vpsca", name[0])) return 0;
  while (i < n && isdigit((unsigned char)name[i])) i++;
  int k = (int)(n - i) + 1;
  for (; i < n; i++)
    if (name[i] != '_') return 0;
  return k;
}

/* A start value that is one number at every place: the number's node. */
static Id start_number(const Cell *c) {
  Id v = c->init->output.at[0];
  if (graph_op(c->init, v) == OP_BROADCAST) v = graph_in(c->init, v)[0];
  return in_place(c->init, v) ? v : 0;
}

static void put_cell(Printer *t, const Cell *c, const char *name, int *inits) {
  char *start = NULL;
  if (c->init) {
    Id number = start_number(c);
    Buf b = {0};
    if (number) {
      Printer sub = *t;
      sub.out = &b;
      put_number(&sub, c->dtype, graph_attr(c->init, number, "value", NULL)[0]);
    } else {
      const char **names = mem_alloc(c->init->node.n * sizeof *names);
      buf_printf(&b, "init_%d()", *inits);
      buf_printf(t->out, "fn init_%d() -> %s {\n", (*inits)++, graph_shape_text(t->ctx, c->dtype, c->shape, c->rank));
      put_block(t, c->init, names, 2);
      put(t, "  ");
      put_operand(t, c->init, c->init->output.at[0], names, DT_NONE);
      put(t, "\n}\n");
      free(names);
    }
    start = arena_strndup(t->ctx->arena, b.at, b.n);
    buf_free(&b);
  }
  put_doc(t, c->doc, "");
  buf_printf(t->out, "%s %s: %s",
             c->kind == CELL_PARAM   ? "param"
             : c->kind == CELL_STATE ? "state"
                                     : "state(local)",
             name, graph_shape_text(t->ctx, c->dtype, c->shape, c->rank));
  if (start) buf_printf(t->out, " = %s", start);
  put(t, " as ");
  put_string(t, c->name);
  put_place(t, c->loc);
  put(t, "\n");
  if (c->frozen) buf_printf(t->out, "freeze(%s)\n", name);
}

void program_print(const Program *p, bool places, Buf *out) {
  Printer t = {.p = p, .ctx = p->ctx, .out = out, .places = places, .tail = ""};
  int tail = 0;
  for (uint32_t i = 0; i < p->entries.n; i++) {
    entry_roots((Entry *)&p->entries.at[i]);
    for (uint32_t k = 0; k < p->entries.at[i].inputs.n; k++) {
      int n = like_ours(p->entries.at[i].inputs.at[k].name);
      tail = n > tail ? n : tail;
    }
  }
  if (tail) {
    t.tail = arena_alloc(p->ctx->arena, (size_t)tail + 1);
    memset((char *)t.tail, '_', (size_t)tail);
  }
  t.cell = mem_alloc((p->cells.n + 1) * sizeof *t.cell);
  int params = 0, states = 0, inits = 0;
  for (uint32_t i = 0; i < p->cells.n; i++) {
    bool param = p->cells.at[i].kind == CELL_PARAM;
    t.cell[i] = arena_printf(p->ctx->arena, "%c%d%s", param ? 'p' : 's', param ? params++ : states++, t.tail);
    if (p->cells.at[i].init) collect(&t, p->cells.at[i].init);
  }
  for (uint32_t i = 0; i < p->entries.n; i++) collect(&t, p->entries.at[i].graph);
  for (uint32_t i = 0; i < t.consts.n; i++) put_const(&t, (int)i);
  for (uint32_t i = 0; i < p->cells.n; i++) put_cell(&t, &p->cells.at[i], t.cell[i], &inits);
  for (uint32_t i = 0; i < p->entries.n; i++) put_entry(&t, &p->entries.at[i]);
  free(t.cell);
}

void graph_print_body(const Graph *g, Buf *out) {
  Printer t = {.ctx = g->ctx, .out = out, .tail = ""};
  const char **name = mem_alloc(g->node.n * sizeof *name);
  collect(&t, g);
  for (uint32_t i = 0; i < t.consts.n; i++) put_const(&t, (int)i);
  put_block(&t, g, name, 0);
  for (uint32_t i = 0; i < g->output.n; i++) {
    put(&t, i ? ", " : "");
    put_operand(&t, g, g->output.at[i], name, DT_NONE);
  }
  put(&t, g->output.n ? "\n" : "");
  free(name);
}
