#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "compiler/arch/architecture.h"
#include "compiler/error.h"
#include "compiler/import/architectures.h"

namespace nbl::compiler {
namespace {

constexpr uint32_t kMaxHeads = 1024;
constexpr uint32_t kMaxPrefillChunk = 4096;
constexpr uint32_t kMaxContext = 1u << 24;

void require(bool holds, const std::string& sentence) {
  if (!holds) throw CompileError(sentence);
}

void check_sizes(const Hyper& h) {
  require(h.layers > 0 && h.vocab > 0 && h.dim > 0 && h.ffn > 0, "the model is empty");
  require(h.vocab <= kMaxDim && h.dim <= kMaxDim && h.ffn <= kMaxDim / 2,
          fmt::format("a dimension of the model is larger than {}", kMaxDim));
  require(h.head_dim > 0 && h.head_dim % 4 == 0 && h.head_dim <= kMaxHeadDim,
          fmt::format("the head dimension is {}; it must be a multiple of 4 and at most {}",
                      h.head_dim, kMaxHeadDim));
  require(h.heads > 0 && h.heads <= kMaxHeads,
          fmt::format("the model has {} heads; at most {} are supported", h.heads, kMaxHeads));
  require(h.kv_heads > 0 && h.heads % h.kv_heads == 0,
          fmt::format("{} attention heads cannot share {} key-value heads evenly", h.heads,
                      h.kv_heads));
  require(h.windows.empty() || h.windows.size() == h.layers,
          fmt::format("{} layers have an attention window; the model has {} layers",
                      h.windows.size(), h.layers));
}

void check_rope(const Hyper& h) {
  require(
      h.rotary_dim > 0 && h.rotary_dim % 2 == 0 && h.rotary_dim <= h.head_dim,
      fmt::format("the rotary dimension is {}; it must be even and at most the head dimension {}",
                  h.rotary_dim, h.head_dim));
  const auto check_count = [&](const std::vector<double>& frequencies) {
    require(frequencies.size() == h.rotary_dim / 2,
            fmt::format("the model has {} rotary frequencies; {} are needed", frequencies.size(),
                        h.rotary_dim / 2));
  };
  check_count(h.rope_inv_freq);
  if (!h.local_rope_inv_freq.empty()) check_count(h.local_rope_inv_freq);
  if (h.rope_short_context != 0) check_count(h.rope_long_inv_freq);
}

}  // namespace

void check_hyper(const Hyper& h, const ArchitectureOptions& options) {
  require(is_architecture(h.architecture),
          fmt::format("the architecture {} is not supported; nibble knows {}", h.architecture,
                      architecture_names()));
  check_sizes(h);
  check_rope(h);
  require(h.eps > 0 && std::isfinite(h.eps),
          fmt::format("the norm epsilon is {}; it must be positive", h.eps));
  require(options.context > 0 && options.context <= h.context && options.context <= kMaxContext,
          fmt::format("the context is {}; this checkpoint allows 1 to {}", options.context,
                      std::min(h.context, kMaxContext)));
  require(options.prefill_chunk > 0 && options.prefill_chunk <= kMaxPrefillChunk,
          fmt::format("the prefill chunk is {}; it must be 1 to {}", options.prefill_chunk,
                      kMaxPrefillChunk));
}

}  // namespace nbl::compiler
