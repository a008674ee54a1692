#include "children.h"
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MAX_CHILDREN = 64 };

static const char *said_path(Arena *a, const Children *q, int job) {
  return arena_printf(a, "%s/said_%d", q->folder->path, job);
}

static int child(Ctx *c, const Children *q, int job) {
  static const int deadly[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGALRM};
  for (size_t i = 0; i < sizeof deadly / sizeof *deadly; i++)
    signal(deadly[i], SIG_DFL); /* handlers of the program are not for us */
  link_child(q->folder);
  sigset_t alarmed;
  sigemptyset(&alarmed);
  sigaddset(&alarmed, SIGALRM);
  sigprocmask(SIG_UNBLOCK, &alarmed, NULL);
  setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
  if (q->memory) setrlimit(RLIMIT_AS, &(struct rlimit){q->memory, q->memory});
  alarm((unsigned)q->seconds); /* the kernel ends even a child that does nothing but loop; 0: no alarm */
  Buf said = {0};
  const char *why;
  int status = q->work(q->self, job, &said);
  if (said.n && !link_write(c->arena, said_path(c->arena, q, job), said.at, said.n, &why)) return 125;
  return status;
}

static double seconds_of(struct timeval t) { return (double)t.tv_sec + (double)t.tv_usec * 1e-6; }

/* Until the child has ended; true after diag_error if a signal of the user came before. */
static bool interrupted_before_end(Ctx *c, const Children *q, pid_t pid) {
  struct pollfd child = {.fd = pidfd_open(pid, 0), .events = POLLIN}; /* Linux before 5.3 has none: not interrupted */
  bool interrupted = false;
  while (child.fd >= 0 && !interrupted && poll(&child, 1, 100) == 0) interrupted = link_interrupted(c, q->folder);
  if (child.fd >= 0) close(child.fd);
  return interrupted;
}

/* Waits for a job, and hands it on unless `ok` is false: then something else was said before. */
static bool collect(Ctx *c, const Children *q, int job, pid_t pid, bool ok) {
  int status = 0;
  struct rusage used = {0};
  ok = ok && !interrupted_before_end(c, q, pid);
  if (!ok) kill(pid, SIGKILL);
  while (wait4(pid, &status, 0, &used) < 0)
    if (errno != EINTR)
      return ok && diag_error(c->diag, "emit-child", 0, "lost a process that %s: %s", q->verb, strerror(errno));
  if (!ok || link_interrupted(c, q->folder)) return false;
  ChildEnd end = {.signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0,
                  .status = WEXITSTATUS(status),
                  .said = "",
                  .seconds = seconds_of(used.ru_utime) + seconds_of(used.ru_stime)};
  const char *why, *path = said_path(c->arena, q, job), *said = NULL;
  size_t n;
  if (!end.signal && access(path, F_OK) == 0) said = file_read(c->arena, path, &n, &why);
  unlink(path); /* the next children of this folder count from 0 again */
  if (said) end.said = said;
  return q->ended(q->self, job, &end);
}

bool children_run(Ctx *c, const Children *q) {
  long cpus = sysconf(_SC_NPROCESSORS_ONLN);
  int most = q->most > 0 ? q->most : cpus > 0 ? (int)cpus : 1;
  if (most > MAX_CHILDREN) most = MAX_CHILDREN;
  pid_t *pid = ARENA_ARRAY(c->arena, pid_t, q->jobs + 1);
  bool ok = true;
  for (int started = 0, done = 0; done < started || (ok && started < q->jobs);) {
    if (ok && started < q->jobs && started - done < most) {
      pid[started] = fork();
      if (pid[started] == 0) _exit(child(c, q, started));
      if (pid[started] > 0)
        started++;
      else if (started == done)
        ok = diag_error(c->diag, "emit-child", 0, "cannot start a process that %s: %s", q->verb, strerror(errno));
      else /* no room for another: wait for one */
        ok = collect(c, q, done, pid[done], ok), done++;
    } else
      ok = collect(c, q, done, pid[done], ok), done++;
  }
  return ok;
}
