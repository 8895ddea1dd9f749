# Library nibble_boards: boards/boards.h with the facts of every boards/<name>/board.json inside.
find_package(nlohmann_json REQUIRED)

file(GLOB files CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/boards/*/board.json)
list(SORT files)
set(floor ${PROJECT_SOURCE_DIR}/boards/floor/board.json)
list(REMOVE_ITEM files ${floor})
set(texts "")
foreach(file ${floor} ${files})
  file(READ ${file} text)
  file(RELATIVE_PATH path ${PROJECT_SOURCE_DIR} ${file})
  string(APPEND texts "    {\"${path}\", R\"json(${text})json\"},\n")
  set_property(DIRECTORY ${PROJECT_SOURCE_DIR} APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${file})
endforeach()
file(CONFIGURE OUTPUT ${CMAKE_BINARY_DIR}/generated/board_files.cpp @ONLY CONTENT
[[#include "boards/board_files.h"

namespace nbl {

std::span<const BoardFile> board_files() {
  static const BoardFile files[] = {
@texts@  };
  return files;
}

}  // namespace nbl
]])

file(GLOB sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/boards/*.cpp)
add_library(nibble_boards STATIC ${sources} ${CMAKE_BINARY_DIR}/generated/board_files.cpp)
target_link_libraries(nibble_boards PRIVATE nibble_warnings nlohmann_json::nlohmann_json
  PUBLIC nibble)
