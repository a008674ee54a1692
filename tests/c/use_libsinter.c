/* A program over the installed libsinter, as C and as C++: opens the artefact of models/add.sir that is named, looks at
 * its description, calls its entry, writes and reads the result. Usage: use_libsinter add.so OUT.npy */
#include <sinter.h>
#include <stdio.h>

static int fail(const char *why) {
  fprintf(stderr, "%s\n", why);
  return 1;
}

static int call(const SinterApi *api, const SinterModel *m, SinterContext *c, const char *file) {
  char why[SINTER_WHY];
  float a[5] = {1, 2, 3, 4, 5}, b[5] = {10, 20, 30, 40, 50}, sum[5] = {0, 0, 0, 0, 0};
  int64_t n = 5, dim[SINTER_MAX_RANK] = {5};
  const SinterEntry *e = SINTER_LIST(SinterEntry, m, m->entries);
  const SinterPort *port = SINTER_LIST(SinterPort, m, e->inputs);
  const void *in[8] = {0};
  void *out[8] = {0};
  in[port[0].field / 8] = a;
  in[port[1].field / 8] = b;
  ((int64_t *)in)[SINTER_LIST(SinterDim, m, e->dims)->field / 8] = n;
  out[SINTER_LIST(SinterPort, m, e->outputs)->field / 8] = sum;
  if (api->call(c, 0, in, out)) return fail(api->message(c));
  NpyArray back;
  if (!npy_write(file, SINTER_F32, 1, dim, sum, why) || !npy_read(&back, file, why)) return fail(why);
  printf("%s.%s:", sinter_text(m, m->name), sinter_text(m, e->name));
  for (int64_t i = 0; i < back.count; i++) printf(" %g", (double)((const float *)back.data)[i]);
  printf("\n");
  npy_free(&back);
  return 0;
}

int main(int argc, char **argv) {
  char why[SINTER_WHY];
  SinterArtefact art;
  SinterWeights *w;
  SinterContext *c;
  int64_t most = 5;
  if (argc != 3) return fail("usage: use_libsinter add.so OUT.npy");
  if (!sinter_artefact_open(&art, argv[1], why)) return fail(why);
  int status = art.api->open(&w, NULL, 1);
  if (!status) status = art.api->create(&c, w, &most, NULL, 0);
  if (status) return fail(art.api->open_message(w));
  status = call(art.api, art.model, c, argv[2]);
  art.api->free(c);
  art.api->close(w);
  sinter_artefact_close(&art);
  return status;
}
