#include "elf_local.h"
#include "elf_file.h"
#include <string.h>

typedef struct Elf {
  ElfFile file;
  Arena *arena;
  const char *why;
} Elf;

static bool bad(Elf *e, const char *why) {
  e->why = why;
  return false;
}

static bool kept(const Elf *e, const Elf64_Sym *s, const char *const *keep, int nkeep) {
  for (int k = 0; k < nkeep; k++)
    if (!strcmp(e->file.symbol_names + s->st_name, keep[k])) return true;
  return false;
}

/* Decides who is local and sorts the table: local symbols come first in it, else in the order they had. Fills `at` with
 * the new index of each. */
static bool sort_symbols(Elf *e, const char *const *keep, int nkeep, uint32_t *at) {
  Elf64_Sym *old = ARENA_ARRAY(e->arena, Elf64_Sym, e->file.nsymbols);
  uint32_t nlocals = 0, left = (uint32_t)nkeep;
  for (uint32_t i = 0; i < e->file.nsymbols; i++) {
    Elf64_Sym *s = &old[i];
    *s = e->file.symbol[i];
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
  for (uint32_t i = 0; i < e->file.nsymbols; i++) {
    at[i] = ELF64_ST_BIND(old[i].st_info) == STB_LOCAL ? local++ : global++;
    e->file.symbol[at[i]] = old[i];
  }
  e->file.section[e->file.symbol_table].sh_info = nlocals;
  return true;
}

static bool renumber_relocations(Elf *e, const Elf64_Shdr *s, const uint32_t *at) {
  size_t each = s->sh_type == SHT_RELA ? sizeof(Elf64_Rela) : sizeof(Elf64_Rel);
  uint32_t n;
  uint8_t *p = elf_records(&e->file, s, each, &n);
  if (!p) return bad(e, "its relocations are damaged");
  for (; n--; p += each) {
    Elf64_Rel *r = (Elf64_Rel *)(void *)p; /* Elf64_Rela begins like it */
    uint64_t k = ELF64_R_SYM(r->r_info);
    if (k >= e->file.nsymbols) return bad(e, "its relocations are damaged");
    r->r_info = ELF64_R_INFO((uint64_t)at[k], ELF64_R_TYPE(r->r_info));
  }
  return true;
}

static bool renumber_group(Elf *e, Elf64_Shdr *s, const uint32_t *at) {
  uint32_t n, *words = elf_records(&e->file, s, sizeof *words, &n);
  if (!words || !n || s->sh_info >= e->file.nsymbols) return bad(e, "a group of its sections is damaged");
  words[0] &= ~(uint32_t)GRP_COMDAT;
  s->sh_info = at[s->sh_info];
  return true;
}

static bool renumber_indices(Elf *e, const Elf64_Shdr *s, const uint32_t *at) { /* of sections, one a symbol */
  uint32_t n, *index = elf_records(&e->file, s, sizeof *index, &n);
  if (!index || n != e->file.nsymbols) return bad(e, "its symbol table is damaged");
  uint32_t *old = memcpy(ARENA_ARRAY(e->arena, uint32_t, n), index, n * sizeof *index);
  for (uint32_t i = 0; i < n; i++) index[at[i]] = old[i];
  return true;
}

static bool renumber(Elf *e, const uint32_t *at) {
  for (uint32_t i = 1; i < e->file.nsections; i++) {
    Elf64_Shdr *s = &e->file.section[i];
    if (s->sh_link != e->file.symbol_table) continue;
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
  Elf e = {.arena = a};
  if (elf_sections(&e.file, object, n, ET_REL, "it is no relocatable ELF object of 64 bits", &e.why) &&
      elf_symbols(&e.file, &e.why)) {
    uint32_t *at = ARENA_ARRAY(a, uint32_t, e.file.nsymbols);
    if (sort_symbols(&e, keep, nkeep, at) && renumber(&e, at)) return true;
  }
  *why = e.why;
  return false;
}
