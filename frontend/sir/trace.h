/* What the files of the tracer's own half (tracer.c, trace_*.c) share; builtins see tracer.h only. Frames say whose
 * names count, Ast nodes where a fault is shown. */
#ifndef SINTER_SIR_TRACE_H
#define SINTER_SIR_TRACE_H
#include "sir.h"
#include "tracer.h"

enum { TRACE_NEST = 2500, TRACE_LIST = 1 << 20, TRACE_TREE = 300, TRACE_LOOPS = 16, TRACE_STEPS = 20000000 };

/* tracer.c: files, declarations, names */
SourceFile *trace_load(Tracer *, const char *path, const char *text, size_t n, bool library); /* NULL: see the Diag */
SourceFile *trace_library(Tracer *, const char *name); /* lib/NAME.sir; NULL if there is none */
bool trace_file_body(Tracer *, SourceFile *);
bool trace_construct(Tracer *, ModuleDecl *, const Value *args, int n, const NamedArg *, int nnamed, Value *out);
bool trace_lookup(Tracer *, const char *name, Frame *, Value *out);
bool trace_set(Tracer *, const char *name, Value, Frame *);
bool trace_member(Tracer *, Instance *, const char *name, Value *out); /* a field, seen through the instance's view */
bool trace_of_file(Tracer *, SourceFile *, const char *name, Value *out);
const Ast *trace_decl(const SourceFile *, const char *name); /* NULL if it declares no such name */
void trace_decl_names(Tracer *, const SourceFile *, NameList *out);
bool trace_space(Tracer *, const Ast *use, Frame *, Value *out);
Frame *trace_frame(Tracer *, SourceFile *, Instance *me, const char *label);

/* trace_graph.c: graphs under construction */
Scope *trace_scope_new(Tracer *, Graph *, Scope *parent);
void trace_enter(Tracer *, Scope *);            /* makes it current */
void trace_at(Tracer *, const Ast *, Frame *);  /* place of the nodes that follow */
bool trace_init_graphs(Tracer *, Graph **init); /* one for each of t->cells; NULL without start */
bool trace_node_sym(Tracer *, Id, Sym *out);    /* a node over dimensions only as a Sym */

/* trace_expr.c */
bool trace_raw(Tracer *, const Ast *, Frame *, Value *out); /* an expression; references stay */
bool trace_ev(Tracer *, const Ast *, Frame *, Value *out);  /* its value now */
bool trace_items(Tracer *, Value);                          /* faults if `for` does not run over it */
bool trace_index_item(Tracer *, const Ast *, Frame *, IndexItem *out);
NameMap trace_names_copy(Tracer *, const NameMap *);

/* trace_stmt.c */
bool trace_block(Tracer *, const Ast *, Frame *, Value *out);
bool trace_run(Tracer *, const Ast *block, Frame *, Value *out); /* of a fn or entry: takes `return` */
bool trace_statement(Tracer *, const Ast *, Frame *, Value *out);
bool trace_if(Tracer *, const Ast *, Frame *, Value *out);
bool trace_region(Tracer *, const Ast *, Frame *, Value *out);
bool trace_unpack(Tracer *, const Ast *pattern, Value, Frame *);
bool trace_assert(Tracer *, const Ast *cond, const Ast *message, Frame *);

/* trace_call.c */
bool trace_call_at(Tracer *, Value f, const Value *args, int n, const NamedArg *, int nnamed, const Ast *, Frame *,
                   Value *out);
bool trace_bind_args(Tracer *, const Ast *params, const Value *args, int n, const NamedArg *, int nnamed, Frame *,
                     const char *label);
bool trace_fn(Tracer *, const Ast *, Frame *, Value *out); /* the value of a fn expression or statement */

/* trace_type.c */
bool trace_dtype(Tracer *, const char *name, Frame *, DType *out);
bool trace_tensor_type(Tracer *, const Ast *, Frame *, DType *, Sym *shape, int *rank);
/* x against a type: numbers become tensors. bind: in a signature, where new upper-case names become dimensions. */
bool trace_check(Tracer *, const Ast *type, Value x, Frame *, const char *what, bool bind, Value *out);
bool trace_check_size(Tracer *, DType, const Sym *shape, int rank);

/* trace_entry.c */
bool trace_name_cells(Tracer *, SourceFile *);
bool trace_entry(Tracer *, const Ast *, SourceFile *, Entry *out);
#endif
