/* Opening artefacts by libsinter: what is not one, and one that is damaged anywhere, gives a sentence. */
#include "failing_malloc.h"
#include "fake_artefact.h"
#include "fake_model.h"
#include <elf.h>
#include <setjmp.h>
#include <stdarg.h>
#include <unistd.h>

#include <cmocka.h>

static char path[64], why[SINTER_WHY];
static unsigned char *file;
static size_t file_bytes;

static void write_file(const void *data, size_t n) {
  unlink(path); /* the loader keeps the old one */
  FILE *f = fopen(path, "wb");
  assert_non_null(f);
  assert_int_equal(fwrite(data, 1, n, f), n);
  fclose(f);
}

static int make(void **state) {
  (void)state;
  snprintf(path, sizeof path, "/tmp/test_artefact_%d.so", (int)getpid());
  if (!fake_artefact(path)) return 1;
  FILE *f = fopen(path, "rb");
  file = malloc(1 << 20);
  file_bytes = fread(file, 1, 1 << 20, f);
  fclose(f);
  return file_bytes < 1000 || file_bytes == 1 << 20;
}

static int clean(void **state) {
  (void)state;
  free(file);
  unlink(path);
  return 0;
}

static void opens(void **state) {
  (void)state;
  SinterArtefact a;
  assert_true(sinter_artefact_open(&a, path, why));
  assert_int_equal(a.bytes, file_bytes);
  assert_string_equal(sinter_text(a.model, a.model->name), "fake");
  SinterWeights *w;
  SinterContext *c;
  assert_int_equal(a.api->open(&w, NULL, 2), SINTER_OK);
  assert_int_equal(a.api->create(&c, w, (int64_t[]){8, 8}, NULL, 0), SINTER_OK);
  float x[4] = {1}, y[3];
  assert_int_equal(a.api->call(c, FAKE_PREDICT, &(FakePredictIn){x, 1}, &(FakePredictOut){y}), SINTER_OK);
  assert_true(y[2] == 11);
  a.api->free(c);
  a.api->close(w);
  sinter_artefact_close(&a);
  /* a name without a folder is one in this folder, never of the system's */
  char back[256];
  assert_non_null(getcwd(back, sizeof back));
  assert_int_equal(chdir("/tmp"), 0);
  bool good = sinter_artefact_open(&a, strrchr(path, '/') + 1, why);
  sinter_artefact_close(&a);
  assert_false(sinter_artefact_open(&a, "libm.so.6", why));
  assert_int_equal(chdir(back), 0);
  assert_true(good);
}

static void refused(void **state) {
  (void)state;
  SinterArtefact a;
  assert_false(sinter_artefact_open(&a, "/nowhere/a.so", why));
  assert_string_equal(why, "cannot open /nowhere/a.so: there is no such file or folder");
  assert_false(sinter_artefact_open(&a, "/tmp", why));
  assert_string_equal(why, "cannot open /tmp: it is a folder");
  assert_false(sinter_artefact_open(&a, "/proc/self/exe", why));
  assert_string_equal(why, "/proc/self/exe is not an artefact, or was stripped or damaged: its last bytes are missing");
  for (size_t n = 0; n < file_bytes; n += file_bytes / 60) { /* cut short */
    write_file(file, n);
    assert_false(sinter_artefact_open(&a, path, why));
    assert_non_null(strstr(why, path));
  }
  write_file(file, file_bytes);
  unsigned char other[sizeof(SinterTail)];
  memcpy(other, file + file_bytes - sizeof other, sizeof other);
  SinterTail tail;
  memcpy(&tail, other, sizeof tail);
  tail.abi = 99; /* of a compiler to come */
  memcpy(file + file_bytes - sizeof tail, &tail, sizeof tail);
  write_file(file, file_bytes);
  memcpy(file + file_bytes - sizeof other, other, sizeof other);
  assert_false(sinter_artefact_open(&a, path, why));
  char want[256];
  snprintf(want, sizeof want,
           "%s was made by another version of sinter (interface 99, this one has %d): compile the model again", path,
           SINTER_ABI_VERSION);
  assert_string_equal(why, want);
  write_file(file, file_bytes);
}

static uint64_t next_random(uint64_t *s) { return *s = *s * 6364136223846793005u + 1442695040888963407u, *s >> 33; }

static void mutated(void **state) {
  (void)state;
  SinterArtefact a;
  uint64_t seed = 3;
  const int tail = sizeof(SinterTail);
  for (int i = 0; i < 200; i++) { /* anywhere; the tail byte by byte */
    size_t at = i < tail ? file_bytes - sizeof(SinterTail) + (size_t)i : next_random(&seed) % file_bytes;
    unsigned char was = file[at];
    file[at] ^= (unsigned char)(1u << next_random(&seed) % 8);
    write_file(file, file_bytes);
    file[at] = was;
    why[0] = 0;
    assert_false(sinter_artefact_open(&a, path, why));
    assert_true(strncmp(why, path, strlen(path)) == 0 && strlen(why) > strlen(path) + 10);
  }
  write_file(file, file_bytes);
  assert_true(sinter_artefact_open(&a, path, why));
  sinter_artefact_close(&a);
}

/* A description that is damaged though the checksum agrees: refused, or safe to walk. In a block of exactly its size,
 * so that a sanitizer sees every step beyond it. */
static void descriptions(void **state) {
  (void)state;
  SinterArtefact a;
  assert_true(sinter_artefact_open(&a, path, why));
  size_t n = a.model->bytes;
  assert_true(n > 4000 && n < 65536);
  int refused_count = 0;
  uint64_t seed = 9;
  for (int i = 0; i < 20000; i++) {
    unsigned char *copy = malloc(n);
    memcpy(copy, a.model, n);
    size_t at = i < 4000 ? (size_t)i % n : next_random(&seed) % n;
    if (i % 3 == 0)
      copy[at] ^= (unsigned char)(1u << next_random(&seed) % 8);
    else if (i % 3 == 1)
      copy[at] = (unsigned char)next_random(&seed);
    else {
      uint32_t v = (uint32_t)(next_random(&seed) >> next_random(&seed) % 31);
      memcpy(copy + at / 4 * 4, &v, 4);
    }
    why[0] = 0;
    bool good = sinter_model_check((const SinterModel *)(const void *)copy, n, why);
    assert_true(good || strncmp(why, "the description of the model is damaged: ", 41) == 0);
    refused_count += !good;
    const SinterModel *m = (const SinterModel *)(const void *)copy;
    const SinterEntry *e = SINTER_LIST(SinterEntry, m, m->entries);
    for (uint32_t k = 0; good && k < m->entries.n; k++) { /* formulas and texts are safe to read */
      char text[64];
      const SinterPort *p = SINTER_LIST(SinterPort, m, e[k].inputs);
      assert_true(strlen(sinter_text(m, e[k].name)) < n);
      for (uint32_t j = 0; j < e[k].inputs.n; j++)
        for (uint32_t d = 0; d < p[j].rank; d++) sinter_sym_text(m, p[j].dim[d], text, sizeof text);
    }
    free(copy);
  }
  assert_true(refused_count > 4000);
  sinter_artefact_close(&a);
}

/* Each thing that is wanted of what is there for GPUs, broken alone. */
static void gpu_records(void **state) {
  (void)state;
  SinterArtefact a;
  assert_true(sinter_artefact_open(&a, path, why));
  size_t n = a.model->bytes;
  unsigned char *copy = malloc(n);
  SinterModel *m = (SinterModel *)(void *)copy;
#define AT(T, ref) ((T *)(void *)(copy + (ref).at))
#define BREAK(change, want)                                                                                            \
  do {                                                                                                                 \
    memcpy(copy, a.model, n);                                                                                          \
    SinterGpuImage *image = AT(SinterGpuImage, m->gpu_images);                                                         \
    SinterPlan *gpu_plan = AT(SinterPlan, m->gpu_plans);                                                               \
    SinterGpuStep *step = AT(SinterGpuStep, gpu_plan->steps);                                                          \
    SinterGpuTensor *map = AT(SinterGpuTensor, step->tensors);                                                         \
    SinterGpuArg *arg = AT(SinterGpuArg, step->args);                                                                  \
    (void)image, (void)map, (void)arg;                                                                                 \
    change;                                                                                                            \
    assert_false(sinter_model_check(m, n, why));                                                                       \
    assert_string_equal(why, "the description of the model is damaged: " want);                                        \
  } while (0)
  BREAK(m->gpu_images.n = 1 << 20, "the place of the code for GPUs");
  BREAK(image->kind = 3, "the architecture of the code for GPUs");
  BREAK(image->sm = 9, "the architecture of the code for GPUs");
  BREAK(image->programs.at += 4, "the place of the code for GPUs");
  BREAK(AT(SinterGpuProgram, image->programs)->at = 8, "the memory of the code for GPUs");
  BREAK(AT(SinterGpuProgram, image->programs)->bytes = 0, "the memory of the code for GPUs");
  BREAK(AT(SinterGpuKernel, image->kernels)->name = 0, "a missing name of the code for GPUs");
  BREAK(AT(SinterGpuKernel, image->kernels)->program = 1, "a kernel of the code for GPUs");
  BREAK(AT(SinterGpuKernel, image->kernels)->shared = 1 << 21, "a kernel of the code for GPUs");
  BREAK(m->gpu_plans.at += 4, "the place of the plans for GPUs");
  BREAK(AT(SinterBuf, gpu_plan->bufs)->kind = SINTER_BUF_DERIVED, "the kind of the buffers of a plan");
#define OF_STEPS " of the steps of a plan for GPUs"
  BREAK(step->flags = 4, "the flags" OF_STEPS);
  BREAK(step->block = 0, "a block" OF_STEPS);
  BREAK(step->block = 1025, "a block" OF_STEPS);
  BREAK(step->grid.at += 4, "a formula" OF_STEPS);
  BREAK(step->kernel = 1, "a kernel" OF_STEPS);
  BREAK(AT(SinterView, step->views)->buf = 2, "a buffer" OF_STEPS);
  BREAK(AT(SinterSym, step->dims)->at += 4, "a formula" OF_STEPS);
  BREAK(arg->kind = 4, "an argument" OF_STEPS);
  BREAK(arg->index = 2, "an argument" OF_STEPS);
  BREAK(arg[1].index = 1, "an argument" OF_STEPS);
  BREAK(arg[3].index = 1, "an argument" OF_STEPS);
  BREAK((arg[2].kind = SINTER_GPU_ARG_TENSOR, arg[3].kind = SINTER_GPU_ARG_FAILED),
        "the order of the arguments" OF_STEPS);
  BREAK(map->view = 2, "a buffer" OF_STEPS);
  BREAK(AT(SinterView, step->views)->buf = UINT32_MAX, "a buffer" OF_STEPS);
  BREAK(map->dtype = 99, "an element type" OF_STEPS);
  BREAK(map->rank = 0, "a rank" OF_STEPS);
  BREAK(map->rank = 6, "a rank" OF_STEPS);
  BREAK(map->swizzle = 16, "a swizzle" OF_STEPS);
  BREAK(map->box[1] = 0, "a box" OF_STEPS);
  BREAK(map->box[0] = 257, "a box" OF_STEPS);
  BREAK(map->dim[1].at += 4, "a formula" OF_STEPS);
  BREAK(map->stride[0] = ((SinterSym){4, 1}), "a formula" OF_STEPS);
  const SinterEntry *predict = SINTER_LIST(SinterEntry, a.model, a.model->entries) + FAKE_PREDICT;
#define VARIANT (AT(SinterVariant, predict->variants) + SINTER_LEVELS)
  BREAK(VARIANT->level++, "an index of the variants");
  BREAK(VARIANT->plan++, "an index of the variants");
  free(copy);
  sinter_artefact_close(&a);
}

static void write_with_tail(void) { /* file, its checksum made to agree */
  SinterTail tail;
  memcpy(&tail, file + file_bytes - sizeof tail, sizeof tail);
  tail.crc64 = sinter_crc64(file, file_bytes - sizeof tail.crc64, 0);
  memcpy(file + file_bytes - sizeof tail, &tail, sizeof tail);
  write_file(file, file_bytes);
}

static void explains(void **state) {
  (void)state;
  char *text;
  assert_true(sinter_artefact_explain(path, &text, why));
  assert_string_equal(text, "entry predict: no kernel was fused\n");
  free(text);
  assert_false(sinter_artefact_explain("/nowhere/a.so", &text, why));
  assert_string_equal(why, "cannot open /nowhere/a.so: there is no such file or folder");
  unsigned char *kept = malloc(file_bytes), *name = NULL;
  memcpy(kept, file, file_bytes);
  for (unsigned char *at = file; !name && at + 15 < file + file_bytes; at++)
    if (!memcmp(at, SINTER_EXPLAIN_SECTION, 15)) name = at;
  assert_non_null(name);
  *name = ',';
  write_with_tail();
  assert_false(sinter_artefact_explain(path, &text, why));
  char want[256];
  snprintf(want, sizeof want,
           "%s holds no explanation, for it was compiled with --no-explain: explain the model's file instead", path);
  assert_string_equal(why, want);
  memcpy(file, kept, file_bytes);
  memset(file + offsetof(Elf64_Ehdr, e_shoff), 0xff, 8);
  write_with_tail();
  assert_false(sinter_artefact_explain(path, &text, why));
  snprintf(want, sizeof want, "the sections of %s cannot be read", path);
  assert_string_equal(why, want);
  uint64_t seed = 5, table;
  memcpy(&table, kept + offsetof(Elf64_Ehdr, e_shoff), 8);
  for (int i = 0; i < 400; i++) { /* headers of file and sections, damaged though the checksum agrees */
    memcpy(file, kept, file_bytes);
    size_t at = i % 2 ? next_random(&seed) % sizeof(Elf64_Ehdr)
                      : table + next_random(&seed) % (file_bytes - sizeof(SinterTail) - table);
    file[at] ^= (unsigned char)(1u << next_random(&seed) % 8);
    write_with_tail();
    if (sinter_artefact_explain(path, &text, why)) free(text);
    assert_true(strlen(why) > 10);
  }
  memcpy(file, kept, file_bytes);
  free(kept);
  write_file(file, file_bytes);
}

static void no_memory(void **state) { /* opening a file that is good */
  (void)state;
  SinterArtefact a;
  int n = 0;
  for (;; n++) {
    malloc_calls = 0, malloc_fails_at = n + 1;
    bool good = sinter_artefact_open(&a, path, why);
    malloc_fails_at = 0;
    if (good) break;
    if (strncmp(why, path, strlen(path)) || !strstr(why, "no memory")) fail_msg("%s", why);
  }
  sinter_artefact_close(&a);
  assert_int_equal(n, 2); /* a buffer to check it, its name for the loader */
}

static void sym_texts(void **state) {
  (void)state;
  SinterArtefact a;
  assert_true(sinter_artefact_open(&a, path, why));
  const SinterModel *m = a.model;
  const SinterEntry *e = SINTER_LIST(SinterEntry, m, m->entries);
  char text[128];
  assert_string_equal(sinter_sym_text(m, SINTER_LIST(SinterCheck, m, e[FAKE_DOUBLE].checks)->cond, text, sizeof text),
                      "N % 2 == 0");
  const SinterPlan *p = SINTER_LIST(SinterPlan, m, m->plans);
  assert_string_equal(sinter_sym_text(m, p[FAKE_TRAIN].arena, text, sizeof text), "64 * ((N * 4 + 63) // 64)");
  int64_t v, dims[2] = {17, 0};
  assert_true(sinter_sym(m, p[FAKE_TRAIN].arena, dims, &v));
  assert_int_equal(v, 128);
  dims[0] = INT64_MAX;
  assert_false(sinter_sym(m, p[FAKE_TRAIN].arena, dims, &v));
  sinter_artefact_close(&a);
}

static void crc(void **state) {
  (void)state;
  assert_true(sinter_crc64("123456789", 9, 0) == 0x995dc9bbdf1939fau);
  assert_true(sinter_crc64("6789", 4, sinter_crc64("12345", 5, 0)) == 0x995dc9bbdf1939fau);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(opens),        cmocka_unit_test(refused),     cmocka_unit_test(mutated),
      cmocka_unit_test(descriptions), cmocka_unit_test(gpu_records), cmocka_unit_test(explains),
      cmocka_unit_test(no_memory),    cmocka_unit_test(sym_texts),   cmocka_unit_test(crc)};
  return cmocka_run_group_tests(tests, make, clean);
}
