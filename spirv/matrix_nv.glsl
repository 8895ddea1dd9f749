// Cooperative matrices of GL_NV_cooperative_matrix. Included with M, N, K and `pool` in place, whose
// elements are what offsets and strides count.
#define LEFT fcoopmatNV<16, gl_ScopeSubgroup, M, K>
#define RIGHT fcoopmatNV<16, gl_ScopeSubgroup, K, N>
#define SUM fcoopmatNV<32, gl_ScopeSubgroup, M, N>
// Rows of halves, for the right factor columns, `stride` apart.
#define load_left(m, at, stride) coopMatLoadNV(m, pool, at, stride, false)
#define load_right(m, at, stride) coopMatLoadNV(m, pool, at, stride, true)
#define set_zero(sum) sum = SUM(0.0)
#define multiply_add(a, b, sum) sum = coopMatMulAddNV(a, b, sum)
#define store_sum(sum, at, stride) coopMatStoreNV(sum, pool, at, stride, false)
