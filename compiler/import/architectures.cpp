#include "compiler/import/architectures.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <iterator>

namespace nbl::compiler {
namespace {

struct Family {
  const char* name;
  bool qkv_bias = false;
  bool qk_norm = false;
  bool post_norms = false;
  Gate gate = Gate::silu;
  bool scales_embedding = false;  // by sqrt(dim)
};

constexpr Family kFamilies[] = {
    {.name = "llama"},
    {.name = "qwen2", .qkv_bias = true},
    {.name = "qwen3", .qk_norm = true},
    {.name = "gemma3",
     .qk_norm = true,
     .post_norms = true,
     .gate = Gate::gelu_tanh,
     .scales_embedding = true},
    {.name = "phi3"},
};

const Family* find(std::string_view name) {
  const auto* found =
      std::ranges::find_if(kFamilies, [&](const Family& family) { return name == family.name; });
  return found == std::end(kFamilies) ? nullptr : found;
}

}  // namespace

bool is_architecture(std::string_view name) {
  return find(name) != nullptr;
}

std::string architecture_names() {
  std::string names;
  for (const Family& family : kFamilies)
    names += fmt::format("{}{}", names.empty() ? "" : ", ", family.name);
  return names;
}

void apply_architecture(std::string_view file, Hyper* hyper) {
  const Family* family = find(hyper->architecture);
  if (family == nullptr) {
    throw ImportError(fmt::format("{}: the architecture is {}; nibble knows {}", file,
                                  hyper->architecture, architecture_names()));
  }
  hyper->qkv_bias = family->qkv_bias;
  hyper->qk_norm = family->qk_norm;
  hyper->post_norms = family->post_norms;
  hyper->gate = family->gate;
  if (family->scales_embedding) {
    hyper->embedding_scale = static_cast<float>(std::sqrt(static_cast<double>(hyper->dim)));
  }
}

std::vector<uint32_t> alternating_windows(uint32_t layers, uint32_t window, uint32_t period) {
  std::vector<uint32_t> windows(layers, window);
  for (uint32_t layer = 0; layer < layers; ++layer) {
    if ((layer + 1) % period == 0) windows[layer] = 0;
  }
  return windows;
}

}  // namespace nbl::compiler
