/* Lets on their way to where they are used. A strategy states values in the order of the graph; where an element is
 * worked out of many of them, more may wait than there are registers, though in another order few would. A let that one
 * statement uses, with nothing but lets between the two, becomes part of that statement, whose operands are worked out
 * in the order of their needs (loop_order). Neither values nor what is read when change. */
#include "loop_pressure.h"

enum { ALL_VARS = UINT32_MAX };

typedef struct Saved {
  Stmt *at, was;
} Saved;

typedef struct Sink {
  Kernel *k;
  Arena *arena;
  uint32_t *uses;     /* variable -> statements of the stage that use it */
  Vec(uint32_t) seen; /* expression -> turn of the walk that came upon it last */
  uint32_t turn;
  Vec(Saved) saved; /* every statement as it was */
} Sink;

/* ---- uses ---- */

static bool uses_in(Sink *s, Ex e, uint32_t var) {
  if (!e || s->seen.at[e] == s->turn) return false;
  s->seen.at[e] = s->turn;
  const Expr *x = ex_at(s->k, e);
  if (x->op == OP_VAR) {
    s->uses[x->ref] += var == ALL_VARS;
    return x->ref == var;
  }
  bool found = uses_in(s, x->mask, var) || uses_in(s, x->other, var);
  for (int i = 0; i < x->nin && !found; i++) found = uses_in(s, s->k->arg.at[x->in + (uint32_t)i], var);
  return found;
}

/* Whether a statement itself, not what stands inside of it, uses a variable; ALL_VARS: counts its uses. */
static bool uses(Sink *s, const Stmt *x, uint32_t var) {
  while (s->seen.n < s->k->ex.n) vec_push(s->arena, &s->seen, 0);
  s->turn++;
  bool found =
      uses_in(s, x->value, var) || uses_in(s, x->mask, var) || uses_in(s, x->lo, var) || uses_in(s, x->hi, var);
  for (int i = 0; i < x->nindex && !found; i++) found = uses_in(s, x->index[i], var);
  return found;
}

static void count(Sink *s, Stmt *x) {
  for (; x; x = x->next) {
    vec_push(s->arena, &s->saved, (Saved){x, *x});
    uses(s, x, ALL_VARS);
    count(s, x->body);
    count(s, x->other);
  }
}

/* ---- sinking ---- */

static Ex put(void *ctx, Kernel *k, Ex e) {
  const Stmt *let = ctx;
  const Expr *x = ex_at(k, e);
  return x->op == OP_VAR && x->ref == let->ref ? let->value : 0;
}

static void set_value(Kernel *k, Stmt *x, Ex value) {
  x->value = value;
  if (x->kind == STMT_LET) k->vars.at[x->ref].value = value;
}

static void put_into(Sink *s, Stmt *x, Stmt *let) {
  set_value(s->k, x, x->value ? ex_rewrite(s->k, x->value, put, let) : 0);
  x->mask = x->mask ? ex_rewrite(s->k, x->mask, put, let) : 0;
  for (int i = 0; i < x->nindex; i++) x->index[i] = ex_rewrite(s->k, x->index[i], put, let);
}

/* Lets one after the other, and the assignment or store that may follow. Later ones first: what they use has by then
 * the place to which they went. */
static void sink_run(Sink *s, Stmt **first, int n) {
  Stmt **at = ARENA_ARRAY(s->arena, Stmt *, n), *x = *first;
  bool *moves = ARENA_ARRAY(s->arena, bool, n);
  for (int i = 0; i < n; i++, x = x->next) at[i] = x;
  for (int i = 0; i < n; i++) {
    uint32_t here = 0;
    moves[i] = at[i]->kind == STMT_LET && s->k->vars.at[at[i]->ref].dtype != DT_IDX;
    for (int j = i + 1; j < n && moves[i]; j++) here += uses(s, at[j], at[i]->ref);
    moves[i] = moves[i] && here && here == s->uses[at[i]->ref];
  }
  for (int i = n - 1; i >= 0; i--) {
    int to = -1;
    for (int j = i + 1; j < n && moves[i]; j++) {
      if (!at[j] || !uses(s, at[j], at[i]->ref)) continue;
      moves[i] = to < 0;
      to = j;
    }
    if (!moves[i]) continue;
    put_into(s, at[to], at[i]);
    *(i ? &at[i - 1]->next : first) = at[i]->next;
    at[i] = NULL;
  }
}

static void sink_block(Sink *s, Stmt **first) {
  while (*first) {
    int n = 0;
    Stmt *x = *first;
    for (; x && x->kind == STMT_LET; x = x->next) n++;
    if (x && (x->kind == STMT_ASSIGN || x->kind == STMT_STORE)) x = x->next, n++;
    if (n) {
      sink_run(s, first, n);
    } else {
      sink_block(s, &x->body);
      sink_block(s, &x->other);
      x = x->next;
    }
    while (*first != x) first = &(*first)->next;
  }
}

void loop_sink(Kernel *k, Stage *st, int vector_bytes, bool masks, int registers) {
  Sink s = {.k = k, .arena = arena_new()};
  int before = loop_pressure(k, st, vector_bytes, masks, false, s.arena).vectors;
  if (before > registers) {
    Stmt *body = st->body;
    s.uses = ARENA_ARRAY(s.arena, uint32_t, k->vars.n);
    count(&s, body);
    sink_block(&s, &st->body);
    if (loop_pressure(k, st, vector_bytes, masks, false, s.arena).vectors >= before) { /* as it was */
      st->body = body;
      for (uint32_t i = 0; i < s.saved.n; i++) {
        *s.saved.at[i].at = s.saved.at[i].was;
        set_value(k, s.saved.at[i].at, s.saved.at[i].was.value);
      }
    }
  }
  arena_free(s.arena);
}
