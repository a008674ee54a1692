/* The words and infix operators of the Loop IR's text: the one table that the printer and the reader share. */
#ifndef SINTER_LOOP_LOOP_WORDS_H
#define SINTER_LOOP_LOOP_WORDS_H
#include "op.h"
#include <string.h>

enum { LOOP_SUM = 7, LOOP_UNARY = 9 }; /* levels of binding: || && compare | ^ & shift sum product unary */

typedef struct LoopInfix {
  const char *text;
  uint8_t op, level;
  char on; /* B bool, F floats, I integers, N numbers, A all */
} LoopInfix;

static const LoopInfix LOOP_INFIX[] = {
    {"||", OP_OR, 0, 'B'},         {"&&", OP_AND, 1, 'B'},       {"<", OP_LESS, 2, 'N'},
    {"<=", OP_LESS_EQUAL, 2, 'N'}, {">", OP_GREATER, 2, 'N'},    {">=", OP_GREATER_EQUAL, 2, 'N'},
    {"==", OP_EQUAL, 2, 'A'},      {"!=", OP_NOT_EQUAL, 2, 'A'}, {"|", OP_OR, 3, 'I'},
    {"^", OP_XOR, 4, 'A'},         {"&", OP_AND, 5, 'I'},        {"<<", OP_SHL, 6, 'I'},
    {">>", OP_SHR, 6, 'I'},        {"+", OP_ADD, LOOP_SUM, 'N'}, {"-", OP_SUB, LOOP_SUM, 'N'},
    {"*", OP_MUL, 8, 'N'},         {"/", OP_DIV, 8, 'F'},        {"//", OP_FLOOR_DIV, 8, 'I'},
    {"%", OP_FLOOR_MOD, 8, 'I'},
};
enum { LOOP_INFIXES = sizeof LOOP_INFIX / sizeof *LOOP_INFIX };

/* How an op on operands of type `in` is written between them; NULL: as a function. */
static inline const LoopInfix *loop_infix_of(int op, DType in) {
  for (int i = 0; i < LOOP_INFIXES; i++) {
    const LoopInfix *f = &LOOP_INFIX[i];
    if (f->op == op && (f->on == 'A' || (f->on == 'B' && in == DT_BOOL) || (f->on == 'F' && dtype_is_float(in)) ||
                        (f->on == 'I' && dtype_is_int(in)) || (f->on == 'N' && in != DT_BOOL)))
      return f;
  }
  return NULL;
}

static const char *const LOOP_SCOPE_TEXT[] = {"block", "warp"}; /* by LoopScope */
static const char *const LOOP_THREAD_TEXT[] = {"tid", "warp", "lane_id"};

static inline const char *loop_reduce_word(int op) { return op == OP_ADD ? "add" : op == OP_MAXIMUM ? "max" : "min"; }

/* Words that begin a statement, and the two numbers with names: nothing may be called so. */
static inline bool loop_reserved(const char *name) {
  static const char *const word[] = {"let",      "reg",    "alloc",   "for",    "if",  "else", "fail",
                                     "prefetch", "reduce", "barrier", "return", "inf", "nan"};
  for (size_t i = 0; i < sizeof word / sizeof *word; i++)
    if (!strcmp(word[i], name)) return true;
  return false;
}
#endif
