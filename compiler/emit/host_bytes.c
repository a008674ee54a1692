#include "host_bytes.h"
#include <string.h>

uint32_t blob_bytes(Blob *b, const void *p, uint64_t n, uint64_t align) {
  uint64_t at = (b->n + align - 1) & ~(align - 1);
  if (at + n > UINT32_MAX) {
    b->too_big = true;
    return 0;
  }
  while (at + n > b->cap) {
    uint8_t *old = b->at;
    b->cap = b->cap ? b->cap * 2 : 8192;
    b->at = arena_alloc(b->c->arena, b->cap);
    if (b->n) memcpy(b->at, old, b->n);
  }
  if (n) memcpy(b->at + at, p, n);
  b->n = at + n;
  return (uint32_t)at;
}

/* Equal lists stand once: levels differ in their kernels, seldom in what these read. */
SinterRef blob_records(Blob *b, const void *p, uint32_t n, size_t size) {
  ListAt list = {.bytes = n * size};
  if (!n) return (SinterRef){0};
  for (uint32_t i = 0; i < b->lists.n; i++)
    if (b->lists.at[i].bytes == list.bytes && !memcmp(b->at + b->lists.at[i].at, p, list.bytes))
      return (SinterRef){b->lists.at[i].at, n};
  list.at = blob_bytes(b, p, list.bytes, 8);
  if (!b->too_big) vec_push(b->c->arena, &b->lists, list);
  return (SinterRef){list.at, n};
}

SinterText blob_text(Blob *b, const char *s) {
  if (!s || !*s) return 0;
  for (uint32_t i = 0; i < b->texts.n; i++)
    if (!strcmp(b->texts.at[i].text, s)) return b->texts.at[i].at;
  uint32_t at = blob_bytes(b, s, strlen(s) + 1, 1);
  vec_push(b->c->arena, &b->texts, (TextAt){s, at});
  return at;
}

static int64_t dim_index(void *ctx, const char *name) {
  int k = host_dim_index(((Blob *)ctx)->layout, name);
  if (k < 0) BUG("the dimension %s belongs to no entry", name);
  return k;
}

static void add_code(void *ctx, SymCode op, int64_t operand) {
  Blob *b = ctx;
  vec_push(b->c->arena, &b->code, (SinterCode){op, operand});
}

SinterSym blob_sym(Blob *b, Sym s) {
  int64_t k;
  if (!s) return (SinterSym){0, 0};
  if (sym_is_int(b->c->syms, s, &k) && k >= 0 && k <= UINT32_MAX) return (SinterSym){(uint32_t)k, 0};
  for (uint32_t i = 0; i < b->syms.n; i++)
    if (b->syms.at[i].sym == s) return b->syms.at[i].at;
  b->code.n = 0;
  sym_postfix(b->c->syms, s, dim_index, add_code, b);
  SinterSym at = {blob_bytes(b, b->code.at, b->code.n * sizeof(SinterCode), 8), b->code.n};
  vec_push(b->c->arena, &b->syms, (SymAt){s, at});
  return at;
}

SinterView blob_view_at(Blob *b, const Plan *p, const View *v, Sym beyond) {
  if (v->buf < 0) return (SinterView){.buf = UINT32_MAX};
  if (v->nlist) BUG("a list of views in plan %s", p->name);
  const LoopBuf *f = &p->bufs.at[v->buf];
  if (v->nindex && f->layout != LAYOUT_ROWS) BUG("a part of a buffer that is not in rows");
  Sym at = beyond;
  for (int i = 0; i < v->nindex; i++)
    at = sym_add(b->c->syms, at, sym_mul(b->c->syms, v->index[i], plan_axis_bytes(b->c->syms, f, i)));
  return (SinterView){.buf = (uint32_t)v->buf, .at = blob_sym(b, at)};
}

SinterView blob_view(Blob *b, const Plan *p, const View *v) { return blob_view_at(b, p, v, sym_int(b->c->syms, 0)); }

SinterRef blob_bufs(Blob *b, const LevelUnit *l, const EntryPlan *e, uint32_t first_derived) {
  static const uint8_t kind[] = {
      [BIND_INPUT] = SINTER_BUF_INPUT,     [BIND_OUTPUT] = SINTER_BUF_OUTPUT, [BIND_CELL] = SINTER_BUF_CELL,
      [BIND_DERIVED] = SINTER_BUF_DERIVED, [BIND_CONST] = SINTER_BUF_CONST,   [BIND_ARENA] = SINTER_BUF_ARENA,
      [BIND_RANDOM] = SINTER_BUF_RANDOM};
  Vec(SinterBuf) bufs = {0};
  for (uint32_t i = 0; i < e->plan->bufs.n; i++) {
    const PlanBind *d = &e->binds.at[i];
    const LoopBuf *f = &e->plan->bufs.at[i];
    SinterBuf r = {.kind = kind[d->kind]};
    if (d->kind == BIND_ARENA)
      r.at = blob_sym(b, f->at);
    else if (d->kind != BIND_RANDOM)
      r.index = (uint32_t)d->index + (d->kind == BIND_DERIVED ? first_derived : 0);
    r.bytes = blob_sym(b, d->kind == BIND_DERIVED ? sym_int(b->c->syms, (int64_t)l->derived.at[d->index].bytes)
                                                  : plan_axis_bytes(b->c->syms, f, -1));
    vec_push(b->c->arena, &bufs, r);
  }
  return BLOB_LIST(b, bufs);
}
