/* What `sinter bench` measures, from the files that measure it to those that report it. Times are in nanoseconds.
 * Limits of the machine are measured beside the calls, in turn with them, so that a slow moment of the machine hits
 * both. */
#ifndef SINTER_CLI_BENCH_H
#define SINTER_CLI_BENCH_H
#include "cli.h"

typedef struct BenchTime {
  double median, p10, best; /* over all calls; best: the smallest median of a round */
  int64_t calls;
} BenchTime;

typedef struct BenchKernel { /* a launch or a copy of the entry's plan */
  uint32_t step;
  const char *name, *stage;
  int64_t tasks, flops, bytes; /* what the formula wants; bytes read and written */
  BenchTime time;              /* of the thread that takes longest */
} BenchKernel;

typedef struct BenchRun { /* an entry at one number of threads */
  int threads;
  BenchTime call;
  BenchKernel *kernel;
  uint32_t nkernels;             /* on a GPU they are not timed by themselves: no list */
  double waiting;                /* of the first thread at barriers, a call */
  int64_t flops, bytes, touched; /* of all kernels; touched: bytes of all buffers of a call */
  double peak, copy;             /* best of all rounds: operations, bytes read and written a nanosecond */
} BenchRun;

typedef struct Bench {
  Call call;
  const char *cpu;    /* model name of the processor */
  const char *device; /* "cuda" or "cuda:N"; NULL: the processor */
  uint32_t level;
  int rounds;
  BenchRun run[8];
  int nruns;
} Bench;

/* The least time that the limits allow, as a part of the time taken (1: at the limit), and which limit it is. */
double bench_bound(const BenchRun *, int64_t flops, int64_t bytes, double ns, bool *by_flops);

/* ---- bench_limits.c ---- */
double bench_now(void);                         /* nanoseconds */
double bench_peak(uint32_t level, int threads); /* fused multiply-adds, each counted as two operations */
double bench_copy(int64_t bytes, int threads);  /* of that many bytes, source and destination together */
const char *bench_cpu(char *out, size_t room);  /* "AMD EPYC" */

/* ---- cmd_bench_c.c: the command line with --emit or --kernel in it ---- */
int bench_emit(int argc, char **argv);

/* ---- bench_report.c ---- */
void bench_text(const Bench *, Buf *);
void bench_json(const Bench *, Buf *); /* a line for each run and each kernel */
void bench_svg(const Bench *, Buf *);  /* the roofline, kernels as points */
#endif
