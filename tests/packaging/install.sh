#!/usr/bin/env bash
# Installs a build into a prefix of its own and builds examples/minimal.c against it: by the CMake package,
# by pkg-config and the C compiler alone.
#   install.sh SOURCE_DIRECTORY BUILD_DIRECTORY C_COMPILER
set -euo pipefail
source=$1 build=$2 cc=$3
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
prefix=$work/prefix
files=("$source/examples/minimal.c" "$source/examples/minimal_main.c")
run() {
  if ! "$@" >"$work/log" 2>&1; then
    cat "$work/log"
    echo "failed: $*"
    exit 1
  fi
}

run cmake --install "$build" --component dev --prefix "$prefix"
if grep -rlF -e "$source" -e "$build" "$prefix" --include='*.cmake' --include='*.pc' --include='*.h*'; then
  echo "what is installed names folders of the build"
  exit 1
fi

run cmake -S "$source/tests/packaging/find_package" -B "$work/cmake" -G Ninja \
  -DCMAKE_C_COMPILER="$cc" -DCMAKE_PREFIX_PATH="$prefix" "-DSOURCES=$(IFS=';' && echo "${files[*]}")"
run cmake --build "$work/cmake"

if command -v pkg-config >/dev/null; then
  pc=$(find "$prefix" -name nibble.pc -printf '%h')
  flags() { PKG_CONFIG_PATH=$pc pkg-config "$@" nibble; }
  read -ra compile < <(flags --cflags)
  read -ra link < <(flags --libs)
  hosted=$(find "$prefix" -name libnibble_vulkan_hosted.a)
  run "$cc" "${compile[@]}" "${files[@]}" "$hosted" "${link[@]}" -ldl -o "$work/by_pkg_config"
  [[ $(flags --modversion) == $(sed -nE 's/^project\(nibble VERSION ([0-9.]+).*/\1/p' \
    "$source/CMakeLists.txt") ]]
fi
for program in "$work/cmake/image" "$work/by_pkg_config"; do
  [[ -x $program ]] || continue
  said=$("$program" /nonexistent.nbl 2>&1) && exit 1
  [[ $said == "minimal: cannot read the model" ]] || { echo "$program: $said"; exit 1; }
done
