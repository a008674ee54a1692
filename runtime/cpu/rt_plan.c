/* A plan is evaluated once into launches, then walked by every thread of the call. Between two barriers (a phase) the
 * launches of a plan run either all on thread 0 or all by the partition rule, since a stage may read what the same task
 * of the stage before it wrote. Which of the two depends on shapes only. */
#include "rt.h"

enum { PARALLEL = 1, COMMIT = 2, MEET = 4, SERIAL = 8 };
enum { SMALL_PHASE = 3000, SMALL_CALL = 5000 }; /* nanoseconds: below, a barrier or the way to the others costs more */

uint64_t rt_plan_bytes(const SinterPlan *p) {
  const SinterStep *step = RT_RECORDS(SinterStep, p->steps);
  uint64_t bytes = p->bufs.n * sizeof(Span) + (uint64_t)p->steps.n * sizeof(Launch);
  for (uint32_t i = 0; i < p->steps.n; i++) bytes += 8 * ((uint64_t)step[i].dims.n + step[i].views.n);
  return bytes;
}

uint64_t rt_plan_bytes_max(void) {
  const SinterPlan *plan = RT_RECORDS(SinterPlan, RT_MODEL->plans);
  uint64_t most = 0;
  for (uint32_t i = 0; i < RT_MODEL->plans.n; i++) {
    uint64_t n = rt_plan_bytes(&plan[i]);
    if (n > most) most = n;
  }
  return most;
}

static bool place(Span *s, const SinterBuf *b, const Binding *at) {
  const SinterWeights *w = at->weights;
  int64_t bytes = 0, offset = 0;
  if (!rt_sym(RT_MODEL, b->bytes, at->dims, &bytes) || bytes < 0) return false;
  Span whole = {NULL, 0};
  switch (b->kind) {
  case SINTER_BUF_INPUT: whole = at->inputs[b->index]; break;
  case SINTER_BUF_OUTPUT: whole = at->outputs[b->index]; break;
  case SINTER_BUF_CELL: {
    const SinterCell *c = RT_RECORDS(SinterCell, RT_MODEL->cells) + b->index;
    whole = (Span){w->cells + c->at, c->bytes};
    break;
  }
  case SINTER_BUF_DERIVED: {
    const SinterDerived *d = RT_RECORDS(SinterDerived, RT_MODEL->derived) + b->index;
    whole = (Span){w->derived + d->at, d->bytes};
    break;
  }
  case SINTER_BUF_CONST: {
    const SinterConst *c = RT_RECORDS(SinterConst, RT_MODEL->consts) + b->index;
    whole = (Span){(char *)(uintptr_t)(sinter_image.consts + c->at), c->bytes}; /* kernels only read it */
    break;
  }
  case SINTER_BUF_RANDOM: whole = (Span){(char *)at->random, 16}; break;
  case SINTER_BUF_ARENA:
    if (!rt_sym(RT_MODEL, b->at, at->dims, &offset) || offset < 0 || offset % 64) return false;
    if ((uint64_t)offset > at->arena_bytes || (uint64_t)bytes > at->arena_bytes - (uint64_t)offset) return false;
    whole = (Span){at->arena + offset, (uint64_t)bytes};
  }
  if ((uint64_t)bytes > whole.bytes) return false;
  *s = (Span){whole.at, (uint64_t)bytes};
  return true;
}

static bool view(void **to, const SinterView *v, const Span *bufs, uint64_t bytes, const int64_t *dims) {
  int64_t offset = 0;
  *to = NULL;
  if (v->buf == UINT32_MAX) return true;
  if (!rt_sym(RT_MODEL, v->at, dims, &offset) || offset < 0) return false;
  const Span *b = &bufs[v->buf];
  if ((uint64_t)offset > b->bytes || bytes > b->bytes - (uint64_t)offset) return false;
  *to = b->at ? b->at + offset : NULL;
  return true;
}

/* Which phases run on all threads; which barriers are needed: those beside such a phase. */
static void split_work(Run *r) {
  int64_t total = 0;
  for (int round = 0; round < 2; round++) {
    Launch *barrier = NULL;
    bool before = false;
    for (uint32_t i = 0, end; i <= r->n; i = end + 1) {
      int64_t work = 0;
      bool many = false;
      for (end = i; end < r->n && r->launch[end].kind != SINTER_STEP_BARRIER; end++) {
        Launch *l = &r->launch[end];
        if (l->kind != SINTER_STEP_LAUNCH || l->flags & SERIAL) continue;
        many |= l->tasks > 1;
        work = __builtin_add_overflow(work, l->work, &work) ? INT64_MAX : work;
      }
      many &= r->threads > 1 && work >= SMALL_PHASE;
      if (many) total = __builtin_add_overflow(total, work, &total) ? INT64_MAX : total;
      if (round == 0) continue; /* the first round only adds up */
      for (uint32_t k = i; many && k < end; k++)
        if (r->launch[k].kind == SINTER_STEP_LAUNCH && !(r->launch[k].flags & SERIAL)) r->launch[k].flags |= PARALLEL;
      if (barrier && (before || many)) barrier->flags |= MEET;
      before = many;
      barrier = end < r->n ? &r->launch[end] : NULL;
    }
    r->work = total;
    if (total < SMALL_CALL) r->threads = 1;
    if (r->threads == 1) return;
  }
}

bool rt_plan_bind(Run *r, void *records, const SinterPlan *p, const Binding *at) {
  Span *bufs = records;
  Launch *l = (Launch *)(void *)(bufs + p->bufs.n);
  int64_t *numbers = (int64_t *)(void *)(l + p->steps.n);
  *r = (Run){.launch = l, .threads = at->threads, .fail = at->fail};
  const SinterBuf *buf = RT_RECORDS(SinterBuf, p->bufs);
  for (uint32_t i = 0; i < p->bufs.n; i++)
    if (!place(&bufs[i], &buf[i], at)) return false;
  const SinterStep *step = RT_RECORDS(SinterStep, p->steps);
  for (uint32_t i = 0; i < p->steps.n; i++) {
    const SinterStep *s = &step[i];
    if (s->kind == SINTER_STEP_BARRIER) {
      *l++ = (Launch){.kind = SINTER_STEP_BARRIER, .step = i};
      continue;
    }
    *l = (Launch){.kind = s->kind, .step = i, .flags = s->flags & SINTER_STEP_COMMIT ? COMMIT : 0};
    const SinterView *v = RT_RECORDS(SinterView, s->views);
    if (s->kind == SINTER_STEP_COPY) {
      int64_t bytes = 0;
      void *from = NULL;
      if (!rt_sym(RT_MODEL, s->bytes, at->dims, &bytes) || bytes < 0) return false;
      l->bytes = (size_t)bytes;
      if (!view(&l->to, &v[0], bufs, l->bytes, at->dims) || !view(&from, &v[1], bufs, l->bytes, at->dims)) return false;
      l->from = from;
    } else {
      if (s->flags & SINTER_STEP_SERIAL) l->flags |= SERIAL;
      l->kernel = sinter_image.kernels[s->kernel];
      if (!rt_sym(RT_MODEL, s->tasks, at->dims, &l->tasks) || l->tasks < 0) return false;
      if (!rt_sym(RT_MODEL, s->work, at->dims, &l->work) || l->work < 0) l->work = INT64_MAX;
      const SinterSym *dim = RT_RECORDS(SinterSym, s->dims);
      l->call = (SinterCall){.size = sizeof(SinterCall), .threads = 1, .dims = numbers, .fail = at->fail};
      for (uint32_t k = 0; k < s->dims.n; k++)
        if (!rt_sym(RT_MODEL, dim[k], at->dims, numbers++)) return false;
      void **address = (void **)(void *)numbers;
      l->call.bufs = address;
      for (uint32_t k = 0; k < s->views.n; k++)
        if (!view(address + k, &v[k], bufs, 0, at->dims)) return false;
      numbers += s->views.n;
    }
    l++;
  }
  r->n = (uint32_t)(l - r->launch);
  split_work(r);
  return true;
}

static void note_ticks(const Run *r, int tid, const Launch *l, uint64_t since) {
  if ((uint32_t)tid < r->rows && l->step < r->steps)
    r->ticks[(uint64_t)tid * r->steps + l->step] += sinter_ticks() - since;
}

uint32_t rt_plan_walk(const Run *r, int tid) {
  bool failed = false;
  uint32_t turn = 0;
  uint64_t since = 0;
  const int64_t threads = r->threads;
  for (const Launch *l = r->launch, *end = l + r->n; l < end; l++) {
    if (r->ticks) since = sinter_ticks();
    if (l->kind == SINTER_STEP_BARRIER) {
      failed |= r->fail[tid].code != 0;
      if (threads > 1 && l->flags & MEET) failed = rt_meet(r, tid, ++turn, failed);
      if (r->ticks) note_ticks(r, tid, l, since);
      continue;
    }
    if ((failed && l->flags & COMMIT) || (tid > 0 && !(l->flags & PARALLEL))) continue;
    if (l->kind == SINTER_STEP_COPY) {
      if (l->bytes) memcpy(l->to, l->from, l->bytes);
    } else {
      bool all = !(l->flags & PARALLEL);
      /* t * n / T without overflow */
      int64_t q = l->tasks / threads, rest = l->tasks % threads;
      int64_t lo = all ? 0 : q * tid + rest * tid / threads;
      int64_t hi = all ? l->tasks : q * (tid + 1) + rest * (tid + 1) / threads;
      if (lo < hi) l->kernel(&l->call, lo, hi, tid);
    }
    if (r->ticks) note_ticks(r, tid, l, since);
  }
  return turn;
}

const SinterFail *rt_plan_run(Run *r) {
  memset(r->fail, 0, (size_t)r->threads * sizeof *r->fail);
  if (r->threads > 1)
    rt_pool_run(r);
  else
    rt_plan_walk(r, 0);
  const SinterFail *first = NULL;
  for (int i = 0; i < r->threads; i++) {
    const SinterFail *f = &r->fail[i];
    if (f->code && (!first || f->code < first->code || (f->code == first->code && f->task < first->task))) first = f;
  }
  return first;
}
