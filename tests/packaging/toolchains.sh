#!/usr/bin/env bash
# Every toolchain file begins with what it needs, and those that need something from the environment say
# what is missing. Android's and Yocto's are tried with stand-ins.
#   toolchains.sh SOURCE_DIRECTORY
set -euo pipefail
cd "$1"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
bad=0
say() { echo "$1"; bad=1; }
for file in cmake/toolchains/*.cmake; do
  [[ $(head -c 2 "$file") == "# " ]] || say "$file does not begin with what it needs"
done

# A project without languages, so that no compiler is looked for.
cat >"$work/CMakeLists.txt" <<'CMAKE'
cmake_minimum_required(VERSION 3.25)
project(probe NONE)
include(${TOOLCHAIN})
message(STATUS "pic ${NIBBLE_PIC} abi ${ANDROID_ABI} platform ${ANDROID_PLATFORM} ndk ${STAND_IN} \
processor ${CMAKE_SYSTEM_PROCESSOR} sysroot ${CMAKE_SYSROOT}")
CMAKE
probe() {  # TOOLCHAIN VARIABLE=VALUE...
  local toolchain=$PWD/cmake/toolchains/$1.cmake
  shift
  env -u ANDROID_NDK_HOME -u CC -u CXX "$@" cmake -S "$work" -B "$work/build" \
    -DTOOLCHAIN="$toolchain" 2>&1 | tr -s ' \n' ' ' || true
}
expect() {  # OUTPUT PART
  [[ $1 == *"$2"* ]] || say "no '$2' in: $1"
}
expect "$(probe aarch64-linux-android)" "ANDROID_NDK_HOME is not set"
expect "$(probe aarch64-linux-android ANDROID_NDK_HOME="$work/none")" "$work/none, which is no Android NDK"
mkdir -p "$work/ndk/build/cmake"
echo 'set(STAND_IN yes)' >"$work/ndk/build/cmake/android.toolchain.cmake"
expect "$(probe aarch64-linux-android ANDROID_NDK_HOME="$work/ndk")" \
  "pic ON abi arm64-v8a platform android-29 ndk yes"

sdk=(CC=cc CXX=c++ OECORE_TARGET_ARCH=aarch64 OECORE_TARGET_SYSROOT=/sdk/target
  OECORE_NATIVE_SYSROOT=/sdk/native)
expect "$(probe yocto-sdk)" "CC is not set: source the Yocto SDK's environment-setup-* script"
expect "$(probe yocto-sdk "${sdk[@]:0:3}")" "OECORE_TARGET_SYSROOT is not set"
expect "$(probe yocto-sdk "${sdk[@]}")" "pic ON"
expect "$(probe yocto-sdk "${sdk[@]}")" "processor aarch64 sysroot /sdk/target"
exit $bad
