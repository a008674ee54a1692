/* Code generation in child processes: a crash of the code generator costs one sentence, and processors share the work.
 * What a child gets depends on the model alone, never on how many run at once. */
#include "pipeline.h"
#include <dlfcn.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { KERNELS_A_CHILD = 4, MAX_JOBS = 64 };

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
  pid_t pid;
  const char *object, *error;
} Job;

/* In the child. */
static int generate(Compilation *c, const SinterEmitter *e, const LinkFolder *f, const Job *j) {
  static const int deadly[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT};
  for (size_t i = 0; i < sizeof deadly / sizeof *deadly; i++)
    signal(deadly[i], SIG_DFL); /* handlers of the program are not for us */
  link_child(f);
  Arena *a = c->program->ctx->arena;
  const LevelUnit *l = &c->level[j->level];
  EmitResult r = {0};
  const char *why = NULL;
  bool ok = e->emit_object(
      &(EmitRequest){.module = l->module, .target = l->target, .first = j->first, .count = j->count, .arena = a}, &r);
  if (!ok)
    why = r.error;
  else
    ok = link_write(a, j->object, r.object, r.size, &why);
  if (!ok) file_write(a, j->error, why, strlen(why), &why);
  return ok ? 0 : 1;
}

static const char *kernels_of(Compilation *c, const Job *j) {
  const LoopModule *m = c->level[j->level].module;
  const char *first = m->kernels.at[j->first]->name, *last = m->kernels.at[j->first + j->count - 1]->name;
  Arena *a = c->program->ctx->arena;
  return j->count == 1 ? arena_printf(a, "kernel %s for %s", first, c->level[j->level].target->name)
                       : arena_printf(a, "kernels %s to %s for %s", first, last, c->level[j->level].target->name);
}

/* Waits for a job; says what went wrong unless `ok` is false: then something else was said before. */
static bool collect(Compilation *c, const LinkFolder *f, Job *j, bool ok) {
  Ctx *x = c->program->ctx;
  int status = 0;
  pid_t pid = j->pid;
  j->pid = 0;
  while (waitpid(pid, &status, 0) < 0)
    if (errno != EINTR)
      return diag_error(x->diag, "emit-child", 0, "lost the process that generates %s: %s", kernels_of(c, j),
                        strerror(errno));
  if (ok && link_interrupted(x, f)) return false;
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return ok;
  if (!ok) return false;
  if (WIFSIGNALED(status))
    return diag_error(
        x->diag, "emit-child", 0,
        "the code generator died of signal %d on %s; this is a mistake in Sinter, please report it with the model",
        WTERMSIG(status), kernels_of(c, j));
  size_t n = 0;
  const char *why = NULL, *text = file_read(x->arena, j->error, &n, &why);
  return diag_error(x->diag, "emit", 0, "cannot generate %s: %s", kernels_of(c, j),
                    text ? text : "the code generator gave no reason");
}

bool emit_objects(Compilation *c, const SinterEmitter *e, const LinkFolder *f, ObjectPaths *out) {
  Ctx *x = c->program->ctx;
  Vec(Job) jobs = {0};
  for (int l = 0; l < c->nlevels; l++) {
    int n = (int)c->level[l].module->kernels.n;
    for (int first = 0; first < n; first += KERNELS_A_CHILD) {
      Job j = {.level = l, .first = first, .count = n - first < KERNELS_A_CHILD ? n - first : KERNELS_A_CHILD};
      j.object = arena_printf(x->arena, "%s/%s_%d.o", f->path, c->level[l].target->name, first);
      j.error = arena_printf(x->arena, "%s/%s_%d.error", f->path, c->level[l].target->name, first);
      vec_push(x->arena, &jobs, j);
      vec_push(x->arena, out, j.object);
    }
  }
  long cpus = sysconf(_SC_NPROCESSORS_ONLN);
  uint32_t most = c->options->jobs > 0 ? (uint32_t)c->options->jobs : cpus > 0 ? (uint32_t)cpus : 1;
  if (most > MAX_JOBS) most = MAX_JOBS;
  bool ok = true;
  for (uint32_t started = 0, done = 0; done < started || (ok && started < jobs.n);) {
    if (ok && started < jobs.n && started - done < most) {
      Job *j = &jobs.at[started];
      j->pid = fork();
      if (j->pid == 0) _exit(generate(c, e, f, j));
      if (j->pid > 0)
        started++;
      else if (started == done)
        ok = diag_error(x->diag, "emit-child", 0, "cannot start a process that generates code: %s", strerror(errno));
      else
        ok = collect(c, f, &jobs.at[done++], ok); /* no room for another: wait for one */
    } else
      ok = collect(c, f, &jobs.at[done++], ok);
  }
  return ok;
}
