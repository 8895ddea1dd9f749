// The gate of a feed-forward network: silu(gate) * up = gate / (1 + e^-gate) * up, or gelu(gate) *
// up by its approximation with tanh, which is gate / (1 + e^-s) * up. For s below -88 the
// exponential is infinite and the quotient 0.
float gated(float gate, float up, bool gelu) {
  // 2 sqrt(2 / pi) (x + 0.044715 x^3)
  const float s = gelu ? 1.59576912 * (gate + 0.044715 * gate * gate * gate) : gate;
  const float e = exp(-abs(s));
  return gate * (s >= 0.0 ? 1.0 : e) / (1.0 + e) * up;
}
