// tanh to float32's accuracy: GLSL's may lose all of it near 0 and overflow far from it. T is float
// or a vector of them.

T capped(T x) {
  const T size = min(abs(x), T(10.0));  // tanh(10) is 1
  const T e = exp2(size * -2.8853900818);
  const T square = size * size;
  const T near =
      size * (1.0 - square * (1.0 / 3.0 - square * (2.0 / 15.0 - square * 17.0 / 315.0)));
  const T is_far = max(sign(size - 0.2), T(0.0));
  return sign(x) * mix(near, (1.0 - e) / (1.0 + e), is_far);
}
