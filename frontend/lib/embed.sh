#!/bin/sh
# embed.sh OUT.c FILE.sir ...: writes a C file with these texts behind lib_source() and lib_sources() of tracer.h.
set -eu
out=$1
shift
{
  echo '/* Made by frontend/lib/embed.sh from the .sir files beside it. */'
  echo '#include "tracer.h"'
  echo '#include <string.h>'
  for f in "$@"; do
    printf 'static const char text_%s[] = {' "$(basename "$f" .sir)"
    od -An -v -tu1 "$f" | sed -e 's/  */ /g' -e 's/^ //' -e 's/ *$//' -e 's/ /,/g' -e 's/$/,/'
    echo '0};'
  done
  echo 'const char *const *lib_sources(void) {'
  echo '  static const char *const names[] = {'
  for f in "$@"; do basename "$f" .sir; done | LC_ALL=C sort | sed -e '/^core$/d' -e 's/.*/    "&",/'
  echo '    NULL};'
  echo '  return names;'
  echo '}'
  echo 'const char *lib_source(const char *name, size_t *n) {'
  for f in "$@"; do
    s=$(basename "$f" .sir)
    printf '  if (!strcmp(name, "%s")) {\n    if (n)\n      *n = sizeof text_%s - 1;\n    return text_%s;\n  }\n' "$s" "$s" "$s"
  done
  echo '  return NULL;'
  echo '}'
} >"$out.tmp"
mv "$out.tmp" "$out"
