# Static programs for 64-bit Arm without glibc: Debian's packages g++-aarch64-linux-gnu and
# musl-dev:arm64 (unpacked anywhere: -DNIBBLE_MUSL_ROOT=FOLDER), or a musl compiler called
# aarch64-linux-musl-g++. Builds the library and C programs; host tools and tests need glibc.
set(NIBBLE_MUSL_CPU aarch64)
include(${CMAKE_CURRENT_LIST_DIR}/../musl.cmake)
