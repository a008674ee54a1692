/* The tree of a SIR file: what the parser builds, the printer prints and the tracer executes. One node type for all;
 * AST_KINDS is the list of kinds and says what `text` and `kids` hold. Nodes live in the arena that was given to the
 * parser and are not changed after it. Guarantees: a kid is NULL only where the list below marks it with `?`; no path
 * from the root is longer than AST_DEPTH nodes, so recursion over a tree needs no limit of its own; names are interned,
 * so equal names are the same pointer. */
#ifndef SINTER_SIR_AST_H
#define SINTER_SIR_AST_H
#include "diag.h"

enum { AST_DEPTH = 400 };

/* X(KIND, name in dumps). Beside each: text; {kids}. `..` repeats; `|` is a choice; `?` may be NULL.
 * expr, type, pattern, path and dim stand for the kinds that can be one:
 *   expr     NAME INT FLOAT STR BOOL NONE RANGE UN BIN CALL INDEX FIELD TUPLE LIST COMP RECORD FN IF REGION
 *   pattern  NAME ("_" takes anything), TUPLE or LIST of patterns, RECORD of PAIR {pattern?}
 *   path     NAME (also "self"), FIELD or INDEX of a path
 *   type     T_TENSOR T_NAME T_LIST T_TUPLE T_RECORD
 *   dim      REST, ANY, GIVEN or an expr (a bare NAME may bind)
 *   as       STR */
#define AST_KINDS(X)                                                                                                   \
  /* declarations, in the BODY of a file or module */                                                                  \
  X(BODY, "body")                /* {declaration ..}: a CALL for its effect and ASSERT are declarations too */         \
  X(USE, "use")                  /* {NAME | USE_FILE ..} */                                                            \
  X(USE_FILE, "use_file")        /* the file's name here; {STR}, its text is never NULL */                             \
  X(CONST, "const")              /* name; {type?, expr} */                                                             \
  X(PARAM, "param")              /* name; {type, start expr?, as?, condition expr?} */                                 \
  X(STATE, "state")              /* name; {type?, start expr?, as?, condition expr?}: a type or a start or both */     \
  X(STATE_LOCAL, "state(local)") /* as STATE */                                                                        \
  X(OWN, "own")                  /* name of the constructor argument; {as?} */                                         \
  X(TIE, "tie")                  /* {path, path}: the left becomes the right */                                        \
  X(FIELD_DECL, "field_decl")    /* name; {type?, expr, as?} */                                                        \
  X(MODULE, "module")            /* name; {ARGS, BODY} */                                                              \
  X(ENTRY, "entry")              /* name; {ARGS, result type?, WHERE?, MODE?, BLOCK} */                                \
  X(FN, "fn")                    /* name, NULL for a value; {ARGS, result type?, WHERE?, BLOCK, VJP?} */               \
  X(VJP, "vjp")                  /* {ARGS, BLOCK} */                                                                   \
  X(WHERE, "where")              /* {expr ..}: one or more facts */                                                    \
  X(MODE, "mode")                /* "train" or "eval" */                                                               \
  X(ARGS, "args")                /* {ARG | ARG_INOUT | ARG_DIM ..}: parameters with a default come last */             \
  X(ARG, "arg")                  /* name; {type?, default expr?}; in an entry: {type, NULL} */                         \
  X(ARG_INOUT, "arg_inout")      /* name; {type, NULL}; only in an entry */                                            \
  X(ARG_DIM, "arg_dim")          /* name; {NULL, NULL}; only in an entry */                                            \
  /* types */                                                                                                          \
  X(T_TENSOR, "t_tensor") /* dtype, or the name of a dtype variable; {dim ..} */                                       \
  X(T_NAME, "t_name")     /* "int", "tensor", "fn", "Linear", "nn.Linear" (dotted, one text) */                        \
  X(T_LIST, "t_list")     /* {type, length expr} */                                                                    \
  X(T_TUPLE, "t_tuple")   /* {type ..}: none, or two and more, or one written (t,) */                                  \
  X(T_RECORD, "t_record") /* {T_FIELD ..} */                                                                           \
  X(T_FIELD, "t_field")   /* name; {type} */                                                                           \
  X(REST, "rest")         /* `...` as a dimension or an index */                                                       \
  X(ANY, "any")           /* `_` as a dimension */                                                                     \
  X(GIVEN, "given")       /* `=K` as a dimension: {expr}, evaluated and never bound */                                 \
  /* statements */                                                                                                     \
  X(BLOCK, "block")   /* {statement ..}: the last may be its value */                                                  \
  X(BIND, "bind")     /* {pattern, type?, expr} */                                                                     \
  X(AUG, "aug")       /* op is that of `x += y`; {NAME, expr} */                                                       \
  X(UPDATE, "update") /* {path, expr} */                                                                               \
  X(RETURN, "return") /* {expr?} */                                                                                    \
  X(ASSERT, "assert") /* {condition, message expr?} */                                                                 \
  X(FOR, "for")       /* {pattern, expr, BLOCK} */                                                                     \
  X(WHILE, "while")   /* {condition, max expr?, BLOCK} */                                                              \
  X(IF, "if")         /* {condition, BLOCK, BLOCK | IF ?}; as a value it has an else */                                \
  X(REGION, "region") /* "train", "eval" or "checkpoint"; {BLOCK} */                                                   \
  /* expressions */                                                                                                    \
  X(NAME, "name")     /* the name; "self" too */                                                                       \
  X(INT, "int")       /* as written; u.i */                                                                            \
  X(FLOAT, "float")   /* as written; u.f */                                                                            \
  X(STR, "str")       /* decoded, NULL if it has values in it; {TEXT | expr ..}: its parts in order */                 \
  X(TEXT, "text")     /* decoded piece of a STR */                                                                     \
  X(BOOL, "bool")     /* u.i is 0 or 1 */                                                                              \
  X(NONE, "none")     /* */                                                                                            \
  X(RANGE, "range")   /* {from, to} */                                                                                 \
  X(UN, "un")         /* op: SIR_NOT, SIR_NEG or SIR_INVERT; {expr} */                                                 \
  X(BIN, "bin")       /* op; {left, right} */                                                                          \
  X(CALL, "call")     /* {callee, expr .., NAMED ..} */                                                                \
  X(NAMED, "named")   /* name of the argument; {expr} */                                                               \
  X(INDEX, "index")   /* {base, expr | SLICE | REST ..}: one or more */                                                \
  X(SLICE, "slice")   /* {from?, to?, step?} */                                                                        \
  X(FIELD, "field")   /* name; {base} */                                                                               \
  X(TUPLE, "tuple")   /* {expr ..} */                                                                                  \
  X(LIST, "list")     /* {expr ..} */                                                                                  \
  X(COMP, "comp")     /* {element, CFOR, CFOR | CIF ..} */                                                             \
  X(CFOR, "cfor")     /* {pattern, expr} */                                                                            \
  X(CIF, "cif")       /* {condition} */                                                                                \
  X(RECORD, "record") /* {PAIR | SPREAD ..} */                                                                         \
  X(PAIR, "pair")     /* name; {expr?}: NULL is the pun, `{a}` for `{a = a}` */                                        \
  X(SPREAD, "spread") /* {expr} */                                                                                     \
  X(BAD, "bad")       /* only inside the parser, after an error */

typedef enum AstKind {
#define X(kind, name) AST_##kind,
  AST_KINDS(X)
#undef X
      AST_KIND_COUNT
} AstKind;

/* X(OP, spelling, binding strength): operators of BIN and AUG (1 to 12), and of UN. Higher binds tighter. */
#define SIR_OPS(X)                                                                                                     \
  X(NO_OP, "", 0)                                                                                                      \
  X(OR, "or", 1)                                                                                                       \
  X(AND, "and", 2)                                                                                                     \
  X(NOT, "not", 3)                                                                                                     \
  X(EQ, "==", 4)                                                                                                       \
  X(NE, "!=", 4)                                                                                                       \
  X(LT, "<", 4)                                                                                                        \
  X(LE, "<=", 4)                                                                                                       \
  X(GT, ">", 4)                                                                                                        \
  X(GE, ">=", 4)                                                                                                       \
  X(BIT_OR, "|", 5)                                                                                                    \
  X(BIT_XOR, "^", 6)                                                                                                   \
  X(BIT_AND, "&", 7)                                                                                                   \
  X(SHL, "<<", 8)                                                                                                      \
  X(SHR, ">>", 8)                                                                                                      \
  X(ADD, "+", 9)                                                                                                       \
  X(SUB, "-", 9)                                                                                                       \
  X(MUL, "*", 10)                                                                                                      \
  X(DIV, "/", 10)                                                                                                      \
  X(FLOOR_DIV, "//", 10)                                                                                               \
  X(MOD, "%", 10)                                                                                                      \
  X(MATMUL, "@", 10)                                                                                                   \
  X(NEG, "-", 11)                                                                                                      \
  X(INVERT, "~", 11)                                                                                                   \
  X(POW, "**", 12)

typedef enum SirOp {
#define X(op, text, strength) SIR_##op,
  SIR_OPS(X)
#undef X
      SIR_OP_COUNT
} SirOp;

typedef struct Ast Ast;
struct Ast {
  uint8_t kind;   /* AstKind */
  uint8_t op;     /* SirOp of BIN, UN, AUG */
  uint16_t depth; /* nodes on the longest path down, itself included; at most AST_DEPTH */
  uint32_t nkids;
  Ast **kids;
  const char *text; /* interned; what it is depends on the kind; NULL where the kind has none */
  const char *doc;  /* the lines of `##` before a declaration, ARG or T_FIELD, joined by \n; or NULL */
  Loc loc, end;     /* its first byte (of a BIN, CALL, INDEX, FIELD: of its left operand), one past its last */
  Loc place;        /* what `#@ "f.sir":12:5` after a statement or declaration says; 0 without */
  union {
    uint64_t i; /* INT, BOOL */
    double f;   /* FLOAT */
  } u;
};

/* A parsed file. `text` is kept by reference and must live as long as the Diag. */
typedef struct AstFile {
  const char *path, *text;
  size_t n;
  Loc base;  /* place of its first byte */
  Ast *body; /* a BODY */
} AstFile;

const char *ast_kind_name(int kind); /* as in AST_KINDS */
const char *sir_op_text(int op);     /* as in SIR_OPS */
int sir_op_strength(int op);
bool ast_is_name(const Ast *, const char *name); /* a NAME of this text; NULL is none */

/* Same kinds, texts, values, docs and places (`#@`) throughout; where the nodes stand in their files does not matter.
 * Both trees must come from parses with the same StrTab and Diag. NULL equals NULL. */
bool ast_equal(const Ast *, const Ast *);

/* Canonical text; parsing it gives an equal tree, and printing that tree the same text. Ordinary comments are gone,
 * `##` and `#@` stay. The Diag knows the places of `#@`. Takes any declaration, statement, expression or type. */
void ast_print(const Diag *, const Ast *, Buf *out);

/* `(bin + (name x) (int 1))`: the tree as it is, on one line, for tests and for the eye. */
void ast_dump(const Ast *, Buf *out);
#endif
