// Qwen 2 and 2.5: llama with biases on queries, keys and values.
//
// Source  Yang et al., "Qwen2 Technical Report", 2024.
#include "compiler/arch/network.h"

namespace nbl::compiler {

int32_t qwen2_layer(Network& net, const Layer& at, int32_t x) {
  const int32_t a = net.rms_norm(at("attn_norm"), x);
  const int32_t q = net.linear_with_bias(at("attn_q"), a);
  const int32_t k = net.linear_with_bias(at("attn_k"), a);
  const int32_t v = net.linear_with_bias(at("attn_v"), a);
  const int32_t heads = net.attention(at, q, k, v);
  x = net.add(at("attn_residual"), x, net.linear(at("attn_output"), heads));

  const int32_t f = net.rms_norm(at("ffn_norm"), x);
  return net.add(at("ffn_residual"), x, net.feed_forward(at, f));
}

}  // namespace nbl::compiler
