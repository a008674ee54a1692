/* Ops that move elements, by fixed or by data-dependent places. */
#include "eval_run.h"
#include <string.h>

typedef struct Walk { /* the block that eval_copy copies */
  int64_t to, from, dstride[MAX_RANK], sstride[MAX_RANK], dim[MAX_RANK];
  int rank;
} Walk;

static bool walk(Walk *w, Value *out, const Value *in) {
  for (int i = 0; i < w->rank; i++)
    if (w->dim[i] <= 0) return true;
  eval_copy(out->at, w->to, w->dstride, in->at, w->from, w->sstride, w->dim, w->rank);
  return true;
}

static void words(const Frame *f, Id v, const char *attr, int64_t *to) {
  int n;
  const int64_t *w = graph_attr(f->g, v, attr, &n);
  memcpy(to, w, sizeof(int64_t) * (size_t)n);
}

static bool broadcast(Frame *f, Id v, const Value *in, Value *out) {
  Walk w = {.rank = out->rank};
  int64_t axes[MAX_RANK], stride[MAX_RANK];
  words(f, v, "axes", axes);
  eval_strides(in->dim, in->rank, stride);
  eval_strides(out->dim, out->rank, w.dstride);
  memcpy(w.dim, out->dim, sizeof w.dim);
  for (int i = 0; i < in->rank; i++) {
    if (in->dim[i] != out->dim[axes[i]] && in->dim[i] != 1) return eval_refuse(f, v, "an axis has another size");
    w.sstride[axes[i]] = in->dim[i] == 1 ? 0 : stride[i];
  }
  return walk(&w, out, in);
}

static bool transpose(Frame *f, Id v, const Value *in, Value *out) {
  Walk w = {.rank = out->rank};
  int64_t axes[MAX_RANK], stride[MAX_RANK];
  words(f, v, "axes", axes);
  eval_strides(in->dim, in->rank, stride);
  eval_strides(out->dim, out->rank, w.dstride);
  memcpy(w.dim, out->dim, sizeof w.dim);
  for (int i = 0; i < out->rank; i++) w.sstride[i] = stride[axes[i]];
  return walk(&w, out, in);
}

static bool slice(Frame *f, Id v, const Value *in, Value *out) {
  Walk w = {.rank = out->rank};
  int64_t start[MAX_RANK], step[MAX_RANK];
  words(f, v, "steps", step);
  if (!eval_syms(f, v, "starts", start)) return false;
  eval_strides(in->dim, in->rank, w.sstride);
  eval_strides(out->dim, out->rank, w.dstride);
  memcpy(w.dim, out->dim, sizeof w.dim);
  if (!out->n) return true;
  for (int i = 0; i < out->rank; i++) {
    if (start[i] < 0 || start[i] + (out->dim[i] - 1) * step[i] >= in->dim[i])
      return eval_refuse(f, v, "it reaches beyond the operand");
    w.from += start[i] * w.sstride[i];
    w.sstride[i] *= step[i];
  }
  return walk(&w, out, in);
}

static bool pad(Frame *f, Id v, const Value *in, Value *out) {
  Walk w = {.rank = out->rank};
  int64_t lo[MAX_RANK], interior[MAX_RANK];
  words(f, v, "interior", interior);
  if (!eval_syms(f, v, "lo", lo)) return false;
  eval_strides(in->dim, in->rank, w.sstride);
  eval_strides(out->dim, out->rank, w.dstride);
  for (int i = 0; i < out->rank; i++) { /* operand elements first .. end-1 fall inside the result */
    int64_t step = interior[i] + 1, first = 0, end = in->dim[i];
    if (lo[i] < 0) first = (-lo[i] + step - 1) / step;
    int64_t room = out->dim[i] - lo[i]; /* positions k * step below it are inside */
    int64_t fit = room <= 0 ? 0 : (room + step - 1) / step;
    if (fit < end) end = fit;
    w.dim[i] = end - first;
    w.from += first * w.sstride[i];
    w.to += (lo[i] + first * step) * w.dstride[i];
    w.dstride[i] *= step;
  }
  return walk(&w, out, in);
}

static bool reverse(Frame *f, Id v, const Value *in, Value *out) {
  Walk w = {.rank = out->rank};
  int n;
  const int64_t *axes = graph_attr(f->g, v, "axes", &n);
  eval_strides(in->dim, in->rank, w.sstride);
  eval_strides(out->dim, out->rank, w.dstride);
  memcpy(w.dim, out->dim, sizeof w.dim);
  for (int i = 0; i < n; i++) {
    int64_t *s = &w.sstride[axes[i]];
    w.from += (in->dim[axes[i]] - 1) * *s;
    *s = -*s;
  }
  return walk(&w, out, in);
}

static bool concat(Frame *f, Id v, const Value *const *in, int nin, Value *out) {
  int64_t axis = graph_attr_int(f->g, v, "axis"), stride[MAX_RANK], at = 0;
  eval_strides(out->dim, out->rank, stride);
  for (int k = 0; k < nin; k++) {
    Walk w = {.rank = out->rank, .to = at * stride[axis]};
    eval_strides(in[k]->dim, in[k]->rank, w.sstride);
    memcpy(w.dstride, stride, sizeof stride);
    memcpy(w.dim, in[k]->dim, sizeof w.dim);
    for (int i = 0; i < out->rank; i++)
      if (i != axis && in[k]->dim[i] != out->dim[i]) return eval_refuse(f, v, "its operands differ in shape");
    at += in[k]->dim[axis];
    if (at > out->dim[axis]) break;
    walk(&w, out, in[k]);
  }
  return at == out->dim[axis] || eval_refuse(f, v, "its operands do not make up the result");
}

bool eval_move(Frame *f, Id v, const Value *const *in, int nin, Value *out) {
  switch (graph_op(f->g, v)) {
  case OP_BROADCAST: return broadcast(f, v, in[0], out);
  case OP_TRANSPOSE: return transpose(f, v, in[0], out);
  case OP_SLICE: return slice(f, v, in[0], out);
  case OP_PAD: return pad(f, v, in[0], out);
  case OP_REVERSE: return reverse(f, v, in[0], out);
  case OP_CONCAT: return concat(f, v, in, nin, out);
  case OP_RESHAPE:
    if (in[0]->n != out->n) return eval_refuse(f, v, "the number of elements changes");
    memcpy(out->at, in[0]->at, sizeof(Scalar) * (size_t)out->n);
    return true;
  default: BUG("no move");
  }
}

/* ---- places that depend on data ------------------------------------------------------------------------------------
 */
/* Starts of a block `dim` in x, clamped; false if one was out of range. */
static bool clamp_starts(const Frame *f, Id v, const Value *const *in, const Value *x, const int64_t *dim,
                         int64_t *start) {
  int n;
  const int64_t *axes = graph_attr(f->g, v, "axes", &n);
  bool ok = true;
  for (int i = 0; i < x->rank; i++) start[i] = 0;
  for (int i = 0; i < n; i++) {
    int64_t s = in[1 + i]->at[0].i, last = x->dim[axes[i]] - dim[axes[i]];
    if (s < 0 || s > last) ok = false;
    start[axes[i]] = s < 0 || last < 0 ? 0 : s > last ? last : s;
  }
  return ok;
}

static bool dynamic_slice(Frame *f, Id v, const Value *const *in, Value *out) {
  Walk w = {.rank = out->rank};
  int64_t start[MAX_RANK];
  if (!clamp_starts(f, v, in, in[0], out->dim, start)) eval_fail(f, v);
  eval_strides(in[0]->dim, in[0]->rank, w.sstride);
  eval_strides(out->dim, out->rank, w.dstride);
  memcpy(w.dim, out->dim, sizeof w.dim);
  for (int i = 0; i < out->rank; i++) {
    if (out->dim[i] > in[0]->dim[i]) return true; /* out of range at any start: the result stays zero */
    w.from += start[i] * w.sstride[i];
  }
  return walk(&w, out, in[0]);
}

static bool dynamic_update(Frame *f, Id v, const Value *const *in, int nin, Value *out) {
  const Value *x = in[0], *update = in[nin - 1];
  Walk w = {.rank = out->rank};
  int64_t start[MAX_RANK];
  memcpy(out->at, x->at, sizeof(Scalar) * (size_t)out->n);
  if (!clamp_starts(f, v, in, x, update->dim, start)) {
    eval_fail(f, v);
    return true;
  }
  eval_strides(update->dim, update->rank, w.sstride);
  eval_strides(out->dim, out->rank, w.dstride);
  memcpy(w.dim, update->dim, sizeof w.dim);
  for (int i = 0; i < out->rank; i++) {
    if (start[i] + update->dim[i] > out->dim[i]) return eval_refuse(f, v, "the update is larger than the operand");
    w.to += start[i] * w.dstride[i];
  }
  return walk(&w, out, update);
}

/* x as [before, indexed, after]; index k of `n` gives a place in `indexed`, or -1 if out of range (*clamped: the
 * nearest). */
typedef struct Indexed {
  int64_t before, after, size, places, dim[MAX_RANK];
  int n;
} Indexed;

static bool indexed(const Frame *f, Id v, const Value *x, const Value *const *index, int n, const Value *block,
                    Indexed *r) {
  int axis = (int)graph_attr_int(f->g, v, "axis");
  *r = (Indexed){1, 1, 1, index[0]->n, {0}, n};
  for (int i = 0; i < x->rank; i++) *(i < axis ? &r->before : i < axis + n ? &r->size : &r->after) *= x->dim[i];
  for (int k = 0; k < n; k++) {
    r->dim[k] = x->dim[axis + k];
    if (index[k]->n != r->places) return eval_refuse(f, v, "the indices differ in shape");
  }
  return block->n == r->before * r->places * r->after || eval_refuse(f, v, "the shapes do not fit");
}

static int64_t place_of(const Indexed *r, const Value *const *index, int64_t j, int64_t *clamped) {
  int64_t at = 0;
  bool ok = true;
  for (int k = 0; k < r->n; k++) {
    int64_t i = index[k]->at[j].i, d = r->dim[k];
    if (i < 0 || i >= d) ok = false;
    at = at * d + (i < 0 ? 0 : i >= d ? d - 1 : i);
  }
  *clamped = at;
  return ok ? at : -1;
}

static bool gather(Frame *f, Id v, const Value *const *in, int nin, Value *out) {
  Indexed r;
  if (!indexed(f, v, in[0], in + 1, nin - 1, out, &r)) return false;
  for (int64_t j = 0; j < r.places; j++) {
    int64_t at;
    if (place_of(&r, in + 1, j, &at) < 0) eval_fail(f, v);
    if (!r.size) continue; /* nothing to clamp to: zeros */
    for (int64_t b = 0; b < r.before; b++)
      memcpy(out->at + (b * r.places + j) * r.after, in[0]->at + (b * r.size + at) * r.after,
             sizeof(Scalar) * (size_t)r.after);
  }
  return true;
}

static bool scatter_add(Frame *f, Id v, const Value *const *in, int nin, Value *out) {
  const Value *update = in[nin - 1];
  Indexed r;
  if (!indexed(f, v, in[0], in + 1, nin - 2, update, &r)) return false;
  memcpy(out->at, in[0]->at, sizeof(Scalar) * (size_t)out->n);
  for (int64_t j = 0; j < r.places; j++) {
    int64_t clamped, at = place_of(&r, in + 1, j, &clamped);
    if (at < 0) {
      eval_fail(f, v);
      continue;
    }
    for (int64_t b = 0; b < r.before; b++)
      for (int64_t k = 0; k < r.after; k++) {
        Scalar *to = out->at + (b * r.size + at) * r.after + k, u = update->at[(b * r.places + j) * r.after + k];
        eval_add(f, out->dtype, to, u);
      }
  }
  for (int64_t k = 0; k < out->n; k++) out->at[k] = scalar_fit(out->dtype, out->at[k]);
  return true;
}

bool eval_index(Frame *f, Id v, const Value *const *in, int nin, Value *out) {
  switch (graph_op(f->g, v)) {
  case OP_DYNAMIC_SLICE: return dynamic_slice(f, v, in, out);
  case OP_DYNAMIC_UPDATE: return dynamic_update(f, v, in, nin, out);
  case OP_GATHER: return gather(f, v, in, nin, out);
  case OP_SCATTER_ADD: return scatter_add(f, v, in, nin, out);
  default: BUG("no index op");
  }
}
