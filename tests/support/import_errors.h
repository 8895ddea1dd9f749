// Expectations on import_checkpoint() shared by the importers' tests.
#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>
#include <vector>

#include "compiler/import/checkpoint.h"
#include "tests/support/temp_file.h"

namespace nbl::test {

// The text of the ImportError that importing `path` ends in; "" where it succeeds. Any other
// exception fails the test.
inline std::string import_error(const std::filesystem::path& path) {
  try {
    compiler::import_checkpoint(path, {});
  } catch (const compiler::ImportError& error) {
    return error.what();
  }
  return "";
}

inline std::string import_error_of(std::string_view bytes) {
  const TempFile file(bytes);
  return import_error(file.path());
}

// Passes where `bytes` are refused with a sentence that holds every one of `parts`.
inline void expect_refused(std::string_view bytes, const std::vector<std::string>& parts) {
  const std::string error = import_error_of(bytes);
  ASSERT_NE(error, "") << "was imported; expected an error with " << parts[0];
  for (const std::string& part : parts) {
    EXPECT_NE(error.find(part), std::string::npos) << error << "\n  lacks: " << part;
  }
}

// The folder of models and vocabularies beside the sources; NIBBLE_SHARED overrides it.
inline std::filesystem::path shared_folder() {
  const char* chosen = std::getenv("NIBBLE_SHARED");
  if (chosen != nullptr) return chosen;
  return std::filesystem::path(NIBBLE_SOURCE_DIR).parent_path() / "shared";
}

}  // namespace nbl::test
