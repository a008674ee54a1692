#include "digits.h"
#include <stdio.h>
#include <stdlib.h>

static void *rows(const char *npy, size_t bytes) { /* the first of an array, behind the header of 128 bytes */
  FILE *f = fopen(npy, "rb");
  void *data = malloc(bytes);
  if (!f || fseek(f, 128, SEEK_SET) || fread(data, 1, bytes, f) != bytes) exit(1);
  return fclose(f), data;
}

int main(int argc, char **argv) {
  float *x = rows("models/digits/train_x.npy", 64 * 64 * sizeof *x), loss, accuracy, probability[10];
  int64_t *y = rows("models/digits/train_y.npy", 64 * sizeof *y), label;
  digits_weights *w;
  digits_context *c;
  if (digits_open(&w, argc > 1 ? argv[1] : NULL, 1)) return puts(digits_open_message(w)), 1;
  if (digits_new(&c, w, &(digits_dims){.B = 64}, NULL, 0)) return puts(digits_open_message(w)), 1;
  if (digits_step(c, &(digits_step_in){.x = x, .y = y, .B = 64}, &(digits_step_out){&loss, &accuracy}) ||
      digits_predict(c, &(digits_predict_in){.x = x, .B = 1}, &(digits_predict_out){probability, &label}))
    return puts(digits_message(c)), 1;
  printf("loss %.4f; row 0 is a %d, predicted %d with probability %.3f\n", loss, (int)y[0], (int)label,
         probability[label]);
  if (digits_save(w, "build/demo/again.safetensors")) return puts(digits_open_message(w)), 1;
  digits_free(c);
  digits_close(w);
}
