// Modules of GL_NV_cooperative_matrix as modules of SPV_KHR_cooperative_matrix: for devices of
// other vendors, from a glslc that knows the older extension only.
#pragma once

#include <cstdint>
#include <vector>

namespace nbl::spirv {

// The same module with matrices of the other extension.
//
// A type there says what its matrices are for (the left factor of a product, the right one, or a
// sum): it is read off the products. So a type has to have one use. A shader in which M, N and K
// are three different constants gives the three of a product types of their own.
//
// Errors  std::runtime_error: not SPIR-V; a type with two uses or with none; matrices in an
//         instruction that is not a load, a store or a product.
// Source  SPIR-V extensions NV_cooperative_matrix and KHR_cooperative_matrix.
std::vector<uint32_t> matrices_as_khr(const std::vector<uint32_t>& words);

}  // namespace nbl::spirv
