#include "compiler/arch/describe.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <set>

namespace nbl::compiler {
namespace {

std::vector<std::string> extra_tensors(const Hyper& h) {
  std::vector<std::string> extras;
  if (h.qkv_bias) extras.emplace_back("biases on q, k and v");
  if (h.qk_norm) extras.emplace_back("norms of q and k, head by head");
  if (h.post_norms) extras.emplace_back("norms behind attention and feed-forward");
  return extras;
}

}  // namespace

std::string describe_windows(const Hyper& hyper) {
  std::set<uint32_t> sizes;
  std::vector<size_t> without;
  for (size_t layer = 0; layer < hyper.windows.size(); ++layer) {
    if (hyper.windows[layer] == 0) {
      without.push_back(layer);
    } else {
      sizes.insert(hyper.windows[layer]);
    }
  }
  if (sizes.empty()) return "none";
  const std::string text = fmt::format("{} positions", fmt::join(sizes, " or "));
  return without.empty() ? text
                         : fmt::format("{}, all in layers {}", text, fmt::join(without, ", "));
}

std::vector<std::pair<std::string, std::string>> describe_network(const Hyper& h) {
  std::vector<std::pair<std::string, std::string>> entries = {
      {"layers", fmt::format("{}", h.layers)},
      {"embedding_length", fmt::format("{}", h.dim)},
      {"feed_forward_length", fmt::format("{}", h.ffn)},
      {"heads", fmt::format("{}", h.heads)},
      {"kv_heads", fmt::format("{}", h.kv_heads)},
      {"head_dim", fmt::format("{}", h.head_dim)},
      {"trained_context_length", fmt::format("{}", h.context)},
      {"rope_theta", fmt::format("{:g}", h.rope_theta)},
      {"norm_epsilon", fmt::format("{:g}", h.eps)}};
  const auto add_where = [&](bool differs, const char* key, std::string value) {
    if (differs) entries.emplace_back(key, std::move(value));
  };
  add_where(h.rotary_dim != h.head_dim, "rotary_dim", fmt::format("{}", h.rotary_dim));
  add_where(!h.rope_scaling.empty(), "rope_scaling", h.rope_scaling);
  add_where(h.rope_magnitude != 1, "rope_magnitude", fmt::format("{:g}", h.rope_magnitude));
  const bool has_local = !h.local_rope_inv_freq.empty();
  add_where(has_local, "rope_theta_in_windows", fmt::format("{:g}", h.local_rope_theta));
  const std::string windows = describe_windows(h);
  add_where(windows != "none", "attention_window", windows);
  add_where(h.attention_scale != 0, "attention_scale", fmt::format("{:g}", h.attention_scale));
  add_where(h.attention_softcap != 0, "attention_softcap",
            fmt::format("{:g}", h.attention_softcap));
  add_where(h.logit_softcap != 0, "logit_softcap", fmt::format("{:g}", h.logit_softcap));
  const std::vector<std::string> extras = extra_tensors(h);
  add_where(!extras.empty(), "besides_llama", fmt::format("{}", fmt::join(extras, "; ")));
  add_where(h.gate == Gate::gelu_tanh, "gate", "gelu, by tanh");
  add_where(h.embedding_scale != 1, "embedding_scale", fmt::format("{:g}", h.embedding_scale));
  return entries;
}

}  // namespace nbl::compiler
