// Could break: an exported program - the archive, its graph, its tensors - takes the importer or
// the compiler where no input may (gguf_fuzz.cpp).
//
// Input  a .pt2 file.
#include "tests/fuzz/support/import.h"
#include "tests/fuzz/support/json_mutator.h"
#include "tests/fuzz/support/mutator.h"

namespace nbl::fuzz {
namespace {

void mutate_program(std::string* file, size_t most, Dice* dice) {
  test::ZipMembers members = zip_members(*file);
  if (members.empty() || dice->one_in(30)) return mutate_bytes(file, most);
  size_t index = dice->below(members.size());
  // Most of what there is to go wrong is in the graph.
  for (size_t i = 0; i < members.size(); ++i) {
    if (members[i].first.ends_with("model.json") && !dice->one_in(3)) index = i;
  }
  auto& [name, bytes] = members[index];
  if (dice->one_in(60)) {
    members.erase(members.begin() + static_cast<std::ptrdiff_t>(index));
  } else if (name.ends_with(".json")) {
    mutate_json(&bytes, most, dice);
  } else {
    mutate_bytes(&bytes, 0);
  }
  *file = test::zip_of(members);
}

}  // namespace
}  // namespace nbl::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace nbl::fuzz;
  const Workplace& place = workplace();
  place.clear();
  compile_and_load(place.write("model.pt2", {reinterpret_cast<const char*>(data), size}));
  return 0;
}

NBL_FUZZ_MUTATOR(mutate_program)
