# Generates schema_generated.h from rt/model/schema.fbs. flatc runs on the build machine.

find_program(FLATC flatc REQUIRED)

set(NIBBLE_SCHEMA ${CMAKE_CURRENT_SOURCE_DIR}/rt/model/schema.fbs)
set(NIBBLE_SCHEMA_DIR ${CMAKE_CURRENT_BINARY_DIR}/generated)
add_custom_command(
  OUTPUT ${NIBBLE_SCHEMA_DIR}/schema_generated.h
  COMMAND ${FLATC} --cpp --no-includes -o ${NIBBLE_SCHEMA_DIR} ${NIBBLE_SCHEMA}
  DEPENDS ${NIBBLE_SCHEMA}
  COMMENT "FlatBuffers: schema.fbs")
add_custom_target(nibble_schema_files DEPENDS ${NIBBLE_SCHEMA_DIR}/schema_generated.h)
add_library(nibble_schema INTERFACE)
add_dependencies(nibble_schema nibble_schema_files)
target_include_directories(nibble_schema SYSTEM INTERFACE
  ${NIBBLE_SCHEMA_DIR} ${NIBBLE_HEADERS})
