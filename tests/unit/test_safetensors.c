/* Weight files: what is saved is read back, names with or without a root, and files that are damaged in every way give
 * a sentence. Over the model of fake_model.h; linked as test_runtime is. */
#include "fake_model.h"
#include "rt.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

void *__wrap_sys_alloc(size_t bytes);
void __wrap_sys_free(void *p, size_t bytes);
void *__wrap_sys_alloc(size_t bytes) { /* from malloc, so that sanitizers see its bounds */
  size_t n = (bytes + 63) & ~(size_t)63;
  void *p = aligned_alloc(64, n ? n : 64);
  return memset(p, 0, n);
}
void __wrap_sys_free(void *p, size_t bytes) {
  (void)bytes;
  free(p);
}

static const SinterApi *const api = &sinter_rt_api;
static char path[64], path2[64];

static void write_file(const void *data, size_t n) {
  FILE *f = fopen(path, "wb");
  assert_non_null(f);
  assert_int_equal(fwrite(data, 1, n, f), n);
  assert_int_equal(fclose(f), 0);
}

static size_t read_file(const char *from, char *to, size_t room) {
  FILE *f = fopen(from, "rb");
  assert_non_null(f);
  size_t n = fread(to, 1, room, f);
  fclose(f);
  return n;
}

/* A file of this header and `bytes` bytes of data, the float 2 everywhere. */
static void write_header(const char *json, size_t bytes) {
  char file[4096];
  size_t n = strlen(json);
  for (int i = 0; i < 8; i++) file[i] = (char)(n >> (8 * i));
  memcpy(file + 8, json, n);
  for (size_t i = 0; i < bytes; i++) file[8 + n + i] = (char)(i % 4 == 3 ? 0x40 : 0);
  write_file(file, 8 + n + bytes);
}

#define MESSAGE 800
static int open_file(bool strict, char *message) {
  SinterWeights *w = NULL;
  int status = (strict ? api->open_strict : api->open)(&w, path, 1);
  assert_non_null(w);
  snprintf(message, MESSAGE, "%s", api->open_message(w));
  if (status) {
    float v[12];
    assert_int_equal(api->get(w, "net.fc.weight", v, sizeof v), status); /* a failed object does nothing */
    assert_true(*message);
  }
  api->close(w);
  return status;
}

static void says(const char *json, size_t bytes, const char *sentence) { /* %s stands for the path */
  char message[MESSAGE], want[MESSAGE];
  write_header(json, bytes);
  assert_int_equal(open_file(false, message), SINTER_ERROR_WEIGHTS);
  const char *rest = strstr(sentence, "@");
  snprintf(want, sizeof want, "%.*s%s%s", (int)(rest - sentence), sentence, path, rest + 1);
  assert_string_equal(message, want);
}

#define WEIGHT "\"net.fc.weight\":{\"dtype\":\"F32\",\"shape\":[3,4],\"data_offsets\":[0,48]}"
#define BIAS   "\"net.fc.bias\":{\"dtype\":\"F32\",\"shape\":[3],\"data_offsets\":[48,60]}"
#define COUNT  "\"net.count\":{\"dtype\":\"I64\",\"shape\":[],\"data_offsets\":[60,68]}"
#define MOMENT "\"opt.m\":{\"dtype\":\"F32\",\"shape\":[3,4],\"data_offsets\":[68,116]}"

static void round_trip(void **state) {
  (void)state;
  SinterWeights *w, *v;
  float weight[12], again[12];
  int64_t count = 77;
  assert_int_equal(api->open(&w, NULL, 123), SINTER_OK);
  for (int i = 0; i < 12; i++) weight[i] = (float)i / 3;
  assert_int_equal(api->set(w, "net.fc.weight", weight, 48), SINTER_OK);
  assert_int_equal(api->set(w, "net.count", &count, 8), SINTER_OK);
  assert_int_equal(api->save(w, path), SINTER_OK);
  assert_int_equal(api->open_strict(&v, path, 0), SINTER_OK);
  assert_string_equal(api->open_message(v), "");
  count = 0;
  assert_int_equal(api->get(v, "net.fc.weight", again, 48), SINTER_OK);
  assert_int_equal(api->get(v, "net.count", &count, 8), SINTER_OK);
  assert_memory_equal(weight, again, 48);
  assert_int_equal(count, 77);
  assert_int_equal(v->seed, 123);
  assert_int_equal(api->get(v, "net.scratch", again, 16), SINTER_OK);
  assert_true(again[0] == 7); /* not saved: set at open */
  assert_int_equal(api->save(v, path2), SINTER_OK);
  char a[2048], b[2048];
  size_t n = read_file(path, a, sizeof a);
  assert_int_equal(read_file(path2, b, sizeof b), n);
  assert_memory_equal(a, b, n); /* the same bytes */
  assert_int_equal((unsigned char)a[0] % 8, 0);
  assert_non_null(strstr(a + 8, "{\"__metadata__\":{\"format\":\"pt\",\"sinter.seed\":\"123\",\"sinter.calls.train\":"
                                "\"0\",\"sinter.calls.noise\":\"0\"},\"net.fc.weight\":"));
  api->close(v);
  api->close(w);
}

static void names(void **state) {
  (void)state;
  char m[MESSAGE], want[MESSAGE];
  write_header("{" WEIGHT "," BIAS "," COUNT "," MOMENT "}", 116);
  assert_int_equal(open_file(true, m), SINTER_OK);
  assert_string_equal(m, "");
  write_header("  {}", 0);
  assert_int_equal(open_file(true, m), SINTER_ERROR_WEIGHTS);
  /* as PyTorch names the state dict of the module alone; and of a module around it */
  write_header("{\"fc.weight\":{\"dtype\":\"F32\",\"shape\":[3,4],\"data_offsets\":[0,48]},\"fc.bias\":{\"dtype\":"
               "\"F32\",\"shape\":[3],\"data_offsets\":[48,60]}}",
               60);
  assert_int_equal(open_file(false, m), SINTER_OK);
  snprintf(want, sizeof want, "note: 2 states (\"net.count\", ...) are not in %s and begin with their start values",
           path);
  assert_string_equal(m, want);
  assert_int_equal(open_file(true, m), SINTER_ERROR_WEIGHTS);
  snprintf(want, sizeof want, "%s: state \"net.count\" is missing", path);
  assert_string_equal(m, want);
  write_header("{\"wrap.net.fc.weight\":{\"dtype\":\"F32\",\"shape\":[3,4],\"data_offsets\":[0,48]},\"wrap.net.fc."
               "bias\":{\"dtype\":\"F32\",\"shape\":[3],\"data_offsets\":[48,60]},"
               "\"wrap.net.count\":{\"dtype\":\"I64\",\"shape\":[],\"data_offsets\":[60,68]}}",
               68);
  assert_int_equal(open_file(false, m), SINTER_OK);
  snprintf(want, sizeof want, "note: state \"opt.m\" is not in %s and begins with its start value", path);
  assert_string_equal(m, want);
  write_header("{" WEIGHT "," BIAS "," COUNT "," MOMENT
               ",\"more\":{\"dtype\":\"F8_E4M3\",\"shape\":[2,0],\"data_offsets\":[116,116]}}",
               116);
  assert_int_equal(open_file(false, m), SINTER_OK);
  snprintf(want, sizeof want, "note: tensor \"more\" of %s is not of this model and is ignored", path);
  assert_string_equal(m, want);
  assert_int_equal(open_file(true, m), SINTER_ERROR_WEIGHTS);
  /* under two names at once */
  write_header("{\"a.net.fc.weight\":{\"dtype\":\"F32\",\"shape\":[3,4],\"data_offsets\":[0,48]},\"a.net.fc.bias\":{"
               "\"dtype\":\"F32\",\"shape\":[3],\"data_offsets\":[48,60]},"
               "\"b.net.fc.weight\":{\"dtype\":\"F32\",\"shape\":[3,4],\"data_offsets\":[60,108]},\"b.net.fc.bias\":{"
               "\"dtype\":\"F32\",\"shape\":[3],\"data_offsets\":[108,120]}}",
               120);
  assert_int_equal(open_file(false, m), SINTER_ERROR_WEIGHTS);
  snprintf(want, sizeof want, "%s holds the tensors of this model under more than one name", path);
  assert_string_equal(m, want);
  /* escapes and other order of keys, blanks */
  write_header("{ \"net.fc.w\\u0065ight\" : { \"shape\":[ 3 , 4 ],\"data_offsets\":[0,48], \"dtype\":\"F32\"}, " BIAS
               ",\"__metadata__\":{\"\\ud83d\\ude00\\n\":\"\xc3\xa9\"} }  ",
               60);
  assert_int_equal(open_file(false, m), SINTER_OK);
}

static void refused(void **state) {
  (void)state;
  char m[MESSAGE];
  says("{" WEIGHT "}", 48, "@: tensor \"net.fc.bias\" is missing (f32[3]); 1 of the 2 that fake needs are there");
  says("{\"net.fc.weight\":{\"dtype\":\"F64\",\"shape\":[3,2],\"data_offsets\":[0,48]}," BIAS "}", 60,
       "@: tensor \"net.fc.weight\" is F64[3, 2], but fake has F32[3, 4]");
  says("[]", 0, "@: the header is damaged at byte 8: '{' was expected");
  says(" {}", 0, "@: the header is damaged at byte 8: '{' was expected");
  says("{}x", 0, "@: the header is damaged at byte 10: nothing was expected after the last '}'");
  says("{" WEIGHT, 48, "@: the header is damaged at byte 76: '}' was expected");
  says("{" WEIGHT "," WEIGHT "}", 48,
       "@: the data of \"net.fc.weight\" begin at 0, where 48 was expected: there is an overlap");
  says("{\"a\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]},\"a\":{\"dtype\":\"U8\",\"shape\":[0],\"data_"
       "offsets\":[0,0]}}",
       0, "@: the name \"a\" stands there twice");
  says("{\"__metadata__\":{\"a\":\"1\",\"a\":\"2\"}}", 0, "@: the name \"a\" stands there twice");
  says("{\"__metadata__\":{},\"__metadata__\":{}}", 0,
       "@: the header is damaged at byte 42: __metadata__ stands there twice");
  says("{\"__metadata__\":{\"a\":1}}", 0, "@: the header is damaged at byte 29: a text in double quotes was expected");
  says("{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[4,5]}}", 5,
       "@: the data of \"a\" begin at 4, where 0 was expected: there is a hole");
  says("{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}", 5,
       "@: its tensors take 1 bytes, but 5 follow the header: the file is damaged or cut short");
  says("{\"a\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,1]}}", 1,
       "@: the header is damaged at byte 60: shape and data_offsets do not agree");
  says("{\"a\":{\"dtype\":\"F4\",\"shape\":[1],\"data_offsets\":[0,1]}}", 1,
       "@: the header is damaged at byte 60: shape and data_offsets do not agree");
  says("{\"a\":{\"dtype\":\"U8\",\"shape\":[4294967296,4294967296],\"data_offsets\":[0,1]}}", 1,
       "@: the header is damaged at byte 57: the shape is too large");
  says("{\"a\":{\"dtype\":\"U8\",\"shape\":[9223372036854775808],\"data_offsets\":[0,1]}}", 1,
       "@: the header is damaged at byte 54: the number is too large");
  says("{\"a\":{\"dtype\":\"U8\",\"shape\":[-1],\"data_offsets\":[0,1]}}", 1,
       "@: the header is damaged at byte 36: a whole number was expected");
  says("{\"a\":{\"dtype\":\"U8\",\"shape\":[01],\"data_offsets\":[0,1]}}", 1,
       "@: the header is damaged at byte 38: a whole number was expected");
  says("{\"a\":{\"dtype\":\"U8\",\"shape\":[1.0],\"data_offsets\":[0,1]}}", 1,
       "@: the header is damaged at byte 37: ']' was expected");
  says("{\"a\":{\"dtype\":\"X8\",\"shape\":[1],\"data_offsets\":[0,1]}}", 1,
       "@: the header is damaged at byte 26: an unknown dtype");
  says("{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[1,0]}}", 1,
       "@: the header is damaged at byte 60: shape and data_offsets do not agree");
  says("{\"a\":{\"dtype\":\"U8\",\"shape\":[1]}}", 1,
       "@: the header is damaged at byte 39: dtype, shape or data_offsets is missing");
  says("{\"a\":{\"dtype\":\"U8\",\"dtype\":\"U8\"}}", 1,
       "@: the header is damaged at byte 35: dtype, shape and data_offsets were expected, each once");
  says("{\"a\xff\":{}}", 1, "@: the header is damaged at byte 12: it is not UTF-8");
  says("{\"\xc0\x80\":{}}", 1, "@: the header is damaged at byte 11: it is not UTF-8");
  says("{\"\\ud800\":{}}", 1, "@: the header is damaged at byte 16: half a surrogate pair");
  says("{\"\\u0000\":{}}", 1, "@: the header is damaged at byte 16: a zero byte in a text");
  says("{\"a\n\":{}}", 1, "@: the header is damaged at byte 12: a control character in a text");
  says("{\"a\":{\"b\":{\"c\":{\"d\":{}}}}}", 0,
       "@: the header is damaged at byte 18: dtype, shape and data_offsets were expected, each once");
  /* lengths */
  write_file("12345", 5);
  assert_int_equal(open_file(false, m), SINTER_ERROR_WEIGHTS);
  write_file("\xff\xff\xff\xff\xff\xff\xff\xff{}", 10);
  assert_int_equal(open_file(false, m), SINTER_ERROR_WEIGHTS);
  write_file("\x03\0\0\0\0\0\0\0{}", 10);
  assert_int_equal(open_file(false, m), SINTER_ERROR_WEIGHTS);
  write_file("\0\0\0\0\0\0\0\0{}", 10);
  assert_int_equal(open_file(false, m), SINTER_ERROR_WEIGHTS);
  /* what is no file */
  SinterWeights *w;
  assert_int_equal(api->open(&w, "/nowhere/w.safetensors", 1), SINTER_ERROR_WEIGHTS);
  assert_string_equal(api->open_message(w), "cannot open /nowhere/w.safetensors: there is no such file or folder");
  api->close(w);
  assert_int_equal(api->open(&w, "/tmp", 1), SINTER_ERROR_WEIGHTS);
  assert_string_equal(api->open_message(w), "cannot open /tmp: it is a folder");
  api->close(w);
}

static uint64_t next_random(uint64_t *s) { return *s = *s * 6364136223846793005u + 1442695040888963407u, *s >> 33; }

/* Every byte of the header changed, the file cut at every place: a sentence, or an open that is right. */
static void mutated(void **state) {
  (void)state;
  char good[2048], bad[2048], m[MESSAGE];
  write_header("{\"__metadata__\":{\"format\":\"pt\",\"sinter.seed\":\"5\"}," WEIGHT "," BIAS "," COUNT "," MOMENT "}",
               116);
  size_t n = read_file(path, good, sizeof good), header = n - 116;
  int refused_count = 0;
  uint64_t seed = 1;
  for (size_t i = 0; i < header; i++)
    for (int k = 0; k < 3; k++) {
      memcpy(bad, good, n);
      bad[i] = (char)(k == 0   ? (uint64_t)(unsigned char)bad[i] ^ 1u << next_random(&seed) % 8
                      : k == 1 ? next_random(&seed)
                               : (uint64_t)"{}[]\",:09\\"[next_random(&seed) % 10]);
      write_file(bad, n);
      refused_count += open_file(false, m) != SINTER_OK;
    }
  assert_true(refused_count > 600);
  for (size_t i = 0; i < n; i++) {
    write_file(good, i);
    assert_int_equal(open_file(false, m), SINTER_ERROR_WEIGHTS);
  }
  for (int i = 0; i < 400; i++) { /* pieces moved, doubled, left out */
    size_t a = 8 + next_random(&seed) % (header - 8), b = 8 + next_random(&seed) % (header - 8),
           len = next_random(&seed) % 20;
    memcpy(bad, good, n);
    if (a + len < header && b + len < header) memmove(bad + a, bad + b, len);
    write_file(bad, n);
    open_file(false, m);
  }
}

/* Any bytes are numbers, and what is read is saved again as it is. */
static void other_data(void **state) {
  (void)state;
  char bytes[2048], again[2048];
  uint64_t seed = 4;
  SinterWeights *w;
  assert_int_equal(api->open(&w, NULL, 1), SINTER_OK);
  assert_int_equal(api->save(w, path), SINTER_OK);
  api->close(w);
  size_t n = read_file(path, bytes, sizeof bytes);
  for (int i = 0; i < 100; i++) {
    for (size_t k = n - 116; k < n; k++) bytes[k] = (char)next_random(&seed);
    write_file(bytes, n);
    assert_int_equal(api->open_strict(&w, path, 0), SINTER_OK);
    assert_int_equal(api->save(w, path2), SINTER_OK);
    assert_int_equal(read_file(path2, again, sizeof again), n);
    assert_memory_equal(bytes, again, n);
    api->close(w);
  }
}

static void writing_fails(void **state) {
  (void)state;
  SinterWeights *w;
  char before[2048], after[2048];
  assert_int_equal(api->open(&w, NULL, 1), SINTER_OK);
  assert_int_equal(api->save(w, path), SINTER_OK);
  size_t n = read_file(path, before, sizeof before);
  assert_int_equal(api->save(w, "/nowhere/w.safetensors"), SINTER_ERROR_IO);
  assert_string_equal(api->open_message(w), "cannot write /nowhere/w.safetensors: there is no such file or folder");
  assert_int_equal(api->save(w, "/tmp"), SINTER_ERROR_IO);
  assert_string_equal(api->open_message(w), "cannot write /tmp: it is a folder");
  assert_int_equal(api->save(w, "/tmp/"), SINTER_ERROR_IO);
  assert_int_equal(api->save(w, ""), SINTER_ERROR_IO);
  assert_int_equal(api->save(w, NULL), SINTER_ERROR_ARGUMENT);
  struct rlimit old, small;
  getrlimit(RLIMIT_FSIZE, &old);
  small = old;
  small.rlim_cur = 100;
  setrlimit(RLIMIT_FSIZE, &small);
  int status = api->save(w, path);
  setrlimit(RLIMIT_FSIZE, &old);
  assert_int_equal(status, SINTER_ERROR_IO);
  assert_non_null(strstr(api->open_message(w), "the file would be larger than this process may write"));
  assert_int_equal(read_file(path, after, sizeof after), n);
  assert_memory_equal(before, after, n); /* what stood there is as it was */
  char command[128], count[16] = "";
  snprintf(command, sizeof command, "ls %s.tmp* 2>/dev/null | wc -l", path);
  FILE *f = popen(command, "r");
  assert_non_null(fgets(count, sizeof count, f));
  pclose(f);
  assert_int_equal(atoi(count), 0);
  api->close(w);
}

int main(void) {
  fake_build();
  snprintf(path, sizeof path, "/tmp/test_safetensors_%d", (int)getpid());
  snprintf(path2, sizeof path2, "/tmp/test_safetensors_%d_2", (int)getpid());
  const struct CMUnitTest tests[] = {cmocka_unit_test(round_trip), cmocka_unit_test(names),
                                     cmocka_unit_test(refused),    cmocka_unit_test(mutated),
                                     cmocka_unit_test(other_data), cmocka_unit_test(writing_fails)};
  int failed = cmocka_run_group_tests(tests, NULL, NULL);
  unlink(path);
  unlink(path2);
  return failed;
}
