/* The one lexer: SIR, the flat graph form and the Loop IR are read through it; they differ in their operators only.
 * Comments are kept as tokens, because `#@` carries places and `##` documentation. */
#ifndef SINTER_BASE_LEX_H
#define SINTER_BASE_LEX_H
#include "diag.h"
#include "vec.h"

typedef enum { TOK_END, TOK_NL, TOK_NAME, TOK_INT, TOK_FLOAT, TOK_STRING, TOK_OP, TOK_COMMENT, TOK_BAD } TokKind;

typedef struct Token {
  uint8_t kind;
  bool space;     /* a blank stands before it */
  uint32_t at, n; /* bytes of the text; a string includes its quotes, a comment its # */
  Loc loc;
  const char *text; /* NAME and OP: interned, so compare with ==; else NULL */
  union {
    uint64_t i;      /* INT */
    double f;        /* FLOAT */
    const char *why; /* BAD: the sentence to report */
  } u;
} Token;

typedef Vec(Token) Tokens;

/* `ops`: operators and brackets separated by blanks, any order; the longest that fits wins. Never fails: what cannot be
 * read is a BAD token with its sentence (the parser decides when to say so). Ends with one END token. Numbers: decimal
 * with `_`, 0x hexadecimal (below 2^64), floats with digits on both sides of the point or an exponent. Strings end on
 * their line; escapes are left in place (lex_string decodes). */
Tokens lex(Arena *, StrTab *, Loc base, const char *text, size_t n, const char *ops);

/* Decodes \n \t \" \\ of a string token (without quotes); other escapes return NULL and set *bad to their offset. */
char *lex_string(Arena *, const char *text, const Token *, size_t *bad);
#endif
