// Qwen 3, its dense models: llama whose queries and keys are normed head by head before they turn.
// Heads are wider than dim / heads.
//
// Source  Yang et al., "Qwen3 Technical Report", 2025.
#include "compiler/arch/network.h"

namespace nbl::compiler {

int32_t qwen3_layer(Network& net, const Layer& at, int32_t x) {
  const int32_t a = net.rms_norm(at("attn_norm"), x);
  const int32_t q = net.head_norm(at("attn_q_norm"), net.linear(at("attn_q"), a));
  const int32_t k = net.head_norm(at("attn_k_norm"), net.linear(at("attn_k"), a));
  const int32_t v = net.linear(at("attn_v"), a);
  const int32_t heads = net.attention(at, q, k, v);
  x = net.add(at("attn_residual"), x, net.linear(at("attn_output"), heads));

  const int32_t f = net.rms_norm(at("ffn_norm"), x);
  return net.add(at("ffn_residual"), x, net.feed_forward(at, f));
}

}  // namespace nbl::compiler
