#include "ast.h"
#include <string.h>

/* What the functions below share. Each prints without the indentation of its first line; `pad` is that of the lines
 * that follow. */
typedef struct Printer {
  const Diag *diag;
  Buf *out;
} Printer;

/* Where an expression stands: operators weaker than `least` need parentheses, so does the node `guard` (it would be
 * taken for a statement of its own), and so do regions in the head of a statement (their brace would be its block). */
typedef struct Ctx {
  int least;
  const Ast *guard;
  bool header;
} Ctx;

enum { RANGE = 0, OPERAND = 1, POSTFIX = 13, LINE = 90 };

static void expr(Printer *, const Ast *, int pad, Ctx);
static void statement(Printer *, const Ast *, int pad, bool declaration);
static void type(Printer *, const Ast *, int pad);

static void put(Printer *w, const char *s) { buf_put(w->out, s); }
static void indent(Printer *w, int pad) { buf_printf(w->out, "%*s", pad, ""); }
static void value(Printer *w, const Ast *a, int pad) { expr(w, a, pad, (Ctx){0}); }
static void head(Printer *w, const Ast *a, int pad) { expr(w, a, pad, (Ctx){.header = true}); }

static void values(Printer *w, const Ast *a, uint32_t from, int pad) {
  for (uint32_t k = from; k < a->nkids; k++) {
    if (k > from) put(w, ", ");
    value(w, a->kids[k], pad);
  }
}

static void doc(Printer *w, const Ast *a, int pad) {
  for (const char *s = a->doc; s;) {
    const char *end = strchr(s, '\n');
    size_t n = end ? (size_t)(end - s) : strlen(s);
    put(w, n ? "## " : "##");
    buf_write(w->out, s, n);
    put(w, "\n");
    indent(w, pad);
    s = end ? end + 1 : NULL;
  }
}

static void line(Printer *w, const Ast *a, int pad, bool declaration) {
  Place at;
  statement(w, a, pad, declaration);
  if (diag_place(w->diag, a->place, &at)) buf_printf(w->out, "  #@ \"%s\":%d:%d", at.path, at.line, at.col);
}

static void block(Printer *w, const Ast *b, int pad) {
  size_t brace = w->out->n;
  if (!b->nkids) {
    put(w, "{ }");
    return;
  }
  put(w, "{\n");
  for (uint32_t k = 0; k < b->nkids; k++) {
    const Ast *s = b->kids[k];
    indent(w, pad + 2);
    doc(w, s, pad + 2);
    line(w, s, pad + 2, b->kind == AST_BODY);
    put(w, "\n");
  }
  size_t at = brace + 2 + (size_t)pad + 2, n = w->out->n - at - 1; /* the text of an only statement */
  if (b->nkids == 1 && b->kind == AST_BLOCK && !b->kids[0]->place && (size_t)pad + n < LINE &&
      !memchr(w->out->at + at, '\n', n)) {
    memmove(w->out->at + brace + 2, w->out->at + at, n);
    w->out->at[brace + 1] = ' ';
    w->out->n = brace + 2 + n;
    put(w, " }");
    return;
  }
  indent(w, pad);
  put(w, "}");
}

/* ---- parameters and types ---- */

static bool documented(const Ast *a) {
  for (uint32_t k = 0; k < a->nkids; k++)
    if (a->kids[k]->doc) return true;
  return false;
}

/* `(a, b)`, or one item a line if one of them has `##` lines. */
static void items(Printer *w, const Ast *a, int pad, const char *brackets, void (*item)(Printer *, const Ast *, int)) {
  bool lines = documented(a);
  int deep = lines ? pad + 4 : pad;
  buf_write(w->out, brackets, 1);
  for (uint32_t k = 0; k < a->nkids; k++) {
    if (k) put(w, lines ? "," : ", ");
    if (lines) {
      put(w, "\n");
      indent(w, deep);
      doc(w, a->kids[k], deep);
    }
    item(w, a->kids[k], deep);
  }
  buf_write(w->out, brackets + 1, 1);
}

static void typed(Printer *w, const Ast *t, int pad) {
  if (!t) return;
  put(w, ": ");
  type(w, t, pad);
}

static void assigned(Printer *w, const Ast *a, int pad) {
  if (!a) return;
  put(w, " = ");
  value(w, a, pad);
}

static void parameter(Printer *w, const Ast *a, int pad) {
  put(w, a->kind == AST_ARG_INOUT ? "inout " : a->kind == AST_ARG_DIM ? "dim " : "");
  put(w, a->text);
  typed(w, a->kids[0], pad);
  assigned(w, a->kids[1], pad);
}

static void type_field(Printer *w, const Ast *a, int pad) {
  put(w, a->text);
  typed(w, a->kids[0], pad);
}

static void signature(Printer *w, Ast **kids, int pad) { /* parameters, result, where, and a blank */
  items(w, kids[0], pad, "()", parameter);
  if (kids[1]) {
    put(w, " -> ");
    type(w, kids[1], pad);
  }
  for (uint32_t k = 0; kids[2] && k < kids[2]->nkids; k++) {
    put(w, k ? ", " : " where ");
    head(w, kids[2]->kids[k], pad);
  }
  put(w, " ");
}

static void sum(Printer *w, const Ast *a, int pad) { expr(w, a, pad, (Ctx){.least = sir_op_strength(SIR_ADD)}); }

static void dim(Printer *w, const Ast *a, int pad) {
  if (a->kind == AST_REST)
    put(w, "...");
  else if (a->kind == AST_ANY)
    put(w, "_");
  else if (a->kind == AST_GIVEN) {
    put(w, "=");
    sum(w, a->kids[0], pad);
  } else
    sum(w, a, pad);
}

static void type(Printer *w, const Ast *t, int pad) {
  switch (t->kind) {
  case AST_T_RECORD: items(w, t, pad, "{}", type_field); break;
  case AST_T_TUPLE:
    put(w, "(");
    for (uint32_t k = 0; k < t->nkids; k++) {
      if (k) put(w, ", ");
      type(w, t->kids[k], pad);
    }
    put(w, t->nkids == 1 ? ",)" : ")");
    break;
  case AST_T_LIST:
    put(w, "[");
    type(w, t->kids[0], pad);
    put(w, "; ");
    sum(w, t->kids[1], pad);
    put(w, "]");
    break;
  default:
    put(w, t->text);
    if (t->kind != AST_T_TENSOR) break;
    put(w, "[");
    for (uint32_t k = 0; k < t->nkids; k++) {
      if (k) put(w, ", ");
      dim(w, t->kids[k], pad);
    }
    put(w, "]");
  }
}

/* ---- declarations and statements ---- */

static void renamed(Printer *w, const Ast *as, int pad) {
  if (!as) return;
  put(w, " as ");
  value(w, as, pad);
}

static void used(Printer *w, const Ast *a, int pad) {
  for (uint32_t k = 0; k < a->nkids; k++) {
    const Ast *u = a->kids[k];
    put(w, k ? ", " : "use ");
    if (u->kind == AST_USE_FILE) {
      value(w, u->kids[0], pad);
      put(w, " as ");
    }
    put(w, u->text);
  }
}

static void binary(Printer *w, const Ast *left, const char *between, const Ast *right, int pad) {
  value(w, left, pad);
  put(w, between);
  value(w, right, pad);
}

/* A value that is a statement: what starts it must not end it. */
static void value_statement(Printer *w, const Ast *a, int pad, bool declaration) {
  const Ast *first = a;
  while (first->kind == AST_BIN || first->kind == AST_CALL || first->kind == AST_FIELD || first->kind == AST_INDEX ||
         first->kind == AST_RANGE)
    first = first->kids[0];
  bool guard = first != a &&
               (first->kind == AST_IF || first->kind == AST_REGION || (declaration && ast_is_name(first, "state")));
  expr(w, a, pad, (Ctx){.guard = guard ? first : NULL});
}

static void statement(Printer *w, const Ast *a, int pad, bool declaration) {
  Ast **kid = a->kids;
  switch (a->kind) {
  case AST_USE: used(w, a, pad); break;
  case AST_CONST:
  case AST_FIELD_DECL:
    buf_printf(w->out, "%s%s", a->kind == AST_CONST ? "const " : "", a->text);
    typed(w, kid[0], pad);
    assigned(w, kid[1], pad);
    if (a->kind == AST_FIELD_DECL) renamed(w, kid[2], pad);
    break;
  case AST_PARAM:
  case AST_STATE:
  case AST_STATE_LOCAL:
    buf_printf(w->out, "%s %s", ast_kind_name(a->kind), a->text);
    typed(w, kid[0], pad);
    assigned(w, kid[1], pad);
    renamed(w, kid[2], pad);
    if (!kid[3]) break;
    put(w, " if ");
    value(w, kid[3], pad);
    break;
  case AST_OWN:
    buf_printf(w->out, "own %s", a->text);
    renamed(w, kid[0], pad);
    break;
  case AST_TIE:
    put(w, "tie ");
    binary(w, kid[0], " = ", kid[1], pad);
    break;
  case AST_MODULE:
    buf_printf(w->out, "module %s", a->text);
    items(w, kid[0], pad, "()", parameter);
    put(w, " ");
    block(w, kid[1], pad);
    break;
  case AST_ENTRY:
    buf_printf(w->out, "entry %s", a->text);
    signature(w, kid, pad);
    if (kid[3]) buf_printf(w->out, "%s ", kid[3]->text);
    block(w, kid[4], pad);
    break;
  case AST_BIND:
    value(w, kid[0], pad);
    typed(w, kid[1], pad);
    assigned(w, kid[2], pad);
    break;
  case AST_AUG:
    buf_printf(w->out, "%s %s= ", kid[0]->text, sir_op_text(a->op));
    value(w, kid[1], pad);
    break;
  case AST_UPDATE: binary(w, kid[0], " <- ", kid[1], pad); break;
  case AST_RETURN:
    put(w, kid[0] ? "return " : "return");
    if (kid[0]) value(w, kid[0], pad);
    break;
  case AST_ASSERT:
    put(w, "assert ");
    value(w, kid[0], pad);
    if (!kid[1]) break;
    put(w, ", ");
    value(w, kid[1], pad);
    break;
  case AST_FOR:
    put(w, "for ");
    value(w, kid[0], pad);
    put(w, " in ");
    head(w, kid[1], pad);
    put(w, " ");
    block(w, kid[2], pad);
    break;
  case AST_WHILE:
    put(w, "while ");
    head(w, kid[0], pad);
    if (kid[1]) {
      put(w, " max ");
      head(w, kid[1], pad);
    }
    put(w, " ");
    block(w, kid[2], pad);
    break;
  default: value_statement(w, a, pad, declaration);
  }
}

/* ---- expressions ---- */

static int strength(const Ast *a) {
  if (a->kind == AST_RANGE) return RANGE;
  return a->kind == AST_UN || a->kind == AST_BIN ? sir_op_strength(a->op) : POSTFIX;
}

static void escaped(Printer *w, const char *s) {
  for (; *s; s++) switch (*s) {
    case '\n': put(w, "\\n"); break;
    case '\t': put(w, "\\t"); break;
    case '"': put(w, "\\\""); break;
    case '\\': put(w, "\\\\"); break;
    case '{': put(w, "{{"); break;
    case '}': put(w, "}}"); break;
    default: buf_write(w->out, s, 1);
    }
}

static void string(Printer *w, const Ast *a, int pad) {
  put(w, "\"");
  for (uint32_t k = 0; k < a->nkids; k++)
    if (a->kids[k]->kind == AST_TEXT) {
      escaped(w, a->kids[k]->text);
    } else {
      put(w, "{");
      value(w, a->kids[k], pad);
      put(w, "}");
    }
  put(w, "\"");
}

static void operation(Printer *w, const Ast *a, int pad, Ctx c) {
  int own = strength(a);
  bool compares = a->op >= SIR_EQ && a->op <= SIR_GE, power = a->op == SIR_POW;
  Ctx left = c, right = c;
  left.least = power ? POSTFIX : own + compares;
  right.least = power ? sir_op_strength(SIR_NEG) : own + 1;
  expr(w, a->kids[0], pad, left);
  buf_printf(w->out, " %s ", sir_op_text(a->op));
  expr(w, a->kids[1], pad, right);
}

static void slice(Printer *w, const Ast *a, int pad) {
  for (int k = 0; k < 3; k++) {
    if (k == 1 || (k == 2 && a->kids[2])) put(w, ":");
    if (a->kids[k]) value(w, a->kids[k], pad);
  }
}

static void comprehension(Printer *w, const Ast *a, int pad) {
  put(w, "[");
  value(w, a->kids[0], pad);
  for (uint32_t k = 1; k < a->nkids; k++) {
    const Ast *c = a->kids[k];
    put(w, c->kind == AST_CFOR ? " for " : " if ");
    value(w, c->kids[0], pad);
    if (c->kind != AST_CFOR) continue;
    put(w, " in ");
    value(w, c->kids[1], pad);
  }
  put(w, "]");
}

static void function(Printer *w, const Ast *a, int pad) {
  put(w, "fn");
  if (a->text) buf_printf(w->out, " %s", a->text);
  signature(w, a->kids, pad);
  block(w, a->kids[3], pad);
  const Ast *rule = a->kids[4];
  if (!rule) return;
  put(w, " vjp");
  items(w, rule->kids[0], pad, "()", parameter);
  put(w, " ");
  block(w, rule->kids[1], pad);
}

static void conditional(Printer *w, const Ast *a, int pad) {
  for (;;) {
    put(w, "if ");
    head(w, a->kids[0], pad);
    put(w, " ");
    block(w, a->kids[1], pad);
    const Ast *other = a->kids[2];
    if (!other) return;
    put(w, " else ");
    if (other->kind != AST_IF) {
      block(w, other, pad);
      return;
    }
    a = other;
  }
}

static void bare(Printer *w, const Ast *a, int pad, Ctx c) {
  Ast **kid = a->kids;
  Ctx operand = c, base = c;
  operand.least = OPERAND;
  base.least = POSTFIX;
  switch (a->kind) {
  case AST_NONE: put(w, "none"); break;
  case AST_BOOL: put(w, a->u.i ? "true" : "false"); break;
  case AST_STR: string(w, a, pad); break;
  case AST_RANGE:
    expr(w, kid[0], pad, operand);
    put(w, "..");
    expr(w, kid[1], pad, operand);
    break;
  case AST_UN:
    put(w, a->op == SIR_NOT ? "not " : sir_op_text(a->op));
    operand.least = strength(a);
    expr(w, kid[0], pad, operand);
    break;
  case AST_BIN: operation(w, a, pad, c); break;
  case AST_CALL:
    expr(w, kid[0], pad, base);
    put(w, "(");
    values(w, a, 1, pad);
    put(w, ")");
    break;
  case AST_INDEX:
    expr(w, kid[0], pad, base);
    put(w, "[");
    values(w, a, 1, pad);
    put(w, "]");
    break;
  case AST_FIELD: {
    bool number = kid[0]->kind == AST_INT; /* 1.x would be a broken float */
    put(w, number ? "(" : "");
    expr(w, kid[0], pad, base);
    buf_printf(w->out, "%s.%s", number ? ")" : "", a->text);
    break;
  }
  case AST_SLICE: slice(w, a, pad); break;
  case AST_REST: put(w, "..."); break;
  case AST_TUPLE:
    put(w, "(");
    values(w, a, 0, pad);
    put(w, a->nkids == 1 ? ",)" : ")");
    break;
  case AST_LIST:
    put(w, "[");
    values(w, a, 0, pad);
    put(w, "]");
    break;
  case AST_COMP: comprehension(w, a, pad); break;
  case AST_RECORD:
    put(w, "{");
    values(w, a, 0, pad);
    put(w, "}");
    break;
  case AST_NAMED:
  case AST_PAIR:
    put(w, a->text);
    assigned(w, kid[0], pad);
    break;
  case AST_SPREAD:
    put(w, "...");
    expr(w, kid[0], pad, (Ctx){.least = POSTFIX});
    break;
  case AST_IF: conditional(w, a, pad); break;
  case AST_REGION:
    buf_printf(w->out, "%s ", a->text);
    block(w, kid[0], pad);
    break;
  case AST_FN: function(w, a, pad); break;
  case AST_NAME:
  case AST_INT:
  case AST_FLOAT: put(w, a->text); break;
  default: BUG("a %s is no expression", ast_kind_name(a->kind));
  }
}

static void expr(Printer *w, const Ast *a, int pad, Ctx c) {
  bool wrap = strength(a) < c.least || a == c.guard || (c.header && a->kind == AST_REGION);
  if (wrap) {
    put(w, "(");
    c = (Ctx){0};
  }
  bare(w, a, pad, c);
  if (wrap) put(w, ")");
}

static bool is_type(const Ast *a) { return a->kind >= AST_T_TENSOR && a->kind <= AST_T_RECORD; }

void ast_print(const Diag *d, const Ast *a, Buf *out) {
  Printer w = {d, out};
  if (a->kind == AST_BODY) {
    for (uint32_t k = 0; k < a->nkids; k++) {
      const Ast *s = a->kids[k];
      doc(&w, s, 0);
      line(&w, s, 0, true);
      put(&w, s->kind == AST_MODULE || s->kind == AST_ENTRY || s->kind == AST_FN ? "\n\n" : "\n");
    }
  } else if (a->kind == AST_BLOCK) {
    block(&w, a, 0);
  } else if (is_type(a)) {
    type(&w, a, 0);
  } else {
    doc(&w, a, 0);
    line(&w, a, 0, false);
  }
}
