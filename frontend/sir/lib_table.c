#include "library.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct Row {
  Builtin builtin; /* first: a pointer to it is one to the row */
  const char *space, *doc;
} Row;

static const Row ROWS[] = {
#define LIB(space_, name_, fn, op_, raw_, params_, doc_)                                                               \
  {.builtin = {.name = name_, .params = params_, .f = lib_##fn, .raw = raw_, .op = op_}, .space = space_, .doc = doc_},
#include "lib.def"
#undef LIB
};
enum { NROWS = sizeof ROWS / sizeof *ROWS };

static const char *const SPACES[] = {"random", "debug"};

static const Row *find(const char *space, const char *name) {
  for (int i = 0; i < NROWS; i++)
    if (!strcmp(ROWS[i].space, space) && !strcmp(ROWS[i].builtin.name, name)) return &ROWS[i];
  return NULL;
}

bool lib_lookup(Tracer *t, const char *name, Value *out) {
  const Row *r = find("", name);
  if (r) {
    *out = value_builtin(&r->builtin, NULL);
    return true;
  }
  if (!strcmp(name, "inf") || !strcmp(name, "nan")) {
    *out = value_float(name[0] == 'i' ? (double)INFINITY : (double)NAN);
    return true;
  }
  for (int i = 0; i < 2; i++)
    if (!strcmp(name, SPACES[i])) {
      *out = (Value){.kind = VAL_SPACE, .u.space = trace_intern(t, name)};
      return true;
    }
  return false;
}

bool lib_space_get(Tracer *t, const char *space, const char *name, Value *out) {
  const Row *r = find(space, name);
  if (r) {
    *out = value_builtin(&r->builtin, NULL);
    return true;
  }
  NameList have = {0};
  for (int i = 0; i < NROWS; i++)
    if (!strcmp(ROWS[i].space, space)) vec_push(t->arena, &have, ROWS[i].builtin.name);
  return trace_fault(t, "sir-unknown-name", "`%s` has no `%s`%s", space, name, trace_near(t, name, &have));
}

void lib_names(Tracer *t, NameList *out) {
  for (int i = 0; i < NROWS; i++)
    if (!*ROWS[i].space) vec_push(t->arena, out, ROWS[i].builtin.name);
  for (int i = 0; i < 2; i++) vec_push(t->arena, out, SPACES[i]);
  vec_push(t->arena, out, "inf");
  vec_push(t->arena, out, "nan");
}

/* ---- the page of signatures ---- */
static void print_row(const Row *r, Buf *b) {
  buf_printf(b, "- `%s%s%s(%s)`", r->space, *r->space ? "." : "", r->builtin.name, r->builtin.params);
  if (r->builtin.f == lib_later)
    buf_put(b, ": of a later version");
  else if (*r->doc)
    buf_printf(b, ": %s", r->doc);
  buf_put(b, "\n");
}

/* The top-level `fn` and `module` lines of a library file, each up to its body, with the ## lines above it. */
static void print_declarations(const char *space, const char *text, Buf *b) {
  Buf doc = {0};
  for (const char *p = text; *p;) {
    size_t n = strcspn(p, "\n");
    if (!strncmp(p, "## ", 3)) {
      buf_printf(&doc, "%s%.*s", doc.n ? " " : "", (int)(n - 3), p + 3);
    } else {
      if (!strncmp(p, "fn ", 3) || !strncmp(p, "module ", 7)) {
        size_t k = p[0] == 'f' ? 3 : 7, end = k;
        for (int depth = 0; end < n; end++) {
          depth += p[end] == '(';
          if (p[end] == ')' && --depth == 0) break;
        }
        buf_printf(b, "- `%s%s%.*s`", space, *space ? "." : "", (int)(end + 1 - k), p + k);
        buf_printf(b, "%s%s\n", doc.n ? ": " : "", doc.n ? doc.at : "");
      }
      doc.n = 0;
    }
    p += n + (p[n] == '\n');
  }
  buf_free(&doc);
}

void lib_print_signatures(Buf *b) {
  static const struct {
    const char *first, *title;
  } heads[] = {{"abs", "Element by element"},
               {"sum", "Reductions"},
               {"reshape", "Shape and position"},
               {"full", "New tensors"},
               {"len", "Static values, trees, modules"},
               {"grad", "Gradients"},
               {"uniform", "Random numbers and debugging"}};
  buf_put(b, "# The library of SIR\n\nPrinted from the table of builtins and from frontend/lib; the test `library` "
             "compares it (BLESS=1 "
             "rewrites it).\nOn a tensor x, `x.f(a)` is `f(x, a)`. An axis counts from the end if it is negative.\n");
  for (int i = 0; i < NROWS; i++) {
    for (size_t k = 0; k < sizeof heads / sizeof *heads; k++)
      if (!strcmp(ROWS[i].builtin.name, heads[k].first)) buf_printf(b, "\n## %s\n", heads[k].title);
    print_row(&ROWS[i], b);
  }
  buf_put(b, "\n## Compositions\n");
  print_declarations("", lib_source("core", NULL), b);
  for (const char *const *s = lib_sources(); *s; s++) {
    buf_printf(b, "\n## %s%s\n", *s, strcmp(*s, "init") ? "" : " (needs no `use`)");
    print_declarations(*s, lib_source(*s, NULL), b);
  }
}
