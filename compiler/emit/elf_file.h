/* The tables of an ELF64 little-endian file that lies in memory, checked so that nothing outside of it is touched: of
 * objects (elf_local.h) and of NVIDIA's cubins (cubin.h). */
#ifndef SINTER_EMIT_ELF_FILE_H
#define SINTER_EMIT_ELF_FILE_H
#include <elf.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct ElfFile { /* all of it points into the file */
  uint8_t *p;            /* aligned to 8 */
  size_t n;
  Elf64_Shdr *section;
  uint32_t nsections;
  Elf64_Sym *symbol;
  uint32_t nsymbols, symbol_table; /* symbol_table: its section */
  const char *symbol_names;
} ElfFile;

/* Each gives false with a sentence part in *why ("its table of sections is damaged"). */
/* Fills all but the symbols; `other` is what is said of a file that is none of this type (e_type). */
bool elf_sections(ElfFile *, uint8_t *p, size_t n, int type, const char *other, const char **why);
bool elf_symbols(ElfFile *, const char **why); /* there must be one table of them */

/* The bytes of a section as records of `each` bytes: structs of the format, words of 4, or text; NULL: not inside the
 * file, or not aligned for them. */
void *elf_records(const ElfFile *, const Elf64_Shdr *, size_t each, uint32_t *count);
const char *elf_text(const ElfFile *, const Elf64_Shdr *, uint32_t *n); /* a section that ends with '\0'; NULL */
#endif
