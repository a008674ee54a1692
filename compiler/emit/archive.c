#include "archive.h"
#include "diag.h"
#include "str.h"
#include <string.h>

enum { HEADER = 60, SHORT_NAME = 15 };
static const uint64_t LARGEST = 9999999999; /* ten digits */
static const char MAGIC[] = "!<arch>\n";

static void put_header(Buf *b, const char *name, const char *mode, uint64_t size) {
  buf_printf(b, "%-16s%-12d%-6d%-6d%-8s%-10llu`\n", name, 0, 0, 0, mode, (unsigned long long)size);
}

static void put_zeros(Buf *b, size_t n) {
  while (n--) buf_write(b, "", 1);
}

static void put_big_endian(Buf *b, uint32_t v) {
  buf_write(b, (const uint8_t[]){(uint8_t)(v >> 24), (uint8_t)(v >> 16), (uint8_t)(v >> 8), (uint8_t)v}, 4);
}

uint8_t *archive_write(Arena *a, const char *member, const uint8_t *object, size_t n, const char *const *symbols,
                       int nsymbols, size_t *bytes) {
  if (n > LARGEST) BUG("an object of %zu bytes", n);
  bool is_long = strlen(member) > SHORT_NAME;
  char *text = arena_printf(a, "%s/%s", member, is_long ? "\n" : ""); /* how the format ends a name */
  size_t index = 4 + 4 * (size_t)nsymbols, long_names = is_long ? HEADER + strlen(text) + strlen(text) % 2 : 0;
  for (int i = 0; i < nsymbols; i++) index += strlen(symbols[i]) + 1;
  /* Filled up with zeros, so that the object itself lies at a multiple of 8, which its readers like. */
  size_t before = strlen(MAGIC) + HEADER + long_names + HEADER;
  size_t fill = (8 - (before + index) % 8) % 8;
  Buf b = {0};
  buf_put(&b, MAGIC);
  put_header(&b, "/", "0", index + fill);
  put_big_endian(&b, (uint32_t)nsymbols);
  for (int i = 0; i < nsymbols; i++) put_big_endian(&b, (uint32_t)(before + index + fill - HEADER));
  for (int i = 0; i < nsymbols; i++) buf_write(&b, symbols[i], strlen(symbols[i]) + 1);
  put_zeros(&b, fill);
  if (is_long) {
    put_header(&b, "//", "", long_names - HEADER);
    buf_put(&b, text);
    if (strlen(text) % 2) buf_put(&b, "\n");
  }
  put_header(&b, is_long ? "/0" : text, "644", n);
  uint8_t *all = arena_alloc(a, b.n + n + n % 2);
  memcpy(all, b.at, b.n);
  memcpy(all + b.n, object, n);
  if (n % 2) all[b.n + n] = '\n';
  *bytes = b.n + n + n % 2;
  buf_free(&b);
  return all;
}
