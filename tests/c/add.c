/* A program written against add.h alone: every function of the header, right and wrong calls. Prints the first thing
 * that is not as it should be and ends with 1. */
#include "add.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MUST(cond)                                                                                                     \
  do                                                                                                                   \
    if (!(cond)) {                                                                                                     \
      printf("%s:%d: not so: %s\n", __FILE__, __LINE__, #cond);                                                        \
      exit(1);                                                                                                         \
    }                                                                                                                  \
  while (0)

enum { MOST = 10007 };

static void sizes(add_context *c) {
  static const int64_t size[] = {1, 3, 7, 8, 64, 65, 4096, 4097, MOST};
  static float a[MOST], b[MOST], out[MOST + 1];
  for (int i = 0; i < MOST; i++) {
    a[i] = (float)i * 0.25f;
    b[i] = 1.0f - (float)i;
  }
  for (size_t k = 0; k < sizeof size / sizeof *size; k++) {
    int64_t n = size[k];
    memset(out, 0x55, sizeof out);
    float beyond = out[n];
    MUST(add_add(c, &(add_add_in){.a = a, .b = b, .N = n}, &(add_add_out){.out = out}) == SINTER_OK);
    for (int64_t i = 0; i < n; i++) MUST(out[i] == a[i] + b[i]);
    MUST(memcmp(&beyond, &out[n], sizeof beyond) == 0); /* nothing is written past the end */
  }
}

static void wrong_calls(add_context *c) {
  float a[4] = {0}, b[4] = {0}, out[4] = {9, 9, 9, 9};
  MUST(add_add(c, &(add_add_in){.a = NULL, .b = b, .N = 4}, &(add_add_out){.out = out}) == SINTER_ERROR_ARGUMENT);
  MUST(add_add(c, &(add_add_in){.a = a, .b = b, .N = 0}, &(add_add_out){.out = out}) == SINTER_ERROR_SHAPE);
  MUST(strstr(add_message(c), "N"));
  MUST(add_add(c, &(add_add_in){.a = a, .b = b, .N = -4}, &(add_add_out){.out = out}) == SINTER_ERROR_SHAPE);
  MUST(add_add(c, &(add_add_in){.a = a, .b = b, .N = MOST + 1}, &(add_add_out){.out = out}) == SINTER_ERROR_WORKSPACE);
  MUST(add_add(c, &(add_add_in){.a = a, .b = b, .N = 4}, &(add_add_out){.out = a + 1}) ==
       SINTER_ERROR_ARGUMENT); /* overlap */
  MUST(add_add(c, &(add_add_in){.a = (const float *)((const char *)a + 1), .b = b, .N = 2},
               &(add_add_out){.out = out}) == SINTER_ERROR_ARGUMENT);
  MUST(out[0] == 9 && out[3] == 9);
  MUST(add_add(c, NULL, &(add_add_out){.out = out}) == SINTER_ERROR_ARGUMENT);
  MUST(*add_message(c));
}

int main(void) {
  add_weights *w = NULL;
  add_context *c = NULL;
  add_dims most = {.N = MOST};
  MUST(add_open(&w, NULL, 1) == SINTER_OK);
  size_t bytes = add_workspace(&most, 2);
  MUST(bytes > 0);
  MUST(add_workspace(&(add_dims){.N = 0}, 1) == 0);
  MUST(add_new(&c, w, &most, NULL, 0) == SINTER_OK);
  sizes(c);
  wrong_calls(c);
  sizes(c); /* as good as before */
  add_free(c);
  bytes = add_workspace(&most, 0); /* the number of threads that a context made here will use */
  void *memory = aligned_alloc(64, (bytes + 63) / 64 * 64);
  MUST(memory && add_new(&c, w, &most, memory, bytes) == SINTER_OK);
  sizes(c);
  add_free(c);
  MUST(add_new(&c, w, &most, memory, 8) == SINTER_ERROR_WORKSPACE);
  add_free(c);
  free(memory);
  float x;
  MUST(add_get(w, "nothing", &x, sizeof x) == SINTER_ERROR_ARGUMENT);
  add_close(w);
  MUST(add_open(&w, "/nowhere/weights.safetensors", 1) != SINTER_OK);
  MUST(*add_open_message(w));
  add_close(w);
  puts("add: all as the header says");
  return 0;
}
