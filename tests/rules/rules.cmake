# The rules of docs/design.md that are checked on sources and on the built library.
set(rules ${CMAKE_CURRENT_LIST_DIR})
find_program(BASH bash)
if(NOT BASH)
  return()
endif()

add_test(NAME rules.includes COMMAND ${BASH} ${rules}/includes.sh ${PROJECT_SOURCE_DIR})
add_test(NAME rules.headers_compile_alone
  COMMAND ${BASH} ${rules}/headers.sh ${PROJECT_SOURCE_DIR} ${NIBBLE_SCHEMA_DIR}
    ${CMAKE_C_COMPILER} ${CMAKE_CXX_COMPILER})
add_test(NAME rules.compiles_for_32_bits
  COMMAND ${BASH} ${rules}/narrow.sh ${PROJECT_SOURCE_DIR} ${NIBBLE_SCHEMA_DIR} ${NIBBLE_HEADERS})
set_tests_properties(rules.compiles_for_32_bits PROPERTIES SKIP_RETURN_CODE 77)
add_test(NAME rules.format COMMAND ${BASH} ${rules}/format.sh ${PROJECT_SOURCE_DIR})
set_tests_properties(rules.format PROPERTIES SKIP_RETURN_CODE 77)

# Sanitizers and -O0 change what is linked and how large it is.
if(NIBBLE_SANITIZE OR CMAKE_CROSSCOMPILING)
  return()
endif()
get_filename_component(binutils ${CMAKE_NM} DIRECTORY)
find_program(NIBBLE_SIZE size HINTS ${binutils})
find_program(NIBBLE_LD ld HINTS ${binutils})
if(CMAKE_NM AND CMAKE_OBJDUMP)
  add_test(NAME rules.symbols
    COMMAND ${BASH} ${rules}/symbols.sh $<TARGET_FILE:nibble>
      ${PROJECT_SOURCE_DIR}/cmake/checks/symbols.txt ${CMAKE_NM} ${CMAKE_OBJDUMP} ${NIBBLE_PIC})
endif()

file(GENERATE OUTPUT ${CMAKE_CURRENT_BINARY_DIR}/nibble_objects.txt
  CONTENT "$<JOIN:$<TARGET_OBJECTS:nibble>,\n>\n")
if(NIBBLE_SIZE AND CMAKE_BUILD_TYPE STREQUAL "Release" AND NOT NIBBLE_ASSERTS AND NOT NIBBLE_PIC
    AND CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_SYSTEM_PROCESSOR STREQUAL "x86_64")
  add_test(NAME rules.size
    COMMAND ${BASH} ${rules}/size.sh ${CMAKE_CURRENT_BINARY_DIR}/nibble_objects.txt
      ${PROJECT_SOURCE_DIR}/bench/size/budget.txt ${NIBBLE_SIZE} ${NIBBLE_LD})
  # The compiler leaves its call graph beside each object; ccache does not keep that file.
  target_compile_options(nibble PRIVATE -fcallgraph-info=su)
  set_target_properties(nibble PROPERTIES CXX_COMPILER_LAUNCHER "")
  add_test(NAME rules.stack
    COMMAND ${BASH} ${rules}/stack.sh ${CMAKE_CURRENT_BINARY_DIR}/nibble_objects.txt)
  add_test(NAME rules.stack_complains COMMAND ${BASH} ${rules}/stack_test.sh ${CMAKE_CXX_COMPILER})
endif()

add_test(NAME rules.links_into_a_c_program
  COMMAND ${BASH} ${rules}/link.sh ${PROJECT_SOURCE_DIR} $<TARGET_FILE:nibble> ${CMAKE_C_COMPILER})

# What installs and packages the library says what is true, and works (tests/packaging).
add_test(NAME packaging.recipes_say_what_is_true
  COMMAND ${BASH} ${PROJECT_SOURCE_DIR}/tests/packaging/recipes.sh ${PROJECT_SOURCE_DIR})
add_test(NAME packaging.toolchains_say_what_they_need
  COMMAND ${BASH} ${PROJECT_SOURCE_DIR}/tests/packaging/toolchains.sh ${PROJECT_SOURCE_DIR})
add_test(NAME packaging.builds_inside_c_projects
  COMMAND ${BASH} ${PROJECT_SOURCE_DIR}/tests/packaging/fetch_content.sh ${PROJECT_SOURCE_DIR}
    ${CMAKE_C_COMPILER})
if(NIBBLE_INSTALL)
  add_test(NAME packaging.installs_for_c_projects
    COMMAND ${BASH} ${PROJECT_SOURCE_DIR}/tests/packaging/install.sh ${PROJECT_SOURCE_DIR}
      ${PROJECT_BINARY_DIR} ${CMAKE_C_COMPILER})
endif()

add_test(NAME rules.promises COMMAND ${BASH} ${PROJECT_SOURCE_DIR}/scripts/proof --check)
set_tests_properties(rules.promises PROPERTIES ENVIRONMENT NIBBLE_BUILD=${PROJECT_BINARY_DIR})
