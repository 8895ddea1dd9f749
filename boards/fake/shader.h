// What the fake knows of a shader module, read from its words.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "spirv/reflect.h"

namespace nbl::fake {

struct Shader {
  std::string wrong;  // why it is no module that the fake understands; empty = it is one
  spirv::Facts facts;
  // Bindings that some instruction reads or writes, whatever specialisation leaves of it.
  uint32_t reads = 0;
  uint32_t writes = 0;
  uint32_t written_although_readonly = 0;
  int32_t size_id = -1;  // specialisation constant of the workgroup's size along x; -1 = none
};

Shader read_shader(const std::vector<uint32_t>& words);

}  // namespace nbl::fake
