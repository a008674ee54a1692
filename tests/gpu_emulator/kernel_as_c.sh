#!/bin/sh
# kernel_as_c.sh IN OUT NAME [VARIANT SED ...]: kernel text as a C file whose messages name NAME; as a variant, with each
# of the replacements made. A replacement that changes nothing is an error.
set -eu
in=$1 out=$2 name=$3 variant=${4:-}
shift 3
[ $# = 0 ] || shift
cp "$in" "$out.tmp"
for edit in "$@"; do
  sed "$edit" "$out.tmp" >"$out.new"
  ! cmp -s "$out.tmp" "$out.new" || { echo "$variant: nothing in $name is changed by $edit" >&2; exit 1; }
  mv "$out.new" "$out.tmp"
done
{
  [ -z "$variant" ] || echo "#define KERNEL_VARIANT $variant"
  echo "#line 1 \"$name\""
  cat "$out.tmp"
} >"$out"
rm "$out.tmp"
