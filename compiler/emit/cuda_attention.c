/* Attention by kernels written by hand: the holes of attention_holes.h from the parts that the stage has beside it
 * (LoopAttention). Its operands are 16 bits wide and lie in rows of 16 bytes; other attention is printed as it is. */
#include "cuda_skeleton.h"
#include <string.h>

enum { RUN = 8 }; /* neighbours of an operand: 16 bytes */

static bool fails(const Stmt *s) {
  for (; s; s = s->next)
    if (s->kind == STMT_FAIL || s->kind == STMT_FOR || s->kind == STMT_IF) return true;
  return false;
}

/* The load of this type that a value is, whatever its place; 0: none. */
static Ex only_load(const Kernel *k, Ex e, DType type) {
  Ex there, load = hole_load(k, e, type, &there);
  return there ? 0 : load;
}

/* Whether the 8 neighbours lie side by side, at a multiple of 16 bytes. */
static bool in_rows(const Kernel *k, const LoopHole *h, DType type) {
  Ex e = only_load(k, h->value, type), index[LOOP_RANK];
  if (!e || fails(h->text)) return false;
  const Expr *x = ex_at(k, e);
  const LoopBuf *b = &k->bufs.at[x->ref];
  memcpy(index, k->arg.at + x->in, (size_t)x->nin * sizeof *index);
  return b->layout == LAYOUT_ROWS && b->kind <= BUF_INOUT &&
         loop_access(k, x->ref, index, x->nin, RUN) == ACCESS_CONTIGUOUS &&
         loop_divisor(k, index[x->nin - 1]) % RUN == 0 && (x->nin == 1 || hole_divides(k, RUN, b->dim[x->nin - 1]));
}

/* The 16-bit type in which an operand lies; f32: in none. */
static DType stored_type(const Kernel *k, const LoopHole *h) {
  return only_load(k, h->value, DT_BF16) ? DT_BF16 : only_load(k, h->value, DT_F16) ? DT_F16 : DT_F32;
}

/* ---- whether a skeleton fits; else why not, for people ---- */

static const char *unfit_sizes(const Kernel *k, int64_t depth, Sym rows, Sym keys) {
  const Sym sizes[] = {rows, keys};
  int64_t size;
  for (uint32_t i = 0; i < k->dims.n; i++)
    if (k->dims.at[i].lo < 1) return "a size may be 0";
  for (int i = 0; i < 2; i++)
    if (sym_is_int(k->ctx->syms, sizes[i], &size) && size < 1) return "a size is 0";
  return depth == 32 || depth == 64 || depth == 96 || depth == 128
             ? NULL
             : "queries, keys and values do not all have 32, 64, 96 or 128 features";
}

static const char *unfit_operands(const Kernel *k, const LoopHole *const *operand, int n) {
  DType type = stored_type(k, operand[0]);
  for (int i = 0; i < n; i++)
    if (type == DT_F32 || !in_rows(k, operand[i], type))
      return arena_printf(k->ctx->arena, "%s do not lie in memory, in rows of 16 bytes, in the same 16-bit type",
                          (const char *[]){"queries", "keys", "values", "the results' gradients"}[i]);
  return NULL;
}

static const char *unfit_texts(const LoopHole *const *h, int n) {
  for (int i = 0; i < n; i++)
    if (fails(h[i]->text)) return "scores or results are worked out by loops or choices, or may fail";
  return NULL;
}

const char *cuda_attention_unfit(const Kernel *k, const Stage *st) {
  const LoopAttention *a = st->attention;
  const LoopAttentionGrad *g = st->attention_grad;
  const char *why = NULL;
  if (a) {
    why = unfit_sizes(k, a->columns == a->depth ? a->depth : 0, a->rows, a->keys);
    if (!why) why = unfit_operands(k, (const LoopHole *[]){&a->q, &a->k, &a->v}, 3);
    if (!why) why = unfit_texts((const LoopHole *[]){&a->score, &a->seen, &a->scale, &a->row, &a->store}, 5);
  }
  if (g) {
    why = unfit_sizes(k, g->depth, g->rows, g->keys);
    if (!why) why = unfit_operands(k, (const LoopHole *[]){&g->q, &g->k, &g->v, &g->g}, 4);
    if (!why) why = unfit_texts((const LoopHole *[]){&g->weight, &g->slope, &g->seen, &g->lse, &g->mean, &g->store}, 6);
  }
  return why;
}

/* ---- functions ---- */

static void use(Cuda *c, Ex e, bool *seen) {
  if (!e || seen[e]) return;
  seen[e] = true;
  const Expr *x = ex_at(c->k, e);
  if (x->op == OP_VAR && c->k->vars.at[x->ref].kind == VAR_LET) {
    c->used[x->ref] = true;
    use(c, c->k->vars.at[x->ref].value, seen);
  }
  for (int i = 0; i < x->nin; i++) use(c, c->k->arg.at[x->in + (uint32_t)i], seen);
  use(c, x->mask, seen);
  use(c, x->other, seen);
}

/* The function NAME<suffix>: its indices have these names. An address: of the load that it is. */
static void put_hole(SkeletonText *t, const char *suffix, const LoopHole *h, int n, const char *const *names,
                     const char *numbers, bool address) {
  Cuda *c = &t->c;
  Kernel *k = c->k;
  const char *index = dtype_name(c->index);
  const char *result = address                               ? "const void *"
                       : !h->value                           ? "void"
                       : ex_at(k, h->value)->dtype == DT_IDX ? index
                                                             : "float";
  Ex place[LOOP_RANK], value = address ? only_load(k, h->value, t->stage.rounds) : h->value;
  bool *seen = ARENA_ARRAY(c->arena, bool, k->ex.n + 1);
  buf_printf(&t->text, "DEVICE %s %s%s(%s_args args", result, t->stage.name, suffix, t->stage.name);
  for (int i = 0; i < n; i++) {
    buf_printf(&t->text, ", %s %s", index, names[i]);
    c->var[h->var[i]] = names[i];
  }
  buf_printf(&t->text, "%s) {\n  (void)args;\n", numbers);
  for (int i = 0; i < n; i++) buf_printf(&t->text, "  (void)%s;\n", names[i]);
  for (int i = 0; i < 2; i++)
    if (h->reg[i] || (!i && *numbers)) buf_printf(&t->text, "  (void)%s;\n", cuda_print_reg(c, h->reg[i]));
  use(c, value, seen);
  for (const Stmt *s = h->text; s; s = s->next) {
    if (s->kind != STMT_STORE) continue;
    use(c, s->value, seen);
    use(c, s->mask, seen);
    for (int i = 0; i < s->nindex; i++) use(c, s->index[i], seen);
  }
  c->out = (Buf){0};
  c->depth = 1;
  cuda_print_block(c, h->text);
  const char *text = NULL;
  if (address) {
    const Expr x = *ex_at(k, value);
    memcpy(place, k->arg.at + x.in, (size_t)x.nin * sizeof *place);
    text = cuda_print_place(c, x.ref, place, x.nin);
  } else if (value)
    text = cuda_print_value(c, value);
  if (text) buf_printf(&c->out, "  return %s;\n", text);
  cuda_print_body(&t->given, c->out.n ? c->out.at : "", &t->text);
  buf_put(&t->text, "}\n");
  buf_free(&c->out);
}

static void put_size(SkeletonText *t, const char *suffix, Sym size) {
  const LoopAxes axes = {.n = 1, .extent = {size}};
  hole_print_size(&t->holes, suffix, &axes);
}

static const char *number(SkeletonText *t, const LoopHole *h, int i, const char *type) {
  return arena_printf(t->c.arena, ", %s%s", type, cuda_print_reg(&t->c, h->reg[i]));
}

static void put_holes(SkeletonText *t, const LoopAttention *a) {
  static const char *const row[] = {"outer", "row", "d"}, *const key[] = {"outer", "key", "d"},
                           *const score[] = {"outer", "row", "key"}, *const store[] = {"outer", "row", "n"};
  put_size(t, "_T", a->rows);
  put_size(t, "_S", a->keys);
  put_hole(t, "_q_at", &a->q, 3, row, "", true);
  put_hole(t, "_k_at", &a->k, 3, key, "", true);
  put_hole(t, "_v_at", &a->v, 3, key, "", true);
  put_hole(t, "_seen", &a->seen, 1, row + 1, "", false);
  if (a->factor <= 0) put_hole(t, "_score", &a->score, 3, score, number(t, &a->score, 0, "float "), false);
  put_hole(t, "_scale", &a->scale, 2, row,
           arena_printf(t->c.arena, "%s%s", number(t, &a->scale, 0, "float "), number(t, &a->scale, 1, "float ")),
           false);
  put_hole(t, "_store", &a->store, 3, store, number(t, &a->store, 0, "const float *"), false);
  put_hole(t, "_row", &a->row, 2, row,
           arena_printf(t->c.arena, "%s%s", number(t, &a->row, 0, "float "), number(t, &a->row, 1, "float ")), false);
}

/* How a block works: as its text is told, and as it is launched. */
typedef struct Tile {
  int own, other, stages;    /* rows of the block, of the tiles it walks over; how many of these have room */
  int threads, rows, beside; /* of a block; in shared memory, of all tiles, and bytes beside them */
} Tile;

static int64_t row_bytes(int64_t depth) { return (depth % 64 ? depth / RUN + 1 : depth / RUN) * 16; }

/* The skeleton behind its holes; `what` is its name. */
static bool put_skeleton(SkeletonText *t, const CudaWanted *want, const char *what, const Tile *tile, int64_t depth,
                         int width, double factor, CudaStage *made, Buf *out) {
  const char *scores = factor > 0 ? "scaled" : "worked out",
             *other = want->sm >= 90 && tile->threads == 128 ? "; sm_90a's has 64 or 128 features" : "";
  t->stage.threads = tile->threads;
  t->stage.shared = tile->rows * row_bytes(depth) + tile->beside;
  t->stage.reordered = true;
  t->stage.schedule = arena_printf(t->c.k->ctx->arena, "%s(%d x %d, D = %d, scores %s)%s", what, tile->own, tile->other,
                                   (int)depth, scores, other);
  buf_printf(&t->text,
             "#define ATTENTION_NAME %s\n#define ATTENTION_BEGIN %s\n#define ATTENTION_D %d\n"
             "#define ATTENTION_WIDTH %d\n#define ATTENTION_TYPE %s\n#define ATTENTION_TILE %d, %d, %d, %d, %d\n",
             want->name, want->commit ? "if (args.failed[0]) return;" : "", (int)depth, width,
             dtype_name(t->stage.rounds), tile->own, tile->other, tile->stages, tile->threads, (int)t->stage.shared);
  if (factor > 0)
    buf_printf(&t->text, "#define ATTENTION_SCALE %af\n", factor);
  else
    buf_put(&t->text, "#define ATTENTION_SCALE 1\n#define ATTENTION_SCORE\n");
  buf_printf(&t->text, "#include \"%s.cu\"\n", what);
  return skeleton_close(t, made, out);
}

static Sym blocks(Kernel *k, Sym heads, Sym rows, const Tile *tile) {
  SymTab *s = k->ctx->syms;
  return sym_mul(s, heads, sym_div_up(s, rows, sym_int(s, tile->own)));
}

bool cuda_attention_stage(Kernel *k, const Stage *st, const CudaWanted *want, CudaStage *made, Buf *out) {
  const LoopAttention *a = st->attention;
  SkeletonText t;
  if (!a || cuda_attention_unfit(k, st)) return false;
  bool sm90 = want->sm >= 90 && (a->depth == 64 || a->depth == 128);
  Tile tile = {.own = 64, .other = 64, .stages = 2, .threads = 128};
  if (sm90) tile = (Tile){.own = 128, .other = a->factor > 0 ? 128 : 64, .stages = 2, .threads = 384};
  tile.rows = tile.own + 2 * tile.stages * tile.other;
  if (sm90) tile.beside = 8 * (1 + 4 * tile.stages);
  skeleton_begin(&t, k, st, want);
  t.stage.rounds = stored_type(k, &a->q);
  t.stage.grid = blocks(k, a->heads, a->rows, &tile);
  put_holes(&t, a);
  return put_skeleton(&t, want, sm90 ? "attention_sm90" : "attention_sm80", &tile, a->depth, a->width, a->factor, made,
                      out);
}

/* ---- the gradient ---- */

static void put_grad_holes(SkeletonText *t, const LoopAttentionGrad *a) {
  static const char *const row[] = {"outer", "row", "d"}, *const key[] = {"outer", "key", "d"},
                           *const pair[] = {"outer", "row", "key"}, *const store[] = {"outer", "row", "n"};
  put_size(t, "_T", a->rows);
  put_size(t, "_S", a->keys);
  put_hole(t, "_q_at", &a->q, 3, row, "", true);
  put_hole(t, "_k_at", &a->k, 3, key, "", true);
  put_hole(t, "_v_at", &a->v, 3, key, "", true);
  put_hole(t, "_g_at", &a->g, 3, row, "", true);
  put_hole(t, "_seen", &a->seen, 1, row + 1, "", false);
  if (a->factor > 0) {
    put_hole(t, "_lse", &a->lse, 2, row, "", false);
    put_hole(t, "_delta", &a->mean, 2, row, "", false);
  } else {
    put_hole(t, "_weight", &a->weight, 3, pair, number(t, &a->weight, 0, "float "), false);
    put_hole(t, "_slope", &a->slope, 3, pair,
             arena_printf(t->c.arena, "%s%s", number(t, &a->slope, 0, "float "), number(t, &a->slope, 1, "float ")),
             false);
  }
  put_hole(t, "_store", &a->store, 3, store,
           arena_printf(t->c.arena, "%s%s", number(t, &a->store, 0, "const float *"),
                        a->of_keys ? number(t, &a->store, 1, "const float *") : ""),
           false);
}

/* On sm_80 a warp has 32 rows where registers suffice, else 16; on sm_90a a tile has half as many where they would not,
 * beside what scores are worked out from. Of keys there are then more of them: results go out through their memory. */
static Tile grad_tile(const LoopAttentionGrad *a, bool sm90) {
  bool scaled = a->factor > 0, keys = a->of_keys;
  Tile t = {.own = scaled && a->depth <= 64 ? 128 : 64, .other = 64, .stages = 2, .threads = 128};
  if (sm90) {
    t = (Tile){.own = 128, .other = keys ? 64 : 128, .stages = keys ? 3 : 2, .threads = 384};
    if (!scaled && !keys) t.other = 64;
    if (!scaled && keys && a->depth > 64) t.other = 32, t.stages = 5;
    t.rows = 2 * t.own + 2 * t.stages * t.other;
    t.beside = t.stages * 16;
  } else
    t.rows = keys ? 2 * t.stages * t.other + t.own : 2 * t.other + 2 * t.own;
  if (keys) t.beside += 8 * t.stages * t.other;
  return t;
}

bool cuda_attention_grad_stage(Kernel *k, const Stage *st, const CudaWanted *want, CudaStage *made, Buf *out) {
  const LoopAttentionGrad *a = st->attention_grad;
  SkeletonText t;
  if (!a || cuda_attention_unfit(k, st)) return false;
  bool sm90 = want->sm >= 90 && a->depth % 64 == 0;
  Tile tile = grad_tile(a, sm90);
  const char *what = arena_printf(k->ctx->arena, "attention_grad_%s_sm%d", a->of_keys ? "kv" : "q", sm90 ? 90 : 80);
  skeleton_begin(&t, k, st, want);
  t.stage.rounds = stored_type(k, &a->q);
  t.stage.grid = blocks(k, a->heads, a->of_keys ? a->keys : a->rows, &tile);
  put_grad_holes(&t, a);
  buf_printf(&t.text, "#define ATTENTION_RESULTS %d\n", !a->of_keys ? 0 : a->of_values ? 3 : 1);
  return put_skeleton(&t, want, what, &tile, a->depth, a->width, a->factor, made, out);
}
