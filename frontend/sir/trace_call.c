/* Calls: arguments to parameters, functions, composites, builtins, keys of random numbers. */
#include "trace.h"
#include <stdlib.h>
#include <string.h>

bool trace_fn(Tracer *t, const Ast *n, Frame *fr, Value *out) {
  if (n->kids[4]) return trace_later(t, "a fn with a vjp");
  Fn *f = ARENA_NEW(t->arena, Fn);
  *f = (Fn){.node = n,
            .file = fr->file,
            .me = fr->me,
            .names = trace_names_copy(t, &fr->names),
            .name = n->text ? n->text : "fn"};
  *out = (Value){.kind = VAL_FN, .u.fn = f};
  if (n->text) names_set(t, &f->names, n->text, *out);
  return true;
}

/* ---- arguments ---- */
static const char *listed(Tracer *t, const NameList *names) {
  const char *s = "";
  for (uint32_t i = 0; i < names->n; i++) s = trace_printf(t, "%s%s%s", s, i ? ", " : "", names->at[i]);
  return s;
}

static bool unknown_argument(Tracer *t, const char *label, const char *name, const NameList *want) {
  const char *f = foreign_argument(name);
  if (f && namelist_has(want, trace_intern(t, f)))
    return trace_fault(t, "sir-foreign-argument", "`%s` is `%s` in SIR", name, f);
  const char *near = trace_near(t, name, want);
  return trace_fault(t, "sir-unknown-argument", "%s has no parameter `%s`%s", label, name,
                     near[0]   ? near
                     : want->n ? trace_printf(t, "; it takes %s", listed(t, want))
                               : "");
}

bool trace_bind_args(Tracer *t, const Ast *params, const Value *args, int n, const NamedArg *named, int nnamed,
                     Frame *fr, const char *label) {
  NameList want = {0};
  for (uint32_t i = 0; i < params->nkids; i++) vec_push(t->arena, &want, params->kids[i]->text);
  if (n > (int)want.n)
    return trace_fault(t, "sir-argument-count", "%s takes %u argument%s (%s), %d given", label, want.n,
                       want.n == 1 ? "" : "s", listed(t, &want), n);
  for (int i = 0; i < nnamed; i++)
    if (!namelist_has(&want, named[i].name)) return unknown_argument(t, label, named[i].name, &want);
  for (int i = 0; i < (int)want.n; i++) {
    const Ast *p = params->kids[i], *type = p->kids[0], *standard = p->kids[1];
    const Value *given = i < n ? &args[i] : NULL;
    Value x;
    for (int k = 0; k < nnamed; k++)
      if (named[k].name == p->text) {
        if (given)
          return trace_fault(t, "sir-argument-twice", "the argument `%s` of %s is given twice", p->text, label);
        given = &named[k].value;
      }
    if (given)
      x = *given;
    else if (!standard)
      return trace_fault(t, "sir-argument-missing", "%s needs the argument `%s`", label, p->text);
    else if (!trace_ev(t, standard, fr, &x))
      return false;
    if (x.kind == VAL_REF && !trace_now(t, x, &x)) return false;
    bool none = x.kind == VAL_NONE && standard && standard->kind == AST_NONE;
    if (type && !none && !trace_check(t, type, x, fr, trace_printf(t, "%s: `%s`", label, p->text), true, &x))
      return false;
    names_set(t, &fr->names, p->text, x); /* a parameter may hide a field */
    vec_push(t->arena, &fr->known, p->text);
  }
  return true;
}

/* ---- builtins ---- */
typedef struct Param {
  const char *name;
  char type; /* i f b s d t, or 0 */
  bool rest, has_default;
  Value standard;
} Param;

struct Signature {
  const Builtin *b;
  Param p[12];
  int n;
};

static Value default_value(Tracer *t, const char *s) {
  if (strcmp(s, "none") == 0) return value_none();
  if (strcmp(s, "true") == 0 || strcmp(s, "false") == 0) return value_bool(s[0] == 't');
  if (s[0] == '"') return value_str(arena_strndup(t->arena, s + 1, strlen(s) - 2));
  if (dtype_parse(s)) return value_dtype(dtype_parse(s));
  if (strchr(s, '.')) return value_float(strtod(s, NULL));
  return value_int(strtoll(s, NULL, 10));
}

/* "x, axis = none, keepdim: bool = false", "f, *trees" */
static const Signature *signature(Tracer *t, const Builtin *b) {
  for (uint32_t i = 0; i < t->signatures.n; i++)
    if (t->signatures.at[i]->b == b) return t->signatures.at[i];
  Signature *s = ARENA_NEW(t->arena, Signature);
  s->b = b;
  char *text = arena_strndup(t->arena, b->params, strlen(b->params)), *save = NULL;
  for (char *p = strtok_r(text, ",", &save); p; p = strtok_r(NULL, ",", &save)) {
    if (s->n == (int)(sizeof s->p / sizeof *s->p)) BUG("%s has too many parameters", b->name);
    Param *q = &s->p[s->n++];
    char *eq = strchr(p, '='), *colon = strchr(p, ':');
    if (eq) {
      *eq++ = 0;
      eq += strspn(eq, " ");
      eq[strcspn(eq, " ")] = 0;
      q->has_default = true;
      q->standard = default_value(t, eq);
    }
    if (colon && (!eq || colon < eq)) {
      *colon++ = 0;
      q->type = colon[strspn(colon, " ")];
    }
    p += strspn(p, " ");
    q->rest = *p == '*';
    p += q->rest;
    p[strcspn(p, " ")] = 0;
    q->name = trace_intern(t, p);
  }
  vec_push(t->arena, &t->signatures, s);
  return s;
}

static bool builtin_type(Tracer *t, const Builtin *b, const Param *p, Value *x) {
  static const char *const names[][2] = {{"i", "int"}, {"f", "float"}, {"b", "bool"},
                                         {"s", "str"}, {"d", "dtype"}, {"t", "tensor"}};
  bool ok = true;
  if (!p->type || (x->kind == VAL_NONE && p->has_default && p->standard.kind == VAL_NONE)) return true;
  switch (p->type) {
  case 'i': ok = value_is_size(*x); break;
  case 'f': ok = value_is_number(*x) || x->kind == VAL_WEAK || x->kind == VAL_DIM; break;
  case 'b': ok = x->kind == VAL_BOOL; break;
  case 's': ok = x->kind == VAL_STR; break;
  case 'd': ok = x->kind == VAL_DTYPE; break;
  case 't': ok = value_is_leaf(*x); break;
  default: BUG("the type of %s in %s", p->name, b->name);
  }
  for (size_t i = 0; !ok && i < sizeof names / sizeof *names; i++)
    if (names[i][0][0] == p->type)
      return trace_fault(t, "sir-type", "%s: `%s` is %s, its type %s", b->name, p->name, value_describe(t, *x),
                         names[i][1]);
  if (p->type == 'f' && x->kind == VAL_INT) *x = value_float((double)x->u.i);
  if (p->type == 'f' && x->kind == VAL_DIM) {
    Id v;
    if (!trace_weak(t, *x, &v)) return false;
    *x = value_weak(t->g, v);
  }
  return true;
}

static bool call_builtin(Tracer *t, Value f, const Value *args, int n, const NamedArg *named, int nnamed, Value *out) {
  const Builtin *b = f.u.builtin;
  const Signature *s = signature(t, b);
  bool rest = s->n && s->p[s->n - 1].rest;
  int fixed = s->n - rest;
  BuiltinArgs a = {.builtin = b, .at = ARENA_ARRAY(t->arena, Value, s->n + 1), .data = f.x.data};
  NameList want = {0};
  for (int i = 0; i < s->n; i++) vec_push(t->arena, &want, s->p[i].name);
  if (n > fixed && !rest)
    return trace_fault(t, "sir-argument-count", "`%s` takes (%s): %d given", b->name, b->params, n + nnamed);
  for (int i = 0; i < nnamed; i++) {
    int k = 0;
    while (k < fixed && s->p[k].name != named[i].name) k++;
    if (k == fixed) return unknown_argument(t, trace_printf(t, "`%s`", b->name), named[i].name, &want);
    if (k < n)
      return trace_fault(t, "sir-argument-twice", "the argument `%s` of %s is given twice", named[i].name, b->name);
  }
  for (int i = 0; i < fixed; i++) {
    const Value *given = i < n ? &args[i] : NULL;
    for (int k = 0; k < nnamed && !given; k++) given = named[k].name == s->p[i].name ? &named[k].value : NULL;
    if (!given && !s->p[i].has_default)
      return trace_fault(t, "sir-argument-missing", "`%s` takes (%s): `%s` is missing", b->name, b->params,
                         s->p[i].name);
    a.at[i] = given ? *given : s->p[i].standard;
    if (given && a.at[i].kind == VAL_REF && !b->raw && !trace_now(t, a.at[i], &a.at[i])) return false;
    if (given && !builtin_type(t, b, &s->p[i], &a.at[i])) return false;
  }
  if (rest && n > fixed) {
    a.rest = args + fixed;
    a.nrest = n - fixed;
  }
  return b->f(t, &a, out);
}

/* ---- functions ---- */
static bool composite_name(const char *name) {
  static const char *const known[] = {"softmax",  "log_softmax", "logsumexp",  "gelu",         "silu",
                                      "softplus", "attention",   "layer_norm", "cross_entropy"};
  for (size_t i = 0; i < sizeof known / sizeof *known; i++)
    if (strcmp(known[i], name) == 0) return true;
  return false;
}

static bool has_tensor(const Frame *fr) {
  for (uint32_t i = 0; i < fr->names.e.n; i++)
    if (fr->names.e.at[i].value.kind == VAL_TENSOR) return true;
  return false;
}

/* A known function of the library: one node whose body is its decomposition. */
static bool composite(Tracer *t, const Fn *f, const Ast *body, Frame *fr, Value *out) {
  uint32_t n = fr->names.e.n;
  Id *in = ARENA_ARRAY(t->arena, Id, n + 1), *outer = ARENA_ARRAY(t->arena, Id, n + 1), *captured;
  int nin = 0, ncap;
  for (uint32_t i = 0; i < n; i++)
    if (value_is_node(fr->names.e.at[i].value) && !(outer[i] = trace_lift(t, fr->names.e.at[i].value))) return false;
  Scope *s = trace_push(t);
  for (uint32_t i = 0; i < n; i++) {
    Value *v = &fr->names.e.at[i].value;
    Graph *g = s->parent->g;
    if (!value_is_node(*v)) continue;
    in[nin++] = outer[i];
    Id inner = g_input(s->g, graph_dtype(g, outer[i]), graph_shape(g, outer[i]), graph_rank(g, outer[i]));
    *v = v->kind == VAL_WEAK ? value_weak(s->g, inner) : value_node(s->g, inner);
  }
  Value inside;
  Values leaves = {0};
  bool ok = trace_run(t, body, fr, &inside);
  if (ok) tree_flatten(t, inside, &leaves);
  for (uint32_t i = 0; ok && i < leaves.n; i++) {
    Id v;
    if ((ok = trace_tensor(t, leaves.at[i], DT_NONE, &v))) vec_push(t->arena, &s->g->output, v);
  }
  Graph *g = trace_pop(t, &captured, &ncap);
  if (!ok) return false;
  Id *all = ARENA_ARRAY(t->arena, Id, nin + ncap + 1);
  for (int i = 0; i < nin + ncap; i++) all[i] = i < nin ? in[i] : captured[i - nin];
  Id node = g_body(t->g, OP_COMPOSITE, f->name, g, all, nin + ncap);
  if (!node) return false;
  for (uint32_t i = 0; i < leaves.n; i++)
    if (!trace_node(t, g_get(t->g, node, (int)i), &leaves.at[i])) return false;
  *out = tree_refill(t, inside, leaves.at);
  return true;
}

static bool apply(Tracer *t, const Fn *f, const Value *args, int n, const NamedArg *named, int nnamed,
                  const char *label, const Ast *call, Frame *caller, Value *out) {
  const Ast *params = f->node->kids[0], *ret = f->node->kids[1], *where = f->node->kids[2], *body = f->node->kids[3];
  Frame *fr = trace_frame(t, f->file, f->me, f->name);
  fr->names = trace_names_copy(t, &f->names);
  fr->node = f->node;
  fr->up = caller;
  fr->call = call;
  fr->nup_turns = (int)caller->turns.n;
  int *turns = ARENA_ARRAY(t->arena, int, caller->turns.n + 1);
  if (caller->turns.n) memcpy(turns, caller->turns.at, sizeof *turns * caller->turns.n);
  fr->up_turns = turns;
  if (!trace_bind_args(t, params, args, n, named, nnamed, fr, label)) return false;
  for (uint32_t i = 0; where && i < where->nkids; i++)
    if (!trace_assert(t, where->kids[i], NULL, fr)) return false;
  bool known = f->file->library && composite_name(f->name) && has_tensor(fr);
  if (!(known ? composite(t, f, body, fr, out) : trace_run(t, body, fr, out))) return false;
  if (!ret) return true;
  const Ast *node = t->node;
  Frame *frame = t->frame;
  t->node = ret;
  t->frame = fr;
  bool ok = out->kind == VAL_NONE
                ? trace_fault(t, "sir-no-value", "%s gives no value: its body does not end in one", f->name)
                : trace_check(t, ret, *out, fr, trace_printf(t, "the value of %s", f->name), true, out);
  t->node = node;
  t->frame = frame;
  return ok;
}

static const char *label_of(Tracer *t, const Fn *f) {
  return f->me && f->me->origin != f->file->instance ? trace_printf(t, "%s.%s", f->me->name, f->name) : f->name;
}

bool trace_call_at(Tracer *t, Value f, const Value *args, int n, const NamedArg *named, int nnamed, const Ast *call,
                   Frame *fr, Value *out) {
  if (f.kind == VAL_LIST) {
    if (!f.n) return trace_fault(t, "sir-not-callable", "an empty list cannot be called");
    Value x;
    for (uint32_t i = 0; i < f.n; i++) {
      if (!trace_call_at(t, f.u.at[i], i ? &x : args, i ? 1 : n, named, i ? 0 : nnamed, call, fr, out) ||
          !trace_now(t, *out, &x))
        return false;
    }
    return true;
  }
  if (f.kind == VAL_BUILTIN) {
    const Ast *saved = t->caller;
    Frame *saved_frame = t->caller_frame;
    t->caller = call;
    t->caller_frame = fr;
    bool ok = call_builtin(t, f, args, n, named, nnamed, out);
    t->caller = saved;
    t->caller_frame = saved_frame;
    return ok;
  }
  if (f.kind == VAL_INSTANCE) {
    Instance *me = f.u.instance;
    Value *forward = names_get(&me->fns, trace_intern(t, "forward"));
    if (!forward) return trace_fault(t, "sir-no-forward", "module %s has no `forward`", me->name);
    Fn *g = ARENA_NEW(t->arena, Fn);
    *g = *forward->u.fn;
    g->me = me;
    f = (Value){.kind = VAL_FN, .u.fn = g};
  }
  if (f.kind != VAL_FN && f.kind != VAL_MODULE)
    return trace_fault(t, "sir-not-callable", "%s cannot be called", value_describe(t, f));
  const char *label = f.kind == VAL_MODULE ? f.u.module->name : label_of(t, f.u.fn);
  if (++t->depth > TRACE_DEPTH) {
    t->depth--;
    return trace_fault(t, "sir-recursion", "%s calls itself without end", label);
  }
  vec_push(t->arena, &t->chain, (ChainLink){label, fr, call});
  bool ok = f.kind == VAL_MODULE ? trace_construct(t, f.u.module, args, n, named, nnamed, out)
                                 : apply(t, f.u.fn, args, n, named, nnamed, label, call, fr, out);
  t->chain.n--;
  t->depth--;
  return ok;
}

bool trace_call(Tracer *t, Value f, const Value *args, int n, const NamedArg *named, int nnamed, Value *out) {
  return trace_call_at(t, f, args, n, named, nnamed, t->caller, t->caller_frame, out);
}

/* ---- keys of random numbers ---- */
static bool number_calls(const Ast *n, const Ast *call, int *count) {
  for (uint32_t i = 0; i < n->nkids; i++) {
    const Ast *k = n->kids[i];
    if (!k) continue;
    if (k == call) return true;
    *count += k->kind == AST_CALL;
    if (number_calls(k, call, count)) return true;
  }
  return false;
}

static int call_number(const Frame *fr, const Ast *call) {
  int n = 0;
  return fr->node && number_calls(fr->node, call, &n) ? n : 0;
}

static void put_path(const Frame *fr, Buf *b) {
  if (!fr->up) {
    buf_put(b, fr->node ? fr->node->text : "");
    return;
  }
  put_path(fr->up, b);
  buf_printf(b, "/%s%d", fr->label, call_number(fr->up, fr->call));
  for (int i = 0; i < fr->nup_turns; i++) buf_printf(b, "[%d]", fr->up_turns[i]);
}

bool trace_random_key(Tracer *t, const char *kind, const char **key) {
  if (t->owner) {
    *key = trace_intern(t, trace_printf(t, "@%d#%d", t->owner->index, t->owner->draws++));
    return true;
  }
  if (t->scope->root)
    return trace_fault(t, "sir-random-place",
                       "a random value stands in the start value of a param or state, or in an entry");
  Buf b = {0};
  Frame *fr = t->caller_frame;
  put_path(fr, &b);
  buf_printf(&b, "/%s%d", kind, call_number(fr, t->caller));
  for (uint32_t i = 0; i < fr->turns.n; i++) buf_printf(&b, "[%d]", fr->turns.at[i]);
  *key = str_intern_n(t->ctx->names, b.at, b.n);
  buf_free(&b);
  return true;
}

const char *trace_dir(Tracer *t) {
  const char *path = t->caller_frame->file->path, *slash = strrchr(path, '/');
  return slash ? trace_printf(t, "%.*s", (int)(slash - path), path) : ".";
}
