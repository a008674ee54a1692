/* A filter: digits as text on standard input, one label a line on standard output. A digit is 64 numbers of 0 to 16,
 * row by row, as one line of 64 or as 8 lines of 8; blank lines do not count. From the root of the repository, after
 * ./dev demo has trained the weights:
 *
 *   build/sinter compile models/digits.sir --emit lib -o build/libdigits.a
 *   gcc -I build models/digits/digits_filter.c build/libdigits.a -o build/digits_filter
 *   od -An -v -t f4 -w256 -j128 models/digits/test_x.npy | build/digits_filter build/demo/digits.safetensors
 *
 * Exit status: 0; 1 for a file or a line that is not as it should be, with a sentence on standard error. */
#include "digits.h"
#include <stdio.h>
#include <stdlib.h>

enum { SIDE = 8, PIXELS = SIDE * SIDE };

static int fail(const char *name, long line, const char *what) {
  fprintf(stderr, "digits_filter: %s", name);
  if (line) fprintf(stderr, ", line %ld", line);
  fprintf(stderr, ": %s\n", what);
  return 1;
}

/* Appends the numbers of one line to the n pixels that are there. Returns how many pixels there are then, or -1 after
 * saying what is wrong with the line. */
static int read_line(const char *s, long line, float *pixel, int n) {
  int before = n;
  for (char *end;; s = end) {
    while (*s == ' ' || *s == '\t' || *s == ',' || *s == '\r' || *s == '\n') s++;
    if (!*s) break;
    float value = strtof(s, &end);
    if (end == s) return fail("input", line, "there is something that is no number"), -1;
    if (!(value >= 0 && value <= 16)) return fail("input", line, "a number is not from 0 to 16"), -1;
    if (n == PIXELS) return fail("input", line, "there are more numbers than the 64 of a digit"), -1;
    pixel[n++] = value;
  }
  int count = n - before;
  if (count && count != SIDE && count != PIXELS) return fail("input", line, "a line has 8 numbers or 64"), -1;
  return n;
}

static int filter(digits_context *c) {
  float pixel[PIXELS], probability[10];
  int64_t label;
  digits_predict_in in = {.x = pixel, .B = 1};
  digits_predict_out out = {.probability = probability, .label = &label};
  char *text = NULL;
  size_t room = 0;
  long line = 0;
  int n = 0;
  while (n >= 0 && getline(&text, &room, stdin) >= 0) {
    n = read_line(text, ++line, pixel, n);
    if (n != PIXELS) continue;
    if (digits_predict(c, &in, &out)) {
      n = (fail("model", 0, digits_message(c)), -1);
      break;
    }
    printf("%d\n", (int)label);
    n = 0;
  }
  free(text);
  if (ferror(stdin)) return fail("input", 0, "it cannot be read");
  if (ferror(stdin)) return fail("input", 0, "it cannot be read");
  if (n > 0) return fail("input", line, "it ends within a digit: 8 lines of 8 numbers make one");
  if (fflush(stdout) || ferror(stdout)) return fail("output", 0, "it cannot be written");
  return n < 0;
}

int main(int argc, char **argv) {
  digits_weights *w;
  digits_context *c;
  if (argc != 2) return fputs("usage: digits_filter WEIGHTS.safetensors <digits.txt\n", stderr), 2;
  int status = digits_open(&w, argv[1], 0);
  if (status == SINTER_OK) status = digits_new(&c, w, &(digits_dims){.B = 1}, NULL, 0);
  if (status != SINTER_OK)
    status = fail("weights", 0, digits_open_message(w));
  else {
    status = filter(c);
    digits_free(c);
  }
  digits_close(w);
  return status;
}
