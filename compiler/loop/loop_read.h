/* Private to the reader of the Loop IR: loop_parse.c (tokens, headers, statements, plans) and loop_read.c (expressions:
 * types, literals, names, macros). The first mistake is reported and ends the reading (read_fail does not return). */
#ifndef SINTER_LOOP_LOOP_READ_H
#define SINTER_LOOP_LOOP_READ_H
#include "lex.h"
#include "loop.h"
#include <setjmp.h>

typedef enum { AST_NUMBER, AST_NAME, AST_INDEX, AST_CALL, AST_UNARY, AST_BINARY } AstKind;
typedef struct Ast Ast;
struct Ast {
  AstKind kind;
  const char *name; /* of a name, function, operator */
  bool real;        /* of a number: f, else i */
  uint64_t i;
  double f;
  Vec(Ast *) in;
  int depth;
  Loc loc;
};

typedef struct Val { /* a typed expression, or a literal that takes the type it meets */
  Ex e;
  bool lit, real, big; /* big: an integer above INT64_MAX, its bits in i */
  int64_t i;
  double f;
} Val;

typedef enum { SCOPE_VALUE, SCOPE_REG, SCOPE_BUF } ScopeKind;
typedef struct Scoped {
  const char *name;
  ScopeKind kind;
  uint32_t id; /* register or buffer */
  Val val;
} Scoped;

typedef struct FnLet {
  const char *name;
  Ast *value;
  Loc loc;
} FnLet;

typedef struct Fn {
  const char *name;
  Vec(const char *) args;
  Vec(FnLet) lets;
  Ast *result;
  Loc loc;
} Fn;

typedef struct Const {
  const char *name;
  int64_t value;
} Const;

typedef struct Reader {
  Ctx *ctx;
  const char *text;
  Tokens tok;
  uint32_t at;
  LoopModule *mod;
  Kernel *k;       /* being read, or NULL */
  const Dim *dims; /* of the header being read: what a Sym may name */
  uint32_t ndims;
  Vec(Const) consts;
  Vec(Fn) fns;
  Vec(Scoped) scope;                       /* innermost last */
  uint32_t scope_from;                     /* names before it are hidden: inside a fn */
  int nested, blocks, inlined, expansions; /* depths; how many fns were put in */
  int line;                                /* of the byte line_at: tokens are met in order */
  size_t line_at;
  jmp_buf out;
} Reader;

_Noreturn void read_fail(Reader *, const char *id, Loc, const char *fmt, ...) __attribute__((format(printf, 4, 5)));
void read_declare(Reader *, Loc, Scoped);
const Scoped *read_find(Reader *, const char *name, Loc); /* until the next read_declare */
Val read_value(Reader *, const Ast *);
Sym read_sym(Reader *, const Ast *);
Ex read_as(Reader *, Val, DType, Loc); /* literals become the type; other types are refused */
Ex read_plain(Reader *, Val, Loc);     /* literals become f32 or idx */
int read_place(Reader *, const Ast *, const Scoped *, Ex *index); /* the indices of a register or buffer */
#endif
