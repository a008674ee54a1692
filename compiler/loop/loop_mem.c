#include "loop_mem.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

Storage *storage_new(Arena *a, void *data, int64_t bytes, int unit) {
  Storage *s = ARENA_NEW(a, Storage);
  s->n = bytes / unit;
  s->unit = unit;
  s->owned = !data;
  s->data = data ? data : mem_alloc((size_t)bytes + 1);
  s->own = mem_alloc(5 * sizeof(uint32_t) * (size_t)(s->n + 1));
  s->w = s->own + s->n;
  s->r1 = s->w + s->n;
  s->r2 = s->r1 + s->n;
  s->al = s->r2 + s->n;
  return s;
}

void storage_free(Storage *s) {
  if (s->owned) free(s->data);
  free(s->own);
}

void storage_forget(Storage *s) {
  memset(s->own, 0, (size_t)s->n * (s->private ? 1 : 5) * sizeof(uint32_t)); /* the five arrays are one */
}

bool mem_count(const Mem *m, int64_t *n) {
  int64_t r = m->layout == LAYOUT_STRIDES;
  bool over = false;
  *n = 0;
  for (int i = 0; i < m->rank; i++)
    if (m->dim[i] < 0 || m->dim[i] > INT64_C(1) << 40) return false;
  if (m->layout == LAYOUT_STRIDES) {
    for (int i = 0; i < m->rank; i++) {
      int64_t s;
      if (!m->dim[i]) return true;
      if (m->stride[i] < 0) return false;
      over |= __builtin_mul_overflow(m->dim[i] - 1, m->stride[i], &s) || __builtin_add_overflow(r, s, &r);
    }
  } else {
    r = 1;
    for (int i = 0; i < m->rank; i++) {
      int64_t d = m->dim[i];
      if (m->layout == LAYOUT_PANEL && i == m->axis) d = (d + m->width - 1) / m->width * m->width;
      over |= __builtin_mul_overflow(r, d, &r);
    }
  }
  *n = r;
  return !over && r < INT64_C(1) << 28; /* the shadows take 20 bytes an element */
}

static int64_t slot(const Mem *m, int64_t row) { return (row % m->dim[0] + m->dim[0]) % m->dim[0]; }

bool mem_offset(const Mem *m, const int64_t *index, int64_t *offset, Accessor *a) {
  for (int i = m->roll; i < m->rank; i++)
    if (index[i] < 0 || index[i] >= m->dim[i]) {
      snprintf(a->why, sizeof a->why, "%s: index %lld of axis %d is outside 0..%lld", a->name, (long long)index[i], i,
               (long long)m->dim[i]);
      return false;
    }
  int64_t o = 0;
  switch (m->layout) {
  case LAYOUT_STRIDES:
    for (int i = 0; i < m->rank; i++) o += index[i] * m->stride[i];
    break;
  case LAYOUT_SWIZZLE: { /* rows in chunks of P elements, stored at the number of the chunk xor that of the row */
    int64_t last = m->dim[m->rank - 1], x = index[m->rank - 1], row = 0;
    for (int i = 0; i < m->rank - 1; i++) {
      row = m->roll && i == 0 ? slot(m, index[0]) : index[i];
      o = o * m->dim[i] + row;
    }
    o = o * last + ((x / m->width) ^ (row % (last / m->width))) * m->width + x % m->width;
    break;
  }
  case LAYOUT_PANEL: { /* [.., n, ..] stored as [n / P][..][n % P] */
    int64_t rest = 0, whole = 1;
    for (int i = 0; i < m->rank; i++) {
      if (i == m->axis) continue;
      rest = rest * m->dim[i] + index[i];
      whole *= m->dim[i];
    }
    o = (index[m->axis] / m->width * whole + rest) * m->width + index[m->axis] % m->width;
    break;
  }
  default:
    for (int i = 0; i < m->rank; i++) {
      int64_t x = m->roll && i == 0 ? slot(m, index[0]) : index[i];
      o = o * m->dim[i] + x;
    }
  }
  *offset = o;
  return true;
}

static uint32_t token_of(const Mem *m, const int64_t *index) {
  return m->roll ? 0x80000000u | ((uint32_t)index[0] & 0x7FFFFFFFu) : m->token;
}

static bool say(const Mem *m, const int64_t *index, Accessor *a, const char *what) {
  int n = snprintf(a->why, sizeof a->why, "%s[", a->name);
  for (int i = 0; i < m->rank && n < (int)sizeof a->why; i++)
    n += snprintf(a->why + n, sizeof a->why - (size_t)n, "%s%lld", i ? ", " : "", (long long)index[i]);
  if (n < (int)sizeof a->why) snprintf(a->why + n, sizeof a->why - (size_t)n, "]: %s", what);
  return false;
}

/* Whether `other` may act at the same time as a, or before or after it. */
static bool races(const Accessor *a, uint32_t other) {
  if (other < a->epoch || other == a->actor) return false;
  if (!a->warps || other < a->task) return true; /* another task */
  if (other < a->since) return false;
  bool same_warp = (other - a->task) / 32 % a->warps == (a->actor - a->task) / 32 % a->warps;
  return !same_warp || other >= a->warp_since;
}

bool mem_read(const Mem *m, const int64_t *index, int64_t offset, bool soft, Accessor *a) {
  Storage *s = m->st;
  uint32_t want = token_of(m, index);
  int k = (int)dtype_size(m->dtype) / s->unit;
  int64_t u = m->byte / s->unit + offset * k;
  for (int i = 0; i < k; i++, u++) {
    uint32_t own = s->own[u];
    if (own != want && !soft)
      return say(m, index, a,
                 !own      ? "uninitialised read"
                 : m->roll ? "stale row of a rolling buffer"
                           : "read after another buffer of the same slot overwrote it");
    if (s->private) continue;
    if (m->alias && s->al[u] >> 8 == m->alias >> 8 && s->al[u] != m->alias)
      return say(m, index, a, "read after an aliasing in-place store to the same element");
    if (races(a, s->w[u])) return say(m, index, a, "read races with a write");
    if (races(a, s->r1[u])) s->r2[u] = s->r1[u]; /* a reader that a is after need not be kept */
    s->r1[u] = a->actor;
  }
  return true;
}

bool mem_write(const Mem *m, const int64_t *index, int64_t offset, bool soft, Accessor *a) {
  Storage *s = m->st;
  int k = (int)dtype_size(m->dtype) / s->unit;
  int64_t u = m->byte / s->unit + offset * k;
  for (int i = 0; i < k; i++, u++) {
    s->own[u] = soft ? 0 : token_of(m, index);
    if (s->private) continue;
    if (races(a, s->w[u])) return say(m, index, a, "write races with a write");
    if (races(a, s->r1[u]) || races(a, s->r2[u])) return say(m, index, a, "write races with a read");
    s->w[u] = a->actor;
    s->al[u] = m->alias;
  }
  return true;
}
