/* What the tracer computes with: static values, dimensions, graph nodes, references, modules; and trees of them. Values
 * are immutable and copied freely; lists, tuples and records share their elements. Names are interned, so equal names
 * are the same pointer. Everything lives in the compilation's arena. Implemented in value.c (helper TRACE). */
#ifndef SINTER_SIR_VALUE_H
#define SINTER_SIR_VALUE_H
#include "ast.h"
#include "graph.h"

typedef struct Tracer Tracer;
typedef struct Value Value;
typedef struct Builtin Builtin;

typedef enum {
  VAL_NONE,
  VAL_BOOL,
  VAL_INT,
  VAL_FLOAT,
  VAL_STR,
  VAL_DTYPE,
  VAL_DIM,    /* a Sym that is not a constant (constants are VAL_INT: value_sym sees to it) */
  VAL_TENSOR, /* a node of `graph`; trace_tensor brings it into the current graph */
  VAL_WEAK,   /* a float of dimensions: an f64[] node that takes the dtype of the tensor it meets */
  VAL_REF,    /* something that `<-` writes; given: from refs() or an inout, so it stays one inside trees */
  VAL_LIST,
  VAL_TUPLE,
  VAL_RECORD,
  VAL_FN,
  VAL_BUILTIN,
  VAL_MODULE,
  VAL_INSTANCE,
  VAL_SPACE
} ValueKind;

typedef Vec(Value) Values;
typedef struct Fn Fn;
typedef struct ModuleDecl ModuleDecl;
typedef struct Instance Instance;
typedef struct TCell TCell;
typedef struct Frame Frame;
typedef struct SourceFile SourceFile;

struct Value {
  uint8_t kind;
  bool given;    /* VAL_REF */
  uint16_t deep; /* LIST, TUPLE, RECORD, INSTANCE: levels, this one included; value_list etc. set it */
  uint32_t n;    /* LIST, TUPLE, RECORD: elements */
  union {
    bool b;
    int64_t i;
    double f;
    const char *s; /* STR: not interned */
    DType dtype;
    Sym dim;
    Id id;           /* TENSOR, WEAK: with graph below */
    TCell *cell;     /* REF */
    const Value *at; /* LIST, TUPLE, RECORD */
    Fn *fn;
    const Builtin *builtin; /* BUILTIN: `extra` is its data (closures like vmap's), or NULL */
    ModuleDecl *module;
    Instance *instance;
    const char *space; /* SPACE: "random", "debug" */
  } u;
  union {
    Graph *graph;           /* TENSOR, WEAK */
    const char *const *key; /* RECORD: names of the fields, in order; interned */
    void *data;             /* BUILTIN */
  } x;
};

/* ---- making ---- */
static inline Value value_none(void) { return (Value){.kind = VAL_NONE}; }
static inline Value value_bool(bool b) { return (Value){.kind = VAL_BOOL, .u.b = b}; }
static inline Value value_int(int64_t i) { return (Value){.kind = VAL_INT, .u.i = i}; }
static inline Value value_float(double f) { return (Value){.kind = VAL_FLOAT, .u.f = f}; }
static inline Value value_str(const char *s) { return (Value){.kind = VAL_STR, .u.s = s}; }
static inline Value value_dtype(DType d) { return (Value){.kind = VAL_DTYPE, .u.dtype = d}; }
static inline Value value_ref(TCell *c, bool given) { return (Value){.kind = VAL_REF, .given = given, .u.cell = c}; }
Value value_instance(Instance *);
static inline Value value_builtin(const Builtin *b, void *data) {
  return (Value){.kind = VAL_BUILTIN, .u.builtin = b, .x.data = data};
}
static inline Value value_node(Graph *g, Id v) { return (Value){.kind = VAL_TENSOR, .u.id = v, .x.graph = g}; }
static inline Value value_weak(Graph *g, Id v) { return (Value){.kind = VAL_WEAK, .u.id = v, .x.graph = g}; }
Value value_sym(Tracer *, Sym);                /* INT if constant, else DIM */
Value value_list(const Value *at, uint32_t n); /* keeps the pointer */
Value value_tuple(const Value *at, uint32_t n);
Value value_record(const char *const *key, const Value *at, uint32_t n);
Value value_shape(Tracer *, const Sym *shape, int rank); /* a list of ints and dims */

/* ---- asking ---- */
static inline bool value_is_number(Value v) { return v.kind == VAL_INT || v.kind == VAL_FLOAT; } /* no bool */
static inline bool value_is_size(Value v) { return v.kind == VAL_INT || v.kind == VAL_DIM; }
static inline bool value_is_node(Value v) { return v.kind == VAL_TENSOR || v.kind == VAL_WEAK || v.kind == VAL_REF; }
static inline bool value_is_tree(Value v) { return v.kind == VAL_LIST || v.kind == VAL_TUPLE || v.kind == VAL_RECORD; }
bool value_is_leaf(Value);   /* can be (made) a tensor: node, number, bool, dim */
bool value_callable(Value);  /* fn, builtin, module, instance */
bool value_is_module(Value); /* an instance, or a list of modules and functions (callable in order) */
bool value_contains_module(Value);
Sym value_as_sym(Tracer *, Value); /* INT, DIM; else 0 */
bool value_same(Tracer *, Value,
                Value); /* `==` of static values: 1 is not true; 1 == 1.0; trees by elements; the rest by identity */
const char *value_kind_name(Value);          /* "int" .. "tensor", as kind(x) gives; "namespace" */
const char *value_describe(Tracer *, Value); /* for messages: `f32[B, 10]`, `int 3`, `module Linear`, `"text"` */
const char *value_text(Tracer *, Value);     /* what `{x}` in a string prints */
const Value *value_field(Value record, const char *name); /* of a RECORD; NULL if it has none */

/* ---- trees: lists, tuples, records; all else is a leaf ---- */
typedef bool TreeFn(Tracer *, void *ctx, const Value *leaf, int n, Value *out);
bool tree_map(Tracer *, TreeFn *, void *ctx, const Value *trees, int n, Value *out); /* error if the forms differ */
void tree_flatten(Tracer *, Value tree, Values *out);                                /* leaves in order, appended */
Value tree_refill(Tracer *, Value form, const Value *leaves); /* as many leaves as tree_flatten gives */
bool tree_same_form(Value, Value);

/* ---- names ---- */
typedef struct NameValue {
  const char *name;
  Value value;
} NameValue;
typedef struct NameMap {
  Vec(NameValue) e;
} NameMap;                                           /* in order; few names, so looked up one after the other */
Value *names_get(const NameMap *, const char *name); /* NULL if absent */
void names_set(Tracer *, NameMap *, const char *name, Value);
typedef Vec(const char *) NameList;
bool namelist_has(const NameList *, const char *);

/* ---- objects ---- */
struct Fn {
  const Ast *node; /* AST_FN */
  SourceFile *file;
  Instance *me;     /* the module it belongs to; the file's instance, or NULL */
  NameMap names;    /* captured, as they were where it was made */
  const char *name; /* "fn" if it has none */
};

struct ModuleDecl {
  const Ast *node; /* AST_MODULE */
  SourceFile *file;
  const char *name;
};

typedef struct OverEntry {
  TCell *cell;
  Value value;
} OverEntry;
typedef struct Over { /* other values for some cells (bind, cast) */
  Vec(OverEntry) e;
  DType dtypes; /* of cast: what float dtypes among constructor arguments become; DT_NONE else */
} Over;

struct Instance {
  const char *name; /* of its module; of a file: its base name */
  SourceFile *file;
  NameMap args, fields;
  NameMap renamed;        /* field -> STR: `as "..."` */
  NameList stored, owned; /* names of fields: params and states; sub-modules */
  NameMap fns;            /* name -> VAL_FN without captures, me set */
  const Over *over;       /* or NULL */
  uint16_t deep;          /* levels of modules and trees in it */
  Instance *origin;       /* identity: the instance that this is a view of, or itself */
};

/* A param, state or inout of the tracer. The cell of the Program (graph.h) is made from it at the end. */
struct TCell {
  uint8_t kind; /* CellKind; or TCELL_INOUT */
  bool frozen;
  DType dtype;
  int rank;
  Sym shape[MAX_RANK];
  const char *name; /* path; NULL until the file is traced */
  const char *doc;
  Value start;   /* NONE, or a TENSOR of the file's graph (tracer.h: root) */
  int draws;     /* random values drawn for its start so far */
  int index;     /* ordinal in Tracer.cells: the attribute of CELL nodes in the file's own graph */
  int slot;      /* ordinal in Program.cells: the attribute of CELL nodes in entries; -1 without a name */
  Id input;      /* INOUT: its INPUT node in the entry */
  uint32_t mark; /* of value_walk */
  Loc loc;
};
enum { TCELL_INOUT = 100 };

/* (path, cell, value) of the params and states of a module (or a list, record of modules), in order of declaration; a
 * shared one at its first path. value: REF of the cell, or what a view (bind, cast) has instead. */
typedef struct WalkItem {
  const char *path;
  TCell *cell;
  Value value;
} WalkItem;
typedef Vec(WalkItem) Walk;
void value_walk(Tracer *, Value, Walk *out);
/* The same with paths below `prefix`; cells that carry `mark` were there before (0: a fresh mark). Gives the mark. */
uint32_t value_walk_from(Tracer *, Value, const char *prefix, uint32_t mark, Walk *out);
/* The module (or tree) as a view with these other values; entries of an earlier view stay unless given anew. */
Value value_view(Tracer *, Value, const Over *);

/* Shell-like with {a,b}: the patterns of params(match = ..). */
bool value_matches(Tracer *, const char *name, const char *pattern);
/* What SIR says for a name of PyTorch or NumPy ("view" -> "`reshape(x, [a, b])`"), or NULL; arguments: "dim" -> "axis".
 */
const char *foreign_name(const char *name);
const char *foreign_argument(const char *name);
#endif
