#include "compiler/image/kernels_file.h"

#include <fmt/format.h>

#include <set>

#include "compiler/inspect/inspect.h"

namespace nbl::compiler {
namespace {

void add_kernels(const Model& model, const Caps& caps, const PlanOptions& options,
                 std::set<uint16_t>* used) {
  const OwnedPlan owned = make_plan(model, caps, options);
  for (const Phase* phase :
       {&owned.plan.decode, &owned.plan.prefill, &owned.plan.window, &owned.plan.slide}) {
    for (const Dispatch& dispatch : phase->dispatches)
      used->insert(dispatch.call.variant);
  }
}

}  // namespace

std::vector<VariantId> needed_kernels(const Model& model, const Board& board) {
  std::set<uint16_t> used;
  for (const bool slide : {false, true}) {
    for (const LogitsMode logits : {LogitsMode::none, LogitsMode::last, LogitsMode::all}) {
      PlanOptions options;
      options.slide = slide;
      options.logits = logits;
      options.float32 = board.kernels.float32;
      if (board.kernels.weights == "texture") options.weights = WeightMemory::images;
      if (board.kernels.weights == "buffer") options.weights = WeightMemory::buffers;
      if (!board.kernels.floor) add_kernels(model, board.caps, options, &used);
      options.floor_kernels = true;
      add_kernels(model, board.caps, options, &used);
    }
  }
  std::vector<VariantId> kernels;
  kernels.reserve(used.size());
  for (const uint16_t variant : used)
    kernels.push_back(static_cast<VariantId>(variant));
  return kernels;
}

uint64_t kernel_bytes(const std::vector<VariantId>& kernels) {
  uint64_t bytes = 0;
  for (const VariantId id : kernels)
    bytes += kVariants[static_cast<size_t>(id)].word_bytes;
  return bytes;
}

std::string kernels_source(const std::vector<VariantId>& kernels, const std::string& what_for) {
  std::string uses;
  for (const VariantId id : kernels) {
    uses += fmt::format("    case VariantId::{}:\n", kVariants[static_cast<size_t>(id)].name);
  }
  return fmt::format(
      R"(// Written by nibblec: the kernels of {}.
// Compile it with the flags of the image and link it before libnibble.a.
#include "rt/kernels/variants.h"

namespace nbl {{
namespace {{

constexpr bool is_used(VariantId id) {{
  switch (id) {{
{}      return true;
    default:
      return false;
  }}
}}

}}  // namespace

extern constinit const uint32_t* const kVariantWords[kVariantCount] = {{
#define NBL_VARIANT(family, how, source, needs, flags) \
  is_used(VariantId::family##_##how) ? spirv::family##_##how : nullptr,
#include "rt/kernels/variants.def"
#undef NBL_VARIANT
}};

}}  // namespace nbl
)",
      what_for, uses);
}

}  // namespace nbl::compiler
