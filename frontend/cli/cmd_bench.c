#include "bench.h"
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const char HELP[] =
    "usage: sinter bench ARTEFACT [ENTRY] [DIM=NUMBER ...] [NAME=FILE.npy ...]\n"
    "                    [--threads 1,2] [--runs N] [--rounds N] [--weights FILE | --init SEED]\n"
    "                    [--device D] [--json FILE] [--svg FILE]\n"
    "       sinter bench MODEL.sir [ENTRY] --kernel K --emit c [-o FILE.c] [--cpu LEVEL] [DIM=NUMBER ...]\n"
    "\n"
    "Calls an entry many times and says how long it and each of its kernels takes, and how far that is from what this\n"
    "machine can do: the rate of fused multiply-adds, and of copying as many bytes as a call touches, both measured "
    "in\n"
    "turn with the calls. ENTRY may be left out when there is one.\n"
    "  DIM=NUMBER      a dimension; without, its bound where that is at most 65536, else 64\n"
    "  NAME=FILE.npy   an input; without, one drawn from a fixed seed: floats normally distributed, integers below "
    "the\n"
    "                  largest power of two that the entry takes for all of them\n"
    "  --threads 1,2   numbers of threads, one after the other (default: 1)\n"
    "  --runs N        calls a round (default: as many as take 60 ms, at least 3)\n"
    "  --rounds N      rounds (default: 7); times are medians over all, `best` is the smallest median of a round\n"
    "  --weights FILE  parameters and states from a safetensors file (default: start values)\n"
    "  --init SEED     start values drawn from the seed, a number (default: 1)\n"
    "  --device D      where it runs: cpu, or cuda or cuda:N if it was compiled with --gpu (default: cpu, whatever\n"
    "                  SINTER_DEVICE says). On a GPU the call alone is timed, with the copies of its inputs and "
    "outputs\n"
    "                  from and to the host\n"
    "  --json FILE     writes lines of JSON, one for the call and one for each kernel\n"
    "  --svg FILE      draws the roofline with the kernels as points\n"
    "\n"
    "FLOP/s count what the formulas want, an exponential as 14 operations; bytes are those of the buffers a kernel "
    "reads\n"
    "and of those it writes. A kernel whose data lie in a nearer cache than the whole call's can be above 100 %.\n"
    "\n"
    "With --emit c, kernel K of the model (k3 or 3, as `sinter explain` numbers them) becomes a stand-alone C program\n"
    "with its data, a main and a clock, for gcc or clang, to be read, changed and timed by itself. It is for the "
    "level\n"
    "of this processor unless --cpu names v2, v3 or v4; its first lines say how to compile it.\n";

enum { ROUNDS = 7, MOST_CALLS = 20000, MOST_PROFILES = 400, MOST_RUNS = 8, MOST_THREADS = 64 };
static const double ROUND_NS = 60e6;

/* ---- numbers ---- */

static double random01(uint64_t *s) { /* splitmix64 */
  uint64_t z = *s += 0x9e3779b97f4a7c15u;
  z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
  z = (z ^ z >> 27) * 0x94d049bb133111ebu;
  return (double)((z ^ z >> 31) >> 11) * 0x1p-53;
}

static double normal(uint64_t *s) {
  double u = 1 - random01(s);
  return sqrt(-2 * log(u)) * cos(6.283185307179586 * random01(s));
}

static bool is_float(uint32_t dtype) { return dtype >= SINTER_F32 && dtype <= SINTER_BF16; }

static void draw(NpyArray *a, uint64_t seed, int64_t below) {
  uint32_t size = sinter_dtype_size(a->dtype);
  char why[SINTER_WHY];
  for (int64_t i = 0; i < a->count; i++) {
    char *to = (char *)a->data + i * size;
    if (is_float(a->dtype)) {
      double x = normal(&seed);
      sinter_convert(a->dtype, to, SINTER_F64, &x, 1, why);
      continue;
    }
    int64_t most = a->dtype == SINTER_BOOL ? 2 : size == 1 && below > 128 ? 128 : below;
    int64_t v = (int64_t)(random01(&seed) * (double)most);
    memcpy(to, &v, size); /* little-endian */
  }
}

static int less(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

static double middle(double *at, int64_t n, double part) {
  if (n == 0) return 0;
  qsort(at, (size_t)n, sizeof *at, less);
  return at[(int64_t)(part * (double)n)];
}

typedef struct Samples { /* of one time, from all rounds */
  double *at, best;
  int64_t n, room, round; /* round: where the running one began */
} Samples;

static void sample(Samples *s, double x) {
  if (s->n == s->room) {
    int64_t room = s->room ? 2 * s->room : 256;
    double *at = mem_alloc(sizeof *at * (size_t)room);
    if (s->n) memcpy(at, s->at, sizeof *at * (size_t)s->n);
    free(s->at);
    s->at = at;
    s->room = room;
  }
  s->at[s->n++] = x;
}

static void round_end(Samples *s) {
  if (s->n == s->round) return;
  double m = middle(s->at + s->round, s->n - s->round, 0.5);
  if (!s->best || m < s->best) s->best = m;
  s->round = s->n;
}

static BenchTime summary(Samples *s) {
  BenchTime t = {.best = s->best, .calls = s->n};
  t.p10 = middle(s->at, s->n, 0.1);
  t.median = s->n ? s->at[s->n / 2] : 0;
  free(s->at);
  return t;
}

/* ---- what is called ---- */

static int settle_inputs(Bench *b, bool *drawn) {
  Call *c = &b->call;
  const SinterModel *m = c->s.m;
  const SinterPort *p = SINTER_LIST(SinterPort, m, c->e->inputs);
  const SinterDim *d = SINTER_LIST(SinterDim, m, c->e->dims);
  const NpyArray **given = mem_alloc(sizeof *given * (c->e->inputs.n + 1));
  for (uint32_t i = 0; i < c->e->inputs.n; i++) given[i] = c->in[i].data ? &c->in[i] : NULL;
  int status = shapes_fit(&c->s, c->e, given, -1, c->dims);
  free(given);
  for (uint32_t i = 0; i < c->e->dims.n && !status; i++) {
    int64_t *v = &c->dims[d[i].index];
    if (*v == DIM_UNKNOWN) *v = d[i].hi <= 65536 ? d[i].hi : d[i].lo > 64 ? d[i].lo : 64;
  }
  for (uint32_t i = 0; i < c->e->inputs.n && !status; i++) {
    NpyArray *a = &c->in[i];
    int64_t bytes;
    if ((drawn[i] = !a->data) == false) continue;
    a->dtype = p[i].dtype, a->rank = p[i].rank;
    status = port_bytes(&c->s, c->e, &p[i], c->dims, a->dim, &bytes);
    if (status) break;
    a->count = bytes / sinter_dtype_size(a->dtype);
    a->data = bytes < INT64_MAX / 2 ? aligned_alloc(64, ((size_t)bytes + 127) & ~(size_t)63) : NULL;
    if (!a->data)
      status = cli_fail("no memory for the input %s (%" PRId64 " bytes)", port_name(m, &p[i], (int)i), bytes);
    else
      draw(a, 1000 + i, 1 << 15);
  }
  return status;
}

static int call_once(Call *c) { return c->s.api->call(c->s.c, c->index, c->in_record, c->out_record); }

/* Calls once; integers that are out of range become smaller until they are not. */
static int first_call(Call *c, const bool *drawn) {
  int status = call_once(c);
  for (int64_t below = 1 << 14; status == SINTER_ERROR_INDEX && below; below /= 2) {
    bool any = false;
    for (uint32_t i = 0; i < c->e->inputs.n; i++)
      if (drawn[i] && !is_float(c->in[i].dtype)) draw(&c->in[i], 1000 + i, below), any = true;
    if (!any) break;
    status = call_once(c);
  }
  return status ? cli_fail("%s", c->s.api->message(c->s.c)) : CLI_DONE;
}

static const SinterPlan *plan_of(const Bench *b) {
  const SinterModel *m = b->call.s.m;
  const SinterVariant *v = SINTER_LIST(SinterVariant, m, b->call.e->variants);
  int64_t fits;
  for (uint32_t i = 0; i < b->call.e->variants.n; i++) /* those for all GPUs have the same steps, or nearly */
    if ((b->device ? v[i].level >= SINTER_LEVELS : v[i].level == b->level) &&
        sinter_sym(m, v[i].when, b->call.dims, &fits) && fits)
      return SINTER_LIST(SinterPlan, m, b->device ? m->gpu_plans : m->plans) + v[i].plan;
  return NULL;
}

static int64_t value(const Bench *b, SinterSym s) {
  int64_t v;
  return sinter_sym(b->call.s.m, s, b->call.dims, &v) && v > 0 ? v : 0;
}

static void list_kernels(const Bench *b, const SinterPlan *p, BenchRun *r) {
  const SinterModel *m = b->call.s.m;
  const SinterStep *step = SINTER_LIST(SinterStep, m, p->steps);
  const SinterKernelInfo *info = SINTER_LIST(SinterKernelInfo, m, m->kernels);
  const SinterBuf *buf = SINTER_LIST(SinterBuf, m, p->bufs);
  r->kernel = mem_alloc(sizeof *r->kernel * (p->steps.n + 1));
  for (uint32_t i = 0; i < p->steps.n; i++) {
    BenchKernel *k = &r->kernel[r->nkernels];
    if (step[i].kind == SINTER_STEP_BARRIER) continue;
    bool launch = step[i].kind == SINTER_STEP_LAUNCH;
    *k = (BenchKernel){.step = i, .name = "copy", .stage = "", .tasks = 1, .bytes = 2 * value(b, step[i].bytes)};
    if (launch) {
      k->name = sinter_text(m, info[step[i].kernel].name);
      k->stage = sinter_text(m, info[step[i].kernel].stage);
      k->tasks = value(b, step[i].tasks);
      k->flops = value(b, step[i].flops);
      k->bytes = value(b, step[i].bytes);
    }
    r->flops += k->flops;
    r->bytes += k->bytes;
    r->nkernels++;
  }
  for (uint32_t i = 0; i < p->bufs.n; i++)
    if (buf[i].kind != SINTER_BUF_ARENA) r->touched += value(b, buf[i].bytes);
  r->touched += value(b, p->arena);
}

static void sum_launches(const Bench *b, const SinterPlan *p, BenchRun *r) { /* on a GPU */
  const SinterGpuStep *step = SINTER_LIST(SinterGpuStep, b->call.s.m, p->steps);
  for (uint32_t i = 0; i < p->steps.n; i++) {
    if (!value(b, step[i].grid)) continue;
    r->flops += value(b, step[i].flops);
    r->bytes += value(b, step[i].bytes);
    r->nkernels++;
  }
}

double bench_bound(const BenchRun *r, int64_t flops, int64_t bytes, double ns, bool *by_flops) {
  double a = r->peak > 0 ? (double)flops / r->peak : 0, c = r->copy > 0 ? (double)bytes / r->copy : 0;
  *by_flops = a > c;
  return ns > 0 ? (a > c ? a : c) / ns : 0;
}

/* ---- measuring ---- */

typedef struct Wanted { /* from the command line */
  const char *weights;
  uint64_t seed;
  int64_t runs; /* 0: by time */
  int rounds;
} Wanted;

static double ticks_a_ns(void) {
  double t = bench_now();
  uint64_t k = sinter_ticks();
  while (bench_now() - t < 2e6) {
  }
  return (double)(sinter_ticks() - k) / (bench_now() - t);
}

static void rest(void) { /* until the artefact's threads sleep, so that they take nothing from what is measured next */
  nanosleep(&(struct timespec){.tv_nsec = 4000000}, NULL);
}

static int timed_calls(Call *c, int64_t n, Samples *s) {
  double begin = bench_now();
  for (int64_t i = 0; i < (n ? n : MOST_CALLS); i++) {
    double t = bench_now();
    if (call_once(c)) return cli_fail("%s", c->s.api->message(c->s.c));
    double end = bench_now();
    sample(s, end - t);
    if (!n && i >= 2 && end - begin > ROUND_NS) break;
  }
  return CLI_DONE;
}

static int profiled_calls(Call *c, const SinterPlan *p, BenchRun *r, double rate, int64_t n, Samples *of,
                          Samples *wait) {
  const SinterStep *step = SINTER_LIST(SinterStep, c->s.m, p->steps);
  uint64_t *ticks = mem_alloc(sizeof *ticks * ((size_t)p->steps.n * (size_t)r->threads + 1));
  double begin = bench_now();
  int status = CLI_DONE;
  c->s.api->profile(c->s.c, ticks, (uint32_t)r->threads, p->steps.n);
  for (int64_t i = 0; i < (n && n < MOST_PROFILES ? n : MOST_PROFILES) && !status; i++) {
    memset(ticks, 0, sizeof *ticks * (size_t)p->steps.n * (size_t)r->threads);
    if (call_once(c)) status = cli_fail("%s", c->s.api->message(c->s.c));
    double waited = 0;
    for (uint32_t k = 0; k < r->nkernels; k++) {
      uint64_t longest = 0;
      for (int t = 0; t < r->threads; t++) {
        uint64_t took = ticks[(size_t)t * p->steps.n + r->kernel[k].step];
        if (took > longest) longest = took;
      }
      sample(&of[k], (double)longest / rate);
    }
    for (uint32_t k = 0; k < p->steps.n; k++)
      if (step[k].kind == SINTER_STEP_BARRIER) waited += (double)ticks[k] / rate;
    sample(wait, waited);
    if (!n && i >= 2 && bench_now() - begin > ROUND_NS / 2) break;
  }
  c->s.api->profile(c->s.c, NULL, 0, 0);
  free(ticks);
  return status;
}

/* Weights and context anew: training goes on from the same start in every round. */
static int open_state(Bench *b, const Wanted *w, int threads) {
  Call *c = &b->call;
  char text[16];
  c->s.api->free(c->s.c);
  c->s.api->close(c->s.w);
  c->s.c = NULL, c->s.w = NULL;
  snprintf(text, sizeof text, "%d", threads);
  int status = c->s.api->open(&c->s.w, w->weights, w->seed);
  if (status) return cli_fail("%s", c->s.api->open_message(c->s.w));
  status = artefact_device(&c->s, b->device ? b->device : "cpu");
  return status ? status : artefact_context(&c->s, c->most, b->device ? NULL : text);
}

static int measure_gpu(Bench *b, const Wanted *w, const bool *drawn, BenchRun *r) {
  Call *c = &b->call;
  Samples calls = {0};
  int status = CLI_DONE;
  for (int i = 0; i < w->rounds && !status; i++) {
    if (i == 0 || c->e->flags & SINTER_ENTRY_UPDATES) status = open_state(b, w, 0);
    for (int k = 0; k < 3 && !status; k++) status = first_call(c, drawn);
    if (!status) status = timed_calls(c, w->runs, &calls);
    round_end(&calls);
  }
  const SinterPlan *p = status ? NULL : plan_of(b);
  if (p) sum_launches(b, p, r);
  r->call = summary(&calls);
  return status;
}

static int measure(Bench *b, const Wanted *w, const bool *drawn, BenchRun *r) {
  Call *c = &b->call;
  const SinterPlan *p = plan_of(b);
  if (!p) return cli_fail("%s has no code of level %s for these dimensions", c->s.path, sinter_level_text(b->level));
  list_kernels(b, p, r);
  Samples *of = mem_alloc(sizeof *of * (r->nkernels + 1)), calls = {0}, wait = {0};
  double rate = ticks_a_ns();
  int status = CLI_DONE;
  for (int i = 0; i < w->rounds && !status; i++) {
    if (i == 0 || c->e->flags & SINTER_ENTRY_UPDATES) status = open_state(b, w, r->threads);
    if (status) break;
    rest();
    double peak = bench_peak(b->level, r->threads), copy = bench_copy(r->touched, r->threads);
    if (peak > r->peak) r->peak = peak;
    if (copy > r->copy) r->copy = copy;
    for (int k = 0; k < 3 && !status; k++) status = first_call(c, drawn);
    if (!status) status = timed_calls(c, w->runs, &calls);
    if (!status) status = profiled_calls(c, p, r, rate, w->runs, of, &wait);
    round_end(&calls);
    for (uint32_t k = 0; k < r->nkernels; k++) round_end(&of[k]);
  }
  r->call = summary(&calls);
  r->waiting = summary(&wait).median;
  for (uint32_t k = 0; k < r->nkernels; k++) r->kernel[k].time = summary(&of[k]);
  free(of);
  return status;
}

/* ---- the command ---- */

static int read_threads(Bench *b, const char *text) {
  for (const char *s = text; s; s = strchr(s, ',') ? strchr(s, ',') + 1 : NULL) {
    char number[8] = "";
    size_t n = strcspn(s, ",");
    int64_t v;
    if (n < sizeof number) memcpy(number, s, n);
    if (!number_read_int(number, 1, MOST_THREADS, &v) || b->nruns == MOST_RUNS)
      return cli_usage("--threads is \"%s\": numbers from 1 to %d, at most %d of them, are expected, as in 1,2", text,
                       MOST_THREADS, MOST_RUNS);
    b->run[b->nruns++].threads = (int)v;
  }
  return CLI_DONE;
}

static int write_file(const char *path, void (*report)(const Bench *, Buf *), const Bench *b) {
  Arena *a = arena_new();
  Buf text = {0};
  const char *why;
  report(b, &text);
  int status = file_write(a, path, text.at, text.n, &why) ? CLI_DONE : cli_fail("%s", why);
  buf_free(&text);
  arena_free(a);
  return status;
}

static int bench_entry(Bench *b, const Words *words, Wanted *w, const char *json, const char *svg) {
  Call *c = &b->call;
  int next = 1, status = call_begin(c, words, &next);
  if (status) return status;
  for (; next < words->n && !status; next++) status = call_word(c, words->at[next]);
  bool *drawn = mem_alloc(c->e->inputs.n + 1u);
  int level = c->s.api->level();
  b->level = (uint32_t)level;
  if (!status && level < 0 && !b->device) status = cli_fail("%s has no code for this processor", c->s.path);
  if (!status) status = settle_inputs(b, drawn);
  if (!status) call_most(c), status = call_records(c);
  for (int i = 0; i < b->nruns && !status; i++)
    status = b->device ? measure_gpu(b, w, drawn, &b->run[i]) : measure(b, w, drawn, &b->run[i]);
  free(drawn);
  if (status) return status;
  Buf text = {0};
  bench_text(b, &text);
  fputs(text.at, stdout);
  buf_free(&text);
  if (json) status = write_file(json, bench_json, b);
  if (svg && !status) status = write_file(svg, bench_svg, b);
  return status;
}

static int bench(int argc, char **argv) {
  for (int i = 1; i < argc; i++)
    if (!strncmp(argv[i], "--emit", 6) || !strncmp(argv[i], "--kernel", 8)) return bench_emit(argc, argv);
  const char *weights = NULL, *init = NULL, *threads = NULL, *runs = NULL, *rounds = NULL, *json = NULL, *svg = NULL,
             *device = NULL;
  Words words = {mem_alloc(sizeof(char *) * (size_t)argc), 0};
  const Option options[] = {{"--weights", &weights, NULL, NULL}, {"--init", &init, NULL, NULL},
                            {"--threads", &threads, NULL, NULL}, {"--runs", &runs, NULL, NULL},
                            {"--rounds", &rounds, NULL, NULL},   {"--json", &json, NULL, NULL},
                            {"--svg", &svg, NULL, NULL},         {"--device", &device, NULL, NULL}};
  char cpu[128];
  int64_t seed = 1, n = 0, nrounds = ROUNDS;
  Bench b = {.cpu = bench_cpu(cpu, sizeof cpu)};
  int status = cli_options(argc, argv, options, sizeof options / sizeof *options, &words);
  if (!status && words.n == 0) status = cli_usage("bench wants an artefact");
  if (!status && weights && init) status = cli_usage("--weights and --init exclude each other");
  if (!status && init && !number_read_int(init, 0, INT64_MAX, &seed))
    status = cli_usage("--init is \"%s\": a seed, a number, is expected", init);
  if (!status && runs && !number_read_int(runs, 1, MOST_CALLS, &n))
    status = cli_usage("--runs is \"%s\": a number from 1 to %d is expected", runs, MOST_CALLS);
  if (!status && rounds && !number_read_int(rounds, 1, 1000, &nrounds))
    status = cli_usage("--rounds is \"%s\": a number from 1 to 1000 is expected", rounds);
  device_chosen(device ? device : "cpu");
  if (device && strcmp(device, "cpu") != 0) b.device = device;
  if (!status && b.device && (threads || svg))
    status = cli_usage("--threads and --svg are about the processor, and --device is \"%s\"", device);
  if (!status) status = read_threads(&b, threads ? threads : "1");
  if (!status) {
    Wanted w = {.weights = weights, .seed = weights ? 0 : (uint64_t)seed, .runs = n, .rounds = (int)nrounds};
    b.rounds = w.rounds;
    status = artefact_open(&b.call.s, words.at[0]);
    if (!status) status = bench_entry(&b, &words, &w, json, svg);
    for (int i = 0; i < b.nruns; i++) free(b.run[i].kernel);
    call_end(&b.call);
    artefact_end(&b.call.s);
  }
  free(words.at);
  return status;
}

const Command command_bench = {"bench", "measures an entry and its kernels against this machine's limits", bench, HELP};
