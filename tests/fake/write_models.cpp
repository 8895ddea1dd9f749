// Writes the models of tests/support/fake_models.h into a folder, for read_models.cpp on a machine
// without the compiler:
//   write_fake_models FOLDER
#include <cstdio>
#include <exception>
#include <filesystem>
#include <fstream>

#include "tests/support/fake_models.h"

namespace {

void write(const std::filesystem::path& path, const nbl::test::AlignedBytes& file) {
  std::ofstream out(path, std::ios::binary);
  out.exceptions(std::ios::failbit | std::ios::badbit);
  out.write(reinterpret_cast<const char*>(file.span().data()),
            static_cast<std::streamsize>(file.size));
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: write_fake_models FOLDER\n");
    return 2;
  }
  try {
    const std::filesystem::path folder = argv[1];
    std::filesystem::remove_all(folder);
    std::filesystem::create_directories(folder / "all");
    size_t number = 10;  // two digits: they are read in this order
    for (const nbl::test::FakeModel& model : nbl::test::fake_models())
      write(folder / "all" / (std::to_string(number++) + " " + model.name + ".nbl"), model.file);
    write(folder / "long_head.nbl", nbl::test::long_head_model());
  } catch (const std::exception& error) {
    std::fprintf(stderr, "write_fake_models: %s\n", error.what());
    return 1;
  }
  return 0;
}
