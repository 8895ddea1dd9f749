// Llama 1 to 3.2, and what has its shape: Mistral, SmolLM2, TinyLlama. Norms before attention and
// feed-forward, rotary positions, key-value heads shared by several queries, a feed-forward gated
// by silu. Mistral's first version sees a window; Llama 3.1 stretches its frequencies. Both are
// numbers of the checkpoint.
//
// Source  Touvron et al., "LLaMA: Open and Efficient Foundation Language Models", 2023;
//         Jiang et al., "Mistral 7B", 2023; Grattafiori et al., "The Llama 3 Herd of Models", 2024.
#include "compiler/arch/network.h"

namespace nbl::compiler {

// x + attention(norm(x)), then x + feed-forward(norm(x)).
int32_t llama_layer(Network& net, const Layer& at, int32_t x) {
  const int32_t a = net.rms_norm(at("attn_norm"), x);
  const int32_t q = net.linear(at("attn_q"), a);
  const int32_t k = net.linear(at("attn_k"), a);
  const int32_t v = net.linear(at("attn_v"), a);
  const int32_t heads = net.attention(at, q, k, v);
  x = net.add(at("attn_residual"), x, net.linear(at("attn_output"), heads));

  const int32_t f = net.rms_norm(at("ffn_norm"), x);
  return net.add(at("ffn_residual"), x, net.feed_forward(at, f));
}

}  // namespace nbl::compiler
