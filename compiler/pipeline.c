#include "pipeline.h"
#include "check.h"
#include "expand_math.h"
#include "host_object.h"
#include "loop_pressure.h"
#include "pass.h"
#include "simplify.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* ---- the passes ---- */

static const struct {
  const char *name;
  GraphPass *pass;
} GRAPH_PASSES[] = {
    {"inline", pass_inline_all}, /* composites too: fusion finds their loops again */
    {"simplify", pass_simplify},
    {"half", pass_half}, /* 16-bit floats: computed in f32 */
};

enum { CHECK_SIZE = 3, CHECK_SEED = 1 }; /* of --check: dimensions near this */

static bool dump_graph(Compilation *c, const char *name) {
  if (!c->options->dump_dir) return true;
  Buf text = {0};
  program_print(c->program, false, &text);
  bool ok = compile_dump(c, name, "sir", &text);
  buf_free(&text);
  return ok;
}

/* What --check leaves out, with a note of the reason. */
static void choose_checks(Compilation *c) {
  const Program *p = c->program;
  c->unchecked = ARENA_ARRAY(p->ctx->arena, bool, p->entries.n + 1);
  for (uint32_t i = 0; i < p->entries.n; i++) {
    const char *why = check_too_much(p, (int)i, CHECK_SIZE);
    c->unchecked[i] = why != NULL;
    if (why) buf_printf(&c->result->notes, "note: --check leaves out entry `%s`: %s\n", p->entries.at[i].name, why);
  }
  const char *why = check_too_much(p, -1, CHECK_SIZE);
  c->start_unchecked = why != NULL;
  if (why) buf_printf(&c->result->notes, "note: --check leaves out the start values: %s\n", why);
}

bool compile_graphs(Compilation *c) {
  bool ok = dump_graph(c, "trace");
  if (c->options->check) choose_checks(c);
  for (size_t i = 0; ok && i < sizeof GRAPH_PASSES / sizeof *GRAPH_PASSES; i++) {
    const char *name = GRAPH_PASSES[i].name;
    Program before = check_snapshot(c->program);
    compile_timed(c, "");
    ok = program_map(c->program, GRAPH_PASSES[i].pass, NULL);
    compile_timed(c, name);
    ok = ok && program_verify(c->program);
    compile_timed(c, "verify");
    ok = ok && dump_graph(c, name);
    for (int k = 0; ok && c->options->check && k < (int)c->program->entries.n; k++)
      ok = c->unchecked[k] || check_pass(&before, c->program, name, k, CHECK_SIZE, CHECK_SEED);
    if (c->options->check) compile_timed(c, "check");
  }
  return ok;
}

static bool step_plan(Compilation *c, LevelUnit *l) { return plan_level(&c->unit, l->target, l); }

static bool step_expand_math(Compilation *c, LevelUnit *l) {
  (void)c;
  expand_math_module(l->module, l->target);
  return true;
}

static bool step_sink(Compilation *c, LevelUnit *l) {
  const Target *t = l->target; /* of whose registers the emitter wants some for operands on their way */
  (void)c;
  for (uint32_t i = 0; i < l->module->kernels.n && !t->threads; i++) {
    Kernel *k = l->module->kernels.at[i];
    for (uint32_t s = 0; s < k->stages.n; s++)
      loop_sink(k, k->stages.at[s], t->vector_bytes, t->level == LEVEL_V4, t->vector_regs * 3 / 4);
  }
  return true;
}

static const struct {
  const char *name;
  bool (*step)(Compilation *, LevelUnit *);
  bool code; /* only on the way to code: the Loop IR that people read is that of the strategies */
} LEVEL_PASSES[] = {
    {"plan", step_plan, false}, /* fuse, lower every group by its strategy, order, memory */
    {"expand_math", step_expand_math, true},
    {"sink", step_sink, true},
};

static bool run_level_pass(Compilation *c, LevelUnit *l, size_t pass) {
  const char *name = arena_printf(c->program->ctx->arena, "%s_%s", LEVEL_PASSES[pass].name, l->target->name);
  bool ok = LEVEL_PASSES[pass].step(c, l);
  compile_timed(c, name);
  ok = ok && loop_verify(l->module, l->target->name);
  compile_timed(c, "verify");
  if (ok && c->options->dump_dir) {
    Buf text = {0};
    loop_print(l->module, &text);
    ok = compile_dump(c, name, "loop", &text);
    buf_free(&text);
  }
  CheckResult r;
  if (ok && c->options->check && !c->start_unchecked) ok = check_start(&c->unit, l, CHECK_SEED, &r);
  for (int k = 0; ok && c->options->check && k < (int)c->program->entries.n; k++)
    ok = c->unchecked[k] || check_entry(&c->unit, l, k, CHECK_SIZE, CHECK_SEED, &r);
  if (c->options->check) compile_timed(c, "check");
  return ok;
}

static bool run_level(Compilation *c, LevelUnit *l, bool code) {
  for (size_t k = 0; k < sizeof LEVEL_PASSES / sizeof *LEVEL_PASSES; k++)
    if ((code || !LEVEL_PASSES[k].code) && !run_level_pass(c, l, k)) return false;
  return true;
}

bool compile_loops(Compilation *c) {
  c->unit.program = c->program;
  c->unit.tf32 = c->options->tf32;
  c->unit.init = plan_init_entry(c->program);
  for (int i = 0; i < c->nlevels; i++)
    if (!run_level(c, &c->level[i], c->options->emit != EMIT_LOOP)) return false;
  c->gpu.level.target = &TARGET_GPU;
  return !c->gpu.archs.n || (run_level(c, &c->gpu.level, true) && gpu_write(c));
}

/* ---- options ---- */

const char *emit_kind_name(EmitKind k) {
  static const char *const name[] = {
      [EMIT_SO] = "so",       [EMIT_EXE] = "exe",   [EMIT_OBJ] = "obj",   [EMIT_LIB] = "lib",
      [EMIT_GRAPH] = "graph", [EMIT_LOOP] = "loop", [EMIT_LLVM] = "llvm", [EMIT_ASM] = "asm"};
  return name[k];
}

bool emit_kind_is_binary(EmitKind k) { return k < EMIT_GRAPH; }

static const char *native_level(void) {
#if defined __x86_64__
  __builtin_cpu_init();
  return __builtin_cpu_supports("x86-64-v4") ? "v4" : __builtin_cpu_supports("x86-64-v3") ? "v3" : "v2";
#else
  return "a64";
#endif
}

bool compile_levels(Compilation *c) {
  Ctx *x = c->program->ctx;
  const CompileOptions *o = c->options;
  const char *arch = o->target ? o->target : target_find(native_level())->arch;
  bool binary = emit_kind_is_binary(o->emit), known = false, want[LEVEL_COUNT] = {0};
  for (int i = 0; i < LEVEL_COUNT; i++) {
    bool ours = !strcmp(TARGETS[i].arch, arch);
    known |= ours;
    want[i] = ours && !o->cpu && (binary || TARGETS[i].shown);
  }
  if (!known) return diag_error(x->diag, "target", 0, "'%s' is no target: give --target x86_64 or aarch64", arch);
  for (const char *s = o->cpu; s;) {
    size_t n = strcspn(s, ",");
    const char *word = arena_strndup(x->arena, s, n);
    const Target *t = target_find(strcmp(word, "native") ? word : native_level());
    if (!t)
      return diag_error(x->diag, "cpu-level", 0,
                        "'%s' is no CPU level: give --cpu v2, v3, v4, several of them with commas between, a64 for "
                        "--target aarch64, or native",
                        word);
    if (strcmp(t->arch, arch))
      return diag_error(x->diag, "cpu-level", 0,
                        "'%s' is a CPU level of %s, but the target is %s: give --target %s, or another --cpu", word,
                        t->arch, arch, t->arch);
    want[t->level] = true;
    s = s[n] ? s + n + 1 : NULL;
  }
  for (int i = 0; i < LEVEL_COUNT; i++)
    if (want[i]) c->level[c->nlevels++].target = &TARGETS[i];
  return true;
}

bool compile_dump(Compilation *c, const char *name, const char *ext, const Buf *text) {
  Ctx *x = c->program->ctx;
  if (!c->dumps && mkdir(c->options->dump_dir, 0777) && errno != EEXIST)
    return diag_error(x->diag, "dump-dir", 0, "cannot make the folder %s for dumps: %s", c->options->dump_dir,
                      strerror(errno));
  const char *why, *path = arena_printf(x->arena, "%s/%02d_%s.%s", c->options->dump_dir, c->dumps++, name, ext);
  return link_write(x->arena, path, text->at, text->n, &why) || diag_error(x->diag, "dump-dir", 0, "%s", why);
}

void compile_timed(Compilation *c, const char *name) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  double now = (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
  if (c->options->time && *name) buf_printf(&c->result->notes, "%9.3f ms  %s\n", (now - c->since) * 1e3, name);
  c->since = now;
}

/* ---- results ---- */

static const char *base_name(const char *path) {
  const char *slash = path ? strrchr(path, '/') : NULL;
  return slash ? slash + 1 : path ? path : "";
}

/* digits.h beside digits.so, digits.o and libdigits.a. */
static const char *header_path(Arena *a, const char *output) {
  const char *base = base_name(output), *dot = strrchr(base, '.');
  bool known = dot && dot > base && (!strcmp(dot, ".so") || !strcmp(dot, ".o") || !strcmp(dot, ".a"));
  const char *end = known ? dot : base + strlen(base);
  bool lib = end - base > 3 && !strncmp(base, "lib", 3) && !strcmp(end, ".a");
  const char *name = lib ? base + 3 : base;
  return arena_printf(a, "%.*s%.*s.h", (int)(base - output), output, (int)(end - name), name);
}

static const LinkKind LINK_KIND[] = {
    [EMIT_SO] = LINK_SHARED, [EMIT_EXE] = LINK_PROGRAM, [EMIT_OBJ] = LINK_OBJECT, [EMIT_LIB] = LINK_LIBRARY};

static bool link_all(Compilation *c, const SinterEmitter *e, const HostLayout *layout, const LinkFolder *folder) {
  Ctx *x = c->program->ctx;
  HostBlob blob;
  HostForwards forwards = {0};
  EmitResult host;
  ObjectPaths objects = {0}, exports = {0};
  SizeMap sizes;
  EmitKind kind = c->options->emit;
  const char *why,
      *source = base_name(c->options->source),
      *query = kind <= EMIT_EXE ? "sinter_query_v1" : arena_printf(x->arena, "%s_query_v1", layout->prefix);
  if (c->gpu.archs.n && !gpu_build(c, folder)) return false;
  if (!host_blob(&c->unit, c->level, c->nlevels, &c->gpu, layout, source, &blob)) return false;
  if (c->options->weights) {
    const char *weights;
    if (!compile_weights(c, &blob, folder, &weights)) return false;
    vec_push(x->arena, &objects, weights);
    compile_timed(c, "weights");
  }
  if (!emit_objects(c, e, folder, &objects)) return false;
  compile_timed(c, "code");
  bool program = kind == EMIT_EXE;
  if (!program) host_forwards(layout, &forwards);
  Buf text = {0};
  if (c->options->emit == EMIT_SO && !c->options->no_explain) explain_levels(c, &text);
  HostRequest q = {.blob = &blob,
                   .explain = text.at,
                   .forwards = forwards.at,
                   .nforwards = (int)forwards.n,
                   .query = query,
                   .target = c->level[0].target,
                   .arena = x->arena};
  bool made = e->emit_host(&q, &host);
  buf_free(&text);
  if (!made) return diag_error(x->diag, "emit", 0, "cannot generate the tables of the artefact: %s", host.error);
  const char *path = arena_printf(x->arena, "%s/host.o", folder->path);
  if (!link_write(x->arena, path, host.object, host.size, &why))
    return diag_error(x->diag, "temporary-file", 0, "%s", why);
  vec_push(x->arena, &objects, path);
  for (uint32_t i = 0; i < forwards.n; i++) vec_push(x->arena, &exports, forwards.at[i].name);
  vec_push(x->arena, &exports, query);
  compile_timed(c, "host object");
  LinkRequest link = {.kind = LINK_KIND[kind],
                      .folder = folder,
                      .arch = c->level[0].target->arch,
                      .objects = objects.at,
                      .nobjects = (int)objects.n,
                      .exports = exports.at,
                      .nexports = (int)exports.n,
                      .gpu = blob.gpu_bytes > 0,
                      .linker = c->options->linker,
                      .output = c->options->output,
                      .member = arena_printf(x->arena, "%s.o", layout->prefix),
                      .model = blob.model,
                      .model_bytes = blob.model_bytes,
                      .sizes = c->options->size || c->options->max_size ? &sizes : NULL,
                      .max_size = c->options->max_size};
  if (!link_artefact(x, &link)) return false;
  Buf header = {0};
  if (!program) host_header(layout, source, base_name(c->options->output), &header);
  bool ok = program || link_write(x->arena, header_path(x->arena, c->options->output), header.at, header.n, &why);
  buf_free(&header);
  if (!ok) {
    unlink(c->options->output);
    return diag_error(x->diag, "output-file", 0, "%s", why);
  }
  if (c->options->size) size_map_print(&sizes, base_name(c->options->output), &c->result->text);
  compile_timed(c, "link");
  return true;
}

static bool make_binary(Compilation *c) {
  Ctx *x = c->program->ctx;
  HostLayout layout;
  if (!c->options->output) BUG("a binary without an output");
  if (!host_layout(c->program, c->options->prefix, &layout) ||
      !link_writable(x, c->options->output, c->options->source) ||
      (c->options->emit != EMIT_EXE &&
       !link_writable(x, header_path(x->arena, c->options->output), c->options->source)))
    return false;
  if (!compile_graphs(c) || !compile_loops(c)) return false;
  compile_timed(c, "");
  const SinterEmitter *e = emitter_open(x);
  LinkFolder folder;
  if (!e || !link_folder_make(x, &folder)) return false;
  compile_timed(c, "open the emitter");
  bool ok = link_all(c, e, &layout, &folder);
  link_folder_remove(&folder);
  return ok;
}

static bool make_text(Compilation *c) {
  Ctx *x = c->program->ctx;
  const CompileOptions *o = c->options;
  const char *why;
  Buf *b = &c->result->text;
  if ((o->output && !link_writable(x, o->output, o->source)) || !compile_graphs(c)) return false;
  if (o->emit == EMIT_GRAPH)
    program_print(c->program, true, b);
  else if (!compile_loops(c))
    return false;
  bool generated = o->emit == EMIT_LLVM || o->emit == EMIT_ASM;
  const SinterEmitter *e = generated ? emitter_open(x) : NULL;
  if (generated && !e) return false;
  for (int i = 0; o->emit != EMIT_GRAPH && i < c->nlevels; i++) {
    const LevelUnit *l = &c->level[i];
    EmitRequest q = {.module = l->module, .target = l->target, .text = true, .arena = x->arena};
    EmitResult r = {0};
    if (c->nlevels > 1) buf_printf(b, "%s level %s\n", o->emit == EMIT_LLVM ? ";" : "#", l->target->name);
    if (o->emit == EMIT_LOOP)
      loop_print(l->module, b);
    else if ((o->emit == EMIT_LLVM ? e->print_ir : e->print_asm)(&q, &r))
      buf_put(b, r.text);
    else
      return diag_error(x->diag, "emit", 0, "cannot generate code for %s: %s", l->target->name, r.error);
  }
  if (!o->output) return true;
  bool ok = link_write(x->arena, o->output, b->at, b->n, &why);
  buf_free(b);
  return ok || diag_error(x->diag, "output-file", 0, "%s", why);
}

bool compile_program(Program *p, const CompileOptions *o, CompileResult *out) {
  Compilation c = {.program = p, .options = o, .result = out};
  *out = (CompileResult){0};
  return compile_levels(&c) && gpu_choose(&c) && (emit_kind_is_binary(o->emit) ? make_binary(&c) : make_text(&c));
}
