#include "host_layout.h"
#include <ctype.h>
#include <string.h>

/* Words that are no names in C17 or C++17, or macros of the two headers that ours includes. */
static const char *const RESERVED[] = {
    "alignas",     "alignof",  "and",      "and_eq",    "asm",        "auto",         "bitand",
    "bitor",       "bool",     "break",    "case",      "catch",      "char",         "char16_t",
    "char32_t",    "class",    "compl",    "const",     "const_cast", "constexpr",    "continue",
    "decltype",    "default",  "delete",   "do",        "double",     "dynamic_cast", "else",
    "enum",        "explicit", "export",   "extern",    "false",      "float",        "for",
    "friend",      "goto",     "if",       "inline",    "int",        "long",         "mutable",
    "namespace",   "new",      "noexcept", "not",       "not_eq",     "nullptr",      "operator",
    "or",          "or_eq",    "private",  "protected", "public",     "register",     "reinterpret_cast",
    "restrict",    "return",   "short",    "signed",    "sizeof",     "static",       "static_assert",
    "static_cast", "struct",   "switch",   "template",  "this",       "thread_local", "throw",
    "true",        "try",      "typedef",  "typeid",    "typename",   "typeof",       "union",
    "unsigned",    "using",    "virtual",  "void",      "volatile",   "wchar_t",      "while",
    "xor",         "xor_eq",   "NULL",     "offsetof",  "linux",      "unix",
};

static const char *const OWN[] = {"open", "close",   "save",    "get",          "set",
                                  "new",  "free",    "message", "open_message", "workspace",
                                  "dims", "weights", "context", "query_v1",     "to"};

static const char *const RUNTIME[] = {"sinter", "rt", "sys"}; /* its functions begin so */

static bool listed(const char *name, const char *const *list, size_t n) {
  for (size_t i = 0; i < n; i++)
    if (!strcmp(list[i], name)) return true;
  return false;
}
#define LISTED(name, list) listed(name, list, sizeof(list) / sizeof *(list))

static const char *c_type(DType d) {
  switch (d) {
  case DT_F32: return "float";
  case DT_F64: return "double";
  case DT_I8: return "int8_t";
  case DT_I16: return "int16_t";
  case DT_I32: return "int32_t";
  case DT_I64: return "int64_t";
  case DT_F16:
  case DT_BF16:
  case DT_U16: return "uint16_t";
  case DT_U32: return "uint32_t";
  case DT_U64: return "uint64_t";
  default: return "uint8_t"; /* bool too: 0 or 1 in a byte */
  }
}

/* A name of the model as one of C, distinct from the fields before it. */
static const char *field_name(Arena *a, const HostFields *before, const char *name) {
  char *s = !name ? arena_printf(a, "out") : arena_printf(a, isdigit((unsigned char)*name) ? "out%s" : "%s", name);
  for (char *p = s; *p; p++)
    if (!isalnum((unsigned char)*p) && *p != '_') *p = '_';
  if (LISTED(s, RESERVED)) s = arena_printf(a, "%s_", s);
  for (uint32_t i = 0; i < before->n; i++)
    if (!strcmp(before->at[i].name, s)) {
      s = arena_printf(a, "%s_", s);
      i = UINT32_MAX; /* from the start again */
    }
  return s;
}

static void add_field(Arena *a, HostFields *f, const char *name, const char *type, const char *says) {
  HostField x = {field_name(a, f, name), type, says, f->n * 8};
  vec_push(a, f, x);
}

static void add_port(Ctx *c, HostFields *f, const Port *p, bool in) {
  const char *says = graph_shape_text(c, p->dtype, p->shape, p->rank);
  if (p->inout) says = arena_printf(c->arena, "%s, read and updated", says);
  if (p->doc && *p->doc) says = arena_printf(c->arena, "%s: %s", says, p->doc);
  add_field(c->arena, f, p->name, arena_printf(c->arena, "%s%s *", in && !p->inout ? "const " : "", c_type(p->dtype)),
            says);
}

static const char *bounds(Arena *a, const Dim *d) {
  return d->lo == d->hi ? arena_printf(a, "%lld", (long long)d->lo)
                        : arena_printf(a, "%lld to %lld", (long long)d->lo, (long long)d->hi);
}

int host_dim_index(const HostLayout *h, const char *name) {
  for (uint32_t i = 0; i < h->dims.n; i++)
    if (!strcmp(h->dims.at[i].name, name)) return (int)i;
  return -1;
}

static void add_dim(Ctx *c, HostLayout *h, const Dim *d) {
  int k = host_dim_index(h, d->name);
  if (k < 0) {
    vec_push(c->arena, &h->dims, *d);
    return;
  }
  Dim *all = &h->dims.at[k];
  all->lo = d->lo < all->lo ? d->lo : all->lo;
  all->hi = d->hi > all->hi ? d->hi : all->hi;
}

static bool check_prefix(Ctx *c, const char *given, const char *program, char **out) {
  char *s = arena_printf(c->arena, !given && isdigit((unsigned char)*program) ? "_%s" : "%s", given ? given : program);
  *out = s;
  for (char *p = s; *p; p++) {
    if (isalpha((unsigned char)*p) || *p == '_' || (p > s && isdigit((unsigned char)*p))) continue;
    if (given)
      return diag_error(
          c->diag, "prefix-name", 0,
          "the prefix '%s' is not a name in C: it may hold letters, digits and _, and does not begin with a digit",
          given);
    *p = '_';
  }
  if (!*s)
    return diag_error(c->diag, "prefix-name", 0,
                      "the prefix is empty: give the artefact's functions one by --prefix NAME");
  if (LISTED(s, RUNTIME) || !strncmp(s, "sinter_", 7))
    return diag_error(c->diag, "prefix-runtime", 0,
                      "the prefix '%s' is that of functions inside every artefact: give another one by --prefix NAME",
                      s);
  return true;
}

static bool check_entry(const Program *p, const Entry *e, const char *prefix) {
  if (LISTED(e->name, OWN))
    return diag_error(p->ctx->diag, "entry-name", e->loc,
                      "an entry cannot be called '%s': the header has a %s_%s of its own; rename the entry", e->name,
                      prefix, e->name);
  for (uint32_t i = 0; i < p->entries.n; i++) {
    const char *other = p->entries.at[i].name;
    size_t n = strlen(other);
    if (!strncmp(e->name, other, n) && (!strcmp(e->name + n, "_in") || !strcmp(e->name + n, "_out")))
      return diag_error(p->ctx->diag, "entry-name", e->loc,
                        "an entry cannot be called '%s': %s_%s is the struct of entry '%s'; rename one of them",
                        e->name, prefix, e->name, other);
  }
  return true;
}

bool host_layout(const Program *p, const char *prefix, HostLayout *h) {
  Ctx *c = p->ctx;
  char *name;
  if (!check_prefix(c, prefix, p->name, &name)) return false;
  *h = (HostLayout){.program = p, .prefix = name, .entries = ARENA_ARRAY(c->arena, HostEntry, p->entries.n + 1)};
  char *upper = arena_printf(c->arena, "%s", name);
  for (char *s = upper; *s; s++) *s = (char)toupper((unsigned char)*s);
  h->upper = upper;
  if (!p->entries.n)
    return diag_error(c->diag, "no-entry", 0,
                      "%s has no entry, so there is nothing to call: write one as `entry NAME(x: f32[N]) { ... }`",
                      p->name);
  for (uint32_t i = 0; i < p->entries.n; i++) {
    const Entry *e = &p->entries.at[i];
    HostEntry *t = &h->entries[i];
    if (!check_entry(p, e, name)) return false;
    for (uint32_t k = 0; k < e->inputs.n; k++) add_port(c, &t->in, &e->inputs.at[k], true);
    for (uint32_t k = 0; k < e->dims.n; k++) {
      add_field(c->arena, &t->in, e->dims.at[k].name, "int64_t ", bounds(c->arena, &e->dims.at[k]));
      add_dim(c, h, &e->dims.at[k]);
    }
    for (uint32_t k = 0; k < e->outputs.n; k++) add_port(c, &t->out, &e->outputs.at[k], false);
    t->in_bytes = t->in.n * 8;
    t->out_bytes = t->out.n * 8;
  }
  for (uint32_t k = 0; k < h->dims.n; k++)
    add_field(c->arena, &h->dim_fields, h->dims.at[k].name, "int64_t ", bounds(c->arena, &h->dims.at[k]));
  return true;
}
