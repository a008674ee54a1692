#include "cuda_compile.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- what ptxas says ---- */

static uint32_t number_before(const char *line, const char *words) { /* "16 bytes spill stores": 16; 0: not there */
  const char *p = strstr(line, words);
  if (!p) return 0;
  while (p > line && p[-1] >= '0' && p[-1] <= '9') p--;
  return (uint32_t)strtoul(p, NULL, 10);
}

static CudaFunction *function_named(Arena *a, CudaImage *m, const char *name, bool kernel) {
  for (uint32_t i = 0; i < m->functions.n; i++)
    if (!strcmp(m->functions.at[i].name, name)) return &m->functions.at[i];
  vec_push(a, &m->functions, (CudaFunction){.name = name, .kernel = kernel});
  return &vec_last(&m->functions);
}

static const char *text_between(Arena *a, const char *line, const char *before, const char *after) {
  const char *p = strstr(line, before), *end;
  if (!p) return NULL;
  p += strlen(before);
  end = *after ? strstr(p, after) : p + strlen(p);
  return end ? arena_strndup(a, p, (size_t)(end - p)) : NULL;
}

void cuda_read_log(Arena *a, CudaImage *m) {
  const char *kernel = NULL, *function = NULL, *name;
  for (const char *p = m->log; *p;) {
    size_t n = strcspn(p, "\n");
    const char *line = arena_strndup(a, p, n);
    p += n + (p[n] == '\n');
    if (strstr(line, "(C75") && !strstr(line, "(C7519)")) vec_push(a, &m->advice, strstr(line, "(C75"));
    if ((name = text_between(a, line, "Compiling entry function '", "'"))) {
      kernel = name;
      function_named(a, m, name, true);
    } else if ((name = text_between(a, line, "Function properties for ", ""))) {
      function = name;
      function_named(a, m, name, false);
    } else if (function && strstr(line, " bytes stack frame")) {
      CudaFunction *f = function_named(a, m, function, false);
      f->stack = number_before(line, " bytes stack frame");
      f->spill_stores = number_before(line, " bytes spill stores");
      f->spill_loads = number_before(line, " bytes spill loads");
    } else if (kernel && strstr(line, " registers")) {
      CudaFunction *f = function_named(a, m, kernel, true);
      f->registers = number_before(line, " registers");
      f->shared = number_before(line, " bytes smem");
    }
  }
}

/* ---- jobs ---- */

static const char NO_CODE[] = "it gave no code";

typedef enum { JOB_DONE, JOB_REFUSED, JOB_MEMORY, JOB_KILLED, JOB_CRASHED, JOB_LATE } JobState;
typedef struct CudaJob {
  CudaImage *image;
  JobState state;
  int signal;
  const char *said; /* JOB_REFUSED: by NVRTC */
} CudaJob;

typedef struct CudaWork {
  Ctx *ctx;
  const CudaRtc *rtc;
  const CudaOptions *o;
  CudaJob *job;
  int njobs;
} CudaWork;

static const char *job_file(const CudaWork *w, int job, const char *what) {
  return arena_printf(w->ctx->arena, "%s/cuda_%d.%s", w->o->folder->path, job, what);
}

/* In the child: what is printed goes into a file, so that a crash can be explained and the terminal stays clean. */
static void print_into(const char *path) {
  int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0666);
  if (fd < 0) return;
  dup2(fd, 1);
  dup2(fd, 2);
  close(fd);
}

enum { RTC_SAYS = 100 }; /* + RtcStatus: exit status of a child; NVRTC may end it with one of its own */

static int compile_one(void *self, int job, Buf *said) {
  const CudaWork *w = self;
  const CudaImage *m = w->job[job].image;
  Arena *a = w->ctx->arena;
  RtcResult r;
  const char *why;
  print_into(job_file(w, job, "printed"));
  RtcStatus status = cuda_rtc_compile(w->rtc, a, m->program, m->arch, w->o->options, w->o->noptions, &r);
  if (status == RTC_DONE && !link_write(a, job_file(w, job, "code"), r.code, r.size, &why)) {
    status = RTC_REFUSED;
    r.refused = why;
  }
  buf_put(said, status == RTC_REFUSED ? r.refused : r.log);
  return RTC_SAYS + (int)status;
}

static const char *file_text(const CudaWork *w, const char *path, size_t *n) { /* "" if there is none */
  const char *why, *text = access(path, R_OK) == 0 ? file_read(w->ctx->arena, path, n, &why) : NULL;
  if (!text) *n = 0;
  return text ? text : "";
}

/* False: there is none, although the child was content. */
static bool take_code(CudaWork *w, int job, const char *log) {
  CudaImage *m = w->job[job].image;
  const char *code = file_text(w, job_file(w, job, "code"), &m->size);
  if (!m->size) return false;
  m->code = (const uint8_t *)code;
  m->log = log;
  if (strncmp(m->arch, "sm_", 3) == 0) cuda_read_log(w->ctx->arena, m);
  return true;
}

static bool job_ended(void *self, int job, const ChildEnd *end) {
  CudaWork *w = self;
  CudaJob *j = &w->job[job];
  j->signal = end->signal;
  j->said = end->said;
  j->image->seconds = end->seconds;
  if (end->signal)
    j->state = end->signal == SIGALRM ? JOB_LATE : end->signal == SIGKILL ? JOB_KILLED : JOB_CRASHED;
  else
    j->state = end->status == RTC_SAYS + RTC_DONE      ? JOB_DONE
               : end->status == RTC_SAYS + RTC_REFUSED ? JOB_REFUSED
               : end->status == RTC_SAYS + RTC_MEMORY  ? JOB_MEMORY
                                                       : JOB_CRASHED;
  if (j->state == JOB_DONE && !take_code(w, job, end->said)) {
    j->state = JOB_REFUSED;
    j->said = NO_CODE;
  }
  return true;
}

static Children children_of(CudaWork *w, int jobs) {
  return (Children){.folder = w->o->folder,
                    .verb = "compiles CUDA",
                    .jobs = jobs,
                    .most = w->o->jobs,
                    .seconds = w->o->seconds ? w->o->seconds : CUDA_SECONDS,
                    .memory = w->o->memory,
                    .self = w};
}

/* ---- what is said of failures ---- */

static const char *base_name(const char *path) {
  const char *slash = strrchr(path, '/');
  return slash ? slash + 1 : path;
}

/* Writes program and headers into a new folder. Returns what the sentence says of it, beginning with ";". */
static const char *keep_text(const CudaWork *w, const CudaProgram *p) {
  Arena *a = w->ctx->arena;
  const char *base = w->o->keep ? w->o->keep : getenv("TMPDIR"), *why = NULL;
  if (p->is_file) return "";
  if (!base || !*base) base = "/tmp";
  char *folder = arena_printf(a, "%s/sinter-cuda.XXXXXX", base);
  if (!mkdtemp(folder)) return arena_printf(a, "; its text cannot be kept in %s: %s", base, strerror(errno));
  const char *file = arena_printf(a, "%s/%s", folder, base_name(p->name));
  bool ok = link_write(a, file, p->text, strlen(p->text), &why);
  for (int i = 0; i < p->nheaders && ok; i++)
    ok = link_write(a, arena_printf(a, "%s/%s", folder, base_name(p->headers[i].name)), p->headers[i].text,
                    strlen(p->headers[i].text), &why);
  return ok ? arena_printf(a, "; its text is in %s", file) : arena_printf(a, "; its text cannot be kept: %s", why);
}

static const char *crash_of(const CudaWork *w, int job) {
  Arena *a = w->ctx->arena;
  const CudaJob *j = &w->job[job];
  size_t n;
  const char *printed = file_text(w, job_file(w, job, "printed"), &n);
  const char *what =
      j->signal ? arena_printf(a, "died of signal %d (%s)", j->signal, strsignal(j->signal)) : "ended its process";
  return *printed ? arena_printf(a, "%s: %.*s", what, (int)strcspn(printed, "\n"), printed) : what;
}

static bool say(const CudaWork *w, int job, const char *kept) {
  const CudaJob *j = &w->job[job];
  Diag *d = w->ctx->diag;
  const char *name = j->image->program->name, *arch = j->image->arch;
  int seconds = w->o->seconds ? w->o->seconds : CUDA_SECONDS;
  switch (j->state) {
  case JOB_DONE: return true;
  case JOB_REFUSED: return diag_error(d, "cuda-text", 0, "cannot compile %s for %s: %s%s", name, arch, j->said, kept);
  case JOB_MEMORY:
    return diag_error(d, "cuda-memory", 0, "cannot compile %s for %s: NVRTC ran out of memory%s", name, arch, kept);
  case JOB_KILLED:
    return diag_error(d, "cuda-memory", 0,
                      "cannot compile %s for %s: NVRTC was killed, as the system does when memory runs out%s", name,
                      arch, kept);
  case JOB_CRASHED:
    return diag_error(d, "cuda-crash", 0, "cannot compile %s for %s: NVRTC %s%s", name, arch, crash_of(w, job), kept);
  case JOB_LATE:
    return diag_error(d, "cuda-time", 0, "cannot compile %s for %s: NVRTC did not end within %d s%s", name, arch,
                      seconds, kept);
  }
  BUG("state %d", (int)j->state);
}

static bool say_all(const CudaWork *w) {
  bool ok = true;
  for (int i = 0; i < w->njobs; i += w->o->narchs) {
    const char *kept = NULL; /* once for all architectures of a program */
    for (int k = i; k < i + w->o->narchs; k++) {
      if (w->job[k].state == JOB_DONE) continue;
      if (!kept) kept = keep_text(w, w->job[k].image->program);
      ok = say(w, k, kept);
    }
  }
  return ok;
}

bool cuda_compile(Ctx *c, const CudaRtc *rtc, const CudaProgram *programs, int nprograms, const CudaOptions *o,
                  CudaImage *images) {
  int n = nprograms * o->narchs;
  CudaWork w = {.ctx = c, .rtc = rtc, .o = o, .job = ARENA_ARRAY(c->arena, CudaJob, n + 1), .njobs = n};
  for (int i = 0; i < o->narchs; i++)
    if (!cuda_rtc_arch(c, rtc, o->archs[i])) return false;
  for (int i = 0; i < n; i++) {
    images[i] = (CudaImage){.program = &programs[i / o->narchs], .arch = o->archs[i % o->narchs], .log = ""};
    w.job[i].image = &images[i];
  }
  Children q = children_of(&w, n);
  q.work = compile_one;
  q.ended = job_ended;
  return children_run(c, &q) && say_all(&w);
}
