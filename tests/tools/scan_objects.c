/* Reads machine code and says what no test of values can. It fails on vector registers stored to the stack inside an
 * innermost loop, on stack frames above 4 KB, and on calls to anything but memcpy and its like.
 *
 *   scan_objects [--level v4] FILE.loop | FILE.o | FILE.so ...
 *
 * Kernels of a .loop file are emitted for every level (or the one given), AArch64 too; an object is read as it is, of
 * an artefact the kernels. One line a function: instructions, innermost loops, spills inside them, frame, and of the
 * innermost loop with most fused multiply-adds how many of its vector instructions they are. Exit code 1 if anything is
 * found. */
#include "expand_math.h"
#include "llvm_emit.h"
#include "scan.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const ALLOWED[] = {"memcpy", "memset", "memmove", ""};

typedef struct Object { /* that is being read */
  const char *what;
  int bad;
} Object;

static void print_function(const ScanFunction *f, void *ctx) {
  Object *o = ctx;
  bool bad = !f->decoded || f->frame > 4096 || f->loop_spills;
  if (!f->decoded) printf("%s %s: no instruction at byte %lu\n", f->target->name, f->name, (unsigned long)f->bytes);
  printf("%s %-40s %5d instructions, %2d innermost loops, %d vector spills in them, %d in all, frame %ld, %d of %d "
         "multiply and add%s\n",
         f->target->name, f->name, f->instructions, f->loops, f->loop_spills, f->spills, (long)f->frame, f->products,
         f->vectors, bad ? "  <-- not allowed" : "");
  o->bad |= bad;
}

static void check_import(const char *name, const Target *t, void *ctx) {
  Object *o = ctx;
  for (int i = 0; *ALLOWED[i]; i++)
    if (!strcmp(ALLOWED[i], name)) return;
  printf("%s %s: calls %s, which no artefact has\n", t->name, o->what, name);
  o->bad = 1;
}

static int print_object(const uint8_t *p, size_t size, const char *what, const Target *t) {
  Object o = {what, 0};
  const char *why = scan_object(p, size, t, &(ScanVisit){print_function, check_import}, &o);
  if (why) printf("%s: %s\n", what, why);
  return o.bad || why;
}

/* A tile of registers and a vector width are made for one level; others would spill them, so they are not asked. */
static bool fits(const LoopModule *m, Ctx *c, const Target *t, int kernel) {
  LoopModule one = *m;
  Kernel *k = m->kernels.at[kernel];
  one.kernels.at = &k;
  one.kernels.n = 1;
  one.plans.n = one.entries.n = 0;
  bool ok = loop_verify(&one, t->name);
  diag_reset(c->diag);
  for (Ex e = 1; e < k->ex.n; e++) {
    const Expr *x = ex_at(k, e);
    if (x->dtype != DT_IDX && x->dtype != DT_BOOL && x->lanes * (int)dtype_size((DType)x->dtype) > t->vector_bytes)
      ok = false;
  }
  return ok;
}

static int scan_loops(const char *path, const char *text, size_t n, const char *level) {
  Arena *a = arena_new();
  StrTab *names = strtab_new(a);
  Ctx c = {a, names, sym_tab_new(a, names), diag_new(a)};
  LoopModule *m;
  int bad = 0;
  if (!loop_parse(&c, path, text, n, &m)) {
    Buf b = {0};
    diag_print(c.diag, &b);
    printf("%s", b.at);
    return 1;
  }
  expand_math_module(m, level ? target_find(level) : NULL);
  for (int l = 0; l < LEVEL_COUNT; l++) {
    const Target *t = &TARGETS[l];
    if (level && strcmp(level, t->name)) continue;
    for (uint32_t i = 0; i < m->kernels.n; i++) {
      if (!fits(m, &c, t, (int)i)) {
        printf("%s %s: made for another level\n", t->name, m->kernels.at[i]->name);
        continue;
      }
      EmitRequest q = {.module = m, .target = t, .first = (int)i, .count = 1, .arena = a};
      EmitResult r;
      if (!emit_object(&q, &r))
        printf("%s %s: %s\n", t->name, m->kernels.at[i]->name, r.error);
      else
        bad |= print_object(r.object, r.size, m->kernels.at[i]->name, t);
    }
  }
  arena_free(a);
  return bad;
}

int main(int argc, char **argv) {
  const char *level = NULL, *why;
  int bad = 0;
  scan_open();
  for (int i = 1; i < argc; i++) {
    if (!strcmp(argv[i], "--level") && i + 1 < argc) {
      level = argv[++i];
      continue;
    }
    Arena *a = arena_new();
    size_t n, len = strlen(argv[i]);
    char *p = file_read(a, argv[i], &n, &why);
    if (!p)
      bad |= printf("%s: %s\n", argv[i], why) > 0;
    else if (len > 5 && !strcmp(argv[i] + len - 5, ".loop"))
      bad |= scan_loops(argv[i], p, n, level);
    else
      bad |= print_object((const uint8_t *)p, n, argv[i], level ? target_find(level) : NULL);
    arena_free(a);
  }
  return bad;
}
