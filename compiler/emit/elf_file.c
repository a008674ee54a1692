#include "elf_file.h"
#include <string.h>

static bool bad(const char **why, const char *what) {
  *why = what;
  return false;
}

void *elf_records(const ElfFile *e, const Elf64_Shdr *s, size_t each, uint32_t *count) {
  size_t align = each > 4 ? 8 : each;
  if (s->sh_offset > e->n || s->sh_size > e->n - s->sh_offset || s->sh_size / each > UINT32_MAX) return NULL;
  if (s->sh_size % each || s->sh_offset % align) return NULL;
  *count = (uint32_t)(s->sh_size / each);
  return e->p + s->sh_offset;
}

const char *elf_text(const ElfFile *e, const Elf64_Shdr *s, uint32_t *n) {
  const char *text = elf_records(e, s, 1, n);
  return text && *n && !text[*n - 1] ? text : NULL;
}

bool elf_sections(ElfFile *e, uint8_t *p, size_t n, int type, const char *other, const char **why) {
  const Elf64_Ehdr *h = (const void *)p;
  *e = (ElfFile){.p = p, .n = n};
  if (n < sizeof *h || memcmp(h->e_ident, ELFMAG, SELFMAG) || h->e_ident[EI_CLASS] != ELFCLASS64 ||
      h->e_ident[EI_DATA] != ELFDATA2LSB || h->e_type != type)
    return bad(why, other);
  if (!h->e_shnum || h->e_shentsize != sizeof *e->section || h->e_shoff % 8 || h->e_shoff > n ||
      h->e_shnum > (n - h->e_shoff) / sizeof *e->section)
    return bad(why, "its table of sections is damaged"); /* e_shnum 0: 65,280 sections or more */
  e->section = (Elf64_Shdr *)(void *)(p + h->e_shoff);
  e->nsections = h->e_shnum;
  return true;
}

bool elf_symbols(ElfFile *e, const char **why) {
  uint32_t n;
  for (uint32_t i = 1; i < e->nsections; i++) {
    if (e->section[i].sh_type != SHT_SYMTAB) continue;
    if (e->symbol_table) return bad(why, "it has two symbol tables");
    e->symbol_table = i;
  }
  if (!e->symbol_table) return bad(why, "it has no symbol table");
  const Elf64_Shdr *s = &e->section[e->symbol_table];
  e->symbol = elf_records(e, s, sizeof *e->symbol, &e->nsymbols);
  if (!e->symbol || !e->nsymbols) return bad(why, "its symbol table is damaged");
  e->symbol_names = s->sh_link < e->nsections ? elf_text(e, &e->section[s->sh_link], &n) : NULL;
  if (!e->symbol_names) return bad(why, "the names of its symbols are damaged");
  for (uint32_t i = 0; i < e->nsymbols; i++)
    if (e->symbol[i].st_name >= n) return bad(why, "the names of its symbols are damaged");
  return true;
}
