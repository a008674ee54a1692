#include "loop_eval.h"
#include <string.h>

/* A block of threads in lockstep between its operations: every thread runs, in a shuffled order, until it waits at a
 * barrier or reduce; when all threads of its warp or block have come to the same one, it happens. Statements without
 * such operations run as in a task; those around them keep their place in frames, so that a thread can be left and
 * taken up again. */

typedef struct Frame {
  const Act *next;
  const Act *loop; /* whose body it is, or NULL */
  int64_t i, end, step;
} Frame;

typedef struct Thread {
  Task t;
  const Act *waits; /* the operation it has come to, or NULL */
  int depth;
  Frame frame[64]; /* as deep as a kernel can be built */
} Thread;

struct Block {
  const Prog *p;
  Arena *arena;
  uint64_t *random;
  uint32_t *next, *order;
  int n;
  Thread *thread;
};

static uint32_t new_numbers(Block *b) {
  uint32_t first = *b->next;
  *b->next += (uint32_t)(b->n + 31) / 32 * 32;
  return first;
}

/* The next scratch of a thread from buffer *i on, or NULL. */
static Storage *own_scratch(const Block *b, const Task *t, uint32_t *i) {
  for (; *i < b->p->k->bufs.n; ++*i)
    if (b->p->k->bufs.at[*i].kind == BUF_THREAD && t->mem[*i].st) return t->mem[*i].st;
  return NULL;
}

Block *block_new(const Task *task, uint64_t *random, uint32_t *next) {
  const Prog *p = task->p;
  Arena *a = arena_new();
  Block *b = ARENA_NEW(a, Block);
  *b = (Block){.p = p, .arena = a, .random = random, .next = next, .n = p->stage->threads};
  b->thread = ARENA_ARRAY(a, Thread, b->n);
  b->order = ARENA_ARRAY(a, uint32_t, b->n);
  for (int i = 0; i < b->n; i++) {
    Task *t = &b->thread[i].t;
    *t = *task;
    t->tid = i;
    t->threads = b->n;
    t->v = ARENA_ARRAY(a, Scalar, p->slots + 1);
    t->set = ARENA_ARRAY(a, uint8_t, p->flags + 1);
    t->mem = ARENA_ARRAY(a, Mem, p->k->bufs.n + 1);
    memcpy(t->mem, task->mem, p->k->bufs.n * sizeof *t->mem);
    uint32_t m = 0;
    for (Storage *like; (like = own_scratch(b, t, &m)); m++) {
      t->mem[m].st = storage_new(a, NULL, like->n * like->unit, like->unit);
      t->mem[m].st->private = true;
    }
  }
  return b;
}

void block_free(Block *b) {
  for (int i = 0; i < b->n; i++) {
    uint32_t m = 0;
    for (Storage *st; (st = own_scratch(b, &b->thread[i].t, &m)); m++) storage_free(st);
  }
  arena_free(b->arena);
}

/* ---- one thread ---- */

static void start(Block *b, Thread *h, const Task *task, uint32_t first) {
  const Stage *st = b->p->stage;
  Task *t = &h->t;
  memcpy(t->v, task->v, (b->p->slots + 1) * sizeof *t->v);
  uint32_t m = 0;
  for (Storage *own; (own = own_scratch(b, t, &m)); m++) storage_forget(own);
  t->index = task->index;
  t->who = (Accessor){.actor = first + (uint32_t)t->tid,
                      .epoch = task->who.epoch,
                      .warps = (uint32_t)(b->n + 31) / 32,
                      .task = first,
                      .since = first,
                      .warp_since = first};
  for (int a = st->nthread - 1, rest = t->tid; a >= 0; a--) {
    t->v[b->p->var[st->thread[a]]].i = rest % st->thread_extent[a];
    rest /= (int)st->thread_extent[a];
  }
  t->v[b->p->var[st->tid]].i = t->tid;
  t->v[b->p->var[st->warp]].i = t->tid / 32;
  t->v[b->p->var[st->lane_id]].i = t->tid % 32;
  h->waits = NULL;
  h->depth = 1;
  h->frame[0] = (Frame){.next = b->p->body};
}

/* Begins the next turn of the loop of a frame, if there is one. */
static bool turn(Thread *h, Frame *f, int64_t i) {
  if (i >= f->end) return false;
  f->i = i;
  h->t.v[h->t.p->var[f->loop->s->ref]].i = i;
  f->next = f->loop->body;
  return true;
}

/* Opens the block in a loop or branch that waits somewhere inside. */
static void enter(Thread *h, const Act *n) {
  Frame *f = &h->frame[h->depth];
  *f = (Frame){0};
  if (n->s->kind == STMT_FOR) {
    f->loop = n;
    eval_turns(&h->t, n->s, &f->i, &f->end, &f->step);
    if (!turn(h, f, f->i)) return;
  } else {
    f->next = h->t.v[h->t.p->at[n->s->value]].i ? n->body : n->other;
  }
  h->depth++;
}

/* Runs to the next operation or to the end. */
static bool advance(Thread *h) {
  while (h->depth) {
    Frame *f = &h->frame[h->depth - 1];
    const Act *n = f->next;
    if (!n) {
      if (!f->loop || !turn(h, f, f->i + f->step)) h->depth--;
      continue;
    }
    f->next = n->next;
    if (!n->waits) {
      if (!eval_act(&h->t, n)) return false;
      continue;
    }
    if (!eval_operands(&h->t, n)) return false;
    if (n->s->kind == STMT_BARRIER || n->s->kind == STMT_REDUCE) {
      h->waits = n;
      return true;
    }
    enter(h, n);
  }
  return true;
}

/* ---- operations ---- */

/* Lanes fold halves on each other, as hadd does; then come the results of the warps in their order. */
static Scalar reduce(Block *b, const Stmt *s, int first, int n) {
  DType d = ex_at(b->p->k, s->value)->dtype;
  Scalar r = {0};
  for (int w = 0; w < n / 32; w++) {
    Scalar lane[32], x;
    for (int i = 0; i < 32; i++) lane[i] = b->thread[first + 32 * w + i].t.v[b->p->at[s->value]];
    x = eval_fold(s->op, d, lane, 32);
    if (!w)
      r = x;
    else
      scalar_map(s->op, d, 1, (const Scalar *const[]){&r, &x}, (const int[]){1, 1}, &r);
  }
  return r;
}

/* Does the operation of this scope at which these threads wait; false if not all of them have come to it. */
static bool happen(Block *b, LoopScope scope, int first, int n) {
  const Act *at = b->thread[first].waits;
  for (int i = first; i < first + n; i++)
    if (!at || at->s->scope != scope || b->thread[i].waits != at) return false;
  const Stmt *s = at->s;
  Scalar r = {0};
  uint32_t number = 0;
  if (s->kind == STMT_REDUCE)
    r = reduce(b, s, first, n);
  else
    number = new_numbers(b);
  for (int i = first; i < first + n; i++) {
    Task *t = &b->thread[i].t;
    b->thread[i].waits = NULL;
    if (s->kind == STMT_REDUCE) { /* hands on values, orders no memory */
      t->v[b->p->var[s->ref]] = r;
      continue;
    }
    t->who.actor = number + (uint32_t)i;
    t->who.warp_since = number;
    if (scope == LOOP_BLOCK) t->who.since = number;
  }
  return true;
}

bool block_run(Block *b, const Task *task) {
  uint32_t first = new_numbers(b);
  for (int i = 0; i < b->n; i++) start(b, &b->thread[i], task, first);
  for (;;) {
    bool moved = false;
    random_order(b->random, b->order, b->n);
    for (int i = 0; i < b->n; i++) {
      Thread *h = &b->thread[b->order[i]];
      if (h->waits || !h->depth) continue;
      moved = true;
      if (!advance(h)) return false;
    }
    for (int i = 0; i + 32 <= b->n; i += 32) moved |= happen(b, LOOP_WARP, i, 32);
    moved |= happen(b, LOOP_BLOCK, 0, b->n);
    if (*b->next > UINT32_MAX - (1u << 20)) return TASK_FAULT(&b->thread[0].t, "too many barriers to interpret");
    if (moved) continue;
    for (int i = 0; i < b->n; i++)
      if (b->thread[i].depth) /* the verifier refuses what could come to this */
        BUG("%s.%s: an operation that not all threads reach: the block hangs", b->p->k->name, b->p->stage->name);
    return true;
  }
}
