/* The limits of the machine: multiply-adds that depend on nothing but themselves, and copies. */
#include "bench.h"
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { CHAINS = 12, TURNS = 4000 };

double bench_now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return 1e9 * (double)t.tv_sec + (double)t.tv_nsec;
}

/* TURNS times CHAINS multiply-adds on registers; returns operations done. In assembly, as no dialect of C says it for
 * every level. Level v2 has none: a multiplication and an addition. */
#define TWELVE(f) f(0) f(1) f(2) f(3) f(4) f(5) f(6) f(7) f(8) f(9) f(10) f(11)
#if defined __x86_64__
#define LOOP(body) __asm__ volatile("1:\n\t" body "decq %0\n\tjnz 1b" : "+r"(n) : : "cc", "memory", REGISTERS)
#define REGISTERS                                                                                                      \
  "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13",  \
      "xmm14", "xmm15"
#define ZMM(i)     "vfmadd231ps %%zmm14, %%zmm15, %%zmm" #i "\n\t"
#define YMM(i)     "vfmadd231ps %%ymm14, %%ymm15, %%ymm" #i "\n\t"
#define ZERO(i)    "vpxor %%xmm" #i ", %%xmm" #i ", %%xmm" #i "\n\t"
#define PAIR(m, a) "mulps %%xmm14, %%xmm" #m "\n\taddps %%xmm15, %%xmm" #a "\n\t"
static double multiply_adds(uint32_t level) {
  uint64_t n = TURNS;
  double lanes = level == SINTER_LEVEL_V4 ? 16 : level == SINTER_LEVEL_V3 ? 8 : 4;
  if (level == SINTER_LEVEL_V4) {
    __asm__ volatile(TWELVE(ZERO) ZERO(14) ZERO(15) "vzeroupper" : : : REGISTERS);
    LOOP(TWELVE(ZMM));
    __asm__ volatile("vzeroupper");
  } else if (level == SINTER_LEVEL_V3) {
    __asm__ volatile(TWELVE(ZERO) ZERO(14) ZERO(15) "vzeroupper" : : : REGISTERS);
    LOOP(TWELVE(YMM));
    __asm__ volatile("vzeroupper");
  } else {
    __asm__ volatile("xorps %%xmm14, %%xmm14\n\txorps %%xmm15, %%xmm15" : : : "xmm14", "xmm15");
    LOOP(PAIR(0, 6) PAIR(1, 7) PAIR(2, 8) PAIR(3, 9) PAIR(4, 10) PAIR(5, 11));
    return TURNS * lanes * CHAINS;
  }
  return TURNS * lanes * CHAINS * 2;
}
#else
#define FMLA(i) "fmla v" #i ".4s, v14.4s, v15.4s\n\t"
static double multiply_adds(uint32_t level) {
  uint64_t n = TURNS;
  (void)level;
  __asm__ volatile("movi v14.4s, #0\n\tmovi v15.4s, #0\n1:\n\t" TWELVE(FMLA) "subs %0, %0, #1\n\tb.ne 1b"
                   : "+r"(n)
                   :
                   : "cc", "v0", "v1", "v2", "v3", "v4", "v5", "v6", "v7", "v8", "v9", "v10", "v11", "v14", "v15");
  return TURNS * 4.0 * CHAINS * 2;
}
#endif

typedef struct Worker {
  pthread_t thread;
  int *go; /* 0: wait; 1; -1: leave */
  uint32_t level;
  char *from, *to; /* NULL: multiply-adds */
  size_t bytes;    /* of each */
  double rate;
} Worker;

/* The best of short bursts: what takes the processor away in between does not count. */
static void *measure(void *arg) {
  Worker *w = arg;
  const double burst = 4e5, enough = 4e6; /* ns */
  if (w->from) memset(w->from, 1, w->bytes), memcpy(w->to, w->from, w->bytes);
  int go;
  while (!(go = __atomic_load_n(w->go, __ATOMIC_ACQUIRE))) sched_yield();
  for (double start = bench_now(), now = start; go > 0 && now - start < enough;) {
    double begin = now, done = 0;
    do {
      if (w->from) {
        memcpy(w->to, w->from, w->bytes);
        __asm__ volatile("" : : "r"(w->to) : "memory");
        done += 2 * (double)w->bytes;
      } else
        done += multiply_adds(w->level);
      now = bench_now();
    } while (now - begin < burst);
    if (done / (now - begin) > w->rate) w->rate = done / (now - begin);
  }
  return NULL;
}

/* The sum of the rates; 0: so many threads cannot be had. */
static double together(Worker *w, int threads) {
  int go = 0, begun = 1;
  double rate = 0;
  for (int i = 0; i < threads; i++) w[i].go = &go;
  while (begun < threads && !pthread_create(&w[begun].thread, NULL, measure, &w[begun])) begun++;
  __atomic_store_n(&go, begun == threads ? 1 : -1, __ATOMIC_RELEASE);
  measure(&w[0]);
  for (int i = 1; i < begun; i++) pthread_join(w[i].thread, NULL);
  for (int i = 0; i < threads; i++) rate += w[i].rate;
  return rate;
}

double bench_peak(uint32_t level, int threads) {
  Worker *w = mem_alloc(sizeof *w * (size_t)threads);
  for (int i = 0; i < threads; i++) w[i].level = level;
  double rate = together(w, threads);
  free(w);
  return rate;
}

double bench_copy(int64_t bytes, int threads) {
  const int64_t least = 32768, most = 256 << 20;
  int64_t each = bytes / 2 / threads;
  each = ((each < least ? least : each > most / 2 / threads ? most / 2 / threads : each) + 63) & ~63;
  Worker *w = mem_alloc(sizeof *w * (size_t)threads);
  char *block = aligned_alloc(64, (size_t)(2 * each * threads));
  double rate = 0;
  for (int i = 0; i < threads; i++) {
    w[i].from = block + 2 * each * i;
    w[i].to = w[i].from + each;
    w[i].bytes = (size_t)each;
  }
  if (block) rate = together(w, threads);
  free(block);
  free(w);
  return rate;
}

const char *bench_cpu(char *out, size_t room) {
  FILE *f = fopen("/proc/cpuinfo", "r");
  char line[256];
  snprintf(out, room, "unknown");
  while (f && fgets(line, sizeof line, f)) {
    char *colon = strchr(line, ':');
    if (strncmp(line, "model name", 10) || !colon) continue;
    line[strcspn(line, "\n")] = 0;
    snprintf(out, room, "%s", colon + 2);
    break;
  }
  if (f) fclose(f);
  return out;
}
