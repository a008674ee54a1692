/* What was measured as a table, as lines of JSON, and as a drawing. */
#include "bench.h"
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

static const char *workload(const Bench *b) { return sinter_text(b->call.s.m, b->call.s.m->name); }
static const char *entry(const Bench *b) { return sinter_text(b->call.s.m, b->call.e->name); }

static void put_dims(const Bench *b, Buf *out, const char *fmt, const char *between) {
  const SinterModel *m = b->call.s.m;
  const SinterDim *d = SINTER_LIST(SinterDim, m, b->call.e->dims);
  for (uint32_t i = 0; i < b->call.e->dims.n; i++) {
    if (i) buf_put(out, between);
    buf_printf(out, fmt, sinter_text(m, SINTER_LIST(SinterText, m, m->dims)[d[i].index]), b->call.dims[d[i].index]);
  }
}

/* ---- text ---- */

static void put_row(Buf *out, const BenchRun *r, const char *name, const char *stage, int64_t flops, int64_t bytes,
                    double ns) {
  bool by_flops;
  double part = bench_bound(r, flops, bytes, ns, &by_flops);
  buf_printf(out, "  %-30s %-7s %11.2f %6.1f %9.2f %9.2f  %-8s %6.1f\n", name, stage, ns * 1e-3,
             100 * ns / r->call.median, (double)flops / ns, (double)bytes / ns, by_flops ? "FLOP/s" : "bytes/s",
             100 * part);
}

static void text_gpu(const Bench *b, const BenchRun *r, Buf *out) {
  const BenchTime *t = &r->call;
  buf_printf(out,
             ", on %s:\n  %.4f ms a call, with its copies from and to the host (10th percentile %.4f, best round %.4f; "
             "%" PRId64 " calls in %d rounds)\n  %u launch%s: %.2f GFLOP/s, %.2f GB/s\n",
             b->device, t->median * 1e-6, t->p10 * 1e-6, t->best * 1e-6, t->calls, b->rounds, r->nkernels,
             r->nkernels == 1 ? "" : "es", (double)r->flops / t->median, (double)r->bytes / t->median);
}

static void text_run(const Bench *b, const BenchRun *r, Buf *out) {
  double inside = r->waiting;
  buf_printf(out, "%s, %s", b->call.s.path, entry(b));
  if (b->call.e->dims.n) put_dims(b, out, ", %s = %" PRId64, "");
  if (b->device) {
    text_gpu(b, r, out);
    return;
  }
  buf_printf(out, ", %d thread%s, level %s on %s:\n", r->threads, r->threads > 1 ? "s" : "",
             sinter_level_text(b->level), b->cpu);
  buf_printf(out, "  %.4f ms a call (10th percentile %.4f, best round %.4f; %" PRId64 " calls in %d rounds)\n",
             r->call.median * 1e-6, r->call.p10 * 1e-6, r->call.best * 1e-6, r->call.calls, b->rounds);
  buf_printf(
      out, "  limits beside it: %.1f GFLOP/s of multiply-adds, %.1f GB/s of copying %.1f KB, which a call touches\n\n",
      r->peak, r->copy, (double)r->touched / 1024);
  buf_printf(out, "  %-30s %-7s %11s %6s %9s %9s  %-8s %6s\n", "kernel", "stage", "us", "%", "GFLOP/s", "GB/s",
             "bound by", "% of it");
  for (uint32_t i = 0; i < r->nkernels; i++) {
    const BenchKernel *k = &r->kernel[i];
    put_row(out, r, k->name, k->stage, k->flops, k->bytes, k->time.median);
    inside += k->time.median;
  }
  if (r->threads > 1)
    buf_printf(out, "  %-38s %11.2f %6.1f\n", "waiting for the other threads", r->waiting * 1e-3,
               100 * r->waiting / r->call.median);
  buf_printf(out, "  %-38s %11.2f %6.1f\n", "outside of kernels", (r->call.median - inside) * 1e-3,
             100 * (1 - inside / r->call.median));
  put_row(out, r, "the call", "", r->flops, r->bytes, r->call.median);
}

void bench_text(const Bench *b, Buf *out) {
  for (int i = 0; i < b->nruns; i++) {
    if (i) buf_put(out, "\n");
    text_run(b, &b->run[i], out);
  }
}

/* ---- JSON ---- */

static void json_text(Buf *out, const char *s) {
  buf_put(out, "\"");
  for (; *s; s++)
    if (*s == '"' || *s == '\\' || (unsigned char)*s < 32)
      buf_printf(out, "\\u%04x", (unsigned char)*s);
    else
      buf_write(out, s, 1);
  buf_put(out, "\"");
}

/* What lines of both kinds begin with, up to the times. */
static void json_head(const Bench *b, const BenchRun *r, Buf *out) {
  Buf name = {0};
  buf_printf(&name, "%s.%s", workload(b), entry(b));
  buf_put(out, "{\"workload\": ");
  json_text(out, name.at);
  buf_put(out, ", \"engine\": \"sinter\", ");
  if (b->device)
    buf_printf(out, "\"device\": \"%s\"", b->device);
  else
    buf_printf(out, "\"threads\": %d", r->threads);
  buf_free(&name);
}

static void json_times(Buf *out, const BenchTime *t, int64_t flops, int64_t bytes) {
  double ns = t->median > 0 ? t->median : 1;
  buf_printf(out,
             ", \"median_ms\": %.6f, \"p10_ms\": %.6f, \"best_ms\": %.6f, \"calls\": %" PRId64 ", \"flops\": %" PRId64
             ", \"bytes\": %" PRId64 ", \"gflops\": %.4f, \"gbs\": %.4f",
             t->median * 1e-6, t->p10 * 1e-6, t->best * 1e-6, t->calls, flops, bytes, (double)flops / ns,
             (double)bytes / ns);
}

static void json_bound(Buf *out, const BenchRun *r, const BenchTime *t, int64_t flops, int64_t bytes) {
  bool by_flops;
  double part = bench_bound(r, flops, bytes, t->median, &by_flops);
  buf_printf(out, ", \"bound\": \"%s\", \"percent\": %.2f", by_flops ? "flops" : "bytes", 100 * part);
}

void bench_json(const Bench *b, Buf *out) {
  for (int i = 0; i < b->nruns; i++) {
    const BenchRun *r = &b->run[i];
    json_head(b, r, out);
    json_times(out, &r->call, r->flops, r->bytes);
    if (b->device) {
      buf_printf(out, ", \"launches\": %u, \"rounds\": %d, \"dims\": {", r->nkernels, b->rounds);
      put_dims(b, out, "\"%s\": %" PRId64, ", ");
      buf_put(out, "}}\n");
      continue;
    }
    json_bound(out, r, &r->call, r->flops, r->bytes);
    buf_printf(out,
               ", \"error\": null, \"peak_gflops\": %.2f, \"copy_gbs\": %.2f, \"touched\": %" PRId64
               ", \"waiting_ms\": %.6f, \"rounds\": %d, \"level\": \"%s\", \"dims\": {",
               r->peak, r->copy, r->touched, r->waiting * 1e-6, b->rounds, sinter_level_text(b->level));
    put_dims(b, out, "\"%s\": %" PRId64, ", ");
    buf_put(out, "}, \"cpu\": ");
    json_text(out, b->cpu);
    buf_put(out, "}\n");
    for (uint32_t k = 0; k < r->nkernels; k++) {
      const BenchKernel *x = &r->kernel[k];
      json_head(b, r, out);
      buf_printf(out, ", \"kernel\": \"%s\", \"stage\": \"%s\", \"step\": %u, \"tasks\": %" PRId64, x->name, x->stage,
                 x->step, x->tasks);
      json_times(out, &x->time, x->flops, x->bytes);
      json_bound(out, r, &x->time, x->flops, x->bytes);
      buf_put(out, "}\n");
    }
  }
}

/* ---- SVG ---- */

enum { LEFT = 70, TOP = 60, WIDE = 560, HIGH = 420, LEGEND = 660, LINE = 15, LISTED = 40 };
static const char *const COLOURS[] = {"#1f6feb", "#d1480f", "#2e8b57", "#8e44ad",
                                      "#b8860b", "#0f8b8d", "#c2185b", "#555555"};

typedef struct Axes { /* decades */
  int x0, x1, y0, y1;
} Axes;

static double at_x(const Axes *a, double v) { return LEFT + WIDE * (log10(v) - a->x0) / (a->x1 - a->x0); }
static double at_y(const Axes *a, double v) { return TOP + HIGH - HIGH * (log10(v) - a->y0) / (a->y1 - a->y0); }

static void xml(Buf *out, const char *s) {
  for (; *s; s++) switch (*s) {
    case '<': buf_put(out, "&lt;"); break;
    case '>': buf_put(out, "&gt;"); break;
    case '&': buf_put(out, "&amp;"); break;
    case '"': buf_put(out, "&quot;"); break;
    default: buf_write(out, (unsigned char)*s < 32 ? "?" : s, 1);
    }
}

static bool has_point(const BenchKernel *k) { return k->flops > 0 && k->bytes > 0 && k->time.median > 0; }

static void grow(int *lo, int *hi, double v) {
  int down = (int)floor(log10(v)), up = (int)ceil(log10(v));
  if (down < *lo) *lo = down;
  if (up > *hi) *hi = up;
}

static Axes choose_axes(const Bench *b) {
  Axes a = {-1, 2, 0, 3};
  for (int i = 0; i < b->nruns; i++) {
    const BenchRun *r = &b->run[i];
    if (r->peak > 0) grow(&a.y0, &a.y1, r->peak);
    for (uint32_t k = 0; k < r->nkernels; k++) {
      if (!has_point(&r->kernel[k])) continue;
      grow(&a.x0, &a.x1, (double)r->kernel[k].flops / (double)r->kernel[k].bytes);
      grow(&a.y0, &a.y1, (double)r->kernel[k].flops / r->kernel[k].time.median);
    }
  }
  return a;
}

static void draw_axes(Buf *out, const Axes *a) {
  for (int d = a->x0; d <= a->x1; d++) {
    double x = at_x(a, pow(10, d));
    buf_printf(out, "<line class=\"grid\" x1=\"%.1f\" y1=\"%d\" x2=\"%.1f\" y2=\"%d\"/>\n", x, TOP, x, TOP + HIGH);
    buf_printf(out, "<text x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">%g</text>\n", x, TOP + HIGH + 18, pow(10, d));
  }
  for (int d = a->y0; d <= a->y1; d++) {
    double y = at_y(a, pow(10, d));
    buf_printf(out, "<line class=\"grid\" x1=\"%d\" y1=\"%.1f\" x2=\"%d\" y2=\"%.1f\"/>\n", LEFT, y, LEFT + WIDE, y);
    buf_printf(out, "<text x=\"%d\" y=\"%.1f\" text-anchor=\"end\">%g</text>\n", LEFT - 8, y + 4, pow(10, d));
  }
  buf_printf(out, "<text x=\"%d\" y=\"%d\" text-anchor=\"middle\">operations a byte</text>\n", LEFT + WIDE / 2,
             TOP + HIGH + 38);
  buf_printf(out, "<text transform=\"translate(18 %d) rotate(-90)\" text-anchor=\"middle\">GFLOP/s</text>\n",
             TOP + HIGH / 2);
}

/* From the left edge up along the copy rate to the ridge, then level. */
static void draw_roof(Buf *out, const Axes *a, const BenchRun *r, const char *colour) {
  double x0 = pow(10, a->x0), x1 = pow(10, a->x1), low = pow(10, a->y0), ridge = r->copy > 0 ? r->peak / r->copy : x0;
  if (r->peak <= 0 || r->copy <= 0) return;
  if (x0 * r->copy < low) x0 = low / r->copy;
  if (ridge < x0) ridge = x0;
  if (ridge > x1) ridge = x1;
  buf_printf(out,
             "<polyline fill=\"none\" stroke=\"%s\" stroke-width=\"2\" points=\"%.1f,%.1f %.1f,%.1f %.1f,%.1f\"/>\n",
             colour, at_x(a, x0), at_y(a, fmin(x0 * r->copy, r->peak)), at_x(a, ridge),
             at_y(a, fmin(ridge * r->copy, r->peak)), at_x(a, x1), at_y(a, fmin(x1 * r->copy, r->peak)));
}

static void draw_points(Buf *out, const Axes *a, const BenchRun *r, const char *colour) {
  for (uint32_t i = 0; i < r->nkernels; i++) {
    const BenchKernel *k = &r->kernel[i];
    if (!has_point(k)) continue;
    double x = at_x(a, (double)k->flops / (double)k->bytes), y = at_y(a, (double)k->flops / k->time.median);
    double radius = 3 + 14 * sqrt(fmin(1, k->time.median / r->call.median)); /* its part of the call */
    buf_printf(out, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"%.1f\" fill=\"%s\" fill-opacity=\"0.45\" stroke=\"%s\">", x, y,
               radius, colour, colour);
    buf_put(out, "<title>");
    xml(out, k->name);
    buf_printf(out, ": %.2f us</title></circle>\n", k->time.median * 1e-3);
    buf_printf(out, "<text class=\"small\" x=\"%.1f\" y=\"%.1f\">%u</text>\n", x + radius + 1, y + 3, i + 1);
  }
}

static int draw_legend(Buf *out, const BenchRun *r, const char *colour, int y) {
  bool by_flops;
  buf_printf(
      out,
      "<text x=\"%d\" y=\"%d\" fill=\"%s\" font-weight=\"bold\">%d thread%s: %.4f ms, %.0f GFLOP/s, %.0f GB/s</text>\n",
      LEGEND, y, colour, r->threads, r->threads > 1 ? "s" : "", r->call.median * 1e-6, r->peak, r->copy);
  for (uint32_t i = 0; i < r->nkernels && i < LISTED; i++) {
    const BenchKernel *k = &r->kernel[i];
    y += LINE;
    buf_printf(out, "<text class=\"small\" x=\"%d\" y=\"%d\">%u ", LEGEND, y, i + 1);
    xml(out, k->name);
    if (strcmp(k->stage, "main")) buf_put(out, " "), xml(out, k->stage);
    double part = bench_bound(r, k->flops, k->bytes, k->time.median, &by_flops);
    buf_printf(out, ": %.2f us, %.0f %% of %s</text>\n", k->time.median * 1e-3, 100 * part,
               by_flops ? "FLOP/s" : "bytes/s");
  }
  if (r->nkernels > LISTED)
    buf_printf(out, "<text class=\"small\" x=\"%d\" y=\"%d\">and %u more</text>\n", LEGEND, y += LINE,
               r->nkernels - LISTED);
  return y + 2 * LINE;
}

void bench_svg(const Bench *b, Buf *out) {
  Axes a = choose_axes(b);
  Buf body = {0};
  int y = TOP;
  draw_axes(&body, &a);
  for (int i = 0; i < b->nruns; i++) draw_roof(&body, &a, &b->run[i], COLOURS[i % 8]);
  for (int i = 0; i < b->nruns; i++) draw_points(&body, &a, &b->run[i], COLOURS[i % 8]);
  for (int i = 0; i < b->nruns; i++) y = draw_legend(&body, &b->run[i], COLOURS[i % 8], y);
  int high = y > TOP + HIGH + 60 ? y : TOP + HIGH + 60;
  buf_printf(out,
             "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"1040\" height=\"%d\" viewBox=\"0 0 1040 %d\" "
             "font-family=\"sans-serif\" font-size=\"12\">\n"
             "<style>.grid{stroke:#ddd}.small{font-size:10px}</style>\n"
             "<rect width=\"100%%\" height=\"100%%\" fill=\"white\"/>\n<text x=\"%d\" y=\"28\" font-size=\"15\">",
             high, high, LEFT);
  xml(out, workload(b));
  buf_put(out, ", ");
  xml(out, entry(b));
  if (b->call.e->dims.n) put_dims(b, out, ", %s = %" PRId64, "");
  buf_printf(out, ", level %s on ", sinter_level_text(b->level));
  xml(out, b->cpu);
  buf_put(out, "</text>\n");
  buf_write(out, body.at, body.n);
  buf_put(out, "</svg>\n");
  buf_free(&body);
}
