// The trained model of ../shared/models/stories260K, compiled, for whole-engine tests.
#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <map>
#include <utility>

#include "tests/support/compiled.h"
#include "tests/support/vocab.h"

namespace nbl::test {

inline std::filesystem::path stories_folder() {
  return shared_path("models/stories260K");
}

#define NBL_REQUIRE_STORIES()                                  \
  if (!std::filesystem::exists(::nbl::test::stories_folder())) \
  GTEST_SKIP() << ::nbl::test::stories_folder()                \
               << " is not there; set NIBBLE_SHARED to the "   \
                  "folder that holds models/stories260K"

// The model file with a context of 512; compiled once a process.
inline const AlignedBytes& stories_file(bool fuse = true, uint32_t group_size = 32) {
  static std::map<std::pair<bool, uint32_t>, AlignedBytes> files;
  const auto [entry, is_new] = files.try_emplace({fuse, group_size});
  if (is_new) {
    const compiler::Checkpoint checkpoint = compiler::import_checkpoint(
        stories_folder() / "stories260K.bin", stories_folder() / "tok512.bin");
    entry->second = build_model(
        checkpoint,
        {.passes = {.fuse = fuse}, .group_size = group_size, .context = 512, .prefill_chunk = 64});
  }
  return entry->second;
}

}  // namespace nbl::test
