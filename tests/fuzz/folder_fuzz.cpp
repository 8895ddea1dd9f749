// Could break: a model folder - config.json, safetensors files, their index, a vocabulary - takes
// the importer or the compiler where no input may (gguf_fuzz.cpp).
//
// Input  a zip archive of the folder.
#include <cstring>

#include "tests/fuzz/support/import.h"
#include "tests/fuzz/support/json_mutator.h"
#include "tests/fuzz/support/mutator.h"

namespace nbl::fuzz {
namespace {

// Eight bytes of length, a JSON header, data.
void mutate_safetensors(std::string* file, size_t most, Dice* dice) {
  uint64_t length = 0;
  if (file->size() < sizeof length) return mutate_bytes(file, most);
  std::memcpy(&length, file->data(), sizeof length);
  if (length > file->size() - sizeof length || dice->one_in(16)) return mutate_bytes(file, most);
  std::string header = file->substr(sizeof length, length);
  std::string data = file->substr(sizeof length + length);
  mutate_json(&header, most, dice);
  if (dice->one_in(8)) mutate_bytes(&data, 0);
  length = dice->one_in(30) ? dice->number(header.size()) : header.size();
  *file = std::string(reinterpret_cast<const char*>(&length), sizeof length) + header + data;
}

void mutate_folder(std::string* file, size_t most, Dice* dice) {
  test::ZipMembers members = zip_members(*file);
  if (members.empty() || dice->one_in(40)) return mutate_bytes(file, most);
  auto& [name, bytes] = dice->of(members);
  if (name.ends_with(".safetensors")) {
    mutate_safetensors(&bytes, most, dice);
  } else {
    mutate_json(&bytes, most, dice);
  }
  *file = test::zip_of(members);
}

}  // namespace
}  // namespace nbl::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace nbl::fuzz;
  const Workplace& place = workplace();
  place.clear();
  for (const auto& [name, bytes] : zip_members({reinterpret_cast<const char*>(data), size}))
    place.write(name, bytes, "model");
  compile_and_load(place.path() / "model");
  return 0;
}

NBL_FUZZ_MUTATOR(mutate_folder)
