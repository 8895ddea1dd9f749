#!/usr/bin/env bash
# Fails where the runtime does not compile without warnings for a 32-bit machine: sizes of files and plans
# have 64 bits, size_t has not. Exit status 77 (skipped) without Debian's compiler for 32-bit Arm.
#   narrow.sh SOURCE_DIRECTORY GENERATED_DIRECTORY HEADERS_DIRECTORY
set -euo pipefail
cd "$1"
cxx=arm-linux-gnueabihf-g++
if ! command -v "$cxx" >/dev/null; then
  echo "$cxx is not installed"
  exit 77
fi
find rt -name '*.cpp' -print0 |
  xargs -0 -n 1 -P "$(nproc)" "$cxx" -std=c++20 -fsyntax-only -fno-exceptions -fno-rtti -Wall -Wextra \
    -Wconversion -Wshadow -Wundef -Wdouble-promotion -Werror -I. -isystem "$2" -isystem "$3"
