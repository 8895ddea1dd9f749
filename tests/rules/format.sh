#!/usr/bin/env bash
# Fails where clang-format would change a file, and names it; with `fix` it changes them. Exit status
# 77 (skipped) without clang-format.
#   format.sh SOURCE_DIRECTORY [fix]
set -euo pipefail
cd "$1"
if ! command -v clang-format >/dev/null; then
  echo "clang-format is not installed"
  exit 77
fi
mapfile -t files < <(find rt compiler tools boards tests bench examples spirv packaging \
  -path spirv/words -prune -o \
  \( -name '*.h' -o -name '*.hpp' -o -name '*.cpp' -o -name '*.c' \) -print 2>/dev/null | sort)
if [[ ${2:-} == fix ]]; then
  clang-format -i --style=file "${files[@]}"
  exit 0
fi
bad=$(clang-format --dry-run --style=file "${files[@]}" 2>&1 |
  sed -nE 's/^([^: ]+):[0-9]+:[0-9]+: warning:.*/\1/p' | sort -u)
if [[ -n $bad ]]; then
  echo "clang-format would change these; tests/rules/format.sh . fix does:"
  echo "$bad"
  exit 1
fi
