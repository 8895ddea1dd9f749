# The SDK of a Yocto image (bitbake -c populate_sdk): source its environment-setup-* script first. CMake
# takes CC, CXX, CFLAGS and CXXFLAGS from there by itself.
foreach(name CC CXX OECORE_TARGET_ARCH OECORE_TARGET_SYSROOT OECORE_NATIVE_SYSROOT)
  if("$ENV{${name}}" STREQUAL "")
    message(FATAL_ERROR "nibble: ${name} is not set: source the Yocto SDK's environment-setup-* script, "
      "then configure again")
  endif()
endforeach()
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR $ENV{OECORE_TARGET_ARCH})
set(CMAKE_SYSROOT $ENV{OECORE_TARGET_SYSROOT})
set(CMAKE_PROGRAM_PATH $ENV{OECORE_NATIVE_SYSROOT}/usr/bin)
# Yocto's compilers make position-independent programs unless told otherwise.
set(NIBBLE_PIC ON)
# flatc runs on the build machine; headers may come from there where the SDK has none.
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE BOTH)
