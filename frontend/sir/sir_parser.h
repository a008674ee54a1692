/* Inside the parser only: its state and what parse.c (tokens, declarations, types) and parse_expr.c (statements,
 * expressions) use of each other. Errors need no checks: the first one of a declaration moves the parser to the end of
 * its tokens, where every loop ends, nothing is expected and further errors are not recorded; the loop over
 * declarations then goes on at the next one. Until then nodes are the one BAD node, so look at a node's kind before its
 * kids. */
#ifndef SINTER_SIR_PARSER_H
#define SINTER_SIR_PARSER_H
#include "ast.h"
#include "lex.h"
#include <string.h>

enum { MAX_ERRORS = 10 };
typedef enum { WORD_PLAIN, WORD_RESERVED, WORD_FOREIGN } WordClass;
typedef Vec(Ast *) Kids;

typedef struct ParseError {
  const char *id, *text;
  Loc loc;
} ParseError;

/* A set of names with the place of each, so that a second declaration is found in constant time. */
typedef struct Seen {
  const char **name;
  Loc *loc;
  uint32_t n, cap;
} Seen;

typedef struct Parser {
  Arena *arena;
  StrTab *names;
  Diag *diag;
  const char *text; /* what the offsets of the tokens count in; n bytes */
  size_t n;
  bool in_string;  /* the text is a `{value}` of a string */
  Token *tok;      /* with line ends and comments; tok[end] is END */
  uint32_t i, end; /* current token, never a line end or comment */
  uint32_t prev;   /* the token taken last */
  int nest;        /* above 0: inside ( [ or a record, where line ends mean nothing */
  bool header;     /* in the head of if, for, while or in where: `train {` is a name and a block */
  bool entry;      /* the parameters being read are those of an entry */
  Ast *comp;       /* the comprehension that is an element of the list being read */
  Seen *params;    /* the parameters read so far, and whether one of them has a default */
  bool has_default;
  const Token *hole; /* a `_` in an expression that has not become a pattern yet */
  bool failed;       /* see above; stopped: the token at which it failed */
  uint32_t stopped;
  int depth;
  Vec(ParseError) errors;
  Ast *bad;
} Parser;

/* Tokens. A NAME's u.i holds its WordClass << 8, and with an OP's: its SirOp as a binary operator (0: none). */
static inline const Token *cur(const Parser *p) { return &p->tok[p->i]; }
static inline const Token *last(const Parser *p) { return &p->tok[p->prev]; }
static inline WordClass word_class(const Token *t) {
  return t->kind == TOK_NAME ? (WordClass)(t->u.i >> 8) : WORD_PLAIN;
}
static inline bool is_word(const Token *t) { return word_class(t) == WORD_RESERVED; }
static inline bool is_name(const Token *t) { return t->kind == TOK_NAME && !is_word(t); }
static inline SirOp binary_op(const Token *t) {
  return t->kind == TOK_OP || is_word(t) ? (SirOp)(t->u.i & 255) : SIR_NO_OP;
}
/* Is its text this? Never for numbers and strings. */
static inline bool is(const Token *t, const char *text) { return t->text && !strcmp(t->text, text); }
static inline bool at(const Parser *p, const char *text) { return is(cur(p), text); }
static inline bool first_of_line(const Parser *p, uint32_t i) {
  return p->tok[i].kind == TOK_END || i == 0 || p->tok[i - 1].kind == TOK_NL;
}
static inline bool on_new_line(const Parser *p) { return first_of_line(p, p->i); }
static inline bool ended(const Parser *p) { /* may the statement end before this token? */
  return cur(p)->kind == TOK_END || (!p->nest && on_new_line(p));
}
uint32_t parser_ahead(const Parser *, int k); /* index of the k-th token after the current one */
const Token *parser_peek(const Parser *, int k);
const Token *parser_take(Parser *);
bool parser_accept(Parser *, const char *text);
const Token *parser_expect(Parser *, const char *text, const char *what);
const Token *parser_name(Parser *, const char *what);
/* Any names but reserved and foreign words; the contextual words are told by parser_at_name. */
bool parser_at_name(const Parser *, const char *text);
void parser_sub(Parser *, const char *text, size_t n, Loc base); /* lexes `text` and makes it what is parsed */

/* Errors. */
void parser_fail(Parser *, const char *id, Loc, const char *fmt, ...) __attribute__((format(printf, 4, 5)));
void parser_unexpected(Parser *, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
bool parser_enter(Parser *); /* counts one level of recursion; false after an error or when it is too deep */
void parser_leave(Parser *);
Loc parser_seen(Parser *, Seen *, const char *name, Loc); /* adds; returns the place of an earlier one or 0 */

/* Nodes; the kids are `n` arguments, or a list. The end of a node is that of the token taken last. */
Ast *parser_node(Parser *, AstKind, Loc, const char *text, int n, ...);
Ast *parser_list(Parser *, AstKind, Loc, const char *text, const Kids *);
/* Items between brackets, separated by commas; the opening bracket is the current token. */
Kids parser_brackets(Parser *, Ast *(*item)(Parser *), const char *close, const char *what, bool *comma);
void parser_place(Parser *, Ast *); /* gives it the `#@` comment that follows the last token on its line */
void parser_continues(Parser *);    /* refuses a line that begins with a binary operator */

Ast *parser_function(Parser *, bool value); /* at `fn` */
Ast *parser_type(Parser *);
Ast *parser_block(Parser *, const char *what);
Ast *parser_assert(Parser *);
Ast *parser_expr(Parser *);
Ast *parser_sum(Parser *); /* a dimension: operators from + and - up */
Ast *parser_postfix(Parser *);
Ast *parser_string(Parser *);
Ast *parser_path(Parser *, Ast *);
#endif
