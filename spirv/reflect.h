// What a SPIR-V module asks of a device, read from its words.
#pragma once

#include <cstdint>
#include <vector>

namespace nbl::spirv {

inline constexpr uint32_t kNoConstant = 255;

struct Facts {
  uint32_t bindings = 0;  // highest binding + 1, set 0
  uint32_t push_bytes = 0;
  uint32_t local_x = 1;
  uint32_t local_id = kNoConstant;  // of the constant that sets local_x
  uint32_t shared_bytes = 0;
  uint32_t spec_count = 0;  // highest constant id + 1
  uint32_t capability_mask = 0;
  uint32_t image_mask = 0;  // the bindings that are sampled images; the others are storage buffers
};

// Specialisation constants have the values in `spec`, by id, and past its end their defaults.
//
// Errors  std::runtime_error: not a module, a capability that is not in capabilities.def, a
//         descriptor set other than 0, a workgroup that is not 1-D, a binding of another kind.
Facts reflect(const std::vector<uint32_t>& words, const std::vector<uint32_t>& spec = {});

}  // namespace nbl::spirv
