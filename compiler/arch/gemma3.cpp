// Gemma 3, its text models: embeddings scaled by sqrt(dim), norms before and after attention and
// feed-forward, a feed-forward gated by gelu. Queries and keys are normed head by head. Five of six
// layers see a window and turn by frequencies of their own; the sixth sees all positions.
//
// Norms multiply by 1 + w. The embedding is the head.
//
// Source  Gemma Team, "Gemma 3 Technical Report", 2025.
#include "compiler/arch/network.h"

namespace nbl::compiler {

// x + norm(attention(norm(x))), then x + norm(feed-forward(norm(x))).
int32_t gemma3_layer(Network& net, const Layer& at, int32_t x) {
  const int32_t a = net.rms_norm(at("attn_norm"), x);
  const int32_t q = net.head_norm(at("attn_q_norm"), net.linear(at("attn_q"), a));
  const int32_t k = net.head_norm(at("attn_k_norm"), net.linear(at("attn_k"), a));
  const int32_t v = net.linear(at("attn_v"), a);
  const int32_t heads = net.attention(at, q, k, v);
  const int32_t attended = net.linear(at("attn_output"), heads);
  x = net.add(at("attn_residual"), x, net.rms_norm(at("post_attention_norm"), attended));

  const int32_t f = net.rms_norm(at("ffn_norm"), x);
  const int32_t fed = net.feed_forward(at, f);
  return net.add(at("ffn_residual"), x, net.rms_norm(at("post_ffw_norm"), fed));
}

}  // namespace nbl::compiler
