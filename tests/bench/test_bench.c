/* `sinter bench` of build/sinter (or $SINTER_BIN) on the artefacts of two models: what it prints, that its JSON and its
 * drawing are well-formed, that its counts are those of the formulas, and its refusals. Nothing here depends on how
 * fast anything is. Runs from the repository's root. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include "run_sinter.h"

static char file[262144];

static int make(void **state) {
  (void)state;
  snprintf(folder, sizeof folder, "/tmp/test_bench_%d", (int)getpid());
  return mkdir(folder, 0777) || sinter("compile $ROOT/models/add.sir -o add.so") ||
         sinter("compile $ROOT/models/digits.sir -o digits.so");
}

/* ---- just enough of JSON and XML to say whether a text is one ---- */

static const char *json_value(const char *s, int depth);
static const char *blanks(const char *s) { return s + strspn(s, " \t\r\n"); }

static const char *json_string(const char *s) {
  if (*s++ != '"') return NULL;
  for (; *s != '"'; s++) {
    if ((unsigned char)*s < 32) return NULL;
    if (*s == '\\' && !strchr("\"\\/bfnrtu", *++s)) return NULL;
  }
  return s + 1;
}

static const char *json_list(const char *s, char close, int depth) {
  s = blanks(s + 1);
  if (*s == close) return s + 1;
  for (;;) {
    if (close == '}') {
      s = json_string(s);
      if (!s || *(s = blanks(s)) != ':') return NULL;
      s++;
    }
    s = json_value(s, depth + 1);
    if (!s) return NULL;
    s = blanks(s);
    if (*s == close) return s + 1;
    if (*s++ != ',') return NULL;
    s = blanks(s);
  }
}

static const char *json_value(const char *s, int depth) { /* what comes after the value, or NULL */
  static const char *const words[] = {"true", "false", "null"};
  s = blanks(s);
  if (depth > 8) return NULL;
  if (*s == '{') return json_list(s, '}', depth);
  if (*s == '[') return json_list(s, ']', depth);
  if (*s == '"') return json_string(s);
  for (int i = 0; i < 3; i++)
    if (!strncmp(s, words[i], strlen(words[i]))) return s + strlen(words[i]);
  char *end;
  if (*s != '-' && (*s < '0' || *s > '9')) return NULL; /* strtod would take inf and nan */
  strtod(s, &end);
  return end > s ? end : NULL;
}

/* The number of lines, each of which must be one object. */
static int json_lines(char *text) {
  int n = 0;
  for (char *line = text, *end; (end = strchr(line, '\n')); line = end + 1, n++) {
    *end = 0;
    const char *rest = json_value(line, 0);
    assert_true(*line == '{' && rest && !*rest);
    *end = '\n';
  }
  return n;
}

/* The number of elements; tags must nest, text must be escaped. */
static int xml_elements(const char *s) {
  char open[16][32];
  int depth = 0, n = 0;
  for (; *s; s++) {
    if (*s == '&') assert_true(!strncmp(s, "&lt;", 4) || !strncmp(s, "&gt;", 4) || !strncmp(s, "&amp;", 5));
    if (*s != '<') continue;
    bool close = s[1] == '/';
    size_t k = strcspn(s + 1 + close, " />");
    assert_true(k > 0 && k < 32);
    const char *end = s;
    for (bool quoted = false; *end != '>' || quoted; end++) {
      assert_true(*end);
      if (*end == '"') quoted = !quoted;
    }
    if (close) {
      assert_true(depth > 0 && strlen(open[depth - 1]) == k && !strncmp(open[depth - 1], s + 2, k));
      depth--;
    } else if (n++, end[-1] != '/') {
      assert_true(depth < 16);
      snprintf(open[depth++], 32, "%.*s", (int)k, s + 1);
    }
    s = end;
  }
  assert_int_equal(depth, 0);
  return n;
}

static double field(const char *line, const char *name) {
  char key[64];
  snprintf(key, sizeof key, "\"%s\": ", name);
  const char *at = strstr(line, key);
  assert_non_null(at);
  return strtod(at + strlen(key), NULL);
}

/* ---- tests ---- */

static void refuses(const char *arguments, int status, const char *sentence) {
  assert_int_equal(sinter(arguments), status);
  if (!strstr(err, sentence)) fail_msg("%s: %s", arguments, err);
}

static void one_kernel(void **state) {
  (void)state;
  assert_int_equal(sinter("bench add.so N=1000 --rounds 2 --runs 3 --json add.json --svg add.svg"), 0);
  assert_string_equal(err, "");
  assert_non_null(strstr(out, "add.so, add, N = 1000, 1 thread, level "));
  assert_non_null(strstr(out, "6 calls in 2 rounds"));
  assert_non_null(strstr(out, "add_0_elementwise"));
  slurp("add.json", file, sizeof file);
  assert_int_equal(json_lines(file), 2);
  assert_non_null(strstr(file, "{\"workload\": \"add.add\", \"engine\": \"sinter\", \"threads\": 1, \"median_ms\": "));
  assert_true(field(file, "flops") == 1000);
  assert_true(field(file, "bytes") == 12000);
  assert_true(field(file, "median_ms") > 0 && field(file, "p10_ms") > 0 && field(file, "peak_gflops") > 0);
  assert_non_null(strstr(file, "\"dims\": {\"N\": 1000}"));
  const char *kernel = strchr(file, '\n') + 1;
  assert_non_null(strstr(kernel, "\"kernel\": \"add_0_elementwise\", \"stage\": \"main\""));
  slurp("add.svg", file, sizeof file);
  assert_int_equal(strncmp(file, "<svg ", 5), 0);
  assert_true(xml_elements(file) > 20);
}

static void training(void **state) {
  (void)state;
  assert_int_equal(sinter("bench digits.so step B=64 --threads 1,2 --rounds 1 --runs 2 --json d.json --svg d.svg"), 0);
  assert_non_null(strstr(out, ", step, B = 64, 2 threads, "));
  slurp("d.json", file, sizeof file);
  assert_true(json_lines(file) > 20);
  double products = 0, whole = field(file, "flops"), kernels = 0, launched = 0;
  for (const char *line = strchr(file, '\n') + 1; strstr(line, "\"threads\": 1, \"kernel\"");
       line = strchr(line, '\n') + 1) {
    char one[1024];
    snprintf(one, sizeof one, "%.*s", (int)strcspn(line, "\n"), line);
    if (!strstr(one, "\"threads\": 1, \"kernel\"")) break;
    kernels++;
    launched += field(one, "flops");
    if (strstr(one, "gemm")) products += field(one, "flops");
  }
  assert_true(kernels > 5);
  assert_true(launched == whole);
  /* 2 M N K of three layers forward, of their weights and, but for the first, of their inputs backward; epilogues on
   * top */
  double least = 2.0 * 64 * (2 * 64 * 256 + 3 * (256 * 128 + 128 * 10));
  assert_true(products >= least && products < 1.5 * least);
  slurp("d.svg", file, sizeof file);
  assert_true(xml_elements(file) > 40);
}

static void inputs(void **state) { /* labels become smaller until the entry takes them; a dimension by default */
  (void)state;
  assert_int_equal(sinter("bench digits.so evaluate --rounds 1 --runs 1"), 0);
  assert_non_null(strstr(out, ", evaluate, B = 256, 1 thread, "));
  refuses("bench add.so a=missing.npy", 1, "missing.npy");
}

static void refusals(void **state) {
  (void)state;
  assert_int_equal(sinter("bench --help"), 0);
  assert_non_null(strstr(out, "usage: sinter bench ARTEFACT"));
  refuses("bench", 2, "bench wants an artefact");
  refuses("bench digits.so", 1, "several entries");
  refuses("bench digits.so stepp", 1, "did you mean step?");
  refuses("bench add.so M=3", 1, "add has no input or dimension \"M\"");
  refuses("bench add.so --threads 0", 2, "--threads is \"0\"");
  refuses("bench add.so --threads 1,,2", 2, "--threads is \"1,,2\"");
  refuses("bench add.so --runs none", 2, "--runs is \"none\"");
  refuses("bench digits.so step B=1000", 1, "B");
  refuses("bench add.so --rounds 1 --runs 1 --json no/such/folder.json", 1, "no/such");
  refuses("bench nothing.so", 1, "nothing.so");
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(one_kernel), cmocka_unit_test(training), cmocka_unit_test(inputs),
                                     cmocka_unit_test(refusals)};
  return cmocka_run_group_tests(tests, make, clean);
}
