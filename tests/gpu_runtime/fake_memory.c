#include "fake_parts.h"
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { PAGE = 4096, ALIGN = 256 };

typedef struct Block {
  struct Block *next;
  char *pages; /* nothing but `bytes` before the last of them is the caller's */
  size_t mapped, bytes;
  char *at;
} Block;
static Block *blocks;

static size_t up(size_t n, size_t to) { return (n + to - 1) / to * to; }

CUdeviceptr fake_memory_new(size_t bytes) {
  size_t room = up(bytes, ALIGN), mapped = up(room, PAGE) + PAGE;
  char *pages = mmap(NULL, mapped, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  Block *b = malloc(sizeof *b);
  if (pages == MAP_FAILED || !b) {
    free(b);
    return 0;
  }
  *b = (Block){blocks, pages, mapped, bytes, pages + mapped - PAGE - room};
  blocks = b;
  fake_memory_open(true);
  memset(b->at, 0xff, room);
  fake_memory_open(false);
  return (uintptr_t)b->at;
}

bool fake_memory_free(CUdeviceptr at) {
  for (Block **p = &blocks; *p; p = &(*p)->next) {
    Block *b = *p;
    if ((uintptr_t)b->at != at) continue;
    *p = b->next;
    munmap(b->pages, b->mapped);
    free(b);
    return true;
  }
  return false;
}

bool fake_memory_holds(CUdeviceptr at, uint64_t bytes) {
  for (const Block *b = blocks; b; b = b->next) {
    uint64_t from = at - (uintptr_t)b->at;
    if (from < b->bytes && bytes <= b->bytes - from) return true;
  }
  return false;
}

void fake_memory_open(bool open) {
  for (const Block *b = blocks; b; b = b->next)
    if (mprotect(b->pages, b->mapped - PAGE, open ? PROT_READ | PROT_WRITE : PROT_NONE)) abort();
}
