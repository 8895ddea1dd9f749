# What the musl toolchains have in common: static programs for NIBBLE_MUSL_CPU. A musl compiler of that
# name is used where there is one; otherwise Debian's compiler for glibc, with the C library of the
# package musl-dev for that machine, at NIBBLE_MUSL_ROOT. C programs get musl's headers then. There is no
# C++ library for musl, so C++ is compiled with the headers that the compiler has: libnibble.a takes
# nothing from them that outlives compilation (cmake/checks/symbols.txt is all that it asks for). A C++
# program is linked with the compiler's own C++ library, which is for tests (examples/firmware).
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR ${NIBBLE_MUSL_CPU})
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_TRY_COMPILE_PLATFORM_VARIABLES NIBBLE_MUSL_ROOT)

find_program(NIBBLE_MUSL_CXX ${NIBBLE_MUSL_CPU}-linux-musl-g++)
if(NIBBLE_MUSL_CXX)
  set(CMAKE_C_COMPILER ${NIBBLE_MUSL_CPU}-linux-musl-gcc)
  set(CMAKE_CXX_COMPILER ${NIBBLE_MUSL_CXX})
  set(CMAKE_EXE_LINKER_FLAGS_INIT -static)
  return()
endif()

set(gcc ${NIBBLE_MUSL_CPU}-linux-gnu-gcc)
set(CMAKE_C_COMPILER ${gcc})
set(CMAKE_CXX_COMPILER ${NIBBLE_MUSL_CPU}-linux-gnu-g++)
# CMake tries C++ out with a static library: there is nothing to link a C++ program with.
set(CMAKE_TRY_COMPILE_TARGET_TYPE STATIC_LIBRARY)
set(lib ${NIBBLE_MUSL_ROOT}/usr/lib/${NIBBLE_MUSL_CPU}-linux-musl)
if(NOT EXISTS ${lib}/libc.a)
  message(FATAL_ERROR "nibble: there is no ${NIBBLE_MUSL_CPU}-linux-musl-g++ and no ${lib}/libc.a: "
    "install musl-dev, or unpack that of the target and give its folder as -DNIBBLE_MUSL_ROOT=FOLDER")
endif()
execute_process(COMMAND ${gcc} -print-file-name=include
  OUTPUT_VARIABLE gcc_include OUTPUT_STRIP_TRAILING_WHITESPACE COMMAND_ERROR_IS_FATAL ANY)
set(CMAKE_C_FLAGS_INIT "-nostdinc -isystem \
${NIBBLE_MUSL_ROOT}/usr/include/${NIBBLE_MUSL_CPU}-linux-musl -isystem ${gcc_include}")
set(CMAKE_EXE_LINKER_FLAGS_INIT "-static -nostdlib -L${lib} ${lib}/crt1.o ${lib}/crti.o")
set(CMAKE_C_STANDARD_LIBRARIES_INIT "-Wl,--start-group -lc -lgcc -Wl,--end-group ${lib}/crtn.o")
set(CMAKE_CXX_STANDARD_LIBRARIES_INIT
  "-Wl,--start-group -lc -lstdc++ -lgcc_eh -lgcc -Wl,--end-group ${lib}/crtn.o")
