/* Passes over whole programs. A graph pass reads one graph and writes another; entry_map and program_map apply it and
 * keep ports, updates and start values. Every pass leaves what it reads as it was. */
#ifndef SINTER_PASS_PASS_H
#define SINTER_PASS_PASS_H
#include "graph.h"

/* Writes `to` (empty, with the facts of `from`) and the new id of every node that the outputs of `from` need. Inputs
 * stay in number and order; to->output is that of `from` by `map`. False after a diag_error. */
typedef bool GraphPass(void *ctx, const Graph *from, Graph *to, Id *map);

bool entry_map(Entry *, GraphPass *, void *ctx);
bool program_map(Program *, GraphPass *, void *ctx); /* entries and start values of cells */

/* CALL nodes become the nodes of their bodies, in bodies too; COMPOSITE nodes stay. A GraphPass; ctx is not used. */
bool pass_inline_calls(void *ctx, const Graph *from, Graph *to, Id *map);
/* COMPOSITE nodes too: for graphs that are to be primitives only. */
bool pass_inline_all(void *ctx, const Graph *from, Graph *to, Id *map);
/* half.c: f16 and bf16 are computed in f32. Of a graph of primitives, after simplification. */
bool pass_half(void *ctx, const Graph *from, Graph *to, Id *map);
#endif
