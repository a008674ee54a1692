/* Which tensor of a weight file is which parameter or state of a model. */
#include "rt.h"

static const SinterCell *cells(const SinterModel *m) {
  return (const SinterCell *)(const void *)((const char *)m + m->cells.at);
}
static const char *text(const SinterModel *m, SinterText t) { return (const char *)m + t; }

/* Length of the first part of a path: "net" of "net.fc.weight"; 0 if it has one part only. */
static size_t root(const char *name) {
  for (size_t i = 0; name[i]; i++)
    if (name[i] == '.') return i;
  return 0;
}

static bool same_root(const char *a, const char *b) {
  size_t n = root(a), i = 0;
  if (n != root(b)) return false;
  while (i < n && a[i] == b[i]) i++;
  return i == n;
}

/* A counter, or a state of a module without parameters beside it (an optimizer) may be missing in a file. */
static bool optional(const SinterModel *m, const SinterCell *c) {
  if (c->kind != 1) return false;
  if (c->rank == 0 && c->dtype >= SINTER_I8 && c->dtype <= SINTER_U64) return true;
  const SinterCell *all = cells(m);
  for (uint32_t i = 0; i < m->cells.n; i++)
    if (all[i].kind == 0 && same_root(text(m, all[i].name), text(m, c->name))) return false;
  return true;
}

const Tensor *rt_match_find(const RtMatch *l, const SinterCell *c) {
  const char *name = text(l->model, c->name);
  if (*l->strip && same_root(name, l->strip)) name += root(name) + 1;
  return rt_tensors_find(&l->file, l->prefix, name);
}

static bool complete(const RtMatch *l, uint32_t *found, uint32_t *required, const SinterCell **missing) {
  const SinterCell *c = cells(l->model);
  *found = *required = 0;
  *missing = NULL;
  for (uint32_t i = 0; i < l->model->cells.n; i++) {
    if (c[i].kind == 2 || optional(l->model, &c[i])) continue;
    ++*required;
    if (rt_match_find(l, &c[i]))
      ++*found;
    else if (!*missing)
      *missing = &c[i];
  }
  return !*missing;
}

/* Settles how names of cells become names of the file. If they are not all there as they are, one root may be left out
 * or stand before all of them: `net.fc.weight` of the model is `fc.weight` of a PyTorch module's state dict. */
static int choose_names(RtMatch *l) {
  uint32_t found, required, unused;
  const SinterCell *missing, *none, *c = cells(l->model);
  const char *path = l->path;
  if (complete(l, &found, &required, &missing)) return SINTER_OK;
  RtMatch fits = *l;
  int n = 0;
  for (uint32_t i = 0; i < l->model->cells.n; i++) { /* roots to leave out */
    const char *name = text(l->model, c[i].name);
    bool seen = c[i].kind != 0 || !root(name);
    for (uint32_t k = 0; k < i && !seen; k++) seen = c[k].kind == 0 && same_root(name, text(l->model, c[k].name));
    if (seen) continue;
    RtMatch attempt = *l;
    attempt.strip = name;
    if (complete(&attempt, &unused, &unused, &none)) fits = attempt, n++;
  }
  const char *tail = text(l->model, missing->name);
  size_t tail_n = 0;
  while (tail[tail_n]) tail_n++;
  for (uint32_t i = 0; i < l->file.tensors; i++) { /* prefixes to put before */
    const char *name = l->file.at[l->file.by_name[i]].name;
    size_t len = 0;
    while (name[len]) len++;
    if (len < tail_n + 2 || len - tail_n >= RT_NAMES || name[len - tail_n - 1] != '.' ||
        !rt_equal(name + len - tail_n, tail))
      continue;
    RtMatch attempt = *l;
    memcpy(attempt.prefix, name, len - tail_n);
    attempt.prefix[len - tail_n] = 0;
    if (complete(&attempt, &unused, &unused, &none)) fits = attempt, n++;
  }
  if (n == 1) return *l = fits, SINTER_OK;
  char *m = l->message;
  if (n > 1)
    return rt_fail(m, SINTER_ERROR_WEIGHTS, "%s holds the tensors of this model under more than one name", path);
  rt_fail(m, 0, "%s: tensor \"%s\" is missing (", path, text(l->model, missing->name));
  rt_append_shape(m, rt_dtype(missing->dtype), missing->rank, missing->dim);
  rt_append(m, "); %d of the %d that %s needs are there", (int64_t)found, (int64_t)required,
            text(l->model, l->model->name));
  return SINTER_ERROR_WEIGHTS;
}

static int check_cell(const RtMatch *l, const SinterCell *c, const Tensor *t) {
  bool same = rt_equal(t->type, rt_tensor_type(c->dtype)) && t->rank == c->rank;
  for (uint32_t i = 0; same && i < c->rank; i++) same = t->dim[i] == c->dim[i];
  if (same && t->end - t->begin == c->bytes) return SINTER_OK;
  char *m = l->message;
  rt_fail(m, 0, "%s: tensor \"%s\" is ", l->path, t->name);
  rt_append_shape(m, t->type, t->rank, t->dim);
  rt_append(m, ", but %s has ", text(l->model, l->model->name));
  rt_append_shape(m, rt_tensor_type(c->dtype), c->rank, c->dim);
  return SINTER_ERROR_WEIGHTS;
}

static bool decimal(const char *s, uint64_t *v) {
  *v = 0;
  for (; *s >= '0' && *s <= '9'; s++)
    if (__builtin_mul_overflow(*v, 10, v) || __builtin_add_overflow(*v, (uint64_t)(*s - '0'), v)) return false;
  return !*s;
}

void rt_match_numbers(const RtMatch *l, uint64_t *seed, uint64_t *calls) {
  const SinterEntry *entry = (const SinterEntry *)(const void *)((const char *)l->model + l->model->entries.at);
  for (uint32_t i = 0; i < l->file.n; i++) {
    const Tensor *t = &l->file.at[i];
    uint64_t v;
    if (!t->value || !rt_starts(t->name, "sinter.") || !decimal(t->value, &v)) continue;
    if (seed && rt_equal(t->name, "sinter.seed")) *seed = v;
    for (uint32_t k = 0; k < l->model->entries.n; k++)
      if (rt_starts(t->name, "sinter.calls.") && rt_equal(t->name + 13, text(l->model, entry[k].name))) calls[k] = v;
  }
}

static bool has_data(const RtMatch *l, const SinterCell *c) { return c->kind != 2 && rt_match_find(l, c); }

int rt_match(RtMatch *l, bool strict) {
  char *m = l->message;
  const SinterCell *c = cells(l->model);
  int status = choose_names(l);
  if (status) return status;
  uint32_t used = 0;
  l->first_missing = l->first_extra = "";
  for (uint32_t i = 0; i < l->model->cells.n; i++) {
    bool there = has_data(l, &c[i]);
    if (there && (status = check_cell(l, &c[i], rt_match_find(l, &c[i])))) return status;
    used += there;
    l->init |= !there && c[i].has_init;
    if (there || c[i].kind == 2) continue;
    if (!l->missing++) l->first_missing = text(l->model, c[i].name);
  }
  l->extra = l->file.tensors - used; /* names of cells differ, so each found another tensor */
  for (uint32_t i = 0; i < l->file.n && l->extra && !*l->first_extra; i++) {
    const Tensor *t = &l->file.at[i];
    bool known = t->value != NULL;
    for (uint32_t k = 0; k < l->model->cells.n && !known; k++) known = c[k].kind != 2 && rt_match_find(l, &c[k]) == t;
    if (!known) l->first_extra = t->name;
  }
  if (strict && l->missing)
    return rt_fail(m, SINTER_ERROR_WEIGHTS, "%s: state \"%s\" is missing", l->path, l->first_missing);
  if (strict && l->extra)
    return rt_fail(m, SINTER_ERROR_WEIGHTS, "%s: %s has no tensor \"%s\"", l->path, text(l->model, l->model->name),
                   l->first_extra);
  return SINTER_OK;
}

void rt_match_notes(const RtMatch *l) {
  char *m = l->message;
  m[0] = 0;
  if (l->missing == 1)
    rt_append(m, "note: state \"%s\" is not in %s and begins with its start value", l->first_missing, l->path);
  if (l->missing > 1)
    rt_append(m, "note: %d states (\"%s\", ...) are not in %s and begin with their start values", (int64_t)l->missing,
              l->first_missing, l->path);
  if (l->missing && l->extra)
    rt_append(m, "; ");
  else if (l->extra)
    rt_append(m, "note: ");
  if (l->extra == 1) rt_append(m, "tensor \"%s\" of %s is not of this model and is ignored", l->first_extra, l->path);
  if (l->extra > 1)
    rt_append(m, "%d tensors of %s (\"%s\", ...) are not of this model and are ignored", (int64_t)l->extra, l->path,
              l->first_extra);
}
