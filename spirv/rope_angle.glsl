// The rotation of position p, from a table of 64 + ceil(context / 64) rows of rotary_dim floats
// ((cos, sin) pairs): row p % 64 is the angle of that position, row 64 + p / 64 that of
// 64 * (p / 64).
// Their product is the angle of p, exact to float32 at any p, where p * frequency would not be.
// Needs a buffer `table`.

vec2 rope_angle(uint position, uint pair, uint rotary_dim) {
  const uint fine = (position & 63u) * rotary_dim + 2u * pair;
  const uint coarse = (64u + (position >> 6)) * rotary_dim + 2u * pair;
  const vec2 a = vec2(table[fine], table[fine + 1u]);
  const vec2 b = vec2(table[coarse], table[coarse + 1u]);
  return vec2(a.x * b.x - a.y * b.y, a.y * b.x + a.x * b.y);
}

// Where dim of a head is rotated (dim < rotary_dim): its pair and whether it is the pair's second.
// Pairs are (2i, 2i+1) for pair_offset 1, (i, i + rotary_dim/2) for pair_offset rotary_dim/2.
void rope_place(uint dim, uint pair_offset, out uint pair, out bool second) {
  if (pair_offset == 1u) {
    pair = dim >> 1;
    second = (dim & 1u) != 0u;
  } else {
    second = dim >= pair_offset;
    pair = second ? dim - pair_offset : dim;
  }
}
