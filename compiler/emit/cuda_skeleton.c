/* Which skeleton stands for a product, with which tile, and its text. The tile is chosen without a chip: by how many
 * waves of blocks there are, how long a block's products take, and how long its operands take to come from the L2
 * cache. */
#include "cuda_skeleton.h"
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
} Skeleton;

/* Of an A100: bf16 and f16, f32. */
static const Tile HALF_TILES[] = {{128, 128, 32, 4, 2, 4, 2}, {128, 64, 32, 4, 2, 2, 2}, {64, 128, 32, 4, 2, 2, 2},
                                  {64, 64, 64, 3, 2, 2, 3},   {16, 128, 64, 4, 1, 4, 2}, {128, 16, 64, 4, 4, 1, 2}};
static const Tile SIMT_TILES[] = {{128, 128, 8, 2, 1, 8, 2}, {64, 64, 8, 2, 1, 2, 4}};
static const Skeleton HALF = {"gemm_sm80.cu", "gemm_sm80", HALF_TILES, 6, 2, 8, 1024},
                      SIMT = {"gemm_simt.cu", "gemm_simt", SIMT_TILES, 2, 4, 4, 64};

enum { MULTIPROCESSORS = 108, L2_BYTES = 32, LATENCY = 1200 }; /* L2: of a multiprocessor in a cycle; cycles */

/* ---- sizes ---- */

typedef struct Likely {
  const Kernel *k;
} Likely;

/* A dimension as it will often be: its only value, else a thousand as far as its bounds allow. */
static bool likely_dim(void *ctx, const char *name, int64_t *v) {
  const Kernel *k = ((const Likely *)ctx)->k;
  for (uint32_t i = 0; i < k->dims.n; i++) {
    const Dim *d = &k->dims.at[i];
    if (strcmp(d->name, name) != 0) continue;
    *v = d->hi < 1024 ? d->hi : d->lo > 1024 ? d->lo : 1024;
    return true;
  }
  return false;
}

static double likely(const Kernel *k, const LoopAxes *a) {
  Likely l = {k};
  int64_t v = 1;
  sym_eval(k->ctx->syms, sym_product(k->ctx->syms, a->extent, a->n), likely_dim, &l, &v);
  return (double)v;
}

/* ---- the tile ---- */

typedef struct Cost {
  double blocks, waves, cycles, used;
} Cost;

static Cost cost(const Skeleton *s, const Tile *t, double outer, double m, double n, double k) {
  double down = ceil(m / t->m), across = ceil(n / t->n), resident = MULTIPROCESSORS;
  double multiply = t->m * t->n / s->products, bring = (t->m + t->n) * s->element / (double)L2_BYTES;
  Cost c = {.blocks = outer * down * across};
  c.waves = ceil(c.blocks / resident);
  c.used = m * n / (down * t->m * across * t->n);
  c.cycles = c.waves * (ceil(k / t->k) * t->k * fmax(multiply, bring) + LATENCY);
  return c;
}

static const Tile *choose(Kernel *k, const Skeleton *s, const LoopProduct *p, const char **why) {
  Arena *a = k->ctx->arena;
  double outer = likely(k, &p->outer), m = likely(k, &p->rows), n = likely(k, &p->columns), sum = likely(k, &p->sums);
  const Tile *best = NULL;
  double least = 0;
  *why = "of the tiles ";
  for (int i = 0; i < s->ntiles; i++) {
    const Tile *t = &s->tiles[i];
    Cost c = cost(s, t, outer, m, n, sum);
    if (!best || c.cycles < least * 0.98) best = t, least = c.cycles;
    *why = arena_printf(a, "%s%s%d x %d (%.0f blocks, %.0f waves, %.0f %% used, %.0f cycles)", *why, i ? ", " : "",
                        t->m, t->n, c.blocks, c.waves, 100 * c.used, c.cycles);
  }
  return best;
}

static int shared_bytes(const Skeleton *s, const Tile *t) {
  int ring = t->stages * (t->m + t->n + 8) * t->k * s->element, result = t->m * (t->n + 8) * 4;
  return ring > result ? ring : result;
}

/* ---- the text ---- */

typedef struct Parts { /* everything that is made before anything is printed */
  const Skeleton *skeleton;
  Operand a, b;
  Hole store;
  int columns; /* that the epilogue stores at once */
} Parts;

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

static void print_defines(const LoopProduct *p, const Parts *parts, const Tile *t, const CudaWanted *want, Buf *out) {
  const char *type = p->a_type == DT_F16 ? "f16" : "bf16";
  buf_printf(out, "#define GEMM_NAME %s\n#define GEMM_PARAMETERS (%s_args, args)\n", want->name, want->name);
  buf_printf(out, "#define GEMM_BEGIN %s\n", want->commit ? "if (args.failed[0]) return;" : "");
  if (parts->skeleton == &HALF)
    buf_printf(out, "#define GEMM_PACK pack_%s\n#define GEMM_MMA mma_m16n8k16_%s\n", type, type);
  const struct {
    const char *name;
    int value;
  } numbers[] = {{"BM", t->m},
                 {"BN", t->n},
                 {"BK", t->k},
                 {"STAGES", t->stages},
                 {"WARPS_M", t->warps_m},
                 {"WARPS_N", t->warps_n},
                 {"BLOCKS", t->blocks},
                 {"A_K", parts->a.along_k},
                 {"B_K", parts->b.along_k},
                 {"A_AT", parts->a.in_memory},
                 {"B_AT", parts->b.in_memory},
                 {"VC", parts->columns}};
  for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
    buf_printf(out, "#define GEMM_%s %d\n", numbers[i].name, numbers[i].value);
  buf_printf(out, "#include \"%s\"\n", parts->skeleton->file);
}

static void print_functions(const HoleText *t, const LoopProduct *p, Parts *parts) {
  hole_print_size(t, "_M", &p->rows);
  hole_print_size(t, "_N", &p->columns);
  hole_print_size(t, "_K", &p->sums);
  for (int right = 0; right < 2; right++) {
    Operand *o = right ? &parts->b : &parts->a;
    use_lets(t->c, o->load.text);
    if (o->in_memory) {
      use_lets(t->c, o->at.text);
      hole_print_at(t, right ? "_b_at" : "_a_at", &o->at);
    } else
      hole_print(t, right ? "_b_load" : "_a_load", &o->load);
  }
  use_lets(t->c, parts->store.text);
  hole_print(t, "_store", &parts->store);
}

static Sym blocks(Kernel *k, const LoopProduct *p, const Tile *t) {
  SymTab *s = k->ctx->syms;
  Sym down = sym_div_up(s, sym_product(s, p->rows.extent, p->rows.n), sym_int(s, t->m)),
      across = sym_div_up(s, sym_product(s, p->columns.extent, p->columns.n), sym_int(s, t->n));
  return sym_mul(s, sym_product(s, p->outer.extent, p->outer.n), sym_mul(s, down, across));
}

static bool make_parts(Kernel *k, const Stage *st, Parts *parts) {
  const LoopProduct *p = st->product;
  bool half = p->a_type == p->b_type && dtype_is_half(p->a_type);
  if (k->regs.at[p->sum].dtype != DT_F32) return false;
  parts->skeleton = half ? &HALF : &SIMT;
  parts->columns = 4;
  for (const Stmt *s = p->epilogue; s; s = s->next)
    if (s->kind == STMT_STORE && dtype_is_half(k->bufs.at[s->ref].dtype)) parts->columns = 8;
  int lanes = parts->skeleton->lanes;
  return hole_operand(k, st, false, p->a_type, lanes, &parts->a) &&
         hole_operand(k, st, true, p->b_type, lanes, &parts->b) && hole_store(k, st, parts->columns, &parts->store);
}

bool cuda_skeleton_stage(Kernel *k, const Stage *st, const CudaWanted *want, CudaStage *made, Buf *out) {
  const LoopProduct *p = st->product;
  Parts parts;
  if (!p || !make_parts(k, st, &parts)) return false;
  const Skeleton *s = parts.skeleton;
  if (s == &SIMT) parts.a.in_memory = parts.b.in_memory = false; /* its tiles are turned as they are stored */
  const char *why;
  const Tile *t = choose(k, s, p, &why);
  Arena *kept = k->ctx->arena;
  Cuda c = cuda_print_new(k, st);
  Givens given = {0};
  Buf text = {0};
  bool *loads = ARENA_ARRAY(c.arena, bool, 2 * k->bufs.n + 1), *stores = loads + k->bufs.n;
  loop_uses(k, st, loads, stores);
  cuda_print_given(&c);
  CudaStage stage = {.name = str_intern(k->ctx->names, want->name),
                     .threads = 32 * t->warps_m * t->warps_n,
                     .grid = blocks(k, p, t),
                     .shared = shared_bytes(s, t),
                     .fails = loop_fails(st),
                     .schedule = arena_printf(kept, "%s(%d x %d x %d, %d stages, a %s, b %s); %s", s->name, t->m, t->n,
                                              t->k, t->stages, brought(&parts.a, false), brought(&parts.b, true), why)};
  cuda_print_arguments(&c, want, loads, stores, &stage, &given, &text);
  buf_printf(&text, "typedef %s %s_index;\n", dtype_name(c.index), want->name);
  print_functions(&(HoleText){&c, &given, want->name, &text}, p, &parts);
  print_defines(p, &parts, t, want, &text);
  bool ok = !c.error;
  if (ok) {
    *made = stage;
    buf_put(out, text.at);
  }
  buf_free(&text);
  arena_free(c.arena);
  return ok;
}
