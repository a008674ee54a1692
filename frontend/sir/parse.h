/* From SIR text (programs and the flat form of graphs alike) to a tree. Linear in the text, and safe on any bytes: what
 * cannot be read is up to ten errors in the Diag, in the order of the text, never a crash. */
#ifndef SINTER_SIR_PARSE_H
#define SINTER_SIR_PARSE_H
#include "ast.h"

/* Registers `text` (kept by reference, `n` bytes) with the Diag and parses it. False: the Diag has errors and
 * `out->body` is NULL. Nodes live in the arena, names in the StrTab. */
bool sir_parse(Arena *, StrTab *, Diag *, const char *path, const char *text, size_t n, AstFile *out);

/* Parses one expression, as the V of `-D NAME=V`; `path` says where it stands ("-D K"). NULL: see the Diag. */
Ast *sir_parse_expr(Arena *, StrTab *, Diag *, const char *path, const char *text, size_t n);
#endif
