#!/usr/bin/env bash
# Prints the text and read-only data of the objects on standard input, linked together: what several of
# them hold, an image has once. The SPIR-V words are left out.
#   linked_size.sh SIZE_PROGRAM LINKER <OBJECT_LIST
set -euo pipefail
size=$1 ld=$2
linked=$(mktemp)
trap 'rm -f "$linked"' EXIT
grep -v spirv/words | xargs "$ld" -static -e 0 --unresolved-symbols=ignore-all -o "$linked"
"$size" "$linked" | awk 'NR == 2 { print $1 }'
