/* Tensors lent and borrowed by DLPack: what others see, what is refused, and a call whose input and output are such. */
#include "fake_artefact.h"
#include "fake_model.h"
#include <setjmp.h>
#include <stdarg.h>
#include <unistd.h>

#include <cmocka.h>

static char why[SINTER_WHY];

static void count_release(void *owner) { ++*(int *)owner; }

static void lent(void **state) {
  (void)state;
  static const struct {
    uint32_t dtype;
    uint8_t code, bits;
  } types[] = {{SINTER_F32, 2, 32}, {SINTER_F64, 2, 64}, {SINTER_F16, 2, 16}, {SINTER_BF16, 4, 16}, {SINTER_I8, 0, 8},
               {SINTER_I16, 0, 16}, {SINTER_I32, 0, 32}, {SINTER_I64, 0, 64}, {SINTER_U8, 1, 8},    {SINTER_U16, 1, 16},
               {SINTER_U32, 1, 32}, {SINTER_U64, 1, 64}, {SINTER_BOOL, 6, 8}};
  _Alignas(64) char data[24 * 8];
  int released = 0;
  for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
    NpyArray a = {.dtype = types[i].dtype, .rank = 3, .dim = {2, 3, 4}, .count = 24, .data = data}, back;
    SinterDlManaged *m = sinter_dlpack_lend(&a, count_release, &released, why);
    assert_non_null(m);
    const SinterDlTensor *t = &m->tensor;
    assert_true(t->data == data && t->byte_offset == 0 && t->device_type == 1 && t->device_id == 0 && t->ndim == 3);
    assert_true(t->code == types[i].code && t->bits == types[i].bits && t->lanes == 1);
    assert_memory_equal(t->shape, ((int64_t[]){2, 3, 4}), 24);
    assert_memory_equal(t->strides, ((int64_t[]){12, 4, 1}), 24);
    assert_true(sinter_dlpack_borrow(&back, m, why));
    assert_true(back.dtype == a.dtype && back.rank == 3 && back.count == 24 && back.data == data);
    assert_memory_equal(back.dim, a.dim, sizeof(int64_t) * 3);
    m->deleter(m);
    assert_int_equal(released, (int)i + 1);
  }
  NpyArray scalar = {.dtype = SINTER_F32, .count = 1, .data = data}, back;
  SinterDlManaged *m = sinter_dlpack_lend(&scalar, NULL, NULL, why);
  assert_true(m && m->tensor.ndim == 0 && sinter_dlpack_borrow(&back, m, why) && back.count == 1);
  m->deleter(m);
  assert_null(sinter_dlpack_lend(&(NpyArray){.rank = 1, .dim = {1}, .count = 1, .data = data}, NULL, NULL, why));
  assert_string_equal(why, "this array has no element type or more than 8 axes");
  assert_null(sinter_dlpack_lend(&(NpyArray){.dtype = SINTER_F32, .rank = 9}, NULL, NULL, why));
}

static void refused(void **state) {
  (void)state;
  _Alignas(64) float data[64];
  int64_t shape[9] = {2, 3, 1, 1, 1, 1, 1, 1, 1}, strides[9] = {3, 1, 1, 1, 1, 1, 1, 1, 1};
  const SinterDlManaged good = {.tensor = {data, 1, 0, 2, 2, 32, 1, shape, strides, 0}};
  SinterDlManaged m = good;
  NpyArray a;
#define SAYS(sentence)                                                                                                 \
  do {                                                                                                                 \
    assert_false(sinter_dlpack_borrow(&a, &m, why));                                                                   \
    assert_string_equal(why, sentence);                                                                                \
    m = good;                                                                                                          \
  } while (0)
  assert_true(sinter_dlpack_borrow(&a, &m, why));
  m.tensor.device_type = 2;
  SAYS("the tensor is on device type 2: one in the memory of the CPU (1) is expected");
  m.tensor.code = 5;
  SAYS("the tensor's element type (code 5, 32 bits, 1 lanes) is not known: floats, integers and bool of up to 64 bits, "
       "one to an element, are");
  m.tensor.lanes = 4;
  SAYS("the tensor's element type (code 2, 32 bits, 4 lanes) is not known: floats, integers and bool of up to 64 bits, "
       "one to an element, are");
  m.tensor.ndim = 9;
  SAYS("the tensor has 9 axes: 0 to 8 are expected");
  m.tensor.ndim = -1;
  SAYS("the tensor has -1 axes: 0 to 8 are expected");
  m.tensor.shape = NULL;
  SAYS("the tensor has no shape");
  m.tensor.data = NULL;
  SAYS("the tensor has no data");
  m.tensor.byte_offset = 2;
  SAYS("the tensor's data are not aligned to 4 bytes");
  strides[0] = 1, strides[1] = 2; /* transposed */
  SAYS("the tensor's elements are 2 apart along axis 1, where 1 was expected: make it contiguous first");
  strides[0] = 4, strides[1] = 1; /* rows of a wider one */
  SAYS("the tensor's elements are 4 apart along axis 0, where 3 was expected: make it contiguous first");
  strides[0] = 3;
  shape[1] = -3;
  SAYS("the tensor's shape is negative or too large");
  shape[0] = shape[1] = INT64_MAX / 2;
  SAYS("the tensor's shape is negative or too large");
  shape[0] = 1, shape[1] = 3, strides[0] = 77; /* an axis of one has no stride */
  assert_true(sinter_dlpack_borrow(&a, &m, why));
  shape[0] = 0, m.tensor.data = NULL; /* no elements: no data */
  assert_true(sinter_dlpack_borrow(&a, &m, why) && a.count == 0 && !a.data);
  shape[0] = 2, m = good, m.tensor.strides = NULL, m.tensor.byte_offset = 8;
  assert_true(sinter_dlpack_borrow(&a, &m, why) && a.data == data + 2);
}

/* What another library lent is the input of a call, and its output is lent on. */
static void called(void **state) {
  (void)state;
  char path[64];
  snprintf(path, sizeof path, "/tmp/test_dlpack_%d.so", (int)getpid());
  assert_true(fake_artefact(path));
  SinterArtefact art;
  SinterWeights *w;
  SinterContext *c;
  bool open = sinter_artefact_open(&art, path, why);
  unlink(path);
  assert_true(open);
  assert_int_equal(art.api->open(&w, NULL, 2), SINTER_OK);
  assert_int_equal(art.api->create(&c, w, (int64_t[]){8, 8}, NULL, 0), SINTER_OK);
  _Alignas(64) float x[8] = {1, 2, 3, 4, 0, 0, 0, 1};
  int released = 0;
  SinterDlManaged theirs = {.tensor = {x, 1, 0, 2, 2, 32, 1, (int64_t[]){2, 4}, NULL, 0}};
  NpyArray in, out = {.dtype = SINTER_F32, .rank = 2, .dim = {2, 3}, .count = 6};
  out.data = malloc(24);
  assert_true(sinter_dlpack_borrow(&in, &theirs, why));
  assert_int_equal(art.api->call(c, FAKE_PREDICT, &(FakePredictIn){in.data, in.dim[0]}, &(FakePredictOut){out.data}),
                   SINTER_OK);
  SinterDlManaged *lent_on = sinter_dlpack_lend(&out, count_release, &released, why);
  assert_non_null(lent_on);
  const float want[6] = {41, 81, 121, 6, 10, 14};
  assert_memory_equal(lent_on->tensor.data, want, sizeof want);
  lent_on->deleter(lent_on);
  assert_int_equal(released, 1);
  free(out.data);
  art.api->free(c);
  art.api->close(w);
  sinter_artefact_close(&art);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(lent), cmocka_unit_test(refused), cmocka_unit_test(called)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
