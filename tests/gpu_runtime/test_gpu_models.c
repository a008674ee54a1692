/* From the model's text to the card: programs compiled with --gpu sm_80, their kernel text compiled as C for the
 * emulator, each entry called on the CPU and, through the fake driver, on a GPU, with several sizes: the same statuses
 * and sentences, outputs, states. Wants NVRTC, whose code says what the kernels' parameters are; else all are skipped.
 * Arguments: the files to try, instead of all. Run from the root. */
#include "sinter.h"
#include <dirent.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>
#include "each_file.h"
#include "run_sinter.h"

/* Sums differ in their order: by this much of the largest element at most, by type, or of the inputs, which are up
 * to 2. */
static double bound(uint32_t dtype) {
  switch (dtype) {
  case SINTER_F32: return 2e-5;
  case SINTER_F64: return 1e-13;
  case SINTER_F16: return 2e-3;
  case SINTER_BF16: return 1.6e-2;
  default: return 0;
  }
}

static double element(uint32_t dtype, const void *data, int64_t i) {
  double x = 0;
  float f;
  switch (dtype) {
  case SINTER_F32: return (double)((const float *)data)[i];
  case SINTER_F64: return ((const double *)data)[i];
  case SINTER_F16:
  case SINTER_BF16: {
    char why[SINTER_WHY];
    if (!sinter_convert(SINTER_F32, &f, dtype, (const uint16_t *)data + i, 1, why)) abort();
    return (double)f;
  }
  case SINTER_I64:
  case SINTER_U64: return (double)((const int64_t *)data)[i];
  default: memcpy(&x, (const char *)data + i * sinter_dtype_size(dtype), sinter_dtype_size(dtype)); return x;
  }
}

/* "" or what differs. */
static const char *differs(const char *name, uint32_t dtype, const void *a, const void *b, int64_t n) {
  static char text[512];
  uint32_t size = sinter_dtype_size(dtype);
  double largest = 1;
  for (int64_t i = 0; i < n && bound(dtype); i++)
    if (isfinite(element(dtype, a, i))) largest = fmax(largest, fabs(element(dtype, a, i)));
  for (int64_t i = 0; i < n; i++) {
    if (!memcmp((const char *)a + i * size, (const char *)b + i * size, size)) continue;
    double x = element(dtype, a, i), y = element(dtype, b, i);
    if (bound(dtype) && (x == y || (isnan(x) && isnan(y)) || fabs(x - y) <= bound(dtype) * largest)) continue;
    snprintf(text, sizeof text, "element %lld of %s is %.9g on the CPU, %.9g on the GPU (largest: %g)", (long long)i,
             name, x, y, largest);
    return text;
  }
  return "";
}

/* In the child: it ends. */
__attribute__((format(printf, 1, 2), noreturn)) static void die(const char *fmt, ...) {
  va_list ap;
  va_start(ap, fmt);
  vfprintf(stderr, fmt, ap);
  va_end(ap);
  fputs("\n", stderr);
  _exit(1);
}
#define MUST(x)                                                                                                        \
  do {                                                                                                                 \
    if (!(x)) die("%s:%d: %s does not hold", __FILE__, __LINE__, #x);                                                  \
  } while (0)

/* ---- a call on both ---- */

static uint64_t state = 88172645463325252u;
static uint64_t draw(void) {
  state ^= state << 13;
  state ^= state >> 7;
  return state ^= state << 17;
}

/* Integers: 0 and 1, up to 2, or also what no index may be. */
enum { TAME, SMALL, WILD, KINDS };
static void fill(char *at, uint32_t dtype, int64_t n, int kind) {
  for (int64_t i = 0; i < n; i++, at += sinter_dtype_size(dtype)) {
    uint64_t x = draw();
    int64_t whole = (int64_t)(kind == TAME || dtype == SINTER_BOOL ? x & 1 : kind == SMALL ? x % 3 : x % 9 - 3);
    float f = (float)((int64_t)(x >> 40) - (1 << 23)) * 0x1p-22f;
    double g = (double)f;
    char why[SINTER_WHY];
    if (dtype == SINTER_F64)
      memcpy(at, &g, 8);
    else if (dtype == SINTER_F32)
      memcpy(at, &f, 4);
    else if (bound(dtype))
      MUST(sinter_convert(dtype, at, SINTER_F32, &f, 1, why));
    else
      memcpy(at, &whole, sinter_dtype_size(dtype));
  }
}

typedef struct Side {
  SinterWeights *w;
  SinterContext *c;
  char *in, *out; /* records */
} Side;

static int64_t elements(const SinterModel *m, const SinterPort *p, const int64_t *dims) {
  int64_t n = 1, d = 0;
  for (uint32_t i = 0; i < p->rank; i++) n = sinter_sym(m, p->dim[i], dims, &d) && d >= 0 ? n * d : -1;
  return n;
}

static const char *port_label(const SinterModel *m, const SinterPort *p) {
  return p->name ? sinter_text(m, p->name) : "the result";
}

/* Returns whether the call was done, and was the same on both. */
static bool call_both(const SinterApi *api, Side side[2], uint32_t index, const int64_t *dims, int kind) {
  const SinterModel *m = api->model;
  const SinterEntry *e = SINTER_LIST(SinterEntry, m, m->entries) + index;
  const SinterPort *in = SINTER_LIST(SinterPort, m, e->inputs), *out = SINTER_LIST(SinterPort, m, e->outputs);
  const SinterDim *d = SINTER_LIST(SinterDim, m, e->dims);
  const char *entry = sinter_text(m, e->name), *what = "";
  void *data[2][64] = {{0}};
  int status[2];
  MUST(e->inputs.n + e->outputs.n < 64);
  for (uint32_t i = 0; i < e->inputs.n + e->outputs.n; i++) {
    const SinterPort *p = i < e->inputs.n ? &in[i] : &out[i - e->inputs.n];
    int64_t n = elements(m, p, dims);
    if (n < 0 || n > 1 << 18) n = 0; /* it is refused, or tried smaller */
    size_t bytes = (size_t)n * sinter_dtype_size(p->dtype);
    for (int k = 0; k < 2; k++) {
      data[k][i] = calloc(1, bytes + 64);
      char *record = i < e->inputs.n ? side[k].in : side[k].out;
      memcpy(record + p->field, &data[k][i], sizeof(void *));
    }
    if (i < e->inputs.n) fill(data[0][i], p->dtype, n, kind), memcpy(data[1][i], data[0][i], bytes);
  }
  for (int k = 0; k < 2; k++) {
    for (uint32_t i = 0; i < e->dims.n; i++) memcpy(side[k].in + d[i].field, &dims[d[i].index], 8);
    status[k] = api->call(side[k].c, index, side[k].in, side[k].out);
  }
  if (status[0] != status[1] || strcmp(api->message(side[0].c), api->message(side[1].c)))
    die("%s: status %d (%s) on the CPU, %d (%s) on the GPU", entry, status[0], api->message(side[0].c), status[1],
        api->message(side[1].c));
  for (uint32_t i = 0; i < e->inputs.n + e->outputs.n && !*what && !status[0]; i++) {
    const SinterPort *p = i < e->inputs.n ? &in[i] : &out[i - e->inputs.n];
    what = differs(port_label(m, p), p->dtype, data[0][i], data[1][i], elements(m, p, dims));
  }
  for (uint32_t i = 0; i < e->inputs.n + e->outputs.n; i++) free(data[0][i]), free(data[1][i]);
  if (*what) die("%s: %s", entry, what);
  return !status[0];
}

static void same_states(const SinterApi *api, Side side[2], const char *entry) {
  const SinterCell *c = SINTER_LIST(SinterCell, api->model, api->model->cells);
  for (uint32_t i = 0; i < api->model->cells.n; i++) {
    const char *name = sinter_text(api->model, c[i].name);
    void *a = malloc(c[i].bytes + 1), *b = malloc(c[i].bytes + 1);
    MUST((api->get(side[0].w, name, a, c[i].bytes) | api->get(side[1].w, name, b, c[i].bytes)) == 0);
    const char *what = differs(name, c[i].dtype, a, b, (int64_t)(c[i].bytes / sinter_dtype_size(c[i].dtype)));
    if (*what) die("after %s: %s", entry, what);
    MUST((api->set(side[1].w, name, a, c[i].bytes)) == 0); /* differences do not add up */
    free(a), free(b);
  }
}

/* ---- a program ---- */

static void try_entries(const char *path) {
  static const int64_t sizes[] = {1, 7, 33, 64, 7};
  SinterArtefact art;
  char why[SINTER_WHY];
  Side side[2] = {{0}};
  if (!sinter_artefact_open(&art, path, why)) die("%s", why);
  const SinterApi *api = art.api;
  const SinterModel *m = api->model;
  int64_t dims[64], most[64];
  MUST(m->dims.n < 64);
  for (uint32_t i = 0; i < m->dims.n; i++) most[i] = 1;
  for (uint32_t i = 0; i < m->entries.n; i++) {
    const SinterEntry *e = SINTER_LIST(SinterEntry, m, m->entries) + i;
    const SinterDim *d = SINTER_LIST(SinterDim, m, e->dims);
    for (uint32_t k = 0; k < e->dims.n; k++) {
      int64_t all = d[k].hi > 64 ? 64 : d[k].hi;
      if (all > most[d[k].index]) most[d[k].index] = all;
      if (d[k].lo > most[d[k].index]) most[d[k].index] = d[k].lo;
    }
  }
  for (int k = 0; k < 2; k++) {
    MUST((api->open(&side[k].w, NULL, 5)) == 0);
    if (k && api->to(side[k].w, "cuda")) die("%s", api->open_message(side[k].w));
    if (api->create(&side[k].c, side[k].w, most, NULL, 0)) die("%s", api->open_message(side[k].w));
    side[k].in = calloc(1, 4096), side[k].out = calloc(1, 4096);
  }
  for (uint32_t i = 0; i < m->entries.n; i++) {
    const SinterEntry *e = SINTER_LIST(SinterEntry, m, m->entries) + i;
    const SinterDim *d = SINTER_LIST(SinterDim, m, e->dims);
    int done = 0;
    if (e->flags & SINTER_ENTRY_HIDDEN) continue;
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
      for (uint32_t k = 0; k < m->dims.n; k++) dims[k] = 0;
      for (uint32_t k = 0; k < e->dims.n; k++) {
        int64_t v = sizes[(s + k) % 5];
        dims[d[k].index] = v < d[k].lo ? d[k].lo : v > d[k].hi ? d[k].hi : v;
      }
      for (int kind = 0; kind < KINDS; kind++) done += call_both(api, side, i, dims, kind);
      same_states(api, side, sinter_text(m, e->name));
    }
    if (!done) die("%s: it was always refused", sinter_text(m, e->name));
  }
  for (int k = 0; k < 2; k++) {
    api->free(side[k].c), api->close(side[k].w);
    free(side[k].in), free(side[k].out);
  }
  sinter_artefact_close(&art);
}

/* In the folder: NAME.so with its code, and NAME.code.so, the same as C. False: its kernels are refused. */
static bool build(const char *root, const char *path, const char *name) {
  if (shell("$SINTER compile %s/%s --gpu sm_80 --cpu native --dump-dir %s.dump -o %s.so", root, path, name, name)) {
    static const char *const others[] = {"[gpu-kernel]", "[audit-", "[cuda-time]"};
    bool other = false; /* what the suites nvrtc and gpu-text are about */
    for (int i = 0; i < 3; i++) other |= strstr(err, others[i]) != NULL;
    if (!other) fail_msg("%s", err);
    printf("not tried: %s", err);
    return false;
  }
  if (shell("cc -std=gnu17 -O1 -x c -fno-strict-aliasing -ffp-contract=off -w -shared -fPIC -I$ROOT/kernels/cuda "
            "-I$ROOT/kernels/emulator %s.dump/*_kernels_*.cu -o %s.code.so",
            name, name))
    fail_msg("%s", err);
  return true;
}

static bool there; /* NVRTC */

static void one_file(void **state_) {
  const char *path = *state_, *slash = strrchr(path, '/');
  char root[512], name[128], code[256], artefact[256];
  if (!there) skip(); /* NVRTC is not installed; make() said so */
  assert_non_null(getcwd(root, sizeof root));
  snprintf(name, sizeof name, "%s", slash ? slash + 1 : path);
  *strrchr(name, '.') = 0;
  if (!build(*path == '/' ? "" : root, path, name)) skip(); /* its kernels are refused: other suites */
  snprintf(code, sizeof code, "%s/%s.code.so", folder, name);
  snprintf(artefact, sizeof artefact, "%s/%s.so", folder, name);
  fflush(NULL);
  pid_t child = fork(); /* the driver is opened once a process */
  if (!child) {
    setenv("SINTER_FAKE_CODE", code, 1);
    setenv("SINTER_FAKE_CC", "80", 1);
    try_entries(artefact);
    exit(0);
  }
  int status;
  assert_int_equal(waitpid(child, &status, 0), child);
  assert_int_equal(status, 0);
}

/* ---- the commands ---- */

static void must(int status) {
  if (status) fail_msg("status %d: %s", status, err);
}

static double after(const char *text, const char *word) {
  const char *at = strstr(text, word);
  if (!at) fail_msg("no \"%s\" in %s", word, text);
  return atof(at + strlen(word));
}

/* Five steps of training and an evaluation, on both; then predictions with the weights of the GPU. */
static void commands(void **state_) {
  (void)state_;
#define GPU  "SINTER_FAKE_CC=80 SINTER_FAKE_CODE=$PWD/digits.code.so $SINTER"
#define DATA "--data x=$ROOT/models/digits/test_x.npy y=$ROOT/models/digits/test_y.npy --epochs 1 --holdout 0.2"
  char root[512], labels[4096];
  if (!there) skip(); /* NVRTC is not installed; make() said so */
  assert_non_null(getcwd(root, sizeof root));
  if (!build(root, "models/digits.sir", "digits")) fail_msg("%s", err);
  must(shell("$SINTER train digits.so " DATA " --device cpu --save cpu.st"));
  double loss = after(out, "held out: loss "), accuracy = after(out, "accuracy ");
  must(shell(GPU " train digits.so " DATA " --device cuda --save gpu.st"));
  assert_true(fabs(after(out, "held out: loss ") - loss) < 1e-3); /* AdamW makes much of small differences */
  assert_true(fabs(after(out, "accuracy ") - accuracy) < 0.05);
  must(shell("{ head -c 128 $ROOT/models/digits/test_x.npy | LC_ALL=C sed 's/(360, 64), }/(5, 64), }  /' && "
             "tail -c +129 $ROOT/models/digits/test_x.npy | head -c 1280; } >five.npy"));
  must(shell("$SINTER run digits.so predict x=five.npy --weights gpu.st --result label"));
  strcpy(labels, out);
  must(shell(GPU " run digits.so predict x=five.npy --weights gpu.st --result label --device cuda:0"));
  assert_string_equal(out, labels);
  must(shell("SINTER_DEVICE=cuda " GPU " run digits.so predict x=five.npy --weights gpu.st --result label"));
  assert_string_equal(out, labels);
  static const char *const refused[][2] = {
      {"SINTER_FAKE_CC=80", "there is no GPU 1: this system has 1 GPU, numbered from 0"},
      {"SINTER_FAKE_CC=90", "no code for this GPU, a fake GPU of compute capability 9.0: there is sm_80"},
      {"SINTER_LIBCUDA=/nowhere", "SINTER_LIBCUDA is /nowhere, which cannot be loaded"}};
  for (int i = 0; i < 3; i++) {
    char want[256];
    snprintf(want, sizeof want, "sinter: %s\n", refused[i][1]);
    assert_int_equal(shell("%s $SINTER run digits.so predict x=five.npy --weights gpu.st --device cuda%s",
                           refused[i][0], i ? "" : ":1"),
                     1);
    assert_string_equal(err, want);
  }
}

/* ---- linked into programs ---- */

static void put(const char *name, const char *text) {
  char path[128];
  snprintf(path, sizeof path, "%s/%s", folder, name);
  FILE *f = fopen(path, "w");
  assert_true(f && fputs(text, f) >= 0 && !fclose(f));
}

static void linked(void **state_) {
  (void)state_;
#define SCALE "SINTER_FAKE_CC=80 SINTER_FAKE_CODE=$PWD/scale.code.so "
  static const char *const dynamic[] = {
      "gcc use.c -I. libscale.a", "gcc -no-pie -fno-pie use.c -I. scale.o",
      "clang-19 -fuse-ld=lld-19 -Wl,--gc-sections use.c -I. libscale.a",
      "gcc -shared -Wl,--whole-archive libscale.a -Wl,--no-whole-archive -o libuse.so && "
      "gcc use.c -I. -L. -luse -Wl,-rpath,$PWD"};
  static const char *const alone[] = {"gcc -static", "gcc -static-pie", "clang-19 -static -fuse-ld=lld-19"};
  if (!there) skip(); /* NVRTC is not installed; make() said so */
  put("scale.sir", "entry scale(x: f32[N]) -> f32[N] where N <= 100 { x * 2 }\n");
  put("use.c", "#include \"scale.h\"\n#include <stdio.h>\n"
               "int main(int n, char **v) {\n"
               "  scale_weights *w;\n  scale_context *c;\n  float x[3] = {1, 2, 3}, y[3];\n"
               "  scale_dims d = {3};\n  scale_scale_in in = {.x = x, .N = 3};\n  scale_scale_out out = {.out = y};\n"
               "  if (scale_open(&w, NULL, 1)) return 1;\n"
               "  if (scale_to(w, n > 1 ? v[1] : \"cuda\")) return puts(scale_open_message(w)), 2;\n"
               "  if (scale_new(&c, w, &d, NULL, 0) || scale_scale(c, &in, &out)) return 3;\n"
               "  printf(\"%g %g %g\\n\", y[0], y[1], y[2]);\n"
               "  scale_free(c);\n  scale_close(w);\n}\n");
  if (!build(folder, "scale.sir", "scale")) fail_msg("%s", err);
  must(shell("nm -D scale.so | grep -c ' w dl'"));
  assert_string_equal(out, "2\n");
  must(shell("$SINTER compile scale.sir --gpu sm_80 --cpu native --emit obj -o scale.o"));
  must(shell("$SINTER compile scale.sir --gpu sm_80 --cpu native --emit lib -o libscale.a"));
  for (size_t i = 0; i < sizeof dynamic / sizeof *dynamic; i++) {
    must(shell("%s -o use", dynamic[i]));
    must(shell(SCALE "./use"));
    assert_string_equal(out, "2 4 6\n");
  }
  for (size_t i = 0; i < sizeof alone / sizeof *alone; i++) {
    must(shell("%s use.c -I. libscale.a -o use", alone[i]));
    assert_int_equal(shell(SCALE "./use"), 2);
    assert_string_equal(out,
                        "no GPU can be used: this program is static or without libdl, and loads no NVIDIA driver\n");
    must(shell("./use cpu"));
    assert_string_equal(out, "2 4 6\n");
  }
  must(shell("$SINTER compile scale.sir --gpu sm_80 --cpu native --emit exe -o program"));
  must(shell("printf '\\0\\0\\200\\77' >x.raw && ./program x=x.raw"));
  assert_string_equal(out, "scale: f32[1]\n[2.0]\n");
  assert_int_equal(shell(SCALE "./program x=x.raw --device cuda"), 1);
  assert_string_equal(
      err, "scale: scale runs on \"cpu\" alone, not on \"cuda\": code for GPUs is in a .so, .o or .a that is "
           "compiled with --gpu\n");
}

static int make(void) {
  snprintf(folder, sizeof folder, "/tmp/test_gpu_models_%d", (int)getpid());
  if (mkdir(folder, 0777)) return 1;
  setenv("SINTER_LIBCUDA", FAKE_LIBCUDA, 1);
  there = !shell("$SINTER cuda --where");
  if (!there) printf("skipped: %s", err);
  return 0;
}

int main(int argc, char **argv) {
  static const char *const patterns[] = {"tests/plan/[!d]*.sir", "models/digits.sir",
                                         NULL}; /* NVRTC works for minutes on deep.sir */
  const struct CMUnitTest tests[] = {cmocka_unit_test(linked), cmocka_unit_test(commands)};
  if (make()) return 1;
  int bad = argc < 2 ? cmocka_run_group_tests(tests, NULL, NULL) : 0;
  bad += each_file("gpu_models", argc, argv, patterns, one_file);
  return clean(NULL) || bad;
}
