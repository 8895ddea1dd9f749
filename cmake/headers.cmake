# The headers of others that the runtime is compiled with: FlatBuffers' and Vulkan's, which are the same
# for every target. They are linked into a folder of their own, since the one that they are found in
# (/usr/include) holds the build machine's C library as well, which no other target must see.

find_path(FLATBUFFERS_INCLUDE_DIR flatbuffers/flatbuffers.h REQUIRED)
find_path(NIBBLE_VULKAN_HEADERS vulkan/vulkan_core.h REQUIRED)

set(NIBBLE_HEADERS ${CMAKE_CURRENT_BINARY_DIR}/headers)
file(MAKE_DIRECTORY ${NIBBLE_HEADERS})
foreach(folder ${FLATBUFFERS_INCLUDE_DIR}/flatbuffers ${NIBBLE_VULKAN_HEADERS}/vulkan
        ${NIBBLE_VULKAN_HEADERS}/vk_video)
  get_filename_component(name ${folder} NAME)
  if(EXISTS ${folder})  # vk_video is younger than the Vulkan that is needed
    file(CREATE_LINK ${folder} ${NIBBLE_HEADERS}/${name} COPY_ON_ERROR SYMBOLIC)
  endif()
endforeach()
