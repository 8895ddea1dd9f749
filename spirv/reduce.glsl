// One value for a workgroup of L lanes, a power of two up to 128: the sum of theirs, or the largest.
// Included after the local size. By a tree in shared memory, or with SUBGROUP one value a subgroup,
// whatever its size.
shared float partial[128];

float combined(float x, float y, bool largest) { return largest ? max(x, y) : x + y; }

// A barrier must come between two calls.
float reduce(float value, bool largest) {
  const uint lane = gl_LocalInvocationIndex;
#ifdef SUBGROUP
  value = largest ? subgroupMax(value) : subgroupAdd(value);
  if (subgroupElect()) partial[gl_SubgroupID] = value;
  barrier();
  float total = partial[0];
  for (uint i = 1; i < gl_NumSubgroups; ++i) total = combined(total, partial[i], largest);
  return total;
#else
  partial[lane] = value;
  barrier();
  for (uint width = gl_WorkGroupSize.x / 2; width > 0; width /= 2) {
    if (lane < width) partial[lane] = combined(partial[lane], partial[lane + width], largest);
    barrier();
  }
  return partial[0];
#endif
}
