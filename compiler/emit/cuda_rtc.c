#include "cuda_rtc.h"
#include <dirent.h>
#include <dlfcn.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { NVRTC_MAJOR = 13 }; /* its code runs with drivers from 580 on, as sinter's runtime demands */
enum { NVRTC_SUCCESS = 0, NVRTC_OUT_OF_MEMORY = 1 };

typedef struct NvrtcProgram NvrtcProgram;
/* Name, parameters. Each returns a status, but GetErrorString. */
#define NVRTC_FUNCTIONS(F)                                                                                             \
  F(Version, (int *major, int *minor))                                                                                 \
  F(GetNumSupportedArchs, (int *n))                                                                                    \
  F(GetSupportedArchs, (int *archs))                                                                                   \
  F(CreateProgram, (NvrtcProgram * *p, const char *text, const char *name, int nheaders, const char *const *headers,   \
                    const char *const *header_names))                                                                  \
  F(CompileProgram, (NvrtcProgram * p, int noptions, const char *const *options))                                      \
  F(DestroyProgram, (NvrtcProgram * *p))                                                                               \
  F(GetProgramLogSize, (NvrtcProgram * p, size_t *n))                                                                  \
  F(GetProgramLog, (NvrtcProgram * p, char *log))                                                                      \
  F(GetCUBINSize, (NvrtcProgram * p, size_t *n))                                                                       \
  F(GetCUBIN, (NvrtcProgram * p, char *code))                                                                          \
  F(GetPTXSize, (NvrtcProgram * p, size_t *n))                                                                         \
  F(GetPTX, (NvrtcProgram * p, char *code))

typedef struct NvrtcApi {
#define FIELD(name, parameters) int(*name) parameters;
  NVRTC_FUNCTIONS(FIELD)
#undef FIELD
  const char *(*GetErrorString)(int status);
} NvrtcApi;

/* ---- finding it ---- */

typedef struct Search {
  Ctx *ctx;
  CudaRtc *found;
  const char *why; /* the last library that was there cannot be used */
} Search;

/* The first file, by name, of a folder whose path below it matches a pattern; a `*` stays within one name. */
static const char *match_below(Arena *a, const char *folder, const char *pattern) {
  size_t n = strcspn(pattern, "/");
  const char *name = arena_strndup(a, pattern, n), *best = NULL;
  DIR *d = opendir(folder);
  for (struct dirent *e; d && (e = readdir(d));) {
    if (!str_match(name, e->d_name)) continue;
    const char *path = arena_printf(a, "%s/%s", folder, e->d_name);
    if (pattern[n]) path = match_below(a, path, pattern + n + 1);
    if (path && (!best || strcmp(path, best) < 0)) best = path;
  }
  if (d) closedir(d);
  return best;
}

static bool load_functions(Search *s, void *library, NvrtcApi *api) {
  const struct {
    const char *name;
    void *to;
  } functions[] = {
#define ROW(name, parameters) {"nvrtc" #name, (void *)&api->name},
      NVRTC_FUNCTIONS(ROW)
#undef ROW
          {"nvrtcGetErrorString", (void *)&api->GetErrorString},
  };
  for (size_t i = 0; i < sizeof functions / sizeof *functions; i++) {
    void *f = dlsym(library, functions[i].name);
    if (!f) {
      s->why = arena_printf(s->ctx->arena, "it has no function %s", functions[i].name);
      return false;
    }
    memcpy(functions[i].to, &f, sizeof f);
  }
  return true;
}

/* NVRTC opens this one by its bare name at the first compilation, and finds it if it is there already. */
static bool load_builtins(Search *s, const CudaRtc *rtc) {
  const char *name = arena_printf(s->ctx->arena, "libnvrtc-builtins.so.%d.%d", rtc->major, rtc->minor);
  char real[PATH_MAX];
  const char *paths[] = {rtc->path, realpath(rtc->path, real) ? real : NULL};
  for (int i = 0; i < 2; i++) {
    const char *slash = paths[i] ? strrchr(paths[i], '/') : NULL;
    if (slash && dlopen(arena_printf(s->ctx->arena, "%.*s/%s", (int)(slash - paths[i]), paths[i], name), RTLD_NOW))
      return true;
  }
  if (dlopen(name, RTLD_NOW)) return true;
  s->why = arena_printf(s->ctx->arena, "%s is not beside it", name);
  return false;
}

/* Opens a library; false after s->why. NVRTC stays open until the process ends: it is not made to be unloaded. */
static bool open_library(Search *s, const char *path) {
  Arena *a = s->ctx->arena;
  void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  NvrtcApi *api = ARENA_NEW(a, NvrtcApi);
  CudaRtc *rtc = ARENA_NEW(a, CudaRtc);
  *rtc = (CudaRtc){.path = path, .api = api};
  if (!library)
    s->why = arena_printf(a, "%s", dlerror());
  else if (load_functions(s, library, api)) {
    Dl_info info;
    void *f;
    memcpy(&f, &api->Version, sizeof f);
    if (!strchr(path, '/') && dladdr(f, &info)) rtc->path = arena_printf(a, "%s", info.dli_fname);
    if (api->Version(&rtc->major, &rtc->minor) || api->GetNumSupportedArchs(&rtc->narchs))
      s->why = "it does not say its version";
    else if (rtc->major != NVRTC_MAJOR)
      s->why = arena_printf(a, "it is version %d.%d, but %d is wanted", rtc->major, rtc->minor, NVRTC_MAJOR);
    else if (load_builtins(s, rtc)) {
      int *arch = ARENA_ARRAY(a, int, rtc->narchs + 1);
      api->GetSupportedArchs(arch);
      rtc->arch = arch;
      s->found = rtc;
      return true;
    }
  }
  s->why = arena_printf(a, "%s cannot be used: %s", path, s->why);
  return false;
}

static bool look_in(Search *s, const char *folder) {
  static const char *const below[] = {
      "", "lib64/", "lib/", "targets/*-linux/lib/", "nvidia/cu13/lib/", "lib/python3*/site-packages/nvidia/cu13/lib/"};
  static const char *const names[] = {"libnvrtc.so.13", "libnvrtc.so*"}; /* the second for what is to be said of it */
  for (int k = 0; k < 2; k++)
    for (size_t i = 0; i < sizeof below / sizeof *below; i++) {
      const char *path = match_below(s->ctx->arena, folder, arena_printf(s->ctx->arena, "%s%s", below[i], names[k]));
      if (path) return open_library(s, path);
    }
  return false;
}

static bool look_beside(Search *s) {
  static const char *const up[] = {"", "/..", "/../.."}; /* build/sinter, build/asan/sinter, build/tests/SUITE/test */
  char self[PATH_MAX];
  ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
  self[n > 0 ? n : 0] = 0;
  char *slash = strrchr(self, '/');
  if (!slash) return false;
  *slash = 0;
  for (size_t i = 0; i < sizeof up / sizeof *up; i++)
    if (look_in(s, arena_printf(s->ctx->arena, "%s%s/nvrtc-venv", self, up[i]))) return true;
  return false;
}

static const char *variable(const char *name) {
  const char *value = getenv(name);
  return value && *value ? value : NULL;
}

const CudaRtc *cuda_rtc_open(Ctx *c) {
  Search s = {.ctx = c};
  const char *given = variable("SINTER_NVRTC"), *home = variable("CUDA_HOME"), *venv = variable("VIRTUAL_ENV");
  struct stat st;
  if (given) {
    bool folder = stat(given, &st) == 0 && S_ISDIR(st.st_mode);
    if (folder ? look_in(&s, given) : open_library(&s, given)) return s.found;
    diag_error(c->diag, "no-nvrtc", 0, "SINTER_NVRTC: %s",
               s.why ? s.why : arena_printf(c->arena, "there is no libnvrtc.so.%d in %s", NVRTC_MAJOR, given));
    return NULL;
  }
  if ((home && look_in(&s, home)) || look_in(&s, "/usr/local/cuda")) return s.found;
  const char *why = s.why; /* that the system has none is not worth a word */
  if (open_library(&s, "libnvrtc.so.13")) return s.found;
  s.why = why;
  if ((venv && look_in(&s, venv)) || look_beside(&s)) return s.found;
  diag_error(c->diag, "no-nvrtc", 0, "cannot compile CUDA: %s",
             s.why ? s.why
                   : "there is no NVRTC; install a CUDA toolkit 13, or in a virtual environment the package "
                     "nvidia-cuda-nvrtc==13.0.88 and set SINTER_NVRTC to its folder");
  return NULL;
}

/* ---- architectures ---- */

static bool known_arch(const CudaRtc *rtc, const char *arch) {
  const char *digits = strncmp(arch, "sm_", 3) == 0 ? arch + 3 : strncmp(arch, "compute_", 8) == 0 ? arch + 8 : "";
  size_t n = strspn(digits, "0123456789");
  if (n < 2 || n > 3 || (digits[n] && strcmp(digits + n, "a") && strcmp(digits + n, "f"))) return false;
  for (int i = 0; i < rtc->narchs; i++)
    if (rtc->arch[i] == atoi(digits)) return true;
  return false;
}

bool cuda_rtc_arch(Ctx *c, const CudaRtc *rtc, const char *arch) {
  if (known_arch(rtc, arch)) return true;
  Buf list = {0};
  for (int i = 0; i < rtc->narchs; i++) buf_printf(&list, "%ssm_%d", i ? ", " : "", rtc->arch[i]);
  diag_error(c->diag, "cuda-arch", 0,
             "NVRTC %d.%d does not compile for the architecture \"%s\"; it does for %s (some also with a letter, as "
             "sm_90a), and to PTX for compute_80 and so on",
             rtc->major, rtc->minor, arch, list.n ? list.at : "none");
  buf_free(&list);
  return false;
}

/* ---- compiling ---- */

const char *cuda_error_line(Arena *a, const char *log) {
  const char *first = NULL;
  for (const char *p = log; *p;) {
    size_t n = strcspn(p, "\n");
    const char *line = arena_strndup(a, p, n);
    if (strstr(line, "error") || strstr(line, "fatal")) return line;
    if (!first && n) first = line;
    p += n + (p[n] == '\n');
  }
  return first ? first : "no reason is given";
}

static const char *read_log(const NvrtcApi *api, NvrtcProgram *p, Arena *a) {
  size_t n;
  if (api->GetProgramLogSize(p, &n)) return "";
  char *log = arena_alloc(a, n + 1);
  return api->GetProgramLog(p, log) ? "" : log;
}

static int read_code(const NvrtcApi *api, NvrtcProgram *p, Arena *a, bool ptx, RtcResult *r) {
  int status = ptx ? api->GetPTXSize(p, &r->size) : api->GetCUBINSize(p, &r->size);
  if (status) return status;
  char *code = arena_alloc(a, r->size + 1);
  r->code = code;
  if (ptx && r->size) r->size--;
  return ptx ? api->GetPTX(p, code) : api->GetCUBIN(p, code);
}

RtcStatus cuda_rtc_compile(const CudaRtc *rtc, Arena *a, const CudaProgram *q, const char *arch,
                           const char *const *options, int noptions, RtcResult *r) {
  static const char *const always[] = {"-std=c++17", "--ptxas-options=-v", "--no-cache"};
  enum { ALWAYS = sizeof always / sizeof *always };
  const NvrtcApi *api = rtc->api;
  const char **texts = ARENA_ARRAY(a, const char *, q->nheaders + 1);
  const char **names = ARENA_ARRAY(a, const char *, q->nheaders + 1);
  const char **all = ARENA_ARRAY(a, const char *, 1 + ALWAYS + noptions);
  for (int i = 0; i < q->nheaders; i++) names[i] = q->headers[i].name, texts[i] = q->headers[i].text;
  all[0] = arena_printf(a, "-arch=%s", arch);
  memcpy(all + 1, always, sizeof always);
  for (int i = 0; i < noptions; i++) all[1 + ALWAYS + i] = options[i];
  NvrtcProgram *p;
  *r = (RtcResult){.log = ""};
  int status = api->CreateProgram(&p, q->text, q->name, q->nheaders, texts, names);
  if (!status) {
    status = api->CompileProgram(p, 1 + ALWAYS + noptions, all);
    r->log = read_log(api, p, a);
    if (!status) status = read_code(api, p, a, strncmp(arch, "compute_", 8) == 0, r);
    api->DestroyProgram(&p);
  }
  if (status == NVRTC_SUCCESS) return RTC_DONE;
  if (status == NVRTC_OUT_OF_MEMORY || strstr(r->log, "error: out of memory")) return RTC_MEMORY;
  r->refused = *r->log ? cuda_error_line(a, r->log) : api->GetErrorString(status);
  return RTC_REFUSED;
}
