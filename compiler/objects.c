/* Code generation in child processes: a crash of the code generator costs one sentence, and processors share the work.
 * What a child gets depends on the model alone, never on how many run at once. */
#include "children.h"
#include "pipeline.h"
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { KERNELS_A_CHILD = 4 };

const SinterEmitter *emitter_open(Ctx *c) {
  static const char *const beside[] = {"libsinter_llvm.so", SINTER_MODULE_FOLDER "/libsinter_llvm.so" /* installed */,
                                       "../../libsinter_llvm.so" /* test programs: build/tests/SUITE */};
  char self[4096];
  ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
  self[n > 0 ? n : 0] = 0;
  char *slash = strrchr(self, '/');
  if (slash) *slash = 0;
  const char *given = getenv("SINTER_LLVM"), *why = "it is not there";
  void *lib = given && *given ? dlopen(given, RTLD_NOW | RTLD_LOCAL) : NULL;
  for (size_t i = 0; !lib && !(given && *given) && i < sizeof beside / sizeof *beside; i++) {
    const char *path = *beside[i] == '/' ? beside[i] : arena_printf(c->arena, "%s/%s", self, beside[i]);
    if (access(path, R_OK) == 0) {
      lib = dlopen(path, RTLD_NOW | RTLD_LOCAL);
      if (!lib) why = arena_printf(c->arena, "%s", dlerror());
    }
  }
  if (!lib && given && *given) why = arena_printf(c->arena, "%s", dlerror());
  SinterEmitterQuery *query = NULL;
  if (lib) *(void **)&query = dlsym(lib, "sinter_emitter");
  const SinterEmitter *e = query ? query() : NULL;
  if (e && e->size == sizeof *e) return e;
  diag_error(c->diag, "no-emitter", 0,
             "cannot open the code generator libsinter_llvm.so beside the program: %s; commands that make no code work "
             "without it",
             lib ? "it is of another version" : why);
  return NULL;
}

typedef struct Job {
  int level, first, count;
  const char *object;
} Job;
typedef struct Generation {
  Compilation *c;
  const SinterEmitter *emitter;
  Vec(Job) jobs;
} Generation;

/* In the child. */
static int generate(void *self, int job, Buf *said) {
  Generation *g = self;
  const Job *j = &g->jobs.at[job];
  const LevelUnit *l = &g->c->level[j->level];
  Arena *a = g->c->program->ctx->arena;
  EmitResult r = {0};
  const char *why = NULL;
  bool ok = g->emitter->emit_object(
      &(EmitRequest){.module = l->module, .target = l->target, .first = j->first, .count = j->count, .arena = a}, &r);
  if (!ok)
    why = r.error;
  else
    ok = link_write(a, j->object, r.object, r.size, &why);
  if (!ok) buf_put(said, why);
  return ok ? 0 : 1;
}

static const char *kernels_of(Compilation *c, const Job *j) {
  const LoopModule *m = c->level[j->level].module;
  const char *first = m->kernels.at[j->first]->name, *last = m->kernels.at[j->first + j->count - 1]->name;
  Arena *a = c->program->ctx->arena;
  return j->count == 1 ? arena_printf(a, "kernel %s for %s", first, c->level[j->level].target->name)
                       : arena_printf(a, "kernels %s to %s for %s", first, last, c->level[j->level].target->name);
}

static bool generated(void *self, int job, const ChildEnd *end) {
  Generation *g = self;
  Diag *diag = g->c->program->ctx->diag;
  const char *kernels = kernels_of(g->c, &g->jobs.at[job]);
  if (end->signal)
    return diag_error(
        diag, "emit-child", 0,
        "the code generator died of signal %d on %s; this is a mistake in Sinter, please report it with the model",
        end->signal, kernels);
  if (!end->status) return true;
  return diag_error(diag, "emit", 0, "cannot generate %s: %s", kernels,
                    *end->said ? end->said : "the code generator gave no reason");
}

bool emit_objects(Compilation *c, const SinterEmitter *e, const LinkFolder *f, ObjectPaths *out) {
  Ctx *x = c->program->ctx;
  Generation g = {.c = c, .emitter = e};
  for (int l = 0; l < c->nlevels; l++) {
    int n = (int)c->level[l].module->kernels.n;
    for (int first = 0; first < n; first += KERNELS_A_CHILD) {
      Job j = {.level = l, .first = first, .count = n - first < KERNELS_A_CHILD ? n - first : KERNELS_A_CHILD};
      j.object = arena_printf(x->arena, "%s/%s_%d.o", f->path, c->level[l].target->name, first);
      vec_push(x->arena, &g.jobs, j);
      vec_push(x->arena, out, j.object);
    }
  }
  return children_run(x, &(Children){.folder = f,
                                     .verb = "generates code",
                                     .jobs = (int)g.jobs.n,
                                     .most = c->options->jobs,
                                     .self = &g,
                                     .work = generate,
                                     .ended = generated});
}
