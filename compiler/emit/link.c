#include "link.h"
#include "abi.h"
#include "archive.h"
#include "elf_local.h"
#include <dirent.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static const char LINKER[] = "ld.lld-19";

bool link_folder_make(Ctx *c, LinkFolder *f) {
  static const int ending[] = {SIGHUP, SIGINT, SIGQUIT, SIGTERM};
  const char *base = getenv("TMPDIR");
  if (!base || !*base) base = "/tmp";
  char *path = arena_printf(c->arena, "%s/sinter.XXXXXX", base);
  f->path = path;
  sigemptyset(&f->held);
  for (size_t i = 0; i < sizeof ending / sizeof *ending; i++) {
    struct sigaction is;
    if (sigaction(ending[i], NULL, &is) == 0 && is.sa_handler != SIG_IGN) sigaddset(&f->held, ending[i]);
  }
  pthread_sigmask(SIG_BLOCK, &f->held, &f->before);
  if (mkdtemp(path)) return true;
  diag_error(c->diag, "temporary-folder", 0,
             "cannot make a temporary folder in %s: %s; set TMPDIR to a folder that can be written", base,
             strerror(errno));
  pthread_sigmask(SIG_SETMASK, &f->before, NULL);
  return false;
}

bool link_interrupted(Ctx *c, const LinkFolder *f) {
  sigset_t waiting;
  sigpending(&waiting);
  for (int s = 1; s < NSIG; s++)
    if (sigismember(&waiting, s) == 1 && sigismember(&f->held, s) == 1 && sigismember(&f->before, s) == 0)
      return !diag_error(c->diag, "interrupted", 0, "compiling was stopped by signal %d; nothing was written", s);
  return false;
}

void link_child(const LinkFolder *f) {
  for (int s = 1; s < NSIG; s++)
    if (sigismember(&f->held, s) == 1) signal(s, SIG_DFL);
  pthread_sigmask(SIG_SETMASK, &f->before, NULL);
}

void link_folder_remove(const LinkFolder *f) {
  DIR *d = opendir(f->path);
  for (struct dirent *e; d && (e = readdir(d));)
    unlinkat(dirfd(d), e->d_name, 0); /* "." and ".." refuse by themselves */
  if (d) closedir(d);
  rmdir(f->path);
  pthread_sigmask(SIG_SETMASK, &f->before, NULL);
}

bool link_writable(Ctx *c, const char *output, const char *source) {
  struct stat st, own;
  if (!*output) return diag_error(c->diag, "output-name", 0, "the name of the output is empty: give one by -o FILE");
  size_t n = strlen(output);
  if (output[n - 1] == '/' || (stat(output, &st) == 0 && S_ISDIR(st.st_mode)))
    return diag_error(c->diag, "output-folder", 0, "cannot write %s: it is a folder; name a file by -o", output);
  if (stat(output, &st) == 0) { /* it will be replaced by another file of its name */
    if (!S_ISREG(st.st_mode))
      return diag_error(c->diag, "output-special", 0, "cannot write %s: it is no ordinary file; name one by -o",
                        output);
    if (source && stat(source, &own) == 0 && own.st_dev == st.st_dev && own.st_ino == st.st_ino)
      return diag_error(c->diag, "output-source", 0, "cannot write %s: it is the model itself; name another file by -o",
                        output);
  }
  const char *slash = strrchr(output, '/');
  const char *parent = !slash ? "." : slash == output ? "/" : arena_strndup(c->arena, output, (size_t)(slash - output));
  if (stat(parent, &st) || !S_ISDIR(st.st_mode))
    return diag_error(c->diag, "output-parent", 0, "cannot write %s: there is no folder %s", output, parent);
  if (access(parent, W_OK))
    return diag_error(c->diag, "output-parent", 0, "cannot write %s: the folder %s cannot be written: %s", output,
                      parent, strerror(errno));
  return true;
}

bool link_write(Arena *a, const char *path, const void *p, size_t n, const char **why) {
  struct rlimit limit; /* writing beyond it would end the process by a signal */
  if (getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY && n > limit.rlim_cur) {
    *why = arena_printf(a, "cannot write %s: its %zu bytes are above the file-size limit of %llu (ulimit -f)", path, n,
                        (unsigned long long)limit.rlim_cur);
    return false;
  }
  return file_write(a, path, p, n, why);
}

/* Runs a program to its end. Its messages land in *said, at most 4 KB. Returns its wait status, or -1 and errno. */
static int run(Arena *a, const LinkFolder *f, const char *const *argv, const char **said) {
  int out[2], failed[2], status = -1;
  if (pipe2(out, O_CLOEXEC)) return -1;
  if (pipe2(failed, O_CLOEXEC)) {
    close(out[0]);
    close(out[1]);
    return -1;
  }
  pid_t pid = fork();
  if (pid == 0) {
    link_child(f);
    dup2(out[1], 1);
    dup2(out[1], 2);
    execvp(argv[0], (char *const *)argv);
    int e = errno;
    _exit(write(failed[1], &e, sizeof e) == sizeof e ? 127 : 126);
  }
  close(out[1]);
  close(failed[1]);
  char *text = arena_alloc(a, 4097), drain[512];
  size_t n = 0;
  for (ssize_t k; pid > 0;) {
    k = n < 4096 ? read(out[0], text + n, 4096 - n) : read(out[0], drain, sizeof drain);
    if (k < 0 && errno == EINTR) continue;
    if (k <= 0) break;
    if (n < 4096) n += (size_t)k;
  }
  *said = text;
  int e = 0;
  if (pid > 0) {
    ssize_t k = read(failed[0], &e, sizeof e);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) continue;
    if (k == sizeof e) status = -1;
  } else
    e = errno;
  close(out[0]);
  close(failed[0]);
  if (e) errno = e;
  return status;
}

static bool put(Ctx *c, const LinkFolder *f, const char *name, const void *p, size_t n) {
  const char *why;
  if (link_write(c->arena, arena_printf(c->arena, "%s/%s", f->path, name), p, n, &why)) return true;
  return diag_error(c->diag, "temporary-file", 0, "%s", why);
}

static const char *map_path(Arena *a, const LinkRequest *q) { return arena_printf(a, "%s/map", q->folder->path); }
static const char *linker(const LinkRequest *q) { return q->linker ? q->linker : LINKER; }

static bool run_linker(Ctx *c, const LinkFolder *f, const char *const *argv, const char *output) {
  const char *said;
  int status = run(c->arena, f, argv, &said);
  if (link_interrupted(c, f)) return false;
  if (status == -1 && errno == ENOENT)
    return diag_error(c->diag, "no-linker", 0,
                      "cannot run the linker %s: it is not installed; install it (Debian: apt-get install lld-19) or "
                      "name one by --linker",
                      argv[0]);
  if (status == -1)
    return diag_error(c->diag, "no-linker", 0, "cannot run the linker %s: %s", argv[0], strerror(errno));
  if (WIFSIGNALED(status) && WTERMSIG(status) == SIGXFSZ)
    return diag_error(c->diag, "link", 0, "cannot write %s: it is above the file-size limit (ulimit -f)", output);
  if (WIFSIGNALED(status))
    return diag_error(c->diag, "link", 0, "the linker %s was ended by signal %d", argv[0], WTERMSIG(status));
  if (WEXITSTATUS(status) == 0) return true;
  if (!*said) said = arena_printf(c->arena, "it ended with status %d", WEXITSTATUS(status));
  const char *end = strchr(said, '\n');
  return diag_error(c->diag, "link", 0, "the linker %s failed: %.*s", argv[0],
                    (int)(end ? (size_t)(end - said) : strlen(said)), said);
}

static char *with_tail(Arena *a, const LinkRequest *q, const char *p, size_t *n) {
  const char *model = memmem(p, *n, q->model, q->model_bytes);
  if (!model) BUG("the linked file does not hold the description");
  SinterTail t = {.length = *n,
                  .model = (uint64_t)(model - p),
                  .machine = ((const Elf64_Ehdr *)(const void *)p)->e_machine,
                  .program = q->kind == LINK_PROGRAM,
                  .abi = SINTER_ABI_VERSION,
                  .size = sizeof t,
                  .magic = "SINTER\r"};
  t.magic[7] = '\n';
  t.crc64 = crc64(&t, offsetof(SinterTail, crc64), crc64(p, *n, 0));
  char *all = arena_alloc(a, *n + sizeof t);
  memcpy(all, p, *n);
  memcpy(all + *n, &t, sizeof t);
  *n += sizeof t;
  return all;
}

static bool take_sizes(Ctx *c, const LinkRequest *q, size_t bytes) {
  const char *why = NULL, *slash = strrchr(q->output, '/');
  size_t n;
  const char *map = file_read(c->arena, map_path(c->arena, q), &n, &why);
  if (!map) return diag_error(c->diag, "link", 0, "%s", why);
  size_map_read(c->arena, map, bytes, q->sizes);
  return !q->max_size || size_map_within(c, q->sizes, slash ? slash + 1 : q->output, q->max_size);
}

static bool make_runnable(Ctx *c, const char *path) {
  mode_t mask = umask(0); /* it cannot be asked without being set */
  umask(mask);
  if (chmod(path, 0777 & ~mask) == 0) return true;
  int e = errno;
  unlink(path);
  return diag_error(c->diag, "output-file", 0, "cannot make %s a program: %s", path, strerror(e));
}

static bool finish(Ctx *c, const LinkRequest *q, const char *linked) {
  const char *why = NULL;
  size_t n;
  char *p = file_read(c->arena, linked, &n, &why);
  if (!p) return diag_error(c->diag, "link", 0, "%s", why);
  if (q->kind <= LINK_PROGRAM)
    p = with_tail(c->arena, q, p, &n);
  else if (!elf_make_local(c->arena, (uint8_t *)p, n, q->exports, q->nexports, &why))
    return diag_error(c->diag, "link-object", 0, "cannot use the object that the linker %s made: %s", linker(q), why);
  if (q->kind == LINK_LIBRARY)
    p = (char *)archive_write(c->arena, q->member, (uint8_t *)p, n, q->exports, q->nexports, &n);
  if (q->sizes && !take_sizes(c, q, n)) return false;
  if (!link_write(c->arena, q->output, p, n, &why)) return diag_error(c->diag, "output-file", 0, "%s", why);
  return q->kind != LINK_PROGRAM || make_runnable(c, q->output);
}

bool link_artefact(Ctx *c, const LinkRequest *q) {
  const LinkArch *arch = LINK_ARCHS;
  while (arch->name && strcmp(arch->name, q->arch)) arch++;
  if (!arch->name) BUG("no runtime for %s", q->arch);
  const char *base = strrchr(q->output, '/');
  Arena *a = c->arena;
  Buf script = {0};
  buf_put(&script, "{\n  global:\n");
  for (int i = 0; i < q->nexports; i++) buf_printf(&script, "    \"%s\";\n", q->exports[i]);
  buf_put(&script, "  local: *;\n};\n");
  bool ok = put(c, q->folder, "exports", script.at, script.n) &&
            put(c, q->folder, "runtime.o", q->kind == LINK_PROGRAM ? arch->exe : arch->runtime,
                q->kind == LINK_PROGRAM ? arch->exe_bytes : arch->runtime_bytes) &&
            put(c, q->folder, "gpu.o", arch->gpu, arch->gpu_bytes) &&
            put(c, q->folder, "libc.so.6", arch->libc, arch->libc_bytes);
  buf_free(&script);
  if (!ok) return false;
  const char *out = arena_printf(a, "%s/linked", q->folder->path);
  Vec(const char *) argv = {0};
  vec_push(a, &argv, linker(q));
  vec_push(a, &argv, "-m");
  vec_push(a, &argv, arch->emulation);
  if (q->kind > LINK_PROGRAM)
    vec_push(a, &argv, "-r");
  else if (q->kind == LINK_PROGRAM) {
    const char *const flags[] = {"-static", "--build-id=none", "--gc-sections", "-s", "-z", "noexecstack",
                                 "-e",      "_start"};
    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++) vec_push(a, &argv, flags[i]);
  } else {
    const char *const flags[] = {
        "-shared", "--build-id=none", "--gc-sections", "--no-undefined", "-s", "-z", "relro", "-z", "now",
        "-z",      "noexecstack",     "-soname"};
    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++) vec_push(a, &argv, flags[i]);
    vec_push(a, &argv, base ? base + 1 : q->output);
    vec_push(a, &argv, "--version-script");
    vec_push(a, &argv, arena_printf(a, "%s/exports", q->folder->path));
  }
  if (q->sizes) vec_push(a, &argv, arena_printf(a, "-Map=%s", map_path(a, q)));
  vec_push(a, &argv, "-o");
  vec_push(a, &argv, out);
  for (int i = 0; i < q->nobjects; i++) vec_push(a, &argv, q->objects[i]);
  vec_push(a, &argv, arena_printf(a, "%s/runtime.o", q->folder->path));
  if (q->gpu) vec_push(a, &argv, arena_printf(a, "%s/gpu.o", q->folder->path));
  if (q->kind == LINK_SHARED) vec_push(a, &argv, arena_printf(a, "%s/libc.so.6", q->folder->path));
  vec_push(a, &argv, NULL);
  return run_linker(c, q->folder, argv.at, q->output) && finish(c, q, out);
}
