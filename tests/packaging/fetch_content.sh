#!/usr/bin/env bash
# Builds examples/minimal.c in a project of its own that takes the source tree by FetchContent: with the
# library alone, by the C compiler.
#   fetch_content.sh SOURCE_DIRECTORY C_COMPILER
set -euo pipefail
source=$1 cc=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
run() {
  if ! "$@" >"$work/log" 2>&1; then
    cat "$work/log"
    echo "failed: $*"
    exit 1
  fi
}
run cmake -S "$source/tests/packaging/fetch_content" -B "$work/build" -G Ninja \
  -DCMAKE_C_COMPILER="$cc" -DNIBBLE_SOURCE="$source" \
  "-DSOURCES=$source/examples/minimal.c;$source/examples/minimal_main.c"
run cmake --build "$work/build"
said=$("$work/build/image" /nonexistent.nbl 2>&1) && exit 1
[[ $said == "minimal: cannot read the model" ]] || { echo "the program says: $said"; exit 1; }
