#include "parse.h"
#include "sir_parser.h"
#include <stdlib.h>

#define OPERATORS                                                                                                      \
  "... **= //= <<= >>= .. -> <- ** // << >> <= >= == != += -= *= /= %= @= &= |= ^= + - * / % @ & | ^ ~ < > = ( ) [ ] " \
  "{ } , ; : . && || !"
enum { MAX_BYTES = 64 << 20 };

static const char *const reserved[] = {"fn",  "module", "entry", "if",   "else",   "for", "while",
                                       "in",  "return", "const", "use",  "assert", "and", "or",
                                       "not", "true",   "false", "none", "self"};
static const char *const foreign[][2] = {/* words of other languages, and what SIR says */
                                         {"None", "`none`"},
                                         {"True", "`true`"},
                                         {"False", "`false`"},
                                         {"def", "`fn name(x) { ... }`"},
                                         {"lambda", "`fn(x) { ... }`"},
                                         {"class", "`module Name(...) { ... }`"},
                                         {"elif", "`else if`"},
                                         {"import", "`use name`"},
                                         {"is", "`==`"},
                                         {"pass", "an empty block `{ }`"},
                                         {"break", "`while c { ... }`; a static loop has no early end"},
                                         {"continue", "`if c { ... }` around the rest of the body"},
                                         {"null", "`none`"}};
#define COUNT(a) (sizeof(a) / sizeof *(a))

/* ---- errors ---- */

static void record(Parser *p, const char *id, Loc loc, const char *text) {
  if (p->errors.n < MAX_ERRORS) vec_push(p->arena, &p->errors, (ParseError){id, text, loc});
}

__attribute__((format(printf, 4, 5))) static void lexical(Parser *p, const char *id, Loc loc, const char *fmt, ...) {
  if (p->errors.n >= MAX_ERRORS) return;
  va_list ap;
  va_start(ap, fmt);
  record(p, id, loc, arena_vprintf(p->arena, fmt, ap));
  va_end(ap);
}

void parser_fail(Parser *p, const char *id, Loc loc, const char *fmt, ...) {
  if (p->failed) return;
  va_list ap;
  va_start(ap, fmt);
  record(p, id, loc, arena_vprintf(p->arena, fmt, ap));
  va_end(ap);
  p->failed = true;
  p->stopped = p->i;
  p->i = p->end;
}

static const char *show(Parser *p, const Token *t) {
  if (t->kind == TOK_END) return p->in_string ? "`}`" : "the end of the file";
  size_t n = t->n > 40 ? 40 : t->n;
  while (n < t->n && n && (p->text[t->at + n] & 0xC0) == 0x80) n--; /* not inside a character */
  return arena_printf(p->arena, "`%.*s%s`", (int)n, p->text + t->at, n < t->n ? "..." : "");
}

static const char *spelled_here(const Token *t) {
  if (word_class(t) == WORD_FOREIGN)
    for (size_t k = 0; k < COUNT(foreign); k++)
      if (is(t, foreign[k][0])) return foreign[k][1];
  return NULL;
}

void parser_unexpected(Parser *p, const char *fmt, ...) {
  if (p->failed) return;
  const Token *t = cur(p), *word[] = {last(p), t};
  for (int k = 0; k < 2; k++)
    if (spelled_here(word[k])) {
      parser_fail(p, "foreign-word", word[k]->loc, "`%s` is not SIR; write %s", word[k]->text, spelled_here(word[k]));
      return;
    }
  va_list ap;
  va_start(ap, fmt);
  const char *expected = arena_vprintf(p->arena, fmt, ap);
  va_end(ap);
  bool new_line = on_new_line(p), end = !strncmp(expected, "expected the end", 16);
  if (is(t, ":") && strstr(expected, "`{`"))
    parser_fail(p, "body-braces", t->loc, "a body stands in braces `{ }`");
  else if (is(t, "=") && !strstr(expected, "`:`"))
    parser_fail(p, "equals-compares", t->loc, "`=` binds a name, as a statement; to compare write `==`");
  else if (is(t, "<-"))
    parser_fail(p, "arrow-less", t->loc, "`<-` updates, as a statement; for less-than with a minus write `< -`");
  else if (is(t, "->"))
    parser_fail(p, "arrow-place", t->loc, "`->` stands after the parameters of fn and entry");
  else if (is(t, ",") && (end || !strncmp(expected, "expected `in`", 13)))
    parser_fail(p, "bare-tuple", t->loc, "a tuple stands in parentheses: (a, b)");
  else if (is(t, "if") && !new_line && !strstr(expected, "type"))
    parser_fail(p, "if-postfix", t->loc, "`if` comes first: if c { a } else { b }");
  else if (is(t, "for") && !new_line)
    parser_fail(p, "for-postfix", t->loc, "a comprehension stands in brackets: [f(x) for x in xs]");
  else
    parser_fail(p, "unexpected", t->loc, "%s, found %s", expected, show(p, t));
}

bool parser_enter(Parser *p) {
  if (p->depth >= AST_DEPTH) {
    parser_fail(p, "too-deep", cur(p)->loc, "this is nested too deeply: SIR reads %d levels; bind parts of it to names",
                AST_DEPTH);
    return false;
  }
  if (p->failed) return false;
  p->depth++;
  return true;
}

void parser_leave(Parser *p) { p->depth--; }

Loc parser_seen(Parser *p, Seen *s, const char *name, Loc loc) {
  if (s->n * 2 >= s->cap) {
    Seen old = *s;
    *s = (Seen){.cap = old.cap ? old.cap * 2 : 16};
    s->name = ARENA_ARRAY(p->arena, const char *, s->cap);
    s->loc = ARENA_ARRAY(p->arena, Loc, s->cap);
    for (uint32_t k = 0; k < old.cap; k++)
      if (old.name[k]) parser_seen(p, s, old.name[k], old.loc[k]);
  }
  uint32_t k = (uint32_t)hash_bytes(&name, sizeof name, 0) & (s->cap - 1);
  for (; s->name[k]; k = (k + 1) & (s->cap - 1))
    if (s->name[k] == name) return s->loc[k];
  s->name[k] = name;
  s->loc[k] = loc;
  s->n++;
  return 0;
}

/* ---- tokens ---- */

static uint32_t significant(const Token *tok, uint32_t i) {
  while (tok[i].kind == TOK_NL || tok[i].kind == TOK_COMMENT) i++;
  return i;
}

uint32_t parser_ahead(const Parser *p, int k) {
  uint32_t i = p->i;
  while (k-- > 0 && i < p->end) i = significant(p->tok, i + 1);
  return i;
}

const Token *parser_peek(const Parser *p, int k) { return &p->tok[parser_ahead(p, k)]; }

const Token *parser_take(Parser *p) {
  const Token *t = cur(p);
  if (p->i < p->end) {
    p->prev = p->i;
    p->i = significant(p->tok, p->i + 1);
  }
  return t;
}

bool parser_at_name(const Parser *p, const char *text) { return is_name(cur(p)) && at(p, text); }

bool parser_accept(Parser *p, const char *text) {
  if (!at(p, text)) return false;
  parser_take(p);
  return true;
}

const Token *parser_expect(Parser *p, const char *text, const char *what) {
  if (at(p, text)) return parser_take(p);
  parser_unexpected(p, "expected `%s` %s", text, what);
  return cur(p);
}

const Token *parser_name(Parser *p, const char *what) {
  const Token *t = cur(p);
  if (is_name(t) && word_class(t) == WORD_PLAIN && !is(t, "_")) return parser_take(p);
  if (is_word(t)) {
    parser_fail(p, "reserved-word", t->loc, "`%s` is reserved and cannot be %s", t->text, what);
    return cur(p);
  }
  parser_unexpected(p, "expected %s", what);
  return cur(p);
}

/* What kind of word or operator it is, once, so that the parser need not compare texts for it. */
static void classify(Token *t) {
  t->u.i = 0;
  if (t->kind == TOK_NAME) {
    for (size_t k = 0; k < COUNT(reserved); k++)
      if (!strcmp(t->text, reserved[k])) t->u.i = WORD_RESERVED << 8;
    for (size_t k = 0; k < COUNT(foreign); k++)
      if (!strcmp(t->text, foreign[k][0])) t->u.i = WORD_FOREIGN << 8;
    if (!t->u.i) return;
  }
  for (int op = 1; op < SIR_OP_COUNT; op++)
    if (op != SIR_NOT && op != SIR_NEG && op != SIR_INVERT && !strcmp(t->text, sir_op_text(op))) t->u.i |= (uint64_t)op;
}

/* Says why a number is none: its digits are well placed, or they are not. */
static void bad_number(Parser *p, const Token *t) {
  const char *s = p->text + t->at;
  bool hex = t->n > 2 && s[0] == '0' && (s[1] == 'x' || s[1] == 'X') && s[2] != '_', whole = s[t->n - 1] != '_';
  for (uint32_t k = hex ? 2 : 0; k < t->n && whole; k++)
    whole = s[k] == '_' ? s[k + 1] != '_' : strchr(hex ? "0123456789abcdefABCDEF" : "0123456789", s[k]) != NULL;
  if (whole)
    lexical(p, "number-range", t->loc, "%s does not fit in 64 bits", show(p, t));
  else
    lexical(p, "not-a-number", t->loc, "%s is not a number", show(p, t));
}

static void check_escapes(Parser *p, const Token *t) {
  for (uint32_t k = 1; k + 1 < t->n; k++)
    if (p->text[t->at + k] == '\\' && !strchr("nt\"\\", p->text[t->at + ++k]))
      lexical(p, "string-escape", t->loc + k - 1, "an escape is one of \\n, \\t, \\\" and \\\\");
}

/* Reports a token that is none and makes the best of it. False: leave it out. */
static bool repair(Parser *p, Token *t) {
  char c = p->text[t->at];
  if (c >= '0' && c <= '9') {
    bad_number(p, t);
    t->kind = TOK_INT;
    t->u.i = 0;
    return true;
  }
  if (c == '"') {
    lexical(p, "string-open", t->loc, "this string is not closed on its line");
    t->kind = TOK_INT; /* a value, without text to look into */
    return true;
  }
  if (c == '\'') {
    size_t k = t->at + 1;
    while (k < p->n && p->text[k] != '\'' && p->text[k] != '\n') k++;
    t->n = (uint32_t)(k - t->at) + (k < p->n && p->text[k] == '\'');
    lexical(p, "string-quotes", t->loc, "a string stands in double quotes");
    t->kind = TOK_INT;
    return true;
  }
  if (c & 0x80)
    lexical(p, "bad-character", t->loc, "%s stands only in strings and comments; names are ASCII", show(p, t));
  else if (c > ' ' && c < 0x7f)
    lexical(p, "bad-character", t->loc, "`%c` is not a character of SIR", c);
  else
    lexical(p, "bad-character", t->loc, "the byte 0x%02x is not a character of SIR", (unsigned char)c);
  return false;
}

void parser_sub(Parser *p, const char *text, size_t n, Loc base) {
  Tokens v = lex(p->arena, p->names, base, text, n, OPERATORS);
  p->text = text;
  p->n = n;
  uint32_t out = 0;
  size_t taken = 0; /* bytes before this belong to a repaired token */
  for (uint32_t k = 0; k < v.n; k++) {
    Token t = v.at[k];
    if (t.at < taken) continue;
    if (t.kind == TOK_BAD) {
      if (text[t.at] & 0x80)
        while (t.at + t.n < n && (text[t.at + t.n] & 0xC0) == 0x80) t.n++;
      bool kept = repair(p, &t);
      taken = t.at + t.n;
      if (!kept) continue;
    } else if (t.kind == TOK_STRING) {
      check_escapes(p, &t);
    } else if (t.kind == TOK_FLOAT && t.u.f > 1.7976931348623157e308) {
      lexical(p, "number-range", t.loc, "%s does not fit in 64 bits", show(p, &t));
    } else if (t.kind == TOK_OP && (is(&t, "&&") || is(&t, "||") || is(&t, "!"))) {
      const char *word = is(&t, "&&") ? "and" : is(&t, "||") ? "or" : "not";
      lexical(p, "foreign-operator", t.loc, "`%s` is `%s` in SIR", t.text, word);
      t.kind = TOK_NAME;
      t.text = str_intern(p->names, word);
    }
    if (t.kind == TOK_NAME || t.kind == TOK_OP) classify(&t);
    v.at[out++] = t;
  }
  p->tok = v.at;
  p->end = out - 1;
  p->i = significant(p->tok, 0);
  p->prev = p->i;
}

/* ---- nodes ---- */

static Ast *finish(Parser *p, AstKind kind, Loc loc, const char *text, uint32_t n, Ast **kids) {
  if (p->failed) return p->bad;
  uint32_t depth = 0;
  for (uint32_t k = 0; k < n; k++)
    if (kids[k] && kids[k]->depth > depth) depth = kids[k]->depth;
  if (depth >= AST_DEPTH) {
    parser_fail(p, "too-deep", loc, "this is nested too deeply: SIR reads %d levels; bind parts of it to names",
                AST_DEPTH);
    return p->bad;
  }
  Ast *a = ARENA_NEW(p->arena, Ast);
  *a = (Ast){.kind = (uint8_t)kind, .depth = (uint16_t)(depth + 1), .nkids = n, .kids = kids, .text = text, .loc = loc};
  a->end = last(p)->loc + last(p)->n;
  return a;
}

Ast *parser_node(Parser *p, AstKind kind, Loc loc, const char *text, int n, ...) {
  if (p->failed) return p->bad;
  Ast **kids = n ? ARENA_ARRAY(p->arena, Ast *, n) : NULL;
  va_list ap;
  va_start(ap, n);
  for (int k = 0; k < n; k++) kids[k] = va_arg(ap, Ast *);
  va_end(ap);
  return finish(p, kind, loc, text, (uint32_t)n, kids);
}

Ast *parser_list(Parser *p, AstKind kind, Loc loc, const char *text, const Kids *kids) {
  return finish(p, kind, loc, text, kids->n, kids->at);
}

Kids parser_brackets(Parser *p, Ast *(*item)(Parser *), const char *close, const char *what, bool *comma) {
  const Token *opened = parser_take(p);
  int nest = p->nest;
  bool header = p->header;
  p->nest = 1;
  p->header = false;
  Kids out = {0};
  while (!at(p, close) && !p->failed) {
    vec_push(p->arena, &out, item(p));
    if (parser_accept(p, ",")) continue;
    if (at(p, close)) break;
    if (cur(p)->kind == TOK_END || (on_new_line(p) && is_word(cur(p))))
      parser_fail(p, "not-closed", opened->loc, "this `%s` is not closed", opened->text);
    else
      parser_unexpected(p, "expected `,` or `%s` %s", close, what);
  }
  p->nest = nest;
  p->header = header;
  if (comma) *comma = is(last(p), ",");
  parser_take(p);
  return out;
}

/* The `##` lines before token i. Every line end and comment before it is looked at once for each that asks. */
static const char *doc_before(Parser *p, uint32_t i) {
  uint32_t from = i;
  while (from > 0 && (p->tok[from - 1].kind == TOK_NL || p->tok[from - 1].kind == TOK_COMMENT)) from--;
  Buf b = {0};
  for (; from < i; from++) {
    const Token *t = &p->tok[from];
    const char *s = p->text + t->at, *e = s + t->n;
    if (t->kind != TOK_COMMENT || t->n < 2 || s[1] != '#' || !first_of_line(p, from)) continue;
    for (s += 2; s < e && strchr(" \t\r", *s);) s++;
    while (e > s && strchr(" \t\r", e[-1])) e--;
    if (b.at) buf_put(&b, "\n");
    buf_write(&b, s, (size_t)(e - s));
  }
  const char *doc = b.at ? arena_strndup(p->arena, b.at, b.n) : NULL;
  buf_free(&b);
  return doc;
}

/* Reads `"path":12:5`; anything else after `#@` is a comment. */
void parser_place(Parser *p, Ast *a) {
  if (p->failed) return;
  const Token *t = &p->tok[p->prev + 1];
  if (t->kind != TOK_COMMENT || t->n < 3 || p->text[t->at + 1] != '@') return;
  char *s = arena_strndup(p->arena, p->text + t->at + 2, t->n - 2), *end;
  while (*s == ' ') s++;
  char *quote = strrchr(s, '"');
  if (*s != '"' || quote == s || quote[1] != ':') return;
  long line = strtol(quote + 2, &end, 10);
  if (*end != ':') return;
  long col = strtol(end + 1, &end, 10);
  if (line < 1 || line > INT32_MAX || col < 1 || col > INT32_MAX || (*end && !strchr(" \r", *end))) return;
  *quote = 0;
  a->place = diag_foreign(p->diag, s + 1, (int)line, (int)col);
}

/* ---- types ---- */

static Ast *type_field(Parser *p) {
  uint32_t first = p->i;
  const Token *name = parser_name(p, "the name of a field");
  parser_expect(p, ":", "and the type of the field");
  Ast *type = parser_type(p), *a = parser_node(p, AST_T_FIELD, name->loc, name->text, 1, type);
  a->doc = p->failed ? NULL : doc_before(p, first);
  return a;
}

static Ast *list_type(Parser *p) {
  Loc loc = cur(p)->loc;
  Ast *type = parser_type(p);
  parser_expect(p, ";", "and the length: a list type is [f32[B]; 4]");
  return parser_node(p, AST_T_LIST, loc, NULL, 2, type, parser_sum(p));
}

static Ast *dim(Parser *p) {
  Loc loc = cur(p)->loc;
  if (parser_accept(p, "...")) return parser_node(p, AST_REST, loc, NULL, 0);
  if (parser_accept(p, "_")) return parser_node(p, AST_ANY, loc, NULL, 0);
  if (parser_accept(p, "=")) {
    Ast *e = parser_sum(p);
    return parser_node(p, AST_GIVEN, loc, NULL, 1, e);
  }
  return parser_sum(p);
}

static Ast *named_type(Parser *p) {
  Loc loc = cur(p)->loc;
  const char *text = parser_name(p, "a type")->text;
  while (at(p, ".") && !ended(p)) {
    parser_take(p);
    const char *step = parser_name(p, "a name after `.`")->text;
    if (p->failed) return p->bad;
    text = str_intern(p->names, arena_printf(p->arena, "%s.%s", text, step));
  }
  if (!at(p, "[") || ended(p)) return parser_node(p, AST_T_NAME, loc, text, 0);
  Kids dims = parser_brackets(p, dim, "]", "after a dimension", NULL);
  int rests = 0;
  for (uint32_t k = 0; k < dims.n; k++) rests += dims.at[k]->kind == AST_REST;
  if (rests > 1) parser_fail(p, "two-rests", loc, "a shape takes one `...`");
  return parser_list(p, AST_T_TENSOR, loc, text, &dims);
}

Ast *parser_type(Parser *p) {
  if (!parser_enter(p)) return p->bad;
  Loc loc = cur(p)->loc;
  Ast *a;
  if (at(p, "{")) {
    Kids fields = parser_brackets(p, type_field, "}", "after a field", NULL);
    a = parser_list(p, AST_T_RECORD, loc, NULL, &fields);
  } else if (at(p, "(")) {
    bool comma;
    Kids kinds = parser_brackets(p, parser_type, ")", "after a type", &comma);
    if (kinds.n == 1 && !comma) parser_fail(p, "tuple-type", loc, "a tuple type of one has a comma: (f32[],)");
    a = parser_list(p, AST_T_TUPLE, loc, NULL, &kinds);
  } else if (at(p, "[")) {
    Kids one = parser_brackets(p, list_type, "]", "after the length", NULL);
    if (one.n != 1) parser_fail(p, "list-type", loc, "a list type has one type and a length: [f32[B]; 4]");
    a = p->failed ? p->bad : one.at[0];
    a->loc = loc;
    a->end = last(p)->loc + last(p)->n;
  } else if (at(p, "fn")) {
    const char *text = parser_take(p)->text;
    a = parser_node(p, AST_T_NAME, loc, text, 0);
  } else {
    a = named_type(p);
  }
  parser_leave(p);
  return a;
}

/* ---- functions ---- */

static Ast *parameter(Parser *p) {
  uint32_t index = p->i;
  const Token *first = cur(p);
  AstKind kind = AST_ARG;
  if ((parser_at_name(p, "inout") || parser_at_name(p, "dim")) && is_name(parser_peek(p, 1))) {
    kind = at(p, "dim") ? AST_ARG_DIM : AST_ARG_INOUT;
    parser_take(p);
    if (!p->entry)
      parser_fail(p, "mode-in-fn", first->loc, "`%s` stands only in the parameters of an entry", first->text);
  }
  const Token *name = parser_name(p, "the name of a parameter");
  Ast *type = parser_accept(p, ":") ? parser_type(p) : NULL;
  Ast *start = parser_accept(p, "=") ? parser_expr(p) : NULL;
  if (p->failed) return p->bad;
  if (p->entry && !type && kind != AST_ARG_DIM)
    parser_fail(p, "entry-type", name->loc, "`%s` needs a type: the C caller sees it", name->text);
  if (p->entry && type && kind == AST_ARG_DIM) parser_fail(p, "dim-type", name->loc, "a `dim` has no type");
  if (p->entry && start)
    parser_fail(p, "entry-default", name->loc, "a parameter of an entry has no default: the C caller gives them all");
  if (!p->failed && parser_seen(p, p->params, name->text, name->loc))
    parser_fail(p, "two-parameters", name->loc, "two parameters are called `%s`", name->text);
  if (!start && p->has_default)
    parser_fail(p, "default-order", name->loc, "`%s` has no default but follows one that has", name->text);
  p->has_default |= start != NULL;
  Ast *a = parser_node(p, kind, name->loc, name->text, 2, type, start);
  a->doc = p->failed ? NULL : doc_before(p, index);
  return a;
}

static Ast *parameters(Parser *p, bool entry) {
  Loc loc = cur(p)->loc;
  if (!at(p, "(")) {
    parser_unexpected(p, "expected `(` and the parameters");
    return p->bad;
  }
  bool outer_entry = p->entry, outer_default = p->has_default;
  Seen *outer = p->params, seen = {0};
  p->entry = entry;
  p->has_default = false;
  p->params = &seen;
  Kids kids = parser_brackets(p, parameter, ")", "after a parameter", NULL);
  p->entry = outer_entry;
  p->has_default = outer_default;
  p->params = outer;
  return parser_list(p, AST_ARGS, loc, NULL, &kids);
}

static Ast *where(Parser *p) {
  Loc loc = cur(p)->loc;
  if (!parser_at_name(p, "where")) return NULL;
  parser_take(p);
  int nest = p->nest;
  bool header = p->header;
  p->nest = 0;
  p->header = true;
  Kids facts = {0};
  do vec_push(p->arena, &facts, parser_expr(p));
  while (parser_accept(p, ","));
  p->nest = nest;
  p->header = header;
  return parser_list(p, AST_WHERE, loc, NULL, &facts);
}

Ast *parser_function(Parser *p, bool value) {
  const Token *t = parser_take(p), *after = cur(p);
  const char *name = NULL;
  if (value && is_name(after))
    parser_fail(p, "fn-value-name", after->loc, "a function that is a value has no name: f = fn(x) { ... }");
  if (!at(p, "(")) name = parser_name(p, "the name of a function")->text;
  Ast *params = parameters(p, false);
  Ast *result = parser_accept(p, "->") ? parser_type(p) : NULL, *facts = where(p);
  Ast *body = parser_block(p, "of the function"), *rule = NULL;
  if (name && parser_at_name(p, "vjp") && is(parser_peek(p, 1), "(")) {
    Loc loc = parser_take(p)->loc;
    Ast *args = parameters(p, false), *block = parser_block(p, "of the vjp");
    rule = parser_node(p, AST_VJP, loc, NULL, 2, args, block);
  }
  return parser_node(p, AST_FN, t->loc, name, 5, params, result, facts, body, rule);
}

/* ---- declarations ---- */

static Ast *use(Parser *p) {
  Loc loc = parser_take(p)->loc;
  Kids out = {0};
  do {
    const Token *t = cur(p);
    if (t->kind == TOK_STRING) {
      Ast *file = parser_string(p);
      if (!file->text) parser_fail(p, "use-file", t->loc, "the path of a file is a string without values in it");
      if (!parser_at_name(p, "as")) parser_unexpected(p, "expected `as name` after the file");
      parser_take(p);
      const char *name = parser_name(p, "the file's name here")->text;
      vec_push(p->arena, &out, parser_node(p, AST_USE_FILE, t->loc, name, 1, file));
    } else {
      parser_name(p, "a namespace of the library or a file in quotes");
      vec_push(p->arena, &out, parser_node(p, AST_NAME, t->loc, t->text, 0));
    }
  } while (parser_accept(p, ","));
  return parser_list(p, AST_USE, loc, NULL, &out);
}

static Ast *constant(Parser *p) {
  Loc loc = parser_take(p)->loc;
  const char *name = parser_name(p, "the name of a constant")->text;
  Ast *type = parser_accept(p, ":") ? parser_type(p) : NULL;
  parser_expect(p, "=", "and a value");
  Ast *value = parser_expr(p);
  return parser_node(p, AST_CONST, loc, name, 2, type, value);
}

static Ast *renamed(Parser *p) {
  if (!parser_at_name(p, "as") || ended(p)) return NULL;
  parser_take(p);
  if (cur(p)->kind == TOK_STRING) return parser_string(p);
  parser_unexpected(p, "expected a name in quotes after `as`");
  return NULL;
}

static Ast *stored(Parser *p) { /* param and state */
  const Token *t = parser_take(p);
  bool param = is(t, "param");
  AstKind kind = param ? AST_PARAM : AST_STATE;
  if (at(p, "(")) {
    if (!is(parser_peek(p, 1), "local") || !is(parser_peek(p, 2), ")"))
      parser_fail(p, "state-form", parser_peek(p, 1)->loc, "`state(local)` is the only form with parentheses");
    for (int k = 0; k < 3; k++) parser_take(p);
    kind = AST_STATE_LOCAL;
  }
  const char *name = parser_name(p, param ? "the name of a param" : "the name of a state")->text;
  Ast *type = parser_accept(p, ":") ? parser_type(p) : NULL;
  if (param && !type) parser_unexpected(p, "expected `:` and the type of the param");
  Ast *value = parser_accept(p, "=") ? parser_expr(p) : NULL;
  if (!type && !value) parser_unexpected(p, "expected `:` and a type, or `=` and a value");
  Ast *as = renamed(p), *cond = NULL;
  if (at(p, "if") && !ended(p)) {
    parser_take(p);
    cond = parser_expr(p);
  }
  return parser_node(p, kind, t->loc, name, 4, type, value, as, cond);
}

static Ast *items(Parser *p, const char *module);

static Ast *module(Parser *p) {
  Loc loc = parser_take(p)->loc;
  const char *name = parser_name(p, "the name of a module")->text;
  Ast *params = parameters(p, false);
  parser_expect(p, "{", "and the body of the module");
  if (p->failed) return p->bad;
  uint32_t before = p->errors.n;
  Ast *body = items(p, name);
  if (cur(p)->kind == TOK_END && p->errors.n == before)
    parser_fail(p, "module-open", loc, "the `{` of module %s is not closed", name);
  parser_accept(p, "}"); /* absent only after an error inside */
  body->end = last(p)->loc + last(p)->n;
  return parser_node(p, AST_MODULE, loc, name, 2, params, body);
}

static Ast *entry(Parser *p) {
  Loc loc = parser_take(p)->loc;
  const char *name = parser_name(p, "the name of an entry")->text;
  Ast *params = parameters(p, true);
  Ast *result = parser_accept(p, "->") ? parser_type(p) : NULL, *facts = where(p), *mode = NULL;
  if (parser_at_name(p, "train") || parser_at_name(p, "eval")) {
    const Token *t = parser_take(p);
    mode = parser_node(p, AST_MODE, t->loc, t->text, 0);
  }
  Ast *body = parser_block(p, "of the entry");
  return parser_node(p, AST_ENTRY, loc, name, 5, params, result, facts, mode, body);
}

static Ast *tie(Parser *p) {
  Loc loc = parser_take(p)->loc;
  Ast *left = parser_path(p, parser_postfix(p));
  parser_expect(p, "=", "between the two paths of tie");
  Ast *right = parser_path(p, parser_postfix(p));
  return parser_node(p, AST_TIE, loc, NULL, 2, left, right);
}

static Ast *field(Parser *p, Loc loc, const Ast *name) {
  if (name->kind != AST_NAME || !strcmp(name->text, "self")) parser_fail(p, "field-name", loc, "a field is one name");
  Ast *type = parser_accept(p, ":") ? parser_type(p) : NULL;
  parser_expect(p, "=", "and a value");
  Ast *value = parser_expr(p), *as = renamed(p);
  return parser_node(p, AST_FIELD_DECL, loc, name->text, 3, type, value, as);
}

static Ast *declaration(Parser *p) {
  const Token *t = cur(p), *after = parser_peek(p, 1);
  bool named = is_name(t) && is_name(after);
  if (at(p, "use")) return use(p);
  if (at(p, "const")) return constant(p);
  if (at(p, "module")) return module(p);
  if (at(p, "entry")) return entry(p);
  if (at(p, "fn") && !is(after, "(")) return parser_function(p, false);
  if (at(p, "assert")) return parser_assert(p);
  if ((named && (at(p, "param") || at(p, "state"))) || (at(p, "state") && is(after, "("))) return stored(p);
  if (named && at(p, "own")) {
    parser_take(p);
    const char *name = parser_name(p, "a constructor argument")->text;
    Ast *as = renamed(p);
    return parser_node(p, AST_OWN, t->loc, name, 1, as);
  }
  if (named && at(p, "tie")) return tie(p);
  if (at(p, "return") || at(p, "for") || at(p, "while") || at(p, "if"))
    parser_fail(p, "inside-fn-only", t->loc, "`%s` stands inside fn and entry; here stand declarations", t->text);
  parser_continues(p);
  Ast *e = parser_expr(p);
  if (at(p, ":") || at(p, "=")) return field(p, t->loc, e);
  if (at(p, "<-"))
    parser_fail(p, "inside-fn-only", cur(p)->loc, "an update stands inside fn and entry; here stand declarations");
  if (e->kind == AST_CALL) return e;
  if (cur(p) == t || !ended(p)) parser_unexpected(p, "expected a declaration");
  parser_fail(p, "not-declaration", t->loc, "expected a declaration: a value alone has no effect here");
  return p->bad;
}

static void declare(Parser *p, Seen *seen, const Ast *a) {
  static const uint8_t named[] = {AST_CONST, AST_MODULE, AST_ENTRY,       AST_FN,  AST_FIELD_DECL,
                                  AST_PARAM, AST_STATE,  AST_STATE_LOCAL, AST_OWN, AST_USE_FILE};
  for (uint32_t k = 0; a->kind == AST_USE && k < a->nkids; k++) declare(p, seen, a->kids[k]);
  if (a->kind != AST_NAME && !memchr(named, a->kind, sizeof named)) return;
  Loc first = parser_seen(p, seen, a->text, a->loc);
  Place at;
  if (first && diag_place(p->diag, first, &at))
    parser_fail(p, "declared-twice", a->loc, "`%s` is declared twice; first on line %d", a->text, at.line);
}

static uint32_t column(const Parser *p, uint32_t i) {
  uint32_t k = i;
  while (k > 0 && p->tok[k - 1].kind != TOK_NL) k--;
  return k ? p->tok[i].at - p->tok[k - 1].at : p->tok[i].at + 1;
}

/* Skips to the next line that starts, no deeper than `col`, a declaration (or the brace that ends the module). */
static void recover(Parser *p, uint32_t col) {
  for (; cur(p)->kind != TOK_END; parser_take(p)) {
    if (!on_new_line(p) || column(p, p->i) > col) continue;
    const Token *t = cur(p), *after = parser_peek(p, 1);
    if (is(t, "fn") || is(t, "module") || is(t, "entry") || is(t, "use") || is(t, "const")) return;
    if (is(t, "}") && column(p, p->i) < col) return;
    if (is_name(t) && word_class(t) == WORD_PLAIN && (is_name(after) || is(after, "=") || is(after, ":"))) return;
  }
}

/* Declarations up to the end of the file, or up to the `}` of a module. */
static Ast *items(Parser *p, const char *module_name) {
  Kids out = {0};
  Seen seen = {0};
  bool failed = false;
  Loc loc = cur(p)->loc;
  while (cur(p)->kind != TOK_END && !(module_name && at(p, "}"))) {
    uint32_t index = p->i;
    const Token *first = cur(p);
    if (module_name && (at(p, "module") || at(p, "entry") || at(p, "use") || at(p, "const"))) {
      if (!failed)
        parser_fail(p, "top-level-only", first->loc,
                    "`%s` stands at the top level; is the `{` of module %s not closed?", first->text, module_name);
      break;
    }
    p->nest = 0;
    p->header = false;
    p->hole = NULL;
    p->depth = module_name != NULL;
    Ast *a = declaration(p);
    if (!p->failed) {
      a->doc = doc_before(p, index);
      parser_place(p, a);
      declare(p, &seen, a);
    }
    if (p->hole) parser_fail(p, "underscore-value", p->hole->loc, "`_` stands in patterns and types; it has no value");
    if (!p->failed) {
      vec_push(p->arena, &out, a);
      if (parser_accept(p, ";") || ended(p) || (module_name && at(p, "}"))) continue;
      parser_unexpected(p, "expected the end of the declaration");
    }
    failed = true;
    if (p->errors.n >= MAX_ERRORS) break; /* still failed, so that an enclosing module ends too */
    p->failed = false;
    p->i = p->stopped;
    if (p->i == index) parser_take(p);
    recover(p, column(p, index));
  }
  return parser_list(p, AST_BODY, loc, NULL, &out);
}

/* ---- the whole ---- */

static int by_place(const void *a, const void *b) {
  Loc x = ((const ParseError *)a)->loc, y = ((const ParseError *)b)->loc;
  return x < y ? -1 : x > y;
}

static bool report(Parser *p) {
  if (p->errors.n) qsort(p->errors.at, p->errors.n, sizeof *p->errors.at, by_place);
  for (uint32_t k = 0; k < p->errors.n; k++)
    diag_error(p->diag, p->errors.at[k].id, p->errors.at[k].loc, "%s", p->errors.at[k].text);
  return !p->errors.n;
}

/* The offset of the first byte that does not belong to UTF-8 text, or n. */
static size_t utf8_end(const char *text, size_t n) {
  const unsigned char *s = (const unsigned char *)text;
  for (size_t i = 0; i < n;) {
    size_t more = s[i] < 0x80 ? 0 : s[i] < 0xC2 ? 9 : s[i] < 0xE0 ? 1 : s[i] < 0xF0 ? 2 : s[i] < 0xF5 ? 3 : 9;
    if (!s[i] || more >= n - i) return i;
    for (size_t k = 1; k <= more; k++)
      if ((s[i + k] & 0xC0) != 0x80) return i;
    i += more + 1;
  }
  return n;
}

/* The offset of a bracket that is nested too deeply whatever else the text is, or n: found before anything is built, so
 * that megabytes of brackets cost nothing. */
static size_t brackets_end(const char *s, size_t n) {
  int depth = 0;
  for (size_t i = 0; i < n; i++) {
    if (s[i] == '#') {
      while (i < n && s[i] != '\n') i++;
    } else if (s[i] == '"') {
      for (i++; i < n && s[i] != '"' && s[i] != '\n'; i++) i += s[i] == '\\' && i + 1 < n && s[i + 1] != '\n';
    } else if (s[i] == '(' || s[i] == '[' || s[i] == '{') {
      if (++depth > AST_DEPTH + 2) return i;
    } else if ((s[i] == ')' || s[i] == ']' || s[i] == '}') && depth) {
      depth--;
    }
  }
  return n;
}

/* Everything up to the first token; false: reported. */
static bool start(Parser *p, Arena *a, StrTab *names, Diag *d, const char *path, const char *text, size_t n,
                  Loc *base) {
  *p = (Parser){.arena = a, .names = names, .diag = d};
  p->bad = ARENA_NEW(a, Ast);
  p->bad->kind = AST_BAD;
  if (n > MAX_BYTES)
    return diag_error(
        d, "file-too-large", 0,
        "%s has %zu bytes and a SIR file at most %d MiB; large constants belong in a .npy file: load(\"c.npy\")", path,
        n, MAX_BYTES >> 20);
  *base = diag_source(d, path, text, n);
  size_t bad = utf8_end(text, n);
  if (bad < n)
    return diag_error(d, "not-utf8", *base + (Loc)bad, "the byte 0x%02x here is not UTF-8 text",
                      (unsigned char)text[bad]);
  bad = brackets_end(text, n);
  if (bad < n)
    return diag_error(d, "too-deep", *base + (Loc)bad,
                      "this is nested too deeply: SIR reads %d levels; bind parts of it to names", AST_DEPTH);
  size_t skip = n >= 3 && !memcmp(text, "\xEF\xBB\xBF", 3) ? 3 : 0; /* a byte order mark */
  parser_sub(p, text + skip, n - skip, *base + (Loc)skip);
  return p->errors.n < MAX_ERRORS || report(p);
}

bool sir_parse(Arena *a, StrTab *names, Diag *d, const char *path, const char *text, size_t n, AstFile *out) {
  Parser p;
  *out = (AstFile){.path = path, .text = text, .n = n};
  if (!start(&p, a, names, d, path, text, n, &out->base)) return false;
  Ast *body = items(&p, NULL);
  if (!report(&p)) return false;
  out->body = body;
  return true;
}

Ast *sir_parse_expr(Arena *a, StrTab *names, Diag *d, const char *path, const char *text, size_t n) {
  Parser p;
  Loc base;
  if (!start(&p, a, names, d, path, text, n, &base)) return NULL;
  p.nest = 1;
  Ast *e = parser_expr(&p);
  if (cur(&p)->kind != TOK_END) parser_unexpected(&p, "expected the end of the value");
  if (p.hole) parser_fail(&p, "underscore-value", p.hole->loc, "`_` stands in patterns and types; it has no value");
  return report(&p) ? e : NULL;
}
