#include "ast.h"
#include <string.h>

const char *ast_kind_name(int kind) {
  static const char *const names[] = {
#define X(kind, name) name,
      AST_KINDS(X)
#undef X
  };
  if (kind < 0 || kind >= AST_KIND_COUNT) BUG("there is no kind %d", kind);
  return names[kind];
}

const char *sir_op_text(int op) {
  static const char *const texts[] = {
#define X(op, text, strength) text,
      SIR_OPS(X)
#undef X
  };
  if (op < 0 || op >= SIR_OP_COUNT) BUG("there is no operator %d", op);
  return texts[op];
}

int sir_op_strength(int op) {
  static const uint8_t strengths[] = {
#define X(op, text, strength) strength,
      SIR_OPS(X)
#undef X
  };
  if (op < 0 || op >= SIR_OP_COUNT) BUG("there is no operator %d", op);
  return strengths[op];
}

bool ast_is_name(const Ast *a, const char *name) { return a && a->kind == AST_NAME && !strcmp(a->text, name); }

bool ast_equal(const Ast *a, const Ast *b) {
  if (!a || !b) return a == b;
  if (a->kind != b->kind || a->op != b->op || a->nkids != b->nkids || a->text != b->text || a->place != b->place)
    return false;
  if (memcmp(&a->u, &b->u, sizeof a->u) || !a->doc != !b->doc || (a->doc && strcmp(a->doc, b->doc))) return false;
  for (uint32_t k = 0; k < a->nkids; k++)
    if (!ast_equal(a->kids[k], b->kids[k])) return false;
  return true;
}

void ast_dump(const Ast *a, Buf *out) {
  if (!a) {
    buf_put(out, "-");
    return;
  }
  buf_printf(out, "(%s", ast_kind_name(a->kind));
  if (a->op) buf_printf(out, " %s", sir_op_text(a->op));
  if (a->kind == AST_BOOL) buf_put(out, a->u.i ? " true" : " false");
  if (a->kind == AST_TEXT)
    buf_printf(out, " \"%s\"", a->text);
  else if (a->text && a->kind != AST_STR)
    buf_printf(out, " %s", a->text);
  for (uint32_t k = 0; k < a->nkids; k++) {
    buf_put(out, " ");
    ast_dump(a->kids[k], out);
  }
  buf_put(out, ")");
}
