#include "data_object.h"
#include "diag.h"
#include <elf.h>
#include <string.h>

DataObject data_object(Arena *a, const char *arch, const char *symbol, size_t bytes) {
  enum { PAGE = 4096 };
  enum { NONE, DATA, SYMBOLS, NAMES, SECTION_NAMES, SECTIONS };
  static const char names[] = "\0.sinter.data\0.symtab\0.strtab\0.shstrtab";
  static const Elf64_Word name[SECTIONS] = {0, 1, 14, 22, 30};
  Elf64_Half machine = !strcmp(arch, "x86_64") ? EM_X86_64 : !strcmp(arch, "aarch64") ? EM_AARCH64 : EM_NONE;
  if (machine == EM_NONE) BUG("no ELF machine for %s", arch);
  const size_t symbols_at = (sizeof(Elf64_Ehdr) + bytes + 7) & ~(size_t)7,
               names_at = symbols_at + 2 * sizeof(Elf64_Sym);
  const size_t symbol_bytes = strlen(symbol) + 2, section_names_at = names_at + symbol_bytes;
  const size_t headers_at = (section_names_at + sizeof names + 7) & ~(size_t)7;
  DataObject o = {.size = headers_at + SECTIONS * sizeof(Elf64_Shdr)};
  o.file = arena_alloc(a, o.size);
  o.data = o.file + sizeof(Elf64_Ehdr);
  Elf64_Ehdr head = {.e_type = ET_REL,
                     .e_machine = machine,
                     .e_version = EV_CURRENT,
                     .e_shoff = headers_at,
                     .e_ehsize = sizeof head,
                     .e_shentsize = sizeof(Elf64_Shdr),
                     .e_shnum = SECTIONS,
                     .e_shstrndx = SECTION_NAMES};
  memcpy(head.e_ident, ELFMAG, SELFMAG);
  head.e_ident[EI_CLASS] = ELFCLASS64;
  head.e_ident[EI_DATA] = ELFDATA2LSB;
  head.e_ident[EI_VERSION] = EV_CURRENT;
  memcpy(o.file, &head, sizeof head);
  Elf64_Sym sym[2] = {{0},
                      {.st_name = 1,
                       .st_info = ELF64_ST_INFO(STB_GLOBAL, STT_OBJECT),
                       .st_other = STV_HIDDEN,
                       .st_shndx = DATA,
                       .st_size = bytes}};
  memcpy(o.file + symbols_at, sym, sizeof sym);
  memcpy(o.file + names_at + 1, symbol, symbol_bytes - 1);
  memcpy(o.file + section_names_at, names, sizeof names);
  Elf64_Shdr section[SECTIONS] = {
      [DATA] = {.sh_type = SHT_PROGBITS,
                .sh_flags = SHF_ALLOC | SHF_WRITE,
                .sh_offset = sizeof head,
                .sh_size = bytes,
                .sh_addralign = PAGE},
      [SYMBOLS] = {.sh_type = SHT_SYMTAB,
                   .sh_offset = symbols_at,
                   .sh_size = sizeof sym,
                   .sh_link = NAMES,
                   .sh_info = 1, /* the first that is not local */
                   .sh_addralign = 8,
                   .sh_entsize = sizeof *sym},
      [NAMES] = {.sh_type = SHT_STRTAB, .sh_offset = names_at, .sh_size = symbol_bytes, .sh_addralign = 1},
      [SECTION_NAMES] = {
          .sh_type = SHT_STRTAB, .sh_offset = section_names_at, .sh_size = sizeof names, .sh_addralign = 1}};
  for (int i = 0; i < SECTIONS; i++) section[i].sh_name = name[i];
  memcpy(o.file + headers_at, section, sizeof section);
  return o;
}
