#!/usr/bin/env bash
# Prints the text and read-only data of every object of libnibble.a, and fails where one is above its
# budget, has none, or where the library is above the promised total, which is of the objects linked
# together.
#   size.sh OBJECT_LIST BUDGET SIZE_PROGRAM LINKER [update]
# OBJECT_LIST names the object files, one a line. With `update` the budget file is written anew:
# current figures and one sixteenth, rounded up to 64 bytes.
set -euo pipefail
objects=$1 budget=$2 size=$3 ld=$4 mode=${5:-check}
export LC_ALL=C
limit=$((128 * 1024))

# Name of an object in the budget: its path below the library's object folder.
figures=$(xargs "$size" <"$objects" | awk 'NR > 1 {
  name = $6
  sub(/^.*nibble\.dir\//, "", name)
  gsub(/__\//, "", name)
  sub(/^\.\//, "", name)
  sub(/\.(o|obj)$/, "", name)
  print name, $1, $2 + $3
}' | sort)

if [[ $mode == update ]]; then
  {
    sed -n '/^#/p' "$budget"
    awk '{ printf "%-32s %7d\n", $1, int(($2 + $2 / 16 + 63) / 64) * 64 }' <<<"$figures"
  } >"$budget.new"
  mv "$budget.new" "$budget"
  exit 0
fi

text=$(bash "$(dirname "$0")/linked_size.sh" "$size" "$ld" <"$objects")

awk -v limit="$limit" -v text="$text" '
  FNR == NR { if ($1 !~ /^#/ && NF == 2) budget[$1] = $2; next }
  {
    note = ""
    if (!($1 in budget)) note = "no budget: run size.sh with update"
    else if ($2 > budget[$1]) note = "above its budget"
    if ($3 > 0) note = "has writable data"
    printf "%-32s %7d of %7d %s\n", $1, $2, budget[$1], note
    if (note != "") bad = 1
    seen[$1] = 1
    if ($1 ~ /^spirv\/words\//) words += $2
    if ($1 !~ /_floor\.cpp$/) next
    # The linears of a model take float32 activations or int8 ones.
    if ($1 ~ /(gemv|gemm)_floor/) f32 += $2
    else if ($1 ~ /(quantize_rows|linear_dq8ca)_floor/) int8 += $2
    else if ($1 !~ /(softmax|chain)_floor/) floor += $2
  }
  END {
    for (name in budget) if (!(name in seen)) { print name " has a budget and is gone"; bad = 1 }
    printf "library without SPIR-V  %7d of %7d\n", text, limit
    floor += f32 > int8 ? f32 : int8
    printf "floor SPIR-V of a model %7d of %7d\n", floor, limit
    printf "all SPIR-V              %7d\n", words
    printf "[  FIGURE  ] library %d of %d bytes, floor SPIR-V of a model %d of %d, all SPIR-V %d\n", text,
      limit, floor, limit, words
    exit bad || text > limit || floor > limit
  }' "$budget" - <<<"$figures"
