#include "tests/fuzz/seeds.h"

#include <cstdio>
#include <exception>

// fuzz_seeds FOLDER: writes FOLDER/<fuzzer>/* beside the empty folders that a run needs.
int main(int argc, char** argv) {
  using namespace nbl::fuzz;
  if (argc != 2) {
    std::fprintf(stderr, "usage: fuzz_seeds FOLDER\n");
    return 2;
  }
  const std::filesystem::path root = argv[1];
  const struct {
    const char* name;
    void (*write)(const SeedFolder&);
  } fuzzers[] = {{"nbl", write_model_seeds},          {"state", write_state_seeds},
                 {"text", write_text_seeds},          {"gguf", write_gguf_seeds},
                 {"folder", write_folder_seeds},      {"pt2", write_program_seeds},
                 {"tokenizer", write_tokenizer_seeds}};
  try {
    std::filesystem::create_directories(root / "findings");
    for (const auto& fuzzer : fuzzers) {
      std::filesystem::create_directories(root / "corpus" / fuzzer.name);
      fuzzer.write(SeedFolder(root / "seeds" / fuzzer.name));
    }
  } catch (const std::exception& error) {
    std::fprintf(stderr, "fuzz_seeds: %s\n", error.what());
    return 1;
  }
}
