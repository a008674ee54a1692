/* Counters of what the compiler makes, held to tests/counters/counters.txt: a number that grew is a failure that names
 * its row, what it was and what it is; so is one that became less, until BLESS=1 records it. Nothing here depends on
 * time or on the machine. Arguments: the programs to count, instead of all. Run from the root.
 *
 * A row an entry, at typical dimensions (the bound, where it is small): kernels; launches, barriers and copies of the
 * plan; bytes of the arena, and those over the most bytes alive at one step, in thousandths; operations by the formula;
 * bytes of the buffers that the steps read and write.
 * A row a function of machine code: instructions, and vector registers stored to the stack, from its disassembly.
 * A number that differs between the levels stands behind each level's name. The first line names the code generator:
 * another one makes other instructions, which are then not compared. */
#include "link.h"
#include "pipeline.h"
#include "scan.h"
#include "sir.h"
#include <llvm-c/Core.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
// cmocka wants the headers above it
#include <cmocka.h>
#include "each_file.h"

#define RECORD "tests/counters/counters.txt"

enum { KERNELS, LAUNCHES, BARRIERS, COPIES, ARENA, OVER_BOUND, FLOPS, BYTES, INSTRUCTIONS, SPILLS, COUNTERS };
static const char *const COUNTER[COUNTERS] = {"kernels",    "launches", "barriers", "copies",       "arena",
                                              "over-bound", "flops",    "bytes",    "instructions", "spills"};
enum { NONE = -1 };

typedef struct Row {
  const char *file, *name; /* of an entry or a function */
  int64_t at[COUNTERS][LEVEL_COUNT];
} Row;

typedef struct Rows {
  Vec(Row) at;
  Arena *arena;
  const char *code; /* "LLVM 19.1.7" */
} Rows;

static Row *row_of(Rows *rows, const char *file, const char *name) {
  for (uint32_t i = 0; i < rows->at.n; i++)
    if (!strcmp(rows->at.at[i].file, file) && !strcmp(rows->at.at[i].name, name)) return &rows->at.at[i];
  Row r = {.file = file, .name = name};
  for (int k = 0; k < COUNTERS; k++)
    for (int l = 0; l < LEVEL_COUNT; l++) r.at[k][l] = NONE;
  vec_push(rows->arena, &rows->at, r);
  return &vec_last(&rows->at);
}

/* ---- counting ---- */

typedef struct Count {
  Ctx c;
  const char *path;
  const Entry *e; /* being counted */
  Rows now;
} Count;

static bool lookup(void *ctx, const char *name, int64_t *value) {
  const Count *k = ctx;
  for (uint32_t i = 0; i < k->e->dims.n; i++)
    if (!strcmp(k->e->dims.at[i].name, name)) {
      *value = dim_typical(&k->e->dims.at[i]);
      return true;
    }
  return false;
}

static int64_t number(Count *k, Sym s) {
  int64_t n = 0;
  if (s && !sym_eval(k->c.syms, s, lookup, k, &n))
    fail_msg("%s: %s has no value in %s", k->path, sym_text(k->c.syms, s, k->c.arena), k->e->name);
  return n;
}

static void count_entry(Count *k, const EntryPlan *plan, int level) {
  int64_t n[COUNTERS] = {[KERNELS] = plan->kernels.n, [ARENA] = number(k, plan->arena)},
          least = number(k, plan->lower_bound);
  for (const Step *s = plan->plan->steps; s; s = s->next) {
    n[LAUNCHES] += s->kind == STEP_LAUNCH;
    n[BARRIERS] += s->kind == STEP_BARRIER;
    n[COPIES] += s->kind == STEP_COPY;
    n[FLOPS] += number(k, s->flops);
    n[BYTES] += number(k, s->bytes) * (s->kind == STEP_COPY ? 2 : 1);
  }
  n[OVER_BOUND] = least ? (n[ARENA] * 1000 + least - 1) / least : 1000;
  Row *r = row_of(&k->now, k->path, k->e->name);
  for (int i = 0; i <= BYTES; i++) r->at[i][level] = n[i];
}

static void count_function(const ScanFunction *f, void *ctx) {
  Count *k = ctx;
  const char *name = f->name + strcspn(f->name, "_") + 1; /* k3_step_3_gemm_main_v4: without number and level */
  size_t n = strlen(name) - strlen(f->target->name) - 1;
  if (!f->decoded) fail_msg("%s: %s cannot be decoded", k->path, f->name);
  Row *r = row_of(&k->now, k->path, arena_strndup(k->c.arena, name, n));
  r->at[INSTRUCTIONS][f->target->level] = f->instructions;
  r->at[SPILLS][f->target->level] = f->spills;
}

static void count_program(Count *k) {
  static const CompileOptions options = {.emit = EMIT_LLVM};
  CompileResult result = {0};
  Program p;
  ObjectPaths objects = {0};
  if (!sir_trace(&k->c, k->path, NULL, &p)) fail_msg("%s: %s", k->path, diag_first(k->c.diag, NULL));
  Compilation c = {.program = &p, .options = &options, .result = &result};
  for (int l = 0; l < LEVEL_COUNT; l++) c.level[c.nlevels++].target = &TARGETS[l];
  const SinterEmitter *emitter = emitter_open(&k->c);
  LinkFolder folder = {0};
  const char *why = NULL;
  bool ok = emitter && link_folder_make(&k->c, &folder) && compile_graphs(&c) && compile_loops(&c) &&
            emit_objects(&c, emitter, &folder, &objects);
  for (uint32_t i = 0; ok && i < objects.n; i++) {
    size_t n;
    const char *object = file_read(k->c.arena, objects.at[i], &n, &why);
    if (object) why = scan_object((const uint8_t *)object, n, NULL, &(ScanVisit){count_function, NULL}, k);
    ok = !why;
  }
  if (folder.path) link_folder_remove(&folder);
  if (!ok) fail_msg("%s: %s", k->path, why ? why : diag_first(k->c.diag, NULL));
  for (int l = 0; l < c.nlevels; l++)
    for (uint32_t i = 0; i < p.entries.n; i++) {
      k->e = &p.entries.at[i];
      count_entry(k, &c.level[l].entries[i], (int)c.level[l].target->level);
    }
}

/* ---- the record ---- */

static void put_row(const Row *r, Buf *b) {
  buf_printf(b, "%s %s", r->file, r->name);
  for (int k = 0; k < COUNTERS; k++) {
    const int64_t *n = r->at[k];
    bool same = true, any = false;
    for (int l = 0; l < LEVEL_COUNT; l++) same &= n[l] == n[0], any |= n[l] != NONE;
    if (!any) continue;
    buf_printf(b, " %s", COUNTER[k]);
    if (same) buf_printf(b, " %lld", (long long)n[0]);
    for (int l = 0; l < LEVEL_COUNT && !same; l++)
      if (n[l] != NONE) buf_printf(b, " %s %lld", TARGETS[l].name, (long long)n[l]);
  }
  buf_put(b, "\n");
}

static void read_row(Rows *rows, char *line) {
  char *rest = NULL, *file = strtok_r(line, " ", &rest), *name = strtok_r(NULL, " ", &rest);
  if (!name) fail_msg("%s: a line without a row's name", RECORD);
  Row *r = row_of(rows, file, name);
  int k = 0, first = 0, last = LEVEL_COUNT - 1;
  for (char *word; (word = strtok_r(NULL, " ", &rest));) {
    const Target *t = target_find(word);
    int i = 0;
    while (i < COUNTERS && strcmp(word, COUNTER[i])) i++;
    if (t)
      first = last = (int)t->level;
    else if (i < COUNTERS)
      k = i, first = 0, last = LEVEL_COUNT - 1;
    else
      for (int l = first; l <= last; l++) r->at[k][l] = strtoll(word, NULL, 10);
  }
}

static Rows read_record(Arena *a) {
  Rows rows = {.arena = a, .code = ""};
  size_t n;
  const char *why;
  char *at = file_read(a, RECORD, &n, &why), *end;
  for (bool first = true; at && (end = strchr(at, '\n')); first = false, at = end + 1) {
    *end = 0;
    if (first)
      rows.code = at;
    else
      read_row(&rows, at);
  }
  return rows;
}

static int by_name(const void *a, const void *b) {
  const Row *x = a, *y = b;
  int file = strcmp(x->file, y->file);
  return file ? file : strcmp(x->name, y->name);
}

/* The rows of one program become what they are now. */
static void record(const Rows *old, const Rows *now, const char *path) {
  Rows all = {.arena = now->arena};
  Buf text = {0};
  const char *why;
  for (uint32_t i = 0; i < old->at.n; i++)
    if (strcmp(old->at.at[i].file, path)) vec_push(all.arena, &all.at, old->at.at[i]);
  for (uint32_t i = 0; i < now->at.n; i++) vec_push(all.arena, &all.at, now->at.at[i]);
  qsort(all.at.at, all.at.n, sizeof *all.at.at, by_name);
  buf_printf(&text, "%s\n", now->code);
  for (uint32_t i = 0; i < all.at.n; i++) put_row(&all.at.at[i], &text);
  bool ok = link_write(all.arena, RECORD, text.at, text.n, &why);
  buf_free(&text);
  if (!ok) fail_msg("%s", why);
}

static bool is_empty(const Row *r) {
  for (int k = 0; k < COUNTERS; k++)
    for (int l = 0; l < LEVEL_COUNT; l++)
      if (r->at[k][l] != NONE) return false;
  return true;
}

/* Says what differs; returns in how much. */
static int compare(const Row *was, const Row *is, bool same_code) {
  int changes = 0;
  if (is_empty(was)) return printf("%s %s: not recorded\n", is->file, is->name) > 0;
  if (is_empty(is)) return printf("%s %s: recorded, but there is no such row\n", was->file, was->name) > 0;
  for (int k = 0; k < COUNTERS; k++)
    for (int l = 0; l < LEVEL_COUNT; l++) {
      int64_t a = was->at[k][l], b = is->at[k][l];
      if (a == b || (k >= INSTRUCTIONS && !same_code)) continue;
      changes++;
      printf("%s %s: %s on %s ", is->file, is->name, COUNTER[k], TARGETS[l].name);
      if (a == NONE)
        printf("not recorded: %lld\n", (long long)b);
      else if (b == NONE)
        printf("recorded as %lld, but there is no such number\n", (long long)a);
      else
        printf("%s from %lld to %lld\n", b > a ? "grew" : "got better,", (long long)a, (long long)b);
    }
  return changes;
}

static int compare_all(Rows *old, Rows *now, const char *path) {
  bool same_code = !strcmp(old->code, now->code);
  int changes = 0;
  for (uint32_t i = 0; i < old->at.n; i++)
    if (!strcmp(old->at.at[i].file, path)) row_of(now, path, old->at.at[i].name); /* gone: a row without numbers */
  for (uint32_t i = 0; i < now->at.n; i++)
    changes += compare(row_of(old, path, now->at.at[i].name), &now->at.at[i], same_code);
  return changes;
}

static void one_program(void **state) {
  Count k = {.c = ctx_new(), .path = *state};
  unsigned major, minor, patch;
  LLVMGetVersion(&major, &minor, &patch);
  k.now = (Rows){.arena = k.c.arena, .code = arena_printf(k.c.arena, "LLVM %u.%u.%u", major, minor, patch)};
  Rows old = read_record(k.c.arena);
  bool other_code = strcmp(old.code, k.now.code) != 0;
  int changes = 0;
  count_program(&k);
  if (getenv("BLESS"))
    record(&old, &k.now, k.path), other_code = false;
  else
    changes = compare_all(&old, &k.now, k.path);
  if (other_code) printf("recorded with %s, this is %s: instructions are not compared\n", old.code, k.now.code);
  ctx_free(&k.c);
  if (changes) fail_msg("%d counters of %s changed: if that is meant, BLESS=1 records them", changes, k.path);
  if (other_code) skip(); /* another LLVM makes other instructions of the same code; all else was compared above */
}

int main(int argc, char **argv) {
  static const char *const patterns[] = {"models/*.sir",
                                         "tests/bench/models/*.sir",
                                         "tests/plan/attention.sir",
                                         "tests/plan/products.sir",
                                         "tests/plan/reductions.sir",
                                         "tests/plan/rows.sir",
                                         NULL};
  scan_open();
  return each_file("counters", argc, argv, patterns, one_program);
}
