// Cooperative matrices for tests on devices that have none: each lane holds all of a matrix and computes
// all of it, and the first lane of a subgroup stores it. Loops are of rows and columns: one as long as
// an array that it walks through is unrolled by lavapipe whatever its length. Included with M, N, K and
// `pool` in place.

struct Left {
  float v[M * K];
};
struct Right {
  float v[K * N];
};
struct Sum {
  float v[M * N];
};
#define LEFT Left
#define RIGHT Right
#define SUM Sum

float half_at(uint at) {
  const vec2 both = unpackHalf2x16(pool[at / 8u][at / 2u % 4u]);
  return at % 2u == 0u ? both.x : both.y;
}

// Rows are `stride` elements of pool apart, for the right factor columns.
void load_left(out Left m, uint at, uint stride) {
  for (uint r = 0u; r < M; ++r) {
    for (uint c = 0u; c < K; ++c) m.v[r * K + c] = half_at((at + r * stride) * 8u + c);
  }
}

void load_right(out Right m, uint at, uint stride) {
  for (uint r = 0u; r < K; ++r) {
    for (uint c = 0u; c < N; ++c) m.v[r * N + c] = half_at((at + c * stride) * 8u + r);
  }
}

void set_zero(out Sum sum) {
  for (uint r = 0u; r < M; ++r) {
    for (uint c = 0u; c < N; ++c) sum.v[r * N + c] = 0.0;
  }
}

void multiply_add(Left a, Right b, inout Sum sum) {
  for (uint r = 0u; r < M; ++r) {
    for (uint c = 0u; c < N; ++c) {
      for (uint k = 0u; k < K; ++k) sum.v[r * N + c] += a.v[r * K + k] * b.v[k * N + c];
    }
  }
}

void store_sum(Sum sum, uint at, uint stride) {
  if (gl_SubgroupInvocationID != 0u) return;
  for (uint r = 0u; r < M; ++r) {
    for (uint c = 0u; c < N; ++c) {
      const uint to = (at + r * stride) * 4u + c;
      pool[to / 4u][to % 4u] = floatBitsToUint(sum.v[r * N + c]);
    }
  }
}
