#include "size_map.h"
#include "abi.h"
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { IN = 8, SYMBOL = 16, LARGEST = 3 }; /* blanks before an input section and before a symbol; parts in a sentence */

static const char *const PART[] = {[SIZE_CONSTANTS] = "constants of the kernels",
                                   [SIZE_TABLES] = "tables",
                                   [SIZE_DATA] = "constants of the model",
                                   [SIZE_GPU] = "code for GPUs",
                                   [SIZE_RUNTIME] = "runtime",
                                   [SIZE_WEIGHTS] = "weights, also packed",
                                   [SIZE_EXPLAIN] = "text of sinter explain, not loaded"};

/* ---- reading ---- */

typedef struct Line { /* VMA, LMA, Size, Align, and then by its depth: output section, input section, symbol */
  uint64_t bytes;
  size_t depth;
  const char *text; /* to the end of the line */
  size_t n;
} Line;

static bool read_line(const char *s, size_t n, Line *l) {
  const char *end = s + n;
  for (int i = 0; i < 4; i++) {
    char *after;
    uint64_t v = strtoull(s, &after, i < 3 ? 16 : 10); /* stops at the end of the line: it is no digit */
    if (after == s || after >= end || *after != ' ') return false;
    if (i == 2) l->bytes = v;
    s = after;
  }
  s++;
  l->depth = 0;
  while (s < end && *s == ' ') s++, l->depth++;
  l->text = s;
  l->n = (size_t)(end - s);
  return true;
}

static bool begins(const char *s, const char *with) { return !strncmp(s, with, strlen(with)); }

/* The level of `v3_4.o`. */
static int level_of(const char *name) {
  for (int i = 0; i < LEVEL_COUNT; i++) {
    size_t n = strlen(TARGETS[i].name);
    if (!strncmp(name, TARGETS[i].name, n) && name[n] == '_') return i;
  }
  return -1;
}

/* Where the bytes of `PATH:(SECTION)` belong; SIZE_PARTS: nowhere, or to its symbols. */
static SizePart part_of(const char *input) {
  const char *section = NULL;
  for (const char *s = input; (s = strstr(s, ":("));) section = s += 2;
  if (!section) return SIZE_PARTS;
  const char *file = input;
  for (const char *s = input; s < section; s++)
    if (*s == '/') file = s + 1;
  if (begins(section, SINTER_EXPLAIN_SECTION)) return SIZE_EXPLAIN;
  if (begins(file, "weights.o:")) return SIZE_WEIGHTS;
  static const char *const loaded[] = {".text", ".rodata", ".data"};
  bool counts = false;
  for (size_t i = 0; i < sizeof loaded / sizeof *loaded; i++) counts |= begins(section, loaded[i]);
  bool constants = begins(section, ".rodata");
  if (!counts) return SIZE_PARTS;
  if (begins(file, "host.o:")) return SIZE_TABLES;
  if (begins(file, "runtime") || begins(file, "gpu.o:")) return SIZE_RUNTIME;
  if (begins(file, "<internal>")) /* merged: texts are the runtime's, numbers the kernels' */
    return begins(section, ".rodata.str") ? SIZE_RUNTIME : constants ? SIZE_CONSTANTS : SIZE_PARTS;
  constants |= begins(section, ".data.rel.ro"); /* llvm_const.c */
  return level_of(file) >= 0 && constants ? SIZE_CONSTANTS : SIZE_PARTS;
}

/* Bytes of host.o that are no tables. */
static void take_from_tables(SizeMap *m, SizePart part, uint64_t bytes) {
  m->part[part] += bytes;
  m->part[SIZE_TABLES] -= bytes < m->part[SIZE_TABLES] ? bytes : m->part[SIZE_TABLES];
}

/* `k3_step_3_gemm_main_v4` (emit_symbol) is the kernel step_3_gemm_main at v4. */
static void add_symbol(Arena *a, SizeMap *m, const char *name, uint64_t bytes) {
  if (!strcmp(name, "sinter_consts") && bytes > 1) take_from_tables(m, SIZE_DATA, bytes); /* one byte stands for none */
  if (!strcmp(name, "sinter_gpu")) take_from_tables(m, SIZE_GPU, bytes);
  const char *first = name + 1 + strspn(name + 1, "0123456789"), *last = strrchr(name, '_');
  if (*name != 'k' || first == name + 1 || *first != '_' || last <= first) return;
  int level = 0;
  while (level < LEVEL_COUNT && strcmp(TARGETS[level].name, last + 1)) level++;
  if (level == LEVEL_COUNT) return;
  size_t n = (size_t)(last - first) - 1;
  SizeKernel *k = NULL;
  for (uint32_t i = 0; i < m->kernels.n && !k; i++)
    if (!strncmp(m->kernels.at[i].name, first + 1, n) && !m->kernels.at[i].name[n]) k = &m->kernels.at[i];
  if (!k) {
    vec_push(a, &m->kernels, ((SizeKernel){.name = arena_strndup(a, first + 1, n)}));
    k = &m->kernels.at[m->kernels.n - 1];
  }
  k->bytes[level] += bytes;
  k->all += bytes;
  m->code[level] += bytes;
}

static int larger(const void *x, const void *y) {
  const SizeKernel *a = x, *b = y;
  return a->all != b->all ? (a->all < b->all) - (a->all > b->all) : strcmp(a->name, b->name);
}

void size_map_read(Arena *a, const char *map, uint64_t bytes, SizeMap *out) {
  *out = (SizeMap){.bytes = bytes};
  for (const char *s = map; *s;) {
    size_t n = strcspn(s, "\n");
    Line l = {0};
    if (read_line(s, n, &l)) {
      const char *text = arena_strndup(a, l.text, l.n);
      SizePart part = l.depth == IN ? part_of(text) : SIZE_PARTS;
      if (part != SIZE_PARTS) out->part[part] += l.bytes;
      if (l.depth == SYMBOL) add_symbol(a, out, text, l.bytes);
    }
    s += n + (s[n] == '\n');
  }
  if (out->kernels.n) qsort(out->kernels.at, out->kernels.n, sizeof *out->kernels.at, larger);
}

/* ---- printing ---- */

void size_map_print(const SizeMap *m, const char *file, Buf *b) {
  uint64_t rest = m->bytes;
  buf_printf(b, "%s: %" PRIu64 " bytes\n", file, m->bytes);
  for (int i = 0; i < LEVEL_COUNT; i++) {
    if (m->code[i]) buf_printf(b, "%10" PRIu64 "  kernels for %s\n", m->code[i], TARGETS[i].name);
    rest -= m->code[i] < rest ? m->code[i] : rest;
  }
  for (int i = 0; i < SIZE_PARTS; i++) {
    if (m->part[i]) buf_printf(b, "%10" PRIu64 "  %s\n", m->part[i], PART[i]);
    rest -= m->part[i] < rest ? m->part[i] : rest;
  }
  buf_printf(b, "%10" PRIu64 "  headers, symbols, relocations, alignment\n\n", rest);
  for (int i = 0; i < LEVEL_COUNT; i++)
    if (m->code[i]) buf_printf(b, "%10s", TARGETS[i].name);
  buf_put(b, "  kernel\n");
  for (uint32_t k = 0; k < m->kernels.n; k++) {
    for (int i = 0; i < LEVEL_COUNT; i++)
      if (m->code[i]) buf_printf(b, "%10" PRIu64, m->kernels.at[k].bytes[i]);
    buf_printf(b, "  %s\n", m->kernels.at[k].name);
  }
}

bool size_map_within(Ctx *c, const SizeMap *m, const char *file, uint64_t most) {
  if (m->bytes <= most) return true;
  struct {
    uint64_t bytes;
    const char *name;
  } part[LEVEL_COUNT + SIZE_PARTS];
  int n = 0, levels = 0;
  for (int i = 0; i < LEVEL_COUNT; i++) {
    levels += m->code[i] != 0;
    part[n].bytes = m->code[i];
    part[n++].name = arena_printf(c->arena, "kernels for %s", TARGETS[i].name);
  }
  for (int i = 0; i < SIZE_PARTS; i++) {
    part[n].bytes = m->part[i];
    part[n++].name = PART[i];
  }
  Buf b = {0};
  for (int k = 0; k < LARGEST; k++) {
    int best = 0;
    for (int i = 1; i < n; i++)
      if (part[i].bytes > part[best].bytes) best = i;
    if (!part[best].bytes) break;
    buf_printf(&b, "%s%s %" PRIu64, k ? ", " : "", part[best].name, part[best].bytes);
    part[best].bytes = 0;
  }
  const char *less = m->part[SIZE_GPU] ? "; fewer levels (--cpu) or architectures (--gpu) make it smaller"
                     : levels > 1      ? "; fewer levels (--cpu) make it smaller"
                                       : "";
  diag_error(c->diag, "max-size", 0,
             "%s would have %" PRIu64 " bytes, above --max-size %" PRIu64 "; its largest parts: %s%s", file, m->bytes,
             most, b.at ? b.at : "not known", less);
  buf_free(&b);
  return false;
}
