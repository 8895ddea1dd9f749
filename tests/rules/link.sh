#!/usr/bin/env bash
# Fails where a C program does not link the library with the C driver alone, statically and without
# any C++ library, or does not run. A script and not a target, so that it fails as a test.
#   link.sh SOURCE_DIRECTORY LIBRARY C_COMPILER
set -euo pipefail
source=$1 library=$2 cc=$3
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"$cc" -std=c11 -Wall -Wextra -Werror -Wno-cast-function-type -I"$source" -static \
  -o "$work/link_test" "$source/tests/rules/link_test.c" "$library"
"$work/link_test"
