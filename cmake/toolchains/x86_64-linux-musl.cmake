# Static programs for 64-bit x86 without glibc: Debian's packages g++ and musl-dev, or a musl compiler
# called x86_64-linux-musl-g++. Builds the library and C programs; host tools and tests need glibc.
set(NIBBLE_MUSL_CPU x86_64)
include(${CMAKE_CURRENT_LIST_DIR}/../musl.cmake)
