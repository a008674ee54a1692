#include "rt.h"
#include "sinter.h"
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

uint64_t sinter_crc64(const void *data, size_t n, uint64_t crc) {
  uint64_t table[8][256]; /* made anew each time: eight bytes a step, and no state */
  for (int i = 0; i < 256; i++) {
    uint64_t c = (uint64_t)i;
    for (int k = 0; k < 8; k++) c = c & 1 ? c >> 1 ^ 0xc96c5795d7870f42u : c >> 1;
    table[0][i] = c;
  }
  for (int t = 1; t < 8; t++)
    for (int i = 0; i < 256; i++) table[t][i] = table[t - 1][i] >> 8 ^ table[0][table[t - 1][i] & 255];
  const unsigned char *p = data;
  for (crc = ~crc; n >= 8; n -= 8, p += 8) {
    uint64_t v;
    memcpy(&v, p, 8);
    crc ^= v;
    uint64_t next = 0;
    for (int k = 0; k < 8; k++) next ^= table[7 - k][crc >> (8 * k) & 255];
    crc = next;
  }
  while (n--) crc = crc >> 8 ^ table[0][(crc ^ *p++) & 255];
  return ~crc;
}

static bool say(char *why, const char *path, const char *what) {
  snprintf(why, SINTER_WHY, "%s%s", path, what);
  return false;
}

static bool say_no_tail(int file, uint64_t bytes, const char *path, char *why) {
  unsigned char head[18]; /* with e_type of an ELF file at its end */
  bool read = bytes >= sizeof head && !sys_read_file(file, head, sizeof head, 0);
  bool library = read && !memcmp(head, "!<arch>\n", 8), object = read && !memcmp(head, "\177ELF", 4) && head[16] == 1;
  return say(why, path,
             library || object ? " is made to be linked into a program: to open it, compile the model with --emit so"
                               : " is not an artefact, or was stripped or damaged: its last bytes are missing");
}

static bool check_tail(int file, uint64_t bytes, SinterTail *tail, const char *path, char *why) {
  if (bytes < sizeof *tail || sys_read_file(file, tail, sizeof *tail, bytes - sizeof *tail) ||
      memcmp(tail->magic, "SINTER\r\n", 8) != 0)
    return say_no_tail(file, bytes, path, why);
  if (tail->abi != SINTER_ABI_VERSION || tail->size != sizeof *tail) {
    snprintf(why, SINTER_WHY,
             "%s was made by another version of sinter (interface %u, this one has %d): compile the model again", path,
             tail->abi, SINTER_ABI_VERSION);
    return false;
  }
  if (tail->length != bytes - sizeof *tail)
    return say(why, path, " is damaged: its length is not the one it was written with");
  enum { STEP = 1 << 20 };
  unsigned char *buffer = malloc(STEP);
  if (!buffer) return say(why, path, " cannot be read: no memory");
  uint64_t crc = 0;
  bool read = true;
  for (uint64_t at = 0; at < tail->length && read; at += STEP) {
    size_t n = tail->length - at < STEP ? (size_t)(tail->length - at) : STEP;
    read = !sys_read_file(file, buffer, n, at);
    crc = read ? sinter_crc64(buffer, n, crc) : 0;
  }
  free(buffer);
  if (!read) return say(why, path, " cannot be read");
  crc = sinter_crc64(tail, offsetof(SinterTail, crc64), crc);
  return crc == tail->crc64 || say(why, path, " is damaged: its checksum does not agree");
}

/* Opens the file and checks its tail; the caller closes the file. */
static bool open_checked(const char *path, int *file, uint64_t *bytes, SinterTail *tail, char *why) {
  int e = sys_open_file(path, file, bytes);
  if (e) {
    snprintf(why, SINTER_WHY, "cannot open %s: %s", path, rt_error(e));
    return false;
  }
  if (check_tail(*file, *bytes, tail, path, why)) return true;
  sys_close_file(*file);
  return false;
}

bool sinter_artefact_verify(const char *path, uint64_t *bytes, uint32_t *machine, char *why) {
  int file;
  uint64_t n;
  SinterTail tail;
  if (!open_checked(path, &file, &n, &tail, why)) return false;
  sys_close_file(file);
  if (bytes) *bytes = n;
  if (machine) *machine = tail.machine;
  return true;
}

bool sinter_artefact_is_program(const char *path) {
  int file;
  uint64_t bytes;
  SinterTail tail = {0};
  if (sys_open_file(path, &file, &bytes)) return false;
  bool read = bytes >= sizeof tail && !sys_read_file(file, &tail, sizeof tail, bytes - sizeof tail);
  sys_close_file(file);
  return read && !memcmp(tail.magic, "SINTER\r\n", 8) && tail.size == sizeof tail && tail.program;
}

static bool check_model(const SinterArtefact *a, uint64_t bytes, const char *path, char *why) {
  char inner[SINTER_WHY];
  if (sinter_model_check(a->model, bytes, inner)) return true;
  snprintf(why, SINTER_WHY, "%s is damaged: %.900s", path, inner);
  return false;
}

bool sinter_artefact_read(SinterArtefact *a, const char *path, char *why) {
  int file;
  SinterTail tail;
  SinterModel head;
  *a = (SinterArtefact){0};
  if (!open_checked(path, &file, &a->bytes, &tail, why)) return false;
  a->machine = tail.machine, a->program = tail.program;
  bool there = tail.model < tail.length && sizeof head <= tail.length - tail.model &&
               !sys_read_file(file, &head, sizeof head, tail.model) && head.bytes >= sizeof head &&
               head.bytes <= tail.length - tail.model;
  a->model = a->copy = there ? malloc(head.bytes) : NULL;
  bool read = a->copy && !sys_read_file(file, a->copy, head.bytes, tail.model);
  sys_close_file(file);
  if (!read)
    say(why, path,
        there && !a->copy ? " cannot be read: no memory"
                          : " is damaged: its description is not where its last bytes say");
  if (read && check_model(a, head.bytes, path, why)) return true;
  sinter_artefact_close(a);
  return false;
}

bool sinter_artefact_open(SinterArtefact *a, const char *path, char *why) {
  int file;
  SinterTail tail;
  *a = (SinterArtefact){0};
  if (!open_checked(path, &file, &a->bytes, &tail, why)) return false;
  sys_close_file(file);
  a->machine = tail.machine;
  if (tail.program)
    return say(why, path, " is a program, not a library: run it; its --help says how, and `sinter info` what it holds");
  if (a->machine != sinter_machine()) {
    snprintf(why, SINTER_WHY, "%s is for %s and cannot run on this machine: compile the model with --target %s", path,
             sinter_machine_text(a->machine), sinter_machine_text(sinter_machine()));
    return false;
  }
  char *full = malloc(strlen(path) + 3);
  if (!full) return say(why, path, " cannot be loaded: no memory");
  sprintf(full, "%s%s", strchr(path, '/') ? "" : "./",
          path); /* a bare name would be searched in the system's folders */
  a->handle = dlopen(full, RTLD_NOW | RTLD_LOCAL);
  free(full);
  if (!a->handle) {
    snprintf(why, SINTER_WHY, "%s cannot be loaded: %s", path, dlerror());
    return false;
  }
  SinterQuery *query;
  *(void **)(void *)&query = dlsym(a->handle, "sinter_query_v1");
  a->api = query ? query() : NULL;
  bool good = a->api && a->api->size >= sizeof(SinterApi) && a->api->abi == SINTER_ABI_VERSION && a->api->model;
  if (!good) say(why, path, " is not an artefact of this version: it has no sinter_query_v1 that fits");
  if (good) a->model = a->api->model;
  if (good && check_model(a, a->bytes, path, why)) return true;
  sinter_artefact_close(a);
  return false;
}

void sinter_artefact_close(SinterArtefact *a) {
  if (a->handle) dlclose(a->handle);
  free(a->copy);
  *a = (SinterArtefact){0};
}

uint32_t sinter_machine(void) {
#if defined __x86_64__
  return SINTER_MACHINE_X86_64;
#elif defined __aarch64__
  return SINTER_MACHINE_AARCH64;
#else
  return 0;
#endif
}
