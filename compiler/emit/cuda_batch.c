#include "cuda_batch.h"

typedef struct Text { /* of parts that are equal */
  CudaPart part;
  CudaStage *made;
  int count;
} Text;

static bool same(const CudaPart *a, const CudaPart *b) {
  return a->kernel == b->kernel && a->stage == b->stage && a->commit == b->commit;
}

int cuda_batch_words(const CudaPart *p) { return 2 + p->kernel->nparams + (int)p->kernel->dims.n; }

static void put_args(const CudaBatch *made, const Text *text, int n, Buf *out) {
  buf_put(out, "\ntypedef struct {\n");
  for (int i = 0; i < n; i++)
    buf_printf(out, "  struct {\n    i64 first;\n    %s_args args;\n  } p%d[%d];\n", text[i].made->name, i,
               text[i].count);
  buf_printf(out, "} %s_args;\n", made->name);
}

/* The last part that begins at the block or before; parts without blocks are passed over. */
static void put_search(int i, int count, Buf *out) {
  int step = 1;
  if (count == 1) return;
  while (step * 2 < count) step *= 2;
  buf_printf(out, "    for (i32 step = %d; step; step /= 2)\n", step);
  buf_printf(out, "      if (part + step < %d && block >= args.p%d[part + step].first) part += step;\n", count, i);
}

static void put_kernel(const CudaBatch *made, const Text *text, int n, Buf *out) {
  put_args(made, text, n, out);
  buf_printf(out,
             "\nKERNEL(%s, %d, 1, (CONSTANT %s_args, args)) {\n  const i64 block = blockIdx.x;\n  i32 part = 0;\n  ",
             made->name, made->threads, made->name);
  for (int i = 0; i < n; i++) {
    if (i + 1 < n) buf_printf(out, "if (block < args.p%d[0].first) ", i + 1);
    buf_put(out, "{\n");
    put_search(i, text[i].count, out);
    buf_put(out, "    ");
    if (text[i].made->threads < made->threads) buf_printf(out, "if (threadIdx.x < %d) ", text[i].made->threads);
    buf_printf(out, "%s(args.p%d[part].args, (u32)(block - args.p%d[part].first));\n  }", text[i].made->name, i, i);
    buf_put(out, i + 1 < n ? " else " : "\n}\n");
  }
}

bool cuda_batch(const CudaPart *part, int n, const CudaWanted *want, CudaBatch *made, Buf *out, const char **why) {
  Arena *a = part->kernel->ctx->arena;
  Text *text = ARENA_ARRAY(a, Text, n);
  int *of = ARENA_ARRAY(a, int, n), texts = 0, placed = 0;
  *made =
      (CudaBatch){.name = want->name, .stage = ARENA_ARRAY(a, const CudaStage *, n), .order = ARENA_ARRAY(a, int, n)};
  for (int i = 0; i < n; i++) {
    int t = 0;
    while (t < texts && !same(&text[t].part, &part[i])) t++;
    text[of[i] = t].count++;
    if (t < texts) continue;
    text[texts++] = (Text){part[i], ARENA_NEW(a, CudaStage), 1};
    CudaWanted one = {want->sm, part[i].commit, arena_printf(a, "%s_%d", want->name, t)};
    if (!cuda_text_part(part[i].kernel, part[i].stage, &one, text[t].made, out, why)) return false;
    const CudaStage *s = text[t].made;
    if (s->threads > made->threads) made->threads = s->threads;
    if (s->shared > made->shared) made->shared = s->shared;
    made->fails |= s->fails;
  }
  for (int t = 0; t < texts; t++)
    for (int i = 0; i < n; i++)
      if (of[i] == t) made->order[placed++] = i;
  for (int i = 0; i < n; i++) made->stage[i] = text[of[i]].made;
  put_kernel(made, text, texts, out);
  return true;
}
