/* The weights of --weights: read, completed by plain start values, and made an object of the executable. */
#include "embedded.h"
#include "eval.h"
#include "link.h"
#include "pipeline.h"
#include <string.h>

/* Only moves of literals: the same bits whoever computes them. */
static bool plain(const Graph *g) {
  for (uint32_t i = 1; i < g->node.n; i++) {
    Op op = graph_op(g, i);
    if (op != OP_CONSTANT && OP_INFO[op].cls != CLASS_MOVE) return false;
  }
  return true;
}

/* Start values of what the file does not have, where they are plain. *missing: how many are left to the start. */
static bool add_start_values(const Program *p, const HostBlob *blob, CompileWeights *w, uint32_t *missing) {
  for (uint32_t i = 0; i < p->cells.n; i++) {
    Cell *c = &p->cells.at[i];
    if (w->given[i] || !c->init) continue;
    if (!plain(c->init)) {
      ++*missing;
      continue;
    }
    Program one = *p;
    Tensor t;
    uint64_t bytes, at = embedded_cell(blob, (int)i, &bytes);
    one.cells.at = c, one.cells.n = 1;
    if (!cells_start(&one, 0, p->ctx->arena, &t)) return false;
    memcpy(w->cells + at, t.data, bytes);
    w->given[i] = 1;
  }
  return true;
}

bool compile_weights(Compilation *c, const HostBlob *blob, const LinkFolder *folder, const char **object) {
  Ctx *x = c->program->ctx;
  const CompileOptions *o = c->options;
  const char *why = NULL;
  CompileWeights w;
  DataObject made;
  if (!o->read_weights(x->arena, o->weights, blob->model, &w, &why))
    return diag_error(x->diag, "weights", 0, "%s", why);
  if (*w.note) buf_printf(&c->result->notes, "%s\n", w.note);
  EmbedRequest q = {.ctx = x,
                    .blob = blob,
                    .levels = c->level,
                    .nlevels = c->nlevels,
                    .cells = w.cells,
                    .given = w.given,
                    .seed = w.seed,
                    .calls = w.calls};
  if (!add_start_values(c->program, blob, &w, &q.missing) || !embedded_object(&q, &made)) return false;
  *object = arena_printf(x->arena, "%s/weights.o", folder->path);
  return link_write(x->arena, *object, made.file, made.size, &why) ||
         diag_error(x->diag, "temporary-file", 0, "%s", why);
}
