/* Barriers of a plan. Steps without one between them may run at the same time, but a thread that runs task i of one
 * runs task i of every other with as many tasks. */
#include "planner.h"
#include <string.h>

void planner_step_uses(const Planner *p, const Step *s, bool **read, bool **write) {
  const Kernel *k = s->kind == STEP_LAUNCH ? p->level->module->kernels.at[s->kernel] : NULL;
  uint32_t n = k ? k->bufs.n : 2;
  *read = ARENA_ARRAY(p->arena, bool, n);
  *write = ARENA_ARRAY(p->arena, bool, n);
  if (k)
    loop_uses(k, k->stages.at[s->stage], *read, *write);
  else if (s->kind == STEP_COPY)
    (*write)[0] = (*read)[1] = true;
}

/* ---- barriers ---- */

typedef struct Touch { /* of a buffer of the plan by a step */
  int buf;
  bool stored;
  const Step *step;
  int view;
} Touch;

/* `places`: they have places. */
static bool same_memory(const Planner *p, int a, int b, bool places) {
  PlanBind x = p->out->binds.at[a], y = p->out->binds.at[b];
  if (x.kind != y.kind || x.kind != BIND_ARENA) return x.kind == y.kind && x.index == y.index;
  return places ? !planner_apart(p, &p->life.at[a], &p->life.at[b]) : a == b;
}

bool planner_share_memory(const Planner *p, int a, int b) { return same_memory(p, a, b, true); }

typedef struct Own { /* whether all accesses to buffer `buf` are at the task's own leading index */
  const Kernel *k;
  const Stage *st;
  SymTab *syms;
  uint32_t buf;
  bool own;
  bool *seen; /* expressions are shared */
} Own;

/* The axes of the stage (but those of size 1) are the first indices of the place, in order. */
static void own_place(Own *o, const Ex *index, int n) {
  const LoopBuf *b = &o->k->bufs.at[o->buf];
  int d = 0;
  for (int a = 0; a < o->st->naxes; a++) {
    if (planner_is_one(o->syms, o->st->extent[a])) continue;
    while (d < n && planner_is_one(o->syms, b->dim[d])) d++;
    const Expr *x = d < n ? ex_at(o->k, index[d]) : NULL;
    o->own &= x && x->op == OP_VAR && x->ref == o->st->axis[a];
    d++;
  }
}

static void own_ex(Own *o, Ex e) {
  if (!e || o->seen[e]) return;
  o->seen[e] = true;
  const Expr *x = ex_at(o->k, e);
  if (x->op == OP_LOAD && x->ref == o->buf) own_place(o, &o->k->arg.at[x->in], x->nin);
  for (int i = 0; i < x->nin; i++) own_ex(o, o->k->arg.at[x->in + (uint32_t)i]);
  own_ex(o, x->mask);
  own_ex(o, x->other);
}

static void own_block(Own *o, const Stmt *s) {
  for (; s && o->own; s = s->next) {
    own_ex(o, s->value);
    own_ex(o, s->mask);
    own_ex(o, s->lo);
    own_ex(o, s->hi);
    for (int i = 0; i < s->nindex; i++) own_ex(o, s->index[i]);
    if (s->kind == STMT_STORE && s->ref == o->buf) own_place(o, s->index, s->nindex);
    own_block(o, s->body);
    own_block(o, s->other);
  }
}

/* Whether task number i of both steps touches part i of this buffer and no other. A thread takes the same numbers of
 * both (design: equal numbers of tasks are one partition), so that no barrier is needed between them. */
static bool same_tasks(const Planner *p, const Touch *x, const Touch *y) {
  const Touch *both[2] = {x, y};
  const Stage *st[2];
  const LoopBuf *b[2];
  if (x->buf != y->buf) return false;
  for (int i = 0; i < 2; i++) {
    const Step *s = both[i]->step;
    if (s->kind != STEP_LAUNCH || s->serial) return false;
    const Kernel *k = p->level->module->kernels.at[s->kernel];
    st[i] = k->stages.at[s->stage];
    b[i] = &k->bufs.at[both[i]->view];
    Own o = {
        k, st[i], p->syms, (uint32_t)both[i]->view, b[i]->layout == LAYOUT_ROWS, ARENA_ARRAY(p->arena, bool, k->ex.n)};
    own_block(&o, st[i]->body);
    if (!o.own) return false;
  }
  if (b[0]->rank != b[1]->rank || memcmp(b[0]->dim, b[1]->dim, (size_t)b[0]->rank * sizeof(Sym))) return false;
  int i = 0, j = 0;
  for (;; i++, j++) { /* the same axes, but for those of size 1 */
    while (i < st[0]->naxes && planner_is_one(p->syms, st[0]->extent[i])) i++;
    while (j < st[1]->naxes && planner_is_one(p->syms, st[1]->extent[j])) j++;
    if (i == st[0]->naxes || j == st[1]->naxes) return i == st[0]->naxes && j == st[1]->naxes;
    if (st[0]->extent[i] != st[1]->extent[j]) return false;
  }
}

void plan_commits(Planner *p) {
  bool *skipped = ARENA_ARRAY(p->arena, bool, p->plan->bufs.n + 1);
  for (Step *s = p->plan->steps; s; s = s->next) {
    bool *read, *write;
    planner_step_uses(p, s, &read, &write);
    for (int i = 0; i < s->nviews; i++) s->commit |= s->views[i].buf >= 0 && read[i] && skipped[s->views[i].buf];
    for (int i = 0; i < s->nviews; i++) {
      int b = s->views[i].buf;
      if (b < 0 || !write[i]) continue;
      BindKind kind = p->out->binds.at[b].kind;
      skipped[b] = s->commit && (kind == BIND_ARENA || kind == BIND_OUTPUT);
    }
  }
}

typedef struct Phase { /* the steps since the last barrier */
  Vec(Touch) since;
  bool fails; /* a launch of them can fail */
} Phase;

/* Whether a barrier stands before step s, which then begins a phase: it meets an earlier one in memory, one of them
 * storing, in another task; or it is a commit after a launch that can fail, and all threads must know of the failure.
 */
static bool next_step(const Planner *p, Phase *f, const Step *s, bool places) {
  bool clash = s->commit && f->fails;
  uint32_t before = f->since.n;
  bool *read, *write;
  planner_step_uses(p, s, &read, &write);
  for (int i = 0; i < s->nviews; i++)
    if (s->views[i].buf >= 0) vec_push(p->arena, &f->since, (Touch){s->views[i].buf, write[i], s, i});
  for (uint32_t i = before; i < f->since.n; i++)
    for (uint32_t j = 0; j < before; j++) {
      const Touch *x = &f->since.at[i], *y = &f->since.at[j];
      clash |= (x->stored || y->stored) && same_memory(p, x->buf, y->buf, places) && !same_tasks(p, x, y);
    }
  f->fails = (f->fails && !clash) ||
             (s->kind == STEP_LAUNCH && loop_fails(p->level->module->kernels.at[s->kernel]->stages.at[s->stage]));
  if (clash) {
    memmove(f->since.at, f->since.at + before, (f->since.n - before) * sizeof *f->since.at);
    f->since.n -= before;
  }
  return clash;
}

void plan_phases(Planner *p, int *first, int *last) {
  Phase f = {0};
  int phase = 0, at = 0;
  uint32_t i = 0;
  plan_commits(p);
  for (const Step *s = p->plan->steps; s; s = s->next, i++) {
    phase += next_step(p, &f, s, false);
    for (; at <= p->positions.at[i]; at++) first[at] = last[at] = phase; /* a position without steps: the next one's */
    last[p->positions.at[i]] = phase;
  }
  for (; at <= (int)p->out->groups->at.n; at++) first[at] = last[at] = phase;
}

void plan_barriers(Planner *p) {
  Phase f = {0};
  for (Step **at = &p->plan->steps; *at; at = &(*at)->next) {
    if (!next_step(p, &f, *at, true)) continue;
    Step *b = ARENA_NEW(p->arena, Step);
    b->kind = STEP_BARRIER;
    b->next = *at;
    *at = b;
    at = &b->next;
  }
}
