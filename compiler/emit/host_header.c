#include "host_layout.h"
#include <string.h>

/* A text of the user's inside a comment: on one line, and unable to end it. */
static void put_doc(Buf *b, const char *s) {
  for (; *s; s++) {
    if (*s == '\n')
      buf_put(b, " ");
    else if (*s == '/' && b->n && b->at[b->n - 1] == '*')
      buf_put(b, " /");
    else
      buf_write(b, s, 1);
  }
}

static void put_struct(Buf *b, const char *prefix, const char *name, const HostFields *f, const char *none) {
  size_t widest = 0;
  for (uint32_t i = 0; i < f->n; i++) {
    size_t n = strlen(f->at[i].type) + strlen(f->at[i].name);
    widest = n > widest ? n : widest;
  }
  buf_printf(b, "typedef struct %s_%s {\n", prefix, name);
  for (uint32_t i = 0; i < f->n; i++) {
    const HostField *x = &f->at[i];
    int blanks = (int)(widest - strlen(x->type) - strlen(x->name)) + 1;
    buf_printf(b, "  %s%s;%*s/* ", x->type, x->name, blanks, "");
    put_doc(b, x->says);
    buf_put(b, " */\n");
  }
  if (!f->n) buf_printf(b, "  char none; /* %s */\n", none);
  buf_printf(b, "} %s_%s;\n", prefix, name);
}

typedef struct Linear { /* of a condition: one dimension, once, compared by < or <= */
  int vars, others;
  int64_t value;
} Linear;

static void see_code(void *ctx, SymCode op, int64_t operand) {
  Linear *x = ctx;
  (void)operand;
  x->vars += op == SYMC_VAR;
  x->others += op != SYMC_VAR && op != SYMC_INT && op != SYMC_ADD && op != SYMC_MUL && op != SYMC_LT && op != SYMC_LE;
}

static int64_t see_name(void *ctx, const char *name) {
  (void)ctx;
  (void)name;
  return 0;
}

static bool at_value(void *ctx, const char *name, int64_t *value) {
  (void)name;
  *value = ((Linear *)ctx)->value;
  return true;
}

/* Whether the bounds of the dimensions, which stand at their fields, say it already. */
static bool follows(const Entry *e, Sym cond, SymTab *t) {
  Linear x = {0};
  Arena *scratch = arena_new();
  SymNames names = {0};
  int64_t ok = 1;
  sym_names(t, cond, scratch, &names);
  sym_postfix(t, cond, see_name, see_code, &x);
  bool linear = names.n == 1 && x.vars == 1 && !x.others;
  for (uint32_t i = 0; linear && i < e->dims.n; i++) {
    if (strcmp(e->dims.at[i].name, names.at[0])) continue;
    for (int end = 0; end < 2 && ok; end++) {
      x.value = end ? e->dims.at[i].hi : e->dims.at[i].lo;
      if (!sym_eval(t, cond, at_value, &x, &ok)) ok = 0;
    }
  }
  arena_free(scratch);
  return linear && ok;
}

static void put_entry(Buf *b, const HostLayout *h, const Entry *e, const HostEntry *t) {
  bool says = false;
  if (e->doc && *e->doc) {
    buf_put(b, "/* ");
    put_doc(b, e->doc);
    says = true;
  }
  for (uint32_t i = 0; i < e->checks.n; i++) {
    if (follows(e, e->checks.at[i].cond, h->program->ctx->syms)) continue;
    buf_put(b, says ? " Holds: " : "/* Holds: ");
    put_doc(b, e->checks.at[i].text);
    buf_put(b, ".");
    says = true;
  }
  if (says) buf_put(b, " */\n");
  const char *p = h->prefix, *n = e->name;
  Arena *a = h->program->ctx->arena;
  put_struct(b, p, arena_printf(a, "%s_in", n), &t->in, "nothing goes in: a null pointer will do");
  put_struct(b, p, arena_printf(a, "%s_out", n), &t->out, "nothing comes out: a null pointer will do");
  buf_printf(b, "int %s_%s(%s_context *, const %s_%s_in *, %s_%s_out *);\n\n", p, n, p, p, n, p, n);
}

void host_header(const HostLayout *h, const char *source, const char *artefact, Buf *b) {
  const char *p = h->prefix, *u = h->upper;
  buf_printf(b, "/* %s: made by sinter " SINTER_VERSION " from %s. Do not edit; compile the model again.\n *\n",
             h->program->name, source);
  buf_printf(
      b,
      " * Link or load %s beside it; nothing else is needed. Every function returns SINTER_OK or another status; the\n"
      " * message of the context (or of the weights, for open, save, get, set and to) then says what was wrong, in "
      "one\n"
      " * sentence, and nothing was changed. */\n",
      artefact);
  buf_printf(b,
             "#ifndef %s_H\n#define %s_H\n#include <stddef.h>\n#include <stdint.h>\n#ifdef __cplusplus\nextern \"C\" "
             "{\n#endif\n\n",
             u, u);
  buf_put(
      b,
      "#ifndef SINTER_STATUS\n#define SINTER_STATUS\nenum sinter_status {\n"
      "  SINTER_OK = 0,\n  SINTER_ERROR_ARGUMENT = 1,\n  SINTER_ERROR_SHAPE = 2,\n  SINTER_ERROR_WORKSPACE = 3,\n"
      "  SINTER_ERROR_MEMORY = 4,\n  SINTER_ERROR_WEIGHTS = 5,\n  SINTER_ERROR_IO = 6,\n  SINTER_ERROR_CPU = 7,\n"
      "  SINTER_ERROR_BUSY = 8,\n  SINTER_ERROR_INDEX = 9,\n  SINTER_ERROR_ARTEFACT = 10,\n  SINTER_ERROR_GPU = 11,\n  "
      "SINTER_ERROR_GPU_FAILED = 12\n};\n#endif\n\n");
  buf_printf(b,
             "typedef struct %s_weights %s_weights; /* parameters and states; any number of contexts may read one */\n",
             p, p);
  buf_printf(b, "typedef struct %s_context %s_context; /* workspace, error message, call numbers: one a thread */\n\n",
             p, p);
  buf_put(b, "/* The largest sizes a context is made for. */\n");
  put_struct(b, p, "dims", &h->dim_fields, "all sizes are fixed: a null pointer will do");
  buf_put(b, "\n/* Opens weights: from a safetensors file, or (NULL) with start values drawn from the seed. A failed "
             "open still gives an\n"
             " * object, for its message alone; close it too. */\n");
  buf_printf(b, "int %s_open(%s_weights **, const char *safetensors_or_null, uint64_t seed);\n", p, p);
  buf_printf(b, "void %s_close(%s_weights *);\n", p, p);
  buf_printf(b, "int %s_save(%s_weights *, const char *safetensors);\n", p, p);
  buf_printf(b, "int %s_get(%s_weights *, const char *name, void *data, size_t bytes);\n", p, p);
  buf_printf(b, "int %s_set(%s_weights *, const char *name, const void *data, size_t bytes);\n", p, p);
  buf_put(b,
          "/* Where calls run, in contexts made from now on: \"cpu\", or \"cuda\" or \"cuda:N\" if it was compiled for "
          "GPUs. */\n");
  buf_printf(b, "int %s_to(%s_weights *, const char *device);\n", p, p);
  buf_printf(b, "const char *%s_open_message(const %s_weights *);\n\n", p, p);
  buf_put(b, "/* Bytes that a context needs for sizes up to these; 0 if they are out of bounds. */\n");
  buf_printf(b, "size_t %s_workspace(const %s_dims *max, int threads);\n", p, p);
  buf_put(b, "/* memory: at least that many bytes, aligned to 64, or NULL to have them allocated. */\n");
  buf_printf(b, "int %s_new(%s_context **, %s_weights *, const %s_dims *max, void *memory_or_null, size_t bytes);\n", p,
             p, p, p);
  buf_printf(b, "void %s_free(%s_context *);\n", p, p);
  buf_printf(b, "const char *%s_message(const %s_context *);\n\n", p, p);
  for (uint32_t i = 0; i < h->program->entries.n; i++) put_entry(b, h, &h->program->entries.at[i], &h->entries[i]);
  buf_put(b, "#ifdef __cplusplus\n}\n#endif\n#endif\n");
}
