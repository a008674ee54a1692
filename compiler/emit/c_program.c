/* The program around the stages of one kernel: buffers filled from a fixed seed, a first run whose results are summed
 * up, then runs against the clock. */
#include "c_text.h"
#include "plan.h"
#include <stdio.h>
#include <string.h>

static bool lookup(void *ctx, const char *name, int64_t *value) {
  const CProgram *p = ctx;
  for (uint32_t i = 0; i < p->kernel->dims.n; i++)
    if (!strcmp(p->kernel->dims.at[i].name, name)) return *value = p->dims[i], true;
  return false;
}

int64_t c_size(const CProgram *p, Sym s) {
  int64_t n;
  if (!sym_eval(p->kernel->ctx->syms, s, lookup, (void *)p, &n)) BUG("a size of %s", p->kernel->name);
  return n;
}

int64_t c_elements(const CProgram *p, int buf) {
  const LoopBuf *b = &p->kernel->bufs.at[buf];
  return c_size(p, plan_axis_bytes(p->kernel->ctx->syms, b, -1)) / (int64_t)dtype_size(b->dtype);
}

static const char HEAD[] = "#include <immintrin.h>\n"
                           "#include <math.h>\n"
                           "#include <stdbool.h>\n"
                           "#include <stdint.h>\n"
                           "#include <stdio.h>\n"
                           "#include <stdlib.h>\n"
                           "#include <string.h>\n"
                           "#include <time.h>\n"
                           "\n"
                           "#pragma GCC diagnostic ignored \"-Wpsabi\" /* vectors wider than the level's: only "
                           "functions of this file see them */\n"
                           "\n"
                           "static int64_t failed; /* the smallest code of an index out of range; 0: none */\n"
                           "\n";

static const char DATA[] = "/* ---- data ---- */\n"
                           "\n"
                           "static uint64_t draw(uint64_t n) { /* splitmix64 of element n */\n"
                           "  uint64_t z = (n + 1) * 0x9e3779b97f4a7c15;\n"
                           "  z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;\n"
                           "  z = (z ^ z >> 27) * 0x94d049bb133111eb;\n"
                           "  return z ^ z >> 31;\n"
                           "}\n"
                           "\n"
                           "/* FNV-1a; all NaN are one. */\n"
                           "static void add(uint64_t *sum, const void *p, size_t n) {\n"
                           "  const unsigned char *at = p;\n"
                           "  for (size_t i = 0; i < n; i++) *sum = (*sum ^ at[i]) * 0x100000001b3;\n"
                           "}\n"
                           "\n";

static const char TIME[] =
    "static double now(void) { /* microseconds of the day: a double of those since 1970 has quarters only */\n"
    "  struct timespec t;\n"
    "  timespec_get(&t, TIME_UTC);\n"
    "  return (double)(t.tv_sec % 86400) * 1e6 + (double)t.tv_nsec * 1e-3;\n"
    "}\n"
    "\n"
    "static int less(const void *a, const void *b) {\n"
    "  double x = *(const double *)a, y = *(const double *)b;\n"
    "  return (x > y) - (x < y);\n"
    "}\n"
    "\n"
    "typedef struct Times { /* microseconds of one run */\n"
    "  double median, p10, best; /* the middle of the rounds' medians; least 10th percentile and least median of a "
    "round */\n"
    "} Times;\n"
    "\n"
    "static Times measure(const int64_t *size, int rounds) { /* rounds of 60 ms */\n"
    "  enum { MOST = 20000 };\n"
    "  static double all[MOST], medians[1000];\n"
    "  Times r = {0};\n"
    "  int batch = 1;\n"
    "  for (double t;; batch *= 2) { /* so many runs that the clock does not count */\n"
    "    t = now();\n"
    "    for (int i = 0; i < batch; i++) run(size);\n"
    "    if (now() - t > 20) break;\n"
    "  }\n"
    "  for (int k = 0; k < rounds; k++) {\n"
    "    int n = 0;\n"
    "    for (double begin = now(), t = begin, end; n < MOST && (n < 3 || t - begin < 60e3); n++, t = end) {\n"
    "      for (int i = 0; i < batch; i++) run(size);\n"
    "      end = now();\n"
    "      all[n] = (end - t) / batch;\n"
    "    }\n"
    "    qsort(all, (size_t)n, sizeof *all, less);\n"
    "    medians[k] = all[n / 2];\n"
    "    if (!k || all[n / 10] < r.p10) r.p10 = all[n / 10];\n"
    "  }\n"
    "  qsort(medians, (size_t)rounds, sizeof *medians, less);\n"
    "  r.median = medians[rounds / 2];\n"
    "  r.best = medians[0];\n"
    "  return r;\n"
    "}\n"
    "\n";

/* A walk over what a buffer takes in memory: element n is p[n]. */
static void put_walk(const CProgram *p, int buf, const char *constant, const char *body, Buf *out) {
  const LoopBuf *b = &p->kernel->bufs.at[buf];
  buf_printf(out, "  {\n    %s%s *p = buffer[%d];\n    for (uint64_t n = 0; n < %lld; n++) %s\n  }\n", constant,
             c_element(b->dtype), buf, (long long)c_elements(p, buf), body);
}

static bool whole(DType d) { return dtype_is_int(d) && d != DT_U32; }

/* The value of element n of a buffer. */
static const char *drawn(Arena *a, DType d, int buf) {
  const char *x = arena_printf(a, "draw(n + %lluu)", (unsigned long long)buf << 40);
  if (d == DT_F32) return arena_printf(a, "p[n] = (float)((int64_t)(%s >> 40) - (1 << 23)) * 0x1p-23f;", x);
  if (d == DT_F64) return arena_printf(a, "p[n] = (double)((int64_t)(%s >> 11) - (INT64_C(1) << 52)) * 0x1p-52;", x);
  if (dtype_is_half(d)) /* from 1/2 to 1, of both signs */
    return arena_printf(a, "p[n] = (uint16_t)((%s & %s) | %s);", x, d == DT_F16 ? "0x83ff" : "0x807f",
                        d == DT_F16 ? "0x3800" : "0x3f00");
  if (d == DT_BOOL) return arena_printf(a, "p[n] = %s & 1;", x);
  if (d == DT_U32) return arena_printf(a, "p[n] = (uint32_t)%s;", x);
  const char *below = dtype_size(d) == 1 ? "(below < 128 ? below : 128)" : "below";
  return arena_printf(a, "p[n] = (%s)(%s %% %s);", c_element(d), x, below);
}

static bool put_data(const CProgram *p, Arena *a, Buf *out) {
  const Kernel *k = p->kernel;
  bool integers = false;
  buf_printf(out, "static void *buffer[%d];\n\n", k->nparams ? k->nparams : 1);
  buf_put(out, "static bool make_buffers(void) {\n");
  for (int i = 0; i < k->nparams; i++) {
    const LoopBuf *b = &k->bufs.at[i];
    if (b->inplace >= 0) continue;
    int64_t bytes = (c_elements(p, i) * (int64_t)dtype_size(b->dtype) + 127) & ~INT64_C(63);
    buf_printf(out, "  if (!(buffer[%d] = aligned_alloc(64, %lld))) return false; /* %s: %s */\n", i, (long long)bytes,
               b->name, graph_shape_text(k->ctx, b->dtype, b->dim, b->rank));
    buf_printf(out, "  memset(buffer[%d], 0, %lld);\n", i, (long long)bytes);
  }
  for (int i = 0; i < k->nparams; i++)
    if (k->bufs.at[i].inplace >= 0) buf_printf(out, "  buffer[%d] = buffer[%d];\n", i, k->bufs.at[i].inplace);
  buf_put(out, "  return true;\n}\n\n/* Floats from -1 to below 1, integers from 0 to below `below`. */\n"
               "static void fill(uint64_t below) {\n");
  for (int i = 0; i < k->nparams; i++) {
    const LoopBuf *b = &k->bufs.at[i];
    if (b->kind == BUF_OUT) continue;
    integers |= whole(b->dtype);
    put_walk(p, i, "", drawn(a, b->dtype, i), out);
  }
  buf_printf(out, "%s}\n\nstatic uint64_t checksum(void) {\n  uint64_t sum = 0xcbf29ce484222325;\n",
             integers ? "" : "  (void)below;\n");
  for (int i = 0; i < k->nparams; i++) {
    const LoopBuf *b = &k->bufs.at[i];
    if (b->kind == BUF_IN) continue;
    const char *nan =
        dtype_is_float(b->dtype) && !dtype_is_half(b->dtype)
            ? arena_printf(a, "add(&sum, p[n] == p[n] ? &p[n] : &(%s){0}, sizeof *p);", c_element(b->dtype))
            : "add(&sum, &p[n], sizeof *p);";
    put_walk(p, i, "const ", nan, out);
  }
  buf_put(out, "  return sum;\n}\n\n");
  return integers;
}

static void put_main(const CProgram *p, bool integers, Buf *out) {
  const Kernel *k = p->kernel;
  static const char *const needs[] = {"sse4.2", "avx2", "avx512dq", ""};
  buf_printf(out,
             "int main(int argc, char **argv) { /* argument: rounds of the clock, 0: none */\n"
             "  int rounds = argc > 1 ? atoi(argv[1]) : 7;\n"
             "  if (rounds < 0 || rounds > 1000) return fprintf(stderr, \"rounds are 0 to 1000\\n\"), 2;\n"
             "  if (!__builtin_cpu_supports(\"%s\")) return fprintf(stderr, \"this processor has no %s\\n\"), 1;\n"
             "  if (!make_buffers()) return fprintf(stderr, \"no memory\\n\"), 1;\n",
             needs[p->target->level], needs[p->target->level]);
  buf_printf(out, "  volatile int64_t given[] = {0"); /* so that the compiler knows as little as Sinter's */
  for (uint32_t i = 0; i < k->dims.n; i++) buf_printf(out, ", %lld", (long long)p->dims[i]);
  buf_printf(out,
             "};\n"
             "  int64_t size[%u];\n"
             "  for (int i = 0; i < %u; i++) size[i] = given[i + 1];\n"
             "  uint64_t below = 1 << 14;\n"
             "  for (;; below /= 2) { /* until no index is out of range */\n"
             "    fill(below);\n"
             "    failed = 0;\n"
             "    run(size);\n"
             "    if (!failed || below == 1) break;\n"
             "  }\n",
             k->dims.n ? k->dims.n : 1, k->dims.n);
  if (integers) buf_put(out, "  printf(\"integers below %llu\\n\", (unsigned long long)below);\n");
  buf_printf(out,
             "  printf(\"checksum %%016llx\\n\", (unsigned long long)checksum());\n"
             "  if (rounds == 0) return 0;\n"
             "  Times t = measure(size, rounds);\n"
             "  printf(\"%s: %%.3f us (10th percentile %%.3f, best round %%.3f), %%.2f GFLOP/s, %%.2f GB/s\\n\", "
             "t.median, t.p10,\n"
             "         t.best, %lld / t.median * 1e-3, %lld / t.median * 1e-3);\n"
             "}\n",
             p->name, (long long)p->flops, (long long)p->bytes);
}

bool c_program(const CProgram *p, Buf *out, const char **why) {
  Kernel *k = p->kernel;
  Arena *a = k->ctx->arena;
  CText c = {.k = k, .target = p->target, .arena = a};
  static const char *const march[] = {"x86-64-v2", "x86-64-v3", "x86-64-v4"};
  if (p->target->level == LEVEL_A64) {
    *why = "programs in C are written for x86-64 only, not for AArch64";
    return false;
  }
  for (int i = 0; i < k->nparams; i++) {
    const LoopBuf *b = &k->bufs.at[i];
    if (c_elements(p, i) > INT32_MAX) { /* indices in vectors have 32 bits */
      *why = arena_printf(a, "kernel %s cannot be written as C at this size: the buffer %s has more than 2^31 elements",
                          k->name, b->name);
      return false;
    }
    if (!b->list) continue;
    *why = arena_printf(a, "kernel %s cannot be written as C: the buffer %s", k->name, b->name);
    return false;
  }
  for (int i = 0; i < p->nstages && !c.error; i++) {
    const Stage *s = k->stages.at[p->stages[i]];
    c_stage(&c, s, arena_printf(a, "stage_%s", s->name));
  }
  if (!(*why = c.error)) {
    buf_printf(out, "/* %s\n *\n", p->name);
    for (const char *s = p->about, *end; *s; s = *end ? end + 1 : end) {
      end = s + strcspn(s, "\n");
      buf_printf(out, " * %.*s\n", (int)(end - s), s);
    }
    buf_put(out, " *\n");
    for (uint32_t i = 0; i < k->dims.n; i++)
      buf_printf(out, "%s%s = %lld", i ? ", " : " * At ", k->dims.at[i].name, (long long)p->dims[i]);
    buf_printf(out,
               "%sone run is %lld operations on %lld bytes. Written by sinter for level %s; compile it by\n"
               " *   gcc -std=c17 -O2 -march=%s -ffp-contract=off -fwrapv -Wall -Wextra FILE.c -lm\n"
               " * or by clang with the same options. The results are those of Sinter's code, bit for bit. */\n",
               k->dims.n ? ": " : " * ", (long long)p->flops, (long long)p->bytes, p->target->name,
               march[p->target->level]);
    buf_put(out, HEAD);
    buf_printf(out, "%s\n%s\n/* ---- the kernel ---- */\n\n%s", c.types.n ? c.types.at : "",
               c.helpers.n ? c.helpers.at : "", c.out.n ? c.out.at : "");
    buf_put(out, DATA);
    bool integers = put_data(p, a, out);
    buf_put(out, "static void run(const int64_t *size) {\n");
    for (int i = 0; i < p->nstages; i++)
      buf_printf(out, "  stage_%s(size, buffer);\n", k->stages.at[p->stages[i]]->name);
    buf_put(out, "}\n\n");
    buf_put(out, TIME);
    put_main(p, integers, out);
  }
  buf_free(&c.types);
  buf_free(&c.helpers);
  buf_free(&c.out);
  return !*why;
}
