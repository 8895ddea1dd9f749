#!/usr/bin/env bash
# Installs the Debian packages that building, testing and running nibble need, or those that are named,
# and only what is missing. Silent where nothing is. NIBBLE_SKIP_SETUP=1 skips it.
#   scripts/setup.sh [PACKAGE...]
set -euo pipefail

packages=(
  build-essential cmake ninja-build pkg-config git ca-certificates
  libvulkan-dev libvulkan1 vulkan-validationlayers mesa-vulkan-drivers glslc spirv-tools
  libflatbuffers-dev flatbuffers-compiler libgtest-dev libbenchmark-dev libcli11-dev libfmt-dev
  nlohmann-json3-dev libssl-dev libzip-dev
  clang libclang-rt-dev clang-format
)

(($# == 0)) || packages=("$@")
[[ ${NIBBLE_SKIP_SETUP:-} == 1 ]] && exit 0

if ! command -v apt-get >/dev/null || ! command -v dpkg-query >/dev/null; then
  echo "setup: this is not Debian; install the equivalents of these packages and set" \
    "NIBBLE_SKIP_SETUP=1: ${packages[*]}" >&2
  exit 1
fi

missing=()
for package in "${packages[@]}"; do
  status=$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null || true)
  [[ $status == installed ]] || missing+=("$package")
done
((${#missing[@]} == 0)) && exit 0

as_root=()
if ((EUID != 0)); then
  if ! command -v sudo >/dev/null; then
    echo "setup: run this as root, there is no sudo: apt-get install ${missing[*]}" >&2
    exit 1
  fi
  as_root=(sudo)
fi

echo "setup: installing ${missing[*]}"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
install() {
  "${as_root[@]}" apt-get update -qq &&
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
      apt-get install -y -qq --no-install-recommends "${missing[@]}"
}
if ! install >"$log" 2>&1; then
  tail -n 40 "$log" >&2
  echo "setup: apt-get could not install ${missing[*]}" >&2
  exit 1
fi
