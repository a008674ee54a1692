/* Reads the flat form of a program (sir.md section 7), what program_print writes: a parsed file becomes a Program
 * again, every node through graph_node, so that each line's type is checked against the op's shape rule. Safe on any
 * tree; the first mistake of an entry ends it. */
#ifndef SINTER_SIR_FLAT_H
#define SINTER_SIR_FLAT_H
#include "ast.h"
#include "graph.h"

/* Whether a file is in the flat form: params and states with an `as` name, lines `v7: f32[B] = op(..)` and no modules.
 */
bool flat_is(const AstFile *);

/* False after errors in the Diag; *out is then not to be used. The AST comes from sir_parse with the arena, names and
 * Diag of the Ctx. A node's place is what `#@` says, else its line of the flat file. */
bool flat_read(Ctx *, const AstFile *, Program *out);
#endif
