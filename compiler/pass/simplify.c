#include "pass.h"
#include "scalar.h"
#include "simplify_step.h"
#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_ROUNDS = 64, MAX_STEPS = 64, MAX_DEPTH = 200 };

typedef struct RuleInfo {
  const char *name;
  int mode;
  const char *pattern, *replacement; /* NULL: a step */
  SimplifyStep *step;
  Op op; /* the op it is tried at; OP_NONE: every op of class cls, or with cls -1 every element-wise one */
  int cls;
} RuleInfo;

enum { ANY_ELEMENTWISE = -1 };
#define AT_ELEMENTWISE   OP_NONE, ANY_ELEMENTWISE
#define AT_MOVE          OP_NONE, CLASS_MOVE
#define AT_REDUCE        OP_NONE, CLASS_REDUCE
#define AT_DIV           OP_DIV, 0
#define AT_CONVERT       OP_CONVERT, 0
#define AT_BROADCAST     OP_BROADCAST, 0
#define AT_TRANSPOSE     OP_TRANSPOSE, 0
#define AT_RESHAPE       OP_RESHAPE, 0
#define AT_REVERSE       OP_REVERSE, 0
#define AT_SLICE         OP_SLICE, 0
#define AT_PAD           OP_PAD, 0
#define AT_CONCAT        OP_CONCAT, 0
#define AT_REDUCE_SUM    OP_REDUCE_SUM, 0
#define AT_DOT_GENERAL   OP_DOT_GENERAL, 0
#define AT_DYNAMIC_SLICE OP_DYNAMIC_SLICE, 0

static const RuleInfo RULES[] = {
#define RULE(name, mode, pattern, replacement) {#name, SIMPLIFY_##mode, pattern, replacement, NULL, OP_NONE, 0},
#define STEP(name, mode, op)                   {#name, SIMPLIFY_##mode, NULL, NULL, step_##name, AT_##op},
#include "simplify.rules"
#undef RULE
#undef STEP
};
enum { RULE_COUNT = sizeof RULES / sizeof *RULES };

/* ---- patterns ------------------------------------------------------------------------------------------------------
 */

typedef enum { PAT_VAR, PAT_NUMBER, PAT_OP } PatKind;

typedef struct Pat Pat;
struct Pat {
  PatKind kind;
  int var; /* 0 to 25 */
  double number;
  Op op;
  int n;
  Pat *arg[3];
};

static Pat *parse(Arena *a, const char **s) {
  Pat *p = ARENA_NEW(a, Pat);
  while (**s == ' ') ++*s;
  if (**s == '(') {
    char name[32];
    size_t n = strcspn(++*s, " )");
    if (n >= sizeof name) BUG("a rule names an op of %zu letters", n);
    memcpy(name, *s, n);
    name[n] = 0;
    *s += n;
    p->kind = PAT_OP;
    p->op = op_parse(name);
    while (**s == ' ') p->arg[p->n++] = parse(a, s);
    if (p->op == OP_NONE || !op_elementwise(p->op) || p->n != OP_INFO[p->op].arity || *(*s)++ != ')')
      BUG("a rule with `%s` cannot be read", name);
  } else if (islower((unsigned char)**s)) {
    p->kind = PAT_VAR;
    p->var = *(*s)++ - 'a';
  } else {
    char *end;
    p->kind = PAT_NUMBER;
    p->number = strtod(*s, &end);
    if (end == *s) BUG("a rule cannot be read at `%s`", *s);
    *s = end;
  }
  return p;
}

static bool match(const Graph *g, const Pat *p, Id v, Id *bound) {
  if (p->kind == PAT_VAR) {
    if (bound[p->var]) return bound[p->var] == v;
    bound[p->var] = v;
    return true;
  }
  double x;
  if (p->kind == PAT_NUMBER)
    return graph_constant(g, v, &x) && x == p->number &&
           (!dtype_is_float(graph_dtype(g, v)) || signbit(x) == signbit(p->number));
  if (graph_op(g, v) != p->op) return false;
  Id saved[26];
  memcpy(saved, bound, sizeof saved);
  const Id *in = graph_in(g, v);
  for (int turn = 0; turn < 1 + ((OP_INFO[p->op].flags & OPF_COMM) != 0); turn++) {
    bool ok = true;
    memcpy(bound, saved, sizeof saved);
    for (int i = 0; i < p->n && ok; i++) ok = match(g, p->arg[i], in[turn ? 1 - i : i], bound);
    if (ok) return true;
  }
  return false;
}

static Id build(Graph *g, const Pat *p, const Id *bound, DType d) {
  if (p->kind == PAT_VAR) return bound[p->var];
  if (p->kind == PAT_NUMBER) return g_const(g, d, p->number);
  Id in[3];
  for (int i = 0; i < p->n; i++) in[i] = build(g, p->arg[i], bound, d);
  return graph_node(g, p->op, in, p->n, NULL);
}

/* ---- one step ------------------------------------------------------------------------------------------------------
 */

typedef struct Rules { /* the patterns of one run */
  Arena *arena;
  Pat *pattern[RULE_COUNT], *replacement[RULE_COUNT];
} Rules;

static Rules rules_new(void) {
  Rules r = {.arena = arena_new()};
  for (int i = 0; i < RULE_COUNT; i++) {
    if (!RULES[i].pattern) continue;
    const char *s = RULES[i].pattern;
    r.pattern[i] = parse(r.arena, &s);
    s = RULES[i].replacement;
    r.replacement[i] = parse(r.arena, &s);
  }
  return r;
}

static bool tried_at(const RuleInfo *r, Op op) {
  if (r->op != OP_NONE) return r->op == op;
  return r->cls == ANY_ELEMENTWISE ? op_elementwise(op) : OP_INFO[op].cls == r->cls;
}

/* `r`, which may be of rank 0, with dtype and shape of v; 0 if it has another shape. */
static Id like(Graph *g, Id v, Id r) {
  if (graph_dtype(g, r) != graph_dtype(g, v)) BUG("a rule changes the dtype of %s", OP_INFO[graph_op(g, v)].text);
  int rank = graph_rank(g, v);
  if (!graph_rank(g, r)) return g_spread(g, r, graph_shape(g, v), rank);
  if (graph_rank(g, r) != rank) return 0;
  for (int i = 0; i < rank; i++)
    if (graph_shape(g, r)[i] != graph_shape(g, v)[i] &&
        !(g->facts && sym_same(g->facts, graph_shape(g, r)[i], graph_shape(g, v)[i])))
      return 0;
  return r;
}

static Id try_rule(const Rules *rules, int k, Graph *g, Id v, bool single) {
  const RuleInfo *info = &RULES[k];
  Id r;
  if (info->step) {
    r = tried_at(info, graph_op(g, v)) ? info->step(g, v, single) : 0;
  } else {
    Id bound[26] = {0};
    const Pat *p = rules->pattern[k];
    if (graph_op(g, v) != p->op || !match(g, p, v, bound)) return 0;
    if (info->mode == SIMPLIFY_INT && dtype_is_float(graph_dtype(g, bound['x' - 'a']))) return 0;
    r = build(g, rules->replacement[k], bound, graph_dtype(g, v));
  }
  r = r ? like(g, v, r) : 0;
  return r == v ? 0 : r;
}

int simplify_rules(void) { return RULE_COUNT; }
const char *simplify_rule_name(int rule) { return RULES[rule].name; }
int simplify_rule_mode(int rule) { return RULES[rule].mode; }

Id simplify_rule_try(int rule, Graph *g, Id v, bool single) {
  Rules r = rules_new();
  Id after = try_rule(&r, rule, g, v, single);
  arena_free(r.arena);
  return after;
}

static Id example(Graph *g, const Pat *p, const Id *letters, DType d) {
  if (p->kind == PAT_VAR) return letters[p->var];
  if (p->kind == PAT_NUMBER) return g_const(g, d, p->number);
  Id in[3];
  for (int i = 0; i < p->n; i++) {
    in[i] = example(g, p->arg[i], letters, p->op == OP_SELECT && !i ? DT_BOOL : d);
    if (!in[i] || (!op_takes(p->op, graph_dtype(g, in[i])) && !(p->op == OP_SELECT && !i))) return 0;
  }
  if (p->op == OP_SELECT && graph_dtype(g, in[0]) != DT_BOOL) return 0;
  return graph_node(g, p->op, in, p->n, NULL);
}

Id simplify_rule_example(int rule, Graph *g, DType d, const Id letters[26]) {
  Rules r = rules_new();
  Id v = RULES[rule].step || (RULES[rule].mode == SIMPLIFY_INT && dtype_is_float(d))
             ? 0
             : example(g, r.pattern[rule], letters, d);
  arena_free(r.arena);
  return v;
}

/* ---- the driver ----------------------------------------------------------------------------------------------------
 */

typedef struct Run {
  const Simplify *want;
  const Rules *rules;
  uint32_t *uses; /* of the nodes of the graph that is read */
  int fired, depth;
} Run;

static bool to_fixpoint(const Simplify *, const Rules *, const Graph *from, Graph *to, Id *map, int depth);

/* The node with a body that is simplified. */
static Id with_body(Run *s, const Graph *from, Id v, Graph *to, const Id *map) {
  const Graph *old = graph_body(from, v);
  Graph *body = graph_new(to->ctx, to);
  Id *inner = mem_alloc(old->node.n * sizeof(Id));
  bool ok = to_fixpoint(s->want, s->rules, old, body, inner, s->depth + 1);
  free(inner);
  if (!ok) return 0;
  uint32_t n = graph_at(from, v)->nin;
  Id *in = ARENA_ARRAY(to->ctx->arena, Id, n + 1);
  for (uint32_t i = 0; i < n; i++) in[i] = map[graph_in(from, v)[i]];
  return g_body(to, graph_op(from, v), graph_op(from, v) == OP_COMPOSITE ? graph_attr_str(from, v, "name") : NULL, body,
                in, (int)n);
}

static Id visit(void *ctx, const Graph *from, Id v, Graph *to, const Id *map) {
  Run *s = ctx;
  Op op = graph_op(from, v);
  if (op == OP_COMPOSITE || op == OP_CALL) return s->depth < MAX_DEPTH ? with_body(s, from, v, to, map) : 0;
  bool single = true;
  for (uint32_t i = 0; i < graph_at(from, v)->nin; i++) single &= s->uses[graph_in(from, v)[i]] == 1;
  Id r = graph_copy_node(from, v, to, map);
  for (int steps = 0, k = 0; r && k < RULE_COUNT && steps < MAX_STEPS; k++) {
    if (!(RULES[k].mode & s->want->modes)) continue;
    Id after = try_rule(s->rules, k, to, r, single);
    if (!after) continue;
    if (s->want->trace) s->want->trace(s->want->trace_ctx, RULES[k].name, to, r, after);
    s->fired++;
    steps++;
    r = after;
    k = -1; /* from the first rule again */
    single = false;
  }
  return r;
}

static void count_uses(const Graph *g, uint32_t *uses) {
  Id *order = mem_alloc(g->node.n * sizeof(Id));
  int n = graph_reach(g, g->output.at, (int)g->output.n, order);
  for (int i = 0; i < n; i++)
    for (uint32_t k = 0; k < graph_at(g, order[i])->nin; k++) uses[graph_in(g, order[i])[k]]++;
  for (uint32_t i = 0; i < g->output.n; i++) uses[g->output.at[i]]++;
  free(order);
}

/* One rebuild with fn; map (of n entries, into `from`) is carried on. Returns how many rules fired, -1 after an error.
 */
static int one_round(Run *run, const Graph *from, Graph *to, GraphVisit *fn, Id *map, uint32_t n) {
  Id *round = mem_alloc(from->node.n * sizeof(Id));
  run->uses = mem_alloc(from->node.n * sizeof(uint32_t));
  run->fired = 0;
  to->facts = from->facts;
  count_uses(from, run->uses);
  bool ok = graph_rebuild(from, to, fn, run, round);
  for (Id v = 0; v < n; v++) map[v] = round[map[v]];
  free(run->uses);
  free(round);
  return ok ? run->fired : -1;
}

/* Rounds until one fires nothing; then a copy that leaves behind what is not needed any more. */
static bool to_fixpoint(const Simplify *want, const Rules *rules, const Graph *from, Graph *to, Id *map, int depth) {
  Run run = {.want = want, .rules = rules, .depth = depth};
  uint32_t n = from->node.n;
  int fired = 1;
  for (Id v = 0; v < n; v++) map[v] = v;
  for (int turn = 0; turn < MAX_ROUNDS && fired > 0; turn++) {
    Graph *next = graph_new(to->ctx, to->parent);
    fired = one_round(&run, from, next, visit, map, n);
    from = next;
  }
  return fired >= 0 && one_round(&run, from, to, NULL, map, n) >= 0;
}

bool pass_simplify(void *ctx, const Graph *from, Graph *to, Id *map) {
  static const Simplify standard = {.modes = SIMPLIFY_DEFAULT};
  Rules rules = rules_new();
  bool ok = to_fixpoint(ctx ? ctx : &standard, &rules, from, to, map, 0);
  arena_free(rules.arena);
  return ok;
}
