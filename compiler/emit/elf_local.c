#include "elf_local.h"
#include <elf.h>
#include <string.h>

typedef struct Elf {
  Arena *arena;
  uint8_t *p;
  size_t n;
  Elf64_Shdr *section; /* in p */
  uint32_t nsections;
  Elf64_Sym *symbol;        /* in p */
  uint32_t nsymbols, table; /* table: the section that holds them */
  const char *names;
  const char *why;
} Elf;

static bool bad(Elf *e, const char *why) {
  e->why = why;
  return false;
}

/* The bytes of a section as records of `each` bytes: structs of the format, words of 4, or text; NULL: not inside the
 * file, or not aligned for them. */
static void *records(const Elf *e, const Elf64_Shdr *s, size_t each, uint32_t *count) {
  size_t align = each > 4 ? 8 : each;
  if (s->sh_offset > e->n || s->sh_size > e->n - s->sh_offset || s->sh_size / each > UINT32_MAX) return NULL;
  if (s->sh_size % each || s->sh_offset % align) return NULL;
  *count = (uint32_t)(s->sh_size / each);
  return e->p + s->sh_offset;
}

static bool read_sections(Elf *e) {
  const Elf64_Ehdr *h = (const void *)e->p;
  if (e->n < sizeof *h || memcmp(h->e_ident, ELFMAG, SELFMAG) || h->e_ident[EI_CLASS] != ELFCLASS64 ||
      h->e_ident[EI_DATA] != ELFDATA2LSB || h->e_type != ET_REL)
    return bad(e, "it is no relocatable ELF object of 64 bits");
  if (!h->e_shnum || h->e_shentsize != sizeof *e->section || h->e_shoff % 8 || h->e_shoff > e->n ||
      h->e_shnum > (e->n - h->e_shoff) / sizeof *e->section)
    return bad(e, "its table of sections is damaged"); /* e_shnum 0: 65,280 sections or more */
  e->section = (Elf64_Shdr *)(void *)(e->p + h->e_shoff);
  e->nsections = h->e_shnum;
  return true;
}

static bool read_symbols(Elf *e) {
  uint32_t n;
  for (uint32_t i = 1; i < e->nsections; i++) {
    if (e->section[i].sh_type != SHT_SYMTAB) continue;
    if (e->table) return bad(e, "it has two symbol tables");
    e->table = i;
  }
  if (!e->table) return bad(e, "it has no symbol table");
  const Elf64_Shdr *s = &e->section[e->table];
  e->symbol = records(e, s, sizeof *e->symbol, &e->nsymbols);
  if (!e->symbol || !e->nsymbols) return bad(e, "its symbol table is damaged");
  const char *names = s->sh_link < e->nsections ? records(e, &e->section[s->sh_link], 1, &n) : NULL;
  if (!names || !n || names[n - 1]) return bad(e, "the names of its symbols are damaged");
  for (uint32_t i = 0; i < e->nsymbols; i++)
    if (e->symbol[i].st_name >= n) return bad(e, "the names of its symbols are damaged");
  e->names = names;
  return true;
}

static bool kept(const Elf *e, const Elf64_Sym *s, const char *const *keep, int nkeep) {
  for (int k = 0; k < nkeep; k++)
    if (!strcmp(e->names + s->st_name, keep[k])) return true;
  return false;
}

/* Decides who is local and sorts the table: local symbols come first in it, else in the order they had. Fills `at` with
 * the new index of each. */
static bool sort_symbols(Elf *e, const char *const *keep, int nkeep, uint32_t *at) {
  Elf64_Sym *old = ARENA_ARRAY(e->arena, Elf64_Sym, e->nsymbols);
  uint32_t nlocals = 0, left = (uint32_t)nkeep;
  for (uint32_t i = 0; i < e->nsymbols; i++) {
    Elf64_Sym *s = &old[i];
    *s = e->symbol[i];
    if (i && ELF64_ST_BIND(s->st_info) != STB_LOCAL && s->st_shndx != SHN_UNDEF) {
      if (kept(e, s, keep, nkeep))
        left--;
      else if (s->st_shndx == SHN_COMMON)
        return bad(e, "it has a common symbol");
      else {
        s->st_info = ELF64_ST_INFO(STB_LOCAL, ELF64_ST_TYPE(s->st_info));
        s->st_other = (uint8_t)(s->st_other & ~3); /* STV_DEFAULT */
      }
    }
    nlocals += ELF64_ST_BIND(s->st_info) == STB_LOCAL;
  }
  if (left) return bad(e, "a function of the header is missing in it");
  uint32_t local = 0, global = nlocals;
  for (uint32_t i = 0; i < e->nsymbols; i++) {
    at[i] = ELF64_ST_BIND(old[i].st_info) == STB_LOCAL ? local++ : global++;
    e->symbol[at[i]] = old[i];
  }
  e->section[e->table].sh_info = nlocals;
  return true;
}

static bool renumber_relocations(Elf *e, const Elf64_Shdr *s, const uint32_t *at) {
  size_t each = s->sh_type == SHT_RELA ? sizeof(Elf64_Rela) : sizeof(Elf64_Rel);
  uint32_t n;
  uint8_t *p = records(e, s, each, &n);
  if (!p) return bad(e, "its relocations are damaged");
  for (; n--; p += each) {
    Elf64_Rel *r = (Elf64_Rel *)(void *)p; /* Elf64_Rela begins like it */
    uint64_t k = ELF64_R_SYM(r->r_info);
    if (k >= e->nsymbols) return bad(e, "its relocations are damaged");
    r->r_info = ELF64_R_INFO((uint64_t)at[k], ELF64_R_TYPE(r->r_info));
  }
  return true;
}

static bool renumber_group(Elf *e, Elf64_Shdr *s, const uint32_t *at) {
  uint32_t n, *words = records(e, s, sizeof *words, &n);
  if (!words || !n || s->sh_info >= e->nsymbols) return bad(e, "a group of its sections is damaged");
  words[0] &= ~(uint32_t)GRP_COMDAT;
  s->sh_info = at[s->sh_info];
  return true;
}

static bool renumber_indices(Elf *e, const Elf64_Shdr *s, const uint32_t *at) { /* of sections, one a symbol */
  uint32_t n, *index = records(e, s, sizeof *index, &n);
  if (!index || n != e->nsymbols) return bad(e, "its symbol table is damaged");
  uint32_t *old = memcpy(ARENA_ARRAY(e->arena, uint32_t, n), index, n * sizeof *index);
  for (uint32_t i = 0; i < n; i++) index[at[i]] = old[i];
  return true;
}

static bool renumber(Elf *e, const uint32_t *at) {
  for (uint32_t i = 1; i < e->nsections; i++) {
    Elf64_Shdr *s = &e->section[i];
    if (s->sh_link != e->table) continue;
    bool ok = s->sh_type == SHT_REL || s->sh_type == SHT_RELA ? renumber_relocations(e, s, at)
              : s->sh_type == SHT_GROUP                       ? renumber_group(e, s, at)
              : s->sh_type == SHT_SYMTAB_SHNDX
                  ? renumber_indices(e, s, at)
                  : bad(e, "one of its sections refers to symbols in a way that is not known");
    if (!ok) return false;
  }
  return true;
}

bool elf_make_local(Arena *a, uint8_t *object, size_t n, const char *const *keep, int nkeep, const char **why) {
  Elf e = {.arena = a, .p = object, .n = n};
  if (read_sections(&e) && read_symbols(&e)) {
    uint32_t *at = ARENA_ARRAY(a, uint32_t, e.nsymbols);
    if (sort_symbols(&e, keep, nkeep, at) && renumber(&e, at)) return true;
  }
  *why = e.why;
  return false;
}
