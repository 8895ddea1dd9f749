// The models of tests/support/fake_models.h, from the folder that write_models.cpp has written and
// the environment names in NIBBLE_FAKE_MODELS.
#include <algorithm>
#include <cstdlib>

#include "tests/support/fake_models.h"

namespace nbl::test {
namespace {

std::filesystem::path folder() {
  const char* const path = std::getenv("NIBBLE_FAKE_MODELS");
  if (path == nullptr) throw std::runtime_error("NIBBLE_FAKE_MODELS names no folder");
  return path;
}

std::vector<FakeModel> read_all() {
  std::vector<std::filesystem::path> paths;
  for (const auto& entry : std::filesystem::directory_iterator(folder() / "all"))
    paths.push_back(entry.path());
  std::sort(paths.begin(), paths.end());
  std::vector<FakeModel> models;
  for (const std::filesystem::path& path : paths)
    models.push_back({path.stem().string().substr(3), read_file(path)});
  return models;
}

}  // namespace

const std::vector<FakeModel>& fake_models() {
  static const std::vector<FakeModel> models = read_all();
  return models;
}

const AlignedBytes& long_head_model() {
  static const AlignedBytes file = read_file(folder() / "long_head.nbl");
  return file;
}

}  // namespace nbl::test
