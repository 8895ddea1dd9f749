#include "tests/support/synthetic_llama.h"

#include <cmath>
#include <random>

namespace nbl::test {

compiler::Hyper hyper_of(const LlamaSpec& spec) {
  compiler::Hyper hyper;
  hyper.architecture = spec.architecture;
  hyper.name = "synthetic";
  hyper.vocab = spec.vocab;
  hyper.dim = spec.dim;
  hyper.layers = spec.layers;
  hyper.heads = spec.heads;
  hyper.kv_heads = spec.kv_heads;
  hyper.head_dim = spec.head_dim;
  hyper.ffn = spec.ffn;
  hyper.context = spec.context;
  hyper.eps = spec.eps;
  hyper.rope_theta = spec.theta;
  hyper.rotary_dim = spec.rotary_dim == 0 ? spec.head_dim : spec.rotary_dim;
  return hyper;
}

std::vector<NamedShape> named_shapes(const LlamaSpec& spec) {
  const uint64_t q = uint64_t{spec.heads} * spec.head_dim;
  const uint64_t kv = uint64_t{spec.kv_heads} * spec.head_dim;
  std::vector<NamedShape> shapes = {{"token_embd", spec.vocab, spec.dim}};
  for (uint32_t layer = 0; layer < spec.layers; ++layer) {
    const std::string prefix = "blk." + std::to_string(layer) + ".";
    shapes.push_back({prefix + "attn_norm", 1, spec.dim});
    shapes.push_back({prefix + "attn_q", q, spec.dim});
    shapes.push_back({prefix + "attn_k", kv, spec.dim});
    shapes.push_back({prefix + "attn_v", kv, spec.dim});
    if (spec.is("qwen2")) {
      shapes.push_back({prefix + "attn_q.bias", 1, q});
      shapes.push_back({prefix + "attn_k.bias", 1, kv});
      shapes.push_back({prefix + "attn_v.bias", 1, kv});
    }
    if (spec.is("qwen3") || spec.is("gemma3")) {
      shapes.push_back({prefix + "attn_q_norm", 1, spec.head_dim});
      shapes.push_back({prefix + "attn_k_norm", 1, spec.head_dim});
    }
    shapes.push_back({prefix + "attn_output", spec.dim, q});
    if (spec.is("gemma3")) shapes.push_back({prefix + "post_attention_norm", 1, spec.dim});
    shapes.push_back({prefix + "ffn_norm", 1, spec.dim});
    shapes.push_back({prefix + "ffn_gate", spec.ffn, spec.dim});
    shapes.push_back({prefix + "ffn_up", spec.ffn, spec.dim});
    shapes.push_back({prefix + "ffn_down", spec.dim, spec.ffn});
    if (spec.is("gemma3")) shapes.push_back({prefix + "post_ffw_norm", 1, spec.dim});
  }
  shapes.push_back({"output_norm", 1, spec.dim});
  if (!spec.tied) shapes.push_back({"output", spec.vocab, spec.dim});
  return shapes;
}

std::vector<float> random_weights(const LlamaSpec& spec, const NamedShape& shape) {
  std::seed_seq sequence(shape.name.begin(), shape.name.end());
  uint32_t name_hash = 0;
  sequence.generate(&name_hash, &name_hash + 1);
  std::mt19937_64 engine(spec.seed + name_hash);
  const bool is_norm = shape.rows == 1 && !shape.name.ends_with(".bias");
  const float spread = shape.rows == 1 ? 0.1f : 1.0f / std::sqrt(static_cast<float>(shape.columns));
  std::normal_distribution<float> normal(is_norm ? 1.0f : 0.0f, spread);
  std::vector<float> values(shape.rows * shape.columns);
  for (float& value : values)
    value = normal(engine);
  return values;
}

}  // namespace nbl::test
