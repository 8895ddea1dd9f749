#include <cstddef>

#include "compiler/import/pt2/exported_program.h"

namespace nbl::compiler::pt2 {
namespace {

struct Facts {
  const char* name;
  size_t bytes;
};
// In the order of ScalarType.
constexpr Facts kFacts[] = {{"unknown", 0}, {"uint8", 1},    {"int8", 1},    {"int16", 2},
                            {"int32", 4},   {"int64", 8},    {"float16", 2}, {"float32", 4},
                            {"float64", 8}, {"bfloat16", 2}, {"boolean", 1}};

const Facts& facts_of(ScalarType type) {
  return kFacts[static_cast<size_t>(type)];
}

}  // namespace

const char* scalar_type_name(ScalarType type) {
  return facts_of(type).name;
}

size_t scalar_type_bytes(ScalarType type) {
  return facts_of(type).bytes;
}

}  // namespace nbl::compiler::pt2
