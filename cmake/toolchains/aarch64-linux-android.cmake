# 64-bit Arm Android with the NDK (r23 or later) that ANDROID_NDK_HOME, in the environment, points to.
# Android 10 is the first to promise Vulkan 1.1; another -DANDROID_PLATFORM=android-N is respected.
set(ndk_toolchain $ENV{ANDROID_NDK_HOME}/build/cmake/android.toolchain.cmake)
if("$ENV{ANDROID_NDK_HOME}" STREQUAL "")
  message(FATAL_ERROR "nibble: ANDROID_NDK_HOME is not set: let it point to the folder of an Android NDK")
elseif(NOT EXISTS ${ndk_toolchain})
  message(FATAL_ERROR "nibble: ANDROID_NDK_HOME is $ENV{ANDROID_NDK_HOME}, which is no Android NDK: "
    "${ndk_toolchain} is not there")
endif()
set(ANDROID_ABI arm64-v8a)
if(NOT ANDROID_PLATFORM)
  set(ANDROID_PLATFORM android-29)
endif()
# Android's programs and libraries are position-independent, all of them.
set(NIBBLE_PIC ON)
include(${ndk_toolchain})
# flatc runs on the build machine, and the FlatBuffers headers are its.
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE BOTH)
