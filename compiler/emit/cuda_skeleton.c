/* Which skeleton stands for a product, with which tile, and its text. The tile is chosen without a chip: by how many
 * waves of blocks there are, how long a block's products take, and how long its operands take to come from the L2
 * cache. */
#include "cuda_gemm90.h"
#include <math.h>
#include <string.h>

typedef struct Tile {
  int m, n, k, stages, warps_m, warps_n, blocks; /* blocks: of a multiprocessor, for which there are registers */
} Tile;

typedef struct Skeleton {
  const char *file, *name;
  const Tile *tiles;
  int ntiles, element, lanes; /* bytes of an operand's element in a tile; neighbours that a thread brings */
  double products;            /* of a multiprocessor in a cycle */
  bool exact;                 /* f32 in the order of the terms; threads bring all operands */
} Skeleton;

/* Of an A100: bf16 and f16, f32. */
static const Tile HALF_TILES[] = {{128, 128, 32, 4, 2, 4, 2}, {128, 64, 32, 4, 2, 2, 2}, {64, 128, 32, 4, 2, 2, 2},
                                  {64, 64, 64, 3, 2, 2, 3},   {16, 64, 64, 4, 1, 4, 4},  {64, 16, 64, 4, 4, 1, 4}};
static const Tile TF32_TILES[] = {{128, 128, 16, 4, 2, 4, 1}, {64, 64, 32, 3, 2, 2, 2}, {16, 64, 32, 4, 1, 4, 4}};
static const Tile SIMT_TILES[] = {{128, 128, 8, 2, 1, 8, 1}, {64, 64, 8, 2, 1, 2, 4}};
static const Skeleton HALF = {"gemm_sm80.cu", "gemm_sm80", HALF_TILES, 6, 2, 8, 1024, false},
                      TF32 = {"gemm_sm80.cu", "gemm_sm80", TF32_TILES, 3, 4, 4, 512, false},
                      SIMT = {"gemm_simt.cu", "gemm_simt", SIMT_TILES, 2, 4, 4, 64, true};

enum { MULTIPROCESSORS = 108, L2_BYTES = 32, LATENCY = 1200 }; /* L2: of a multiprocessor in a cycle; cycles */

static double likely(const Kernel *k, const LoopAxes *a) {
  return loop_likely(k, sym_product(k->ctx->syms, a->extent, a->n));
}

/* ---- the tile ---- */

typedef struct Cost {
  double blocks, waves, used, cycles;
} Cost;

/* The blocks of a multiprocessor share its arithmetic, of which a few warps cannot use all, and its way to the L2
 * cache; each of the waves waits for its first operands. */
static Cost cost(const Skeleton *s, const Tile *t, double outer, double m, double n, double k) {
  enum { BUSY = 8 }; /* warps that keep a multiprocessor busy */
  double down = ceil(m / t->m), across = ceil(n / t->n), blocks = outer * down * across;
  double each = ceil(blocks / MULTIPROCESSORS), together = fmin(each, t->blocks);
  double rate = s->products * fmin(1, together * t->warps_m * t->warps_n / BUSY);
  double multiply = t->m * t->n / rate, bring = (t->m + t->n) * s->element / (double)L2_BYTES;
  return (Cost){.blocks = blocks,
                .waves = blocks / (MULTIPROCESSORS * (double)t->blocks),
                .used = m * n / (down * t->m * across * t->n),
                .cycles = each * ceil(k / t->k) * t->k * fmax(multiply, bring) + ceil(each / together) * LATENCY};
}

/* Little work is done where it lies: a tile would be mostly empty, or as soon done as begun. */
static bool worth_it(const Kernel *k, const LoopProduct *p) {
  double sum = likely(k, &p->sums), elements = likely(k, &p->outer) * likely(k, &p->rows) * likely(k, &p->columns);
  return sum >= 16 && sum * elements >= 32768;
}

static const Tile *choose(Kernel *k, const Skeleton *s, const LoopProduct *p, const char **why) {
  Arena *a = k->ctx->arena;
  double outer = likely(k, &p->outer), m = likely(k, &p->rows), n = likely(k, &p->columns), sum = likely(k, &p->sums);
  const Tile *best = NULL;
  Cost least = {0};
  if (p->part) sum /= loop_likely(k, p->outer.extent[0]);
  *why = "of the tiles ";
  for (int i = 0; i < s->ntiles; i++) {
    const Tile *t = &s->tiles[i];
    if (p->summed && (p->along ? t->n : t->m) % LOOP_SUM_PART) continue;
    Cost c = cost(s, t, outer, m, n, sum);
    bool same = c.cycles < least.cycles * 1.02, fewer = c.cycles < least.cycles * 0.98;
    if (!best || fewer || (same && c.used > 1.2 * least.used)) best = t, least = c;
    *why = arena_printf(a, "%s%s%d x %d (%.0f blocks, %.1f waves, %.0f %% used, %.0f cycles)", *why, i ? ", " : "",
                        t->m, t->n, c.blocks, c.waves, 100 * c.used, c.cycles);
  }
  return best;
}

static int shared_bytes(const Skeleton *s, const Tile *t) {
  int ring = t->stages * (t->m + t->n + 8) * t->k * s->element, result = t->m * (t->n + 8) * 4;
  return ring > result ? ring : result;
}

/* ---- the text ---- */

static void use_lets(Cuda *c, const Stmt *s) {
  for (; s; s = s->next) {
    if (s->kind == STMT_LET) c->used[s->ref] = true;
    use_lets(c, s->body);
    use_lets(c, s->other);
  }
}

static const char *brought(const Operand *o, bool right) {
  return o->along_k     ? o->in_memory ? "k-major by cp.async" : "k-major by threads"
         : right        ? o->in_memory ? "n-major by cp.async" : "n-major by threads"
         : o->in_memory ? "m-major by cp.async"
                        : "m-major by threads";
}

void skeleton_define(SkeletonText *t, const char *name, int value) {
  buf_printf(&t->text, "#define GEMM_%s %d\n", name, value);
}

void skeleton_begin(SkeletonText *t, Kernel *k, const Stage *st, const CudaWanted *want) {
  *t = (SkeletonText){.c = cuda_print_new(k, st)};
  t->holes = (HoleText){&t->c, &t->given, want->name, &t->text};
  t->stage = (CudaStage){.name = str_intern(k->ctx->names, want->name), .fails = loop_fails(st)};
  bool *loads = ARENA_ARRAY(t->c.arena, bool, 2 * k->bufs.n + 1), *stores = loads + k->bufs.n;
  loop_uses(k, st, loads, stores);
  cuda_print_given(&t->c);
  cuda_print_arguments(&t->c, want, loads, stores, &t->stage, &t->given, &t->text);
  buf_printf(&t->text, "typedef %s %s_index;\n", dtype_name(t->c.index), want->name);
}

void skeleton_open(SkeletonText *t, Kernel *k, const Stage *st, const CudaWanted *want, ProductParts *parts) {
  const LoopProduct *p = st->product;
  skeleton_begin(t, k, st, want);
  hole_print_size(&t->holes, "_outer", &p->outer);
  hole_print_size(&t->holes, "_M", &p->rows);
  hole_print_size(&t->holes, "_N", &p->columns);
  hole_print_terms(&t->holes, p);
  use_lets(&t->c, parts->store.text);
  hole_print(&t->holes, "_store", &parts->store);
  if (p->summed) hole_print(&t->holes, "_partial", &parts->partial);
  buf_printf(&t->text, "#define GEMM_NAME %s\n#define GEMM_BEGIN %s\n", want->name,
             want->commit ? "if (args.failed[0]) return;" : "");
  skeleton_define(t, "VC", parts->columns);
  skeleton_define(t, "SUMS", !p->summed ? 0 : p->along ? 2 : 1);
}

void skeleton_operand(SkeletonText *t, bool right, Operand *o) {
  Hole *h = o->in_memory ? &o->at : &o->load;
  use_lets(&t->c, h->text);
  if (o->in_memory)
    hole_print_at(&t->holes, right ? "_b_at" : "_a_at", h);
  else
    hole_print(&t->holes, right ? "_b_load" : "_a_load", h);
  skeleton_define(t, right ? "B_AT" : "A_AT", o->in_memory);
  skeleton_define(t, right ? "B_K" : "A_K", o->along_k);
  skeleton_define(t, right ? "B_WIDE" : "A_WIDE", o->wide);
}

bool skeleton_close(SkeletonText *t, CudaStage *made, Buf *out) {
  bool ok = !t->c.error;
  if (ok) {
    *made = t->stage;
    buf_put(out, t->text.at);
  }
  buf_free(&t->text);
  arena_free(t->c.arena);
  return ok;
}

/* Addresses take few registers: nothing is worked out, no axes are told apart. Else the compiler may use as many as it
 * wants, for a kernel that spills is none. */
static bool simple(const Operand *o) {
  bool flat = o->in_memory && !o->at.there;
  for (int i = 0; i < o->at.ngroups; i++) flat &= o->at.group[i].axes->n < 2;
  return flat;
}

static void print_tile(SkeletonText *t, const Skeleton *s, const Tile *tile, DType type) {
  skeleton_define(t, "BM", tile->m);
  skeleton_define(t, "BN", tile->n);
  skeleton_define(t, "BK", tile->k);
  skeleton_define(t, "STAGES", tile->stages);
  skeleton_define(t, "WARPS_M", tile->warps_m);
  skeleton_define(t, "WARPS_N", tile->warps_n);
  skeleton_define(t, "BLOCKS", tile->blocks);
  if (!s->exact) skeleton_define(t, "ELEMENT", s->element);
  if (s == &TF32) buf_put(&t->text, "#define GEMM_MMA mma_m16n8k8_tf32\n");
  if (s == &HALF)
    buf_printf(&t->text, "#define GEMM_PACK pack_%s\n#define GEMM_MMA mma_m16n8k16_%s\n", dtype_name(type),
               dtype_name(type));
  buf_printf(&t->text, "#define GEMM_PARAMETERS (%s_args, args)\n#include \"%s\"\n", t->stage.name, s->file);
}

static Sym blocks(Kernel *k, const LoopProduct *p, const Tile *t) {
  SymTab *s = k->ctx->syms;
  Sym down = sym_div_up(s, sym_product(s, p->rows.extent, p->rows.n), sym_int(s, t->m)),
      across = sym_div_up(s, sym_product(s, p->columns.extent, p->columns.n), sym_int(s, t->n));
  return sym_mul(s, sym_product(s, p->outer.extent, p->outer.n), sym_mul(s, down, across));
}

bool skeleton_epilogue(Kernel *k, const Stage *st, ProductParts *parts) {
  const LoopProduct *p = st->product;
  parts->columns = 4;
  for (const Stmt *s = p->epilogue; s != p->end; s = s->next)
    if (s->kind == STMT_STORE && dtype_is_half(k->bufs.at[s->ref].dtype)) parts->columns = 8;
  if (p->summed) hole_partial(k, st, &parts->partial);
  return hole_store(k, st, parts->columns, &parts->store);
}

/* Operands as runs of `lanes`. False: no skeleton can hold it. */
static bool skeleton_parts(Kernel *k, const Stage *st, int lanes, ProductParts *parts) {
  const LoopProduct *p = st->product;
  return hole_operand(k, st, false, p->a_type, lanes, &parts->a) &&
         hole_operand(k, st, true, p->b_type, lanes, &parts->b) && skeleton_epilogue(k, st, parts);
}

bool cuda_skeleton_stage(Kernel *k, const Stage *st, const CudaWanted *want, CudaStage *made, Buf *out) {
  const LoopProduct *p = st->product;
  ProductParts parts;
  if (!p || k->regs.at[p->sum].dtype != DT_F32 || !worth_it(k, p)) return false;
  if (want->sm >= 90 && cuda_gemm90_stage(k, st, want, made, out)) return true;
  const Skeleton *s = p->a_type == p->b_type && dtype_is_half(p->a_type) ? &HALF : p->tf32 ? &TF32 : &SIMT;
  if (!skeleton_parts(k, st, s->lanes, &parts)) return false;
  const char *why;
  Tile chosen = *choose(k, s, p, &why), *tile = &chosen;
  if (!simple(&parts.a) || !simple(&parts.b)) tile->blocks = 1;
  if (s != &HALF) { /* what lies by term is turned as it is stored */
    parts.a.in_memory &= !s->exact && parts.a.along_k;
    parts.b.in_memory &= !s->exact && parts.b.along_k;
  }
  SkeletonText t;
  skeleton_open(&t, k, st, want, &parts);
  skeleton_operand(&t, false, &parts.a);
  skeleton_operand(&t, true, &parts.b);
  print_tile(&t, s, tile, p->a_type);
  t.stage.threads = 32 * tile->warps_m * tile->warps_n;
  t.stage.grid = blocks(k, p, tile);
  t.stage.shared = shared_bytes(s, tile);
  t.stage.reordered = !s->exact;
  if (s == &TF32) t.stage.rounds = DT_F16; /* which has as many bits of mantissa */
  t.stage.schedule =
      arena_printf(k->ctx->arena, "%s(%s%d x %d x %d, %d stages, a %s, b %s); %s", s->name, s == &TF32 ? "tf32, " : "",
                   tile->m, tile->n, tile->k, tile->stages, brought(&parts.a, false), brought(&parts.b, true), why);
  return skeleton_close(&t, made, out);
}
