// Could break: a GGUF or llama2.c file takes the importer or the compiler out of its bytes, to
// gigabytes of memory, to another exception than an error for people, or to a model that no runtime
// takes.
//
// Input  a checkpoint, or a zip archive with the parts of one.
#include "tests/fuzz/support/gguf_mutator.h"
#include "tests/fuzz/support/import.h"
#include "tests/fuzz/support/mutator.h"

namespace nbl::fuzz {
namespace {

void mutate_checkpoint(std::string* file, size_t most, Dice* dice) {
  if (!file->starts_with("PK")) return mutate_gguf(file, most, dice);
  test::ZipMembers parts = zip_members(*file);
  if (parts.empty()) return mutate_bytes(file, most);
  mutate_gguf(&dice->of(parts).second, most, dice);
  *file = test::zip_of(parts);
}

}  // namespace
}  // namespace nbl::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace nbl::fuzz;
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const Workplace& place = workplace();
  place.clear();
  if (!bytes.starts_with("PK")) {
    compile_and_load(place.write("model.gguf", bytes));
    return 0;
  }
  const nbl::test::ZipMembers parts = zip_members(bytes);
  for (const auto& [name, part] : parts)
    place.write(name, part);
  if (!parts.empty()) compile_and_load(place.write(parts[0].first, parts[0].second));
  return 0;
}

NBL_FUZZ_MUTATOR(mutate_checkpoint)
