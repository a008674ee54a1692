#include "embedded.h"
#include "abi.h"
#include <string.h>

enum {
  PAGE = 4096,
  INTERPRETED = 1 << 26 /* bytes for a level; more would take minutes and is prepared at the start */
};

static const SinterModel *model(const HostBlob *b) { return (const SinterModel *)(const void *)b->model; }
static const void *list(const HostBlob *b, SinterRef r) { return b->model + r.at; }

uint64_t embedded_cell(const HostBlob *b, int cell, uint64_t *bytes) {
  const SinterCell *c = (const SinterCell *)list(b, model(b)->cells) + cell;
  *bytes = c->bytes;
  return c->at;
}

static bool prepare(const EmbedRequest *q, const LevelUnit *l, const Derived *d, uint8_t *made) {
  LoopArg *args = ARENA_ARRAY(q->ctx->arena, LoopArg, d->plan.binds.n + 1);
  uint64_t bytes;
  for (uint32_t i = 0; i < d->plan.binds.n; i++)
    args[i].data = d->plan.binds.at[i].kind == BIND_CELL ? q->cells + embedded_cell(q->blob, d->cell, &bytes) : made;
  LoopRun run = {.level = l->target->name};
  return loop_run(l->module, d->plan.plan->name, NULL, args, &run);
}

static bool prepare_all(const EmbedRequest *q, const SinterEmbedded *head, uint8_t *data) {
  const SinterDerived *row = list(q->blob, model(q->blob)->derived); /* level by level, as they were written */
  for (int i = 0; i < q->nlevels; i++) {
    const LevelUnit *l = &q->levels[i];
    uint64_t at = head->derived[l->target->level];
    for (uint32_t k = 0; k < l->derived.n; k++, row++)
      if (at && !prepare(q, l, &l->derived.at[k], data + at + row->at)) return false;
  }
  return true;
}

static uint64_t take(uint64_t *n, uint64_t bytes, uint64_t align) {
  uint64_t at = (*n + align - 1) & ~(align - 1);
  *n = at + bytes;
  return at;
}

bool embedded_object(const EmbedRequest *q, DataObject *out) {
  const SinterModel *m = model(q->blob);
  SinterEmbedded head = {.size = sizeof head, .missing = q->missing, .seed = q->seed};
  uint64_t n = sizeof head;
  head.calls = take(&n, 8 * (uint64_t)m->entries.n, 8);
  head.given = take(&n, m->cells.n, 1);
  head.cells = take(&n, m->cells_bytes, PAGE);
  for (int i = 0; i < q->nlevels && !q->missing; i++) { /* what is prepared may depend on what is missing */
    uint32_t level = q->levels[i].target->level;
    if (m->derived_bytes[level] && m->derived_bytes[level] <= INTERPRETED)
      head.derived[level] = take(&n, m->derived_bytes[level], PAGE);
  }
  *out = data_object(q->ctx->arena, q->levels[0].target->arch, "sinter_embedded", (size_t)n);
  memcpy(out->data, &head, sizeof head);
  memcpy(out->data + head.calls, q->calls, 8 * (size_t)m->entries.n);
  memcpy(out->data + head.given, q->given, m->cells.n);
  memcpy(out->data + head.cells, q->cells, m->cells_bytes);
  return prepare_all(q, &head, out->data);
}
