/* From a SIR file to a Program: parse and trace. The result passes program_verify; mistakes of the file's author are in
 * the Diag, with their place, and give false. Reads the file, what it uses (`use "other.sir"`, relative to it) and
 * nothing else; writes nothing. */
#ifndef SINTER_SIR_SIR_H
#define SINTER_SIR_SIR_H
#include "graph.h"

typedef struct SirDefine {
  const char *name, *value; /* -D NAME=VALUE: replaces a const of the root file; the value is an expression of SIR */
} SirDefine;

typedef struct SirOptions {
  const SirDefine *defines;
  int ndefines;
} SirOptions;

bool sir_trace(Ctx *, const char *path, const SirOptions *, Program *out); /* options may be NULL */
/* The same for a text that is already here (kept by reference); `path` names it and is where `use` starts from. */
bool sir_trace_text(Ctx *, const char *path, const char *text, size_t n, const SirOptions *, Program *out);
#endif
