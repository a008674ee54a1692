#include "sir_parser.h"

static Ast *conditional(Parser *p, bool statement);
static Ast *binary(Parser *p, int least);
static Ast *unary(Parser *p);
static Ast *primary(Parser *p);
static Ast *statement(Parser *p);

/* ---- statements ---- */

/* Refuses a statement whose value nobody takes and which can do nothing else. */
static void must_act(Parser *p, const Ast *s) {
  static const uint8_t acts[] = {AST_BIND, AST_AUG, AST_UPDATE, AST_RETURN, AST_ASSERT, AST_FOR, AST_WHILE, AST_CALL};
  if (s->kind == AST_IF || s->kind == AST_REGION) {
    for (uint32_t k = 0; k < s->nkids; k++) {
      const Ast *b = s->kids[k];
      if (b && b->kind == AST_IF && k == 2) must_act(p, b);
      if (b && b->kind == AST_BLOCK && b->nkids) must_act(p, b->kids[b->nkids - 1]);
    }
  } else if (!memchr(acts, s->kind, sizeof acts) && !(s->kind == AST_FN && s->text)) {
    parser_fail(p, "unused-value", s->loc, "this value is not used: bind it, or make it the last of its block");
  }
}

void parser_continues(Parser *p) {
  const Token *t = cur(p);
  if (!on_new_line(p) || p->failed || !binary_op(t)) return;
  const Token *next = t + 1; /* a blank, a line end or a comment follows: not the minus of a value */
  if (is(t, "-") && !next->space && next->kind != TOK_NL && next->kind != TOK_COMMENT) return;
  parser_fail(p, "line-operator", t->loc,
              "a line does not continue with `%s`; end the line above with it, or use parentheses", t->text);
}

/* Checks that an expression can stand where a pattern stands, and gives it back. */
static Ast *pattern(Parser *p, Ast *e) {
  if (e->kind == AST_TUPLE || e->kind == AST_LIST) {
    for (uint32_t k = 0; k < e->nkids; k++) pattern(p, e->kids[k]);
  } else if (e->kind == AST_RECORD) {
    for (uint32_t k = 0; k < e->nkids; k++) {
      Ast *f = e->kids[k];
      if (f->kind == AST_SPREAD) parser_fail(p, "pattern-spread", f->loc, "a pattern takes no `...`");
      if (f->kind == AST_PAIR && f->kids[0]) pattern(p, f->kids[0]);
    }
  } else if (e->kind == AST_FIELD || e->kind == AST_INDEX) {
    parser_fail(p, "assign-field", cur(p)->loc,
                "a field or a slice is written with `<-`, or rebuilt: {...r, i = 1}, set(x, v, at, axis)");
  } else if (e->kind != AST_NAME || !strcmp(e->text, "self")) {
    parser_fail(p, "not-a-pattern", e->loc, "this is not a pattern: a name, `_`, or a tuple, list or record of them");
  }
  if (p->hole && p->hole->loc >= e->loc && p->hole->loc < e->end) p->hole = NULL;
  return e;
}

Ast *parser_path(Parser *p, Ast *e) {
  const Ast *k = e;
  while (k->kind == AST_FIELD || k->kind == AST_INDEX) k = k->kids[0];
  if (k->kind != AST_NAME || !strcmp(k->text, "_"))
    parser_fail(p, "not-a-path", e->loc, "an update writes a name, a field path or a slice of one");
  return e;
}

static Ast *head(Parser *p) {
  bool header = p->header;
  p->header = true;
  Ast *e = parser_expr(p);
  p->header = header;
  return e;
}

Ast *parser_block(Parser *p, const char *what) {
  const Token *opened = parser_expect(p, "{", arena_printf(p->arena, "and the body %s", what));
  if (!parser_enter(p)) return p->bad;
  int nest = p->nest;
  bool header = p->header;
  const Token *hole = p->hole;
  p->nest = 0;
  p->header = false;
  p->hole = NULL;
  Kids out = {0};
  while (!at(p, "}") && !p->failed) {
    if (cur(p)->kind == TOK_END || at(p, "module") || at(p, "entry") || at(p, "use") || at(p, "const")) {
      if (cur(p)->kind == TOK_END)
        parser_fail(p, "block-open", opened->loc, "this `{` is not closed before the end of the file");
      else
        parser_fail(p, "block-open", opened->loc, "this `{` is not closed before `%s`", cur(p)->text);
      break;
    }
    if (out.n) must_act(p, vec_last(&out));
    const Token *t = cur(p);
    Ast *s = statement(p);
    if (p->hole) parser_fail(p, "underscore-value", p->hole->loc, "`_` stands in patterns and types; it has no value");
    parser_place(p, s);
    vec_push(p->arena, &out, s);
    if (parser_accept(p, ";") || at(p, "}") || ended(p)) continue;
    if ((s->kind == AST_IF || s->kind == AST_FOR || s->kind == AST_WHILE || s->kind == AST_REGION) && s->loc == t->loc)
      parser_fail(p, "brace-ends-statement", cur(p)->loc,
                  "the `%s` that starts a statement ends at its brace; put it in parentheses", t->text);
    parser_unexpected(p, "expected the end of the statement");
  }
  parser_take(p);
  p->nest = nest;
  p->header = header;
  p->hole = hole;
  parser_leave(p);
  return parser_list(p, AST_BLOCK, opened->loc, NULL, &out);
}

static Ast *loop_body(Parser *p) {
  Ast *body = parser_block(p, "of the loop");
  if (body->nkids) must_act(p, body->kids[body->nkids - 1]);
  return body;
}

static bool region_word(const Token *t) {
  return is_name(t) && (is(t, "train") || is(t, "eval") || is(t, "checkpoint"));
}

static Ast *region(Parser *p) {
  const Token *t = parser_take(p);
  Ast *body = parser_block(p, arena_printf(p->arena, "of %s", t->text));
  return parser_node(p, AST_REGION, t->loc, t->text, 1, body);
}

Ast *parser_assert(Parser *p) {
  Loc loc = parser_take(p)->loc;
  Ast *cond = parser_expr(p), *text = parser_accept(p, ",") ? parser_expr(p) : NULL;
  return parser_node(p, AST_ASSERT, loc, NULL, 2, cond, text);
}

/* `+=` and so on: the binary operator in it, else 0. */
static SirOp augmented(const Token *t) {
  if (t->kind != TOK_OP || binary_op(t)) return SIR_NO_OP;
  size_t n = strlen(t->text);
  if (n < 2 || t->text[n - 1] != '=') return SIR_NO_OP;
  for (int op = SIR_BIT_OR; op < SIR_OP_COUNT; op++)
    if (op != SIR_NEG && op != SIR_INVERT && strlen(sir_op_text(op)) == n - 1 &&
        !memcmp(sir_op_text(op), t->text, n - 1))
      return (SirOp)op;
  return SIR_NO_OP;
}

static Ast *simple_statement(Parser *p) { /* begins with an expression */
  Loc loc = cur(p)->loc;
  parser_continues(p);
  Ast *e = parser_expr(p);
  if ((at(p, ":") || at(p, "=")) && !ended(p)) {
    pattern(p, e);
    Ast *type = parser_accept(p, ":") ? parser_type(p) : NULL;
    parser_expect(p, "=", "and a value");
    Ast *value = parser_expr(p);
    return parser_node(p, AST_BIND, loc, NULL, 3, e, type, value);
  }
  if (at(p, "<-")) {
    parser_take(p);
    parser_path(p, e);
    Ast *value = parser_expr(p);
    return parser_node(p, AST_UPDATE, loc, NULL, 2, e, value);
  }
  SirOp op = augmented(cur(p));
  if (!op) return e;
  const Token *t = parser_take(p);
  if (e->kind != AST_NAME)
    parser_fail(p, "aug-name", t->loc, "`%s` rebinds one name; a field or a slice is written with `<-`", t->text);
  Ast *value = parser_expr(p), *a = parser_node(p, AST_AUG, loc, NULL, 2, e, value);
  a->op = op;
  return a;
}

static Ast *statement(Parser *p) {
  const Token *t = cur(p), *after = parser_peek(p, 1);
  if (at(p, "fn") && is_name(after)) return parser_function(p, false);
  if (at(p, "if")) return conditional(p, true);
  if (at(p, "for")) {
    parser_take(p);
    Ast *names = pattern(p, primary(p));
    parser_expect(p, "in", "after the pattern of for");
    Ast *source = head(p), *body = loop_body(p);
    return parser_node(p, AST_FOR, t->loc, NULL, 3, names, source, body);
  }
  if (at(p, "while")) {
    parser_take(p);
    Ast *cond = head(p), *limit = NULL;
    if (parser_at_name(p, "max")) {
      parser_take(p);
      limit = head(p);
    }
    Ast *body = loop_body(p);
    return parser_node(p, AST_WHILE, t->loc, NULL, 3, cond, limit, body);
  }
  if (at(p, "return")) {
    parser_take(p);
    Ast *value = at(p, "}") || at(p, ";") || ended(p) ? NULL : parser_expr(p);
    return parser_node(p, AST_RETURN, t->loc, NULL, 1, value);
  }
  if (at(p, "assert")) return parser_assert(p);
  if (region_word(t) && is(after, "{")) return region(p);
  if (is_name(t) && (at(p, "param") || at(p, "state") || at(p, "own") || at(p, "tie")) && is_name(after) &&
      !first_of_line(p, parser_ahead(p, 1)))
    parser_fail(p, "stored-in-fn", t->loc, "`%s` stands in the body of a module or of the file", t->text);
  return simple_statement(p);
}

static Ast *conditional(Parser *p, bool is_statement) {
  if (!parser_enter(p)) return p->bad;
  Loc loc = parser_take(p)->loc;
  Ast *cond = head(p), *then = parser_block(p, "of the if"), *other = NULL;
  if (parser_accept(p, "else"))
    other = at(p, "if") ? conditional(p, is_statement) : parser_block(p, "of the else");
  else if (!is_statement)
    parser_fail(p, "if-needs-else", loc, "an `if` that is a value needs an `else`");
  parser_leave(p);
  return parser_node(p, AST_IF, loc, NULL, 3, cond, then, other);
}

/* ---- operators ---- */

Ast *parser_expr(Parser *p) {
  Loc loc = cur(p)->loc;
  Ast *left = binary(p, 1);
  if (!at(p, "..") || ended(p)) return left;
  parser_take(p);
  Ast *right = binary(p, 1);
  return parser_node(p, AST_RANGE, loc, NULL, 2, left, right);
}

Ast *parser_sum(Parser *p) { return binary(p, sir_op_strength(SIR_ADD)); }

static Ast *operation(Parser *p, AstKind kind, Loc loc, SirOp op, Ast *left, Ast *right) {
  Ast *a = kind == AST_UN ? parser_node(p, kind, loc, NULL, 1, left) : parser_node(p, kind, loc, NULL, 2, left, right);
  a->op = op;
  return a;
}

static Ast *negated(Parser *p, int least) {
  Loc loc = cur(p)->loc;
  if (least > sir_op_strength(SIR_NOT)) parser_fail(p, "not-parentheses", loc, "put parentheses around `not ...` here");
  if (!parser_enter(p)) return p->bad;
  parser_take(p);
  Ast *e = binary(p, sir_op_strength(SIR_NOT));
  parser_leave(p);
  return operation(p, AST_UN, loc, SIR_NOT, e, NULL);
}

static bool compares(SirOp op) { return op >= SIR_EQ && op <= SIR_GE; }

static Ast *binary(Parser *p, int least) {
  Loc loc = cur(p)->loc;
  Ast *left = at(p, "not") ? negated(p, least) : unary(p);
  for (;;) {
    SirOp op = binary_op(cur(p));
    if (!op || sir_op_strength(op) < least || ended(p)) return left;
    parser_take(p);
    Ast *right = binary(p, sir_op_strength(op) + 1);
    left = operation(p, AST_BIN, loc, op, left, right);
    if (compares(op) && compares(binary_op(cur(p))) && !ended(p))
      parser_fail(p, "chained", cur(p)->loc, "comparisons do not chain; join two with `and`");
  }
}

static Ast *unary(Parser *p) {
  Loc loc = cur(p)->loc;
  if (!parser_enter(p)) return p->bad;
  Ast *e;
  if (at(p, "-") || at(p, "~")) {
    SirOp op = is(parser_take(p), "-") ? SIR_NEG : SIR_INVERT;
    e = operation(p, AST_UN, loc, op, unary(p), NULL);
  } else {
    e = parser_postfix(p);
    if (at(p, "**") && !ended(p)) {
      parser_take(p);
      e = operation(p, AST_BIN, loc, SIR_POW, e, unary(p));
    }
  }
  parser_leave(p);
  return e;
}

/* ---- calls, indices, fields ---- */

static Ast *argument(Parser *p) {
  const Token *t = cur(p);
  if (!is_name(t) || !is(parser_peek(p, 1), "=")) return parser_expr(p);
  parser_name(p, "the name of an argument");
  parser_take(p);
  Ast *e = parser_expr(p);
  return parser_node(p, AST_NAMED, t->loc, t->text, 1, e);
}

static Ast *index_item(Parser *p) {
  const Token *t = cur(p);
  Ast *part[3] = {0};
  if (parser_accept(p, "...")) return parser_node(p, AST_REST, t->loc, NULL, 0);
  if (!at(p, ":")) {
    part[0] = parser_expr(p);
    if (part[0]->kind == AST_RANGE) parser_fail(p, "slice-range", t->loc, "a slice is written a:b");
    if (!at(p, ":")) return part[0];
  }
  for (int k = 1; k <= 2; k++)
    if (parser_accept(p, ":") && !at(p, ":") && !at(p, ",") && !at(p, "]")) part[k] = parser_expr(p);
  return parser_node(p, AST_SLICE, t->loc, NULL, 3, part[0], part[1], part[2]);
}

static Ast *call(Parser *p, Loc loc, Ast *callee) {
  Kids args = parser_brackets(p, argument, ")", "after an argument", NULL), all = {0};
  vec_reserve(p->arena, &all, args.n + 1);
  vec_push(p->arena, &all, callee);
  for (uint32_t k = 0; k < args.n; k++) {
    if (k && args.at[k - 1]->kind == AST_NAMED && args.at[k]->kind != AST_NAMED)
      parser_fail(p, "named-then-positional", args.at[k]->loc, "a positional argument follows a named one");
    vec_push(p->arena, &all, args.at[k]);
  }
  return parser_list(p, AST_CALL, loc, NULL, &all);
}

static Ast *indexed(Parser *p, Loc loc, Ast *base) {
  Loc opened = cur(p)->loc;
  Kids all = {0}, parts = parser_brackets(p, index_item, "]", "after an index", NULL);
  if (!parts.n) parser_fail(p, "index-missing", opened, "an index is missing");
  vec_reserve(p->arena, &all, parts.n + 1);
  vec_push(p->arena, &all, base);
  for (uint32_t k = 0; k < parts.n; k++) vec_push(p->arena, &all, parts.at[k]);
  return parser_list(p, AST_INDEX, loc, NULL, &all);
}

static Ast *field(Parser *p, Loc loc, Ast *base) {
  if (last(p)->kind == TOK_INT)
    parser_fail(p, "float-point", cur(p)->loc, "a float has digits on both sides of the point: %s.0", base->text);
  parser_take(p);
  const Token *t = cur(p);
  if (t->kind == TOK_INT || t->kind == TOK_FLOAT)
    parser_fail(p, "index-by-point", t->loc, "an element of a list or tuple is taken with [ ]");
  if (is_word(t)) parser_fail(p, "reserved-word", t->loc, "`%s` is reserved and cannot be a field", t->text);
  if (!is_name(t)) parser_unexpected(p, "expected a name after `.`");
  parser_take(p);
  return parser_node(p, AST_FIELD, loc, t->text, 1, base);
}

Ast *parser_postfix(Parser *p) {
  Loc loc = cur(p)->loc;
  Ast *e = primary(p);
  for (;;) {
    if (at(p, "(") && !ended(p))
      e = call(p, loc, e);
    else if (at(p, "[") && !ended(p))
      e = indexed(p, loc, e);
    else if (at(p, ".") && (!ended(p) || is_name(parser_peek(p, 1))))
      e = field(p, loc, e);
    else
      return e;
  }
}

/* ---- primaries ---- */

static Ast *element(Parser *p) { /* of a list: a value, or a whole comprehension */
  Ast *e = parser_expr(p);
  if (!at(p, "for")) {
    if (e->kind == AST_RANGE)
      parser_fail(p, "range-in-list", e->loc, "a range is a list already: write it without brackets");
    return e;
  }
  Kids parts = {0};
  vec_push(p->arena, &parts, e);
  while (at(p, "for")) {
    Loc loc = parser_take(p)->loc;
    Ast *names = pattern(p, primary(p));
    parser_expect(p, "in", "after the pattern of for");
    Ast *source = parser_expr(p);
    vec_push(p->arena, &parts, parser_node(p, AST_CFOR, loc, NULL, 2, names, source));
    while (at(p, "if")) {
      loc = parser_take(p)->loc;
      Ast *cond = parser_expr(p);
      vec_push(p->arena, &parts, parser_node(p, AST_CIF, loc, NULL, 1, cond));
    }
  }
  return p->comp = parser_list(p, AST_COMP, e->loc, NULL, &parts);
}

static Ast *list(Parser *p) {
  Loc loc = cur(p)->loc;
  Ast *outer = p->comp;
  p->comp = NULL;
  Kids all = parser_brackets(p, element, "]", "after an element", NULL);
  Ast *comp = p->comp;
  p->comp = outer;
  if (!comp || p->failed) return parser_list(p, AST_LIST, loc, NULL, &all);
  if (all.n > 1) parser_fail(p, "comp-alone", loc, "a comprehension stands alone in its brackets");
  comp->loc = loc;
  comp->end = last(p)->loc + last(p)->n;
  return comp;
}

static Ast *pair(Parser *p) {
  const Token *t = cur(p), *after = parser_peek(p, 1);
  if (parser_accept(p, "...")) {
    Ast *e = parser_postfix(p);
    return parser_node(p, AST_SPREAD, t->loc, NULL, 1, e);
  }
  if (t->kind == TOK_STRING || (is_name(t) && is(after, ":")))
    parser_fail(p, "record-field", t->loc, "a field of a record is written name = value");
  const Token *name = parser_name(p, "the name of a field");
  if (at(p, "[") || at(p, "(") || at(p, ".") || binary_op(cur(p)))
    parser_fail(p, "record-brace", name->loc, "a `{` here opens a record: {a = 1, b}");
  Ast *value = parser_accept(p, "=") ? parser_expr(p) : NULL;
  return parser_node(p, AST_PAIR, t->loc, name->text, 1, value);
}

static Ast *number(Parser *p) {
  const Token *t = parser_take(p);
  Ast *a = parser_node(p, t->kind == TOK_INT ? AST_INT : AST_FLOAT, t->loc,
                       str_intern_n(p->names, p->text + t->at, t->n), 0);
  if (t->kind == TOK_INT)
    a->u.i = t->u.i;
  else
    a->u.f = t->u.f;
  return a;
}

static Ast *primary(Parser *p) {
  const Token *t = cur(p);
  if (t->kind == TOK_INT || t->kind == TOK_FLOAT) return number(p);
  if (t->kind == TOK_STRING) return parser_string(p);
  if (is_name(t)) {
    if (region_word(t) && is(parser_peek(p, 1), "{") && !p->header) return region(p);
    if (word_class(t) == WORD_FOREIGN) parser_unexpected(p, "expected an expression");
    if (is(t, "_") && !p->hole) p->hole = t;
    parser_take(p);
    return parser_node(p, AST_NAME, t->loc, t->text, 0);
  }
  if (at(p, "self")) {
    parser_take(p);
    return parser_node(p, AST_NAME, t->loc, t->text, 0);
  }
  if (at(p, "none")) {
    parser_take(p);
    return parser_node(p, AST_NONE, t->loc, NULL, 0);
  }
  if (at(p, "true") || at(p, "false")) {
    parser_take(p);
    Ast *a = parser_node(p, AST_BOOL, t->loc, NULL, 0);
    a->u.i = is(t, "true");
    return a;
  }
  if (at(p, "fn")) return parser_function(p, true);
  if (at(p, "if")) return conditional(p, false);
  if (at(p, "(")) {
    bool comma;
    Kids all = parser_brackets(p, parser_expr, ")", "after an element", &comma);
    return all.n == 1 && !comma ? all.at[0] : parser_list(p, AST_TUPLE, t->loc, NULL, &all);
  }
  if (at(p, "[")) return list(p);
  if (at(p, "{")) {
    Kids all = parser_brackets(p, pair, "}", "after a field of a record", NULL);
    return parser_list(p, AST_RECORD, t->loc, NULL, &all);
  }
  if (at(p, ".")) parser_fail(p, "float-point", t->loc, "a float has digits on both sides of the point: 0.5");
  parser_unexpected(p, "expected an expression");
  return p->bad;
}

/* ---- strings ---- */

/* Parses the text between the braces of a string as an expression; goes back to the outer text. */
static Ast *string_value(Parser *p, const char *text, size_t n, Loc base) {
  Parser outer = *p;
  size_t blank = 0;
  while (blank < n && text[blank] == ' ') blank++;
  if (blank == n) {
    parser_fail(p, "string-brace", base - 1, "a brace in a string is written `{{`; {x} prints x");
    return p->bad;
  }
  parser_sub(p, text, n, base);
  p->in_string = true;
  p->nest = 1;
  p->header = false;
  Ast *e = parser_expr(p);
  if (cur(p)->kind != TOK_END) parser_unexpected(p, "expected `}`");
  Parser inner = *p;
  *p = outer;
  p->errors.at = inner.errors.at;
  p->errors.n = inner.errors.n;
  p->errors.cap = inner.errors.cap;
  p->hole = inner.hole;
  if (inner.failed) {
    p->failed = true;
    p->stopped = outer.i;
    p->i = p->end;
  }
  return e;
}

Ast *parser_string(Parser *p) {
  const Token *t = parser_take(p);
  const char *s = p->text + t->at;
  Kids parts = {0};
  Buf piece = {0};
  bool plain = true;
  for (uint32_t k = 1; k + 1 < t->n && !p->failed; k++) {
    char c = s[k], next = k + 2 < t->n ? s[k + 1] : 0;
    if (c == '\\') {
      k++;
      buf_write(&piece, next == 'n' ? "\n" : next == 't' ? "\t" : &next, 1);
    } else if ((c == '{' || c == '}') && next == c) {
      k++;
      buf_write(&piece, &c, 1);
    } else if (c == '}') {
      parser_fail(p, "string-brace", t->loc + k, "a brace in a string is written `}}`");
    } else if (c == '{') {
      const char *end = memchr(s + k, '}', t->n - k);
      if (!end) {
        parser_fail(p, "string-brace", t->loc + k, "a brace in a string is written `{{`; {x} prints x");
        break;
      }
      plain = false;
      if (piece.n)
        vec_push(p->arena, &parts, parser_node(p, AST_TEXT, t->loc, str_intern_n(p->names, piece.at, piece.n), 0));
      piece.n = 0;
      vec_push(p->arena, &parts, string_value(p, s + k + 1, (size_t)(end - s) - k - 1, t->loc + k + 1));
      k = (uint32_t)(end - s);
    } else {
      buf_write(&piece, &c, 1);
    }
  }
  const char *text = str_intern_n(p->names, piece.at ? piece.at : "", piece.n);
  if (piece.n) vec_push(p->arena, &parts, parser_node(p, AST_TEXT, t->loc, text, 0));
  buf_free(&piece);
  return parser_list(p, AST_STR, t->loc, plain ? text : NULL, &parts);
}
