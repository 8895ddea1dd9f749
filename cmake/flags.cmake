# Two sets of flags: what every target gets, and what the runtime alone gets.

add_library(nibble_warnings INTERFACE)
target_compile_options(nibble_warnings INTERFACE
  -Wall -Wextra -Wshadow -Wundef -Wvla -Werror
  $<$<COMPILE_LANGUAGE:CXX>:-Wnon-virtual-dtor>
  # gcc 12 reports false positives inside std::string (gcc bug 105651) and std::variant at -O3.
  $<$<CXX_COMPILER_ID:GNU>:-Wno-restrict -Wno-maybe-uninitialized>)

if(NIBBLE_SANITIZE)
  target_compile_options(nibble_warnings INTERFACE
    -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer)
  target_link_options(nibble_warnings INTERFACE -fsanitize=address,undefined)
endif()

# Fuzzers steer by what code they reach, so all of it counts its edges. Vectors check their indices.
if(NIBBLE_FUZZ)
  if(NOT NIBBLE_SANITIZE OR NOT CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
    message(FATAL_ERROR "NIBBLE_FUZZ needs NIBBLE_SANITIZE and clang, not ${CMAKE_CXX_COMPILER_ID}")
  endif()
  target_compile_options(nibble_warnings INTERFACE -fsanitize=fuzzer-no-link)
  target_compile_definitions(nibble_warnings INTERFACE _GLIBCXX_ASSERTIONS)
endif()

# Firmware rules (docs/design.md): no exceptions, RTTI, unwind tables, guards or C++ runtime.
add_library(nibble_runtime_flags INTERFACE)
target_compile_options(nibble_runtime_flags INTERFACE
  -Wconversion -Wdouble-promotion
  -fno-exceptions -fno-rtti -fno-threadsafe-statics
  -fno-unwind-tables -fno-asynchronous-unwind-tables
  -ffunction-sections -fdata-sections
  $<$<CXX_COMPILER_ID:GNU>:-fno-gnu-unique -Wmaybe-uninitialized>
  $<$<CXX_COMPILER_ID:Clang>:-Wglobal-constructors>
  $<$<NOT:$<BOOL:${NIBBLE_PIC}>>:-fno-pic>)
include(CheckCXXCompilerFlag)
check_cxx_compiler_flag(-Oz NIBBLE_HAS_OZ)
# Atomic instructions in place: those that gcc calls out for on 64-bit Arm come with a constructor.
if(CMAKE_SYSTEM_PROCESSOR MATCHES "^(aarch64|arm64)$")
  check_cxx_compiler_flag(-mno-outline-atomics NIBBLE_HAS_NO_OUTLINE_ATOMICS)
  if(NIBBLE_HAS_NO_OUTLINE_ATOMICS)
    target_compile_options(nibble_runtime_flags INTERFACE -mno-outline-atomics)
  endif()
endif()
if(NOT NIBBLE_SANITIZE)
  target_compile_options(nibble_runtime_flags INTERFACE
    -Wframe-larger-than=1024 $<$<CONFIG:Release>:$<IF:$<BOOL:${NIBBLE_HAS_OZ}>,-Oz,-Os>>)
endif()
if(NIBBLE_ASSERTS)
  target_compile_definitions(nibble_runtime_flags INTERFACE NBL_ASSERTS=1)
endif()
