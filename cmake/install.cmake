# What `cmake --install` puts where. Component dev is what a firmware project builds with: the library,
# its headers, a CMake package (find_package(nibble)) and nibble.pc; component tools are the programs.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

# Headers keep the paths that they are included by, below a folder of their own.
set(include_folder ${CMAKE_INSTALL_INCLUDEDIR}/nibble)
set(package_folder ${CMAKE_INSTALL_LIBDIR}/cmake/nibble)
set(libraries nibble nibble_vulkan_hosted nibble_vulkan_linked nibble_vulkan_linked_icd)

install(TARGETS ${libraries} EXPORT nibble
  ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT dev INCLUDES DESTINATION ${include_folder})
install(FILES ${PROJECT_SOURCE_DIR}/rt/nibble.h ${PROJECT_SOURCE_DIR}/rt/nibble.hpp
  ${PROJECT_SOURCE_DIR}/rt/config.h ${PROJECT_SOURCE_DIR}/rt/error.h
  ${PROJECT_SOURCE_DIR}/rt/sampling.h ${PROJECT_SOURCE_DIR}/rt/state.h
  ${PROJECT_SOURCE_DIR}/rt/stop.h ${PROJECT_SOURCE_DIR}/rt/text.h ${PROJECT_SOURCE_DIR}/rt/timings.h
  DESTINATION ${include_folder}/rt COMPONENT dev)
# For the sources that nibblec compile --emit-kernels writes.
foreach(header rt/kernels/variants.h rt/kernels/variants.def rt/kernels/caps.h rt/base/limits.h
    rt/base/status.h rt/base/status.def spirv/facts.def)
  get_filename_component(folder ${header} DIRECTORY)
  install(FILES ${PROJECT_SOURCE_DIR}/${header} DESTINATION ${include_folder}/${folder} COMPONENT dev)
endforeach()
install(FILES ${PROJECT_SOURCE_DIR}/boards/common/vulkan_entry.h
  DESTINATION ${include_folder}/boards/common COMPONENT dev)

install(EXPORT nibble FILE nibbleTargets.cmake NAMESPACE nibble:: DESTINATION ${package_folder}
  COMPONENT dev)
configure_package_config_file(${CMAKE_CURRENT_LIST_DIR}/nibbleConfig.cmake.in
  ${CMAKE_CURRENT_BINARY_DIR}/nibbleConfig.cmake INSTALL_DESTINATION ${package_folder})
# Before 1.0 a minor version may change the interface.
write_basic_package_version_file(${CMAKE_CURRENT_BINARY_DIR}/nibbleConfigVersion.cmake
  COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/nibbleConfig.cmake
  ${CMAKE_CURRENT_BINARY_DIR}/nibbleConfigVersion.cmake DESTINATION ${package_folder} COMPONENT dev)

# The prefix is found from where the file lies, so that `cmake --install --prefix` and packages may move.
file(RELATIVE_PATH prefix_from_pc /${CMAKE_INSTALL_LIBDIR}/pkgconfig /)
string(REGEX REPLACE "/$" "" prefix_from_pc ${prefix_from_pc})
set(pc_link "")
if(NOT NIBBLE_PIC)
  set(pc_link "-no-pie ")
endif()
configure_file(${CMAKE_CURRENT_LIST_DIR}/nibble.pc.in ${CMAKE_CURRENT_BINARY_DIR}/nibble.pc @ONLY)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/nibble.pc
  DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig COMPONENT dev)

if(NIBBLE_HOST_TOOLS)
  install(TARGETS nibblec nibble-run nibble-bench
    RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR} COMPONENT tools)
endif()
