// Source  SPIR-V specification 1.3, sections 2.3 (physical layout) and 3 (binary form).
#include "spirv/reflect.h"

#include <algorithm>
#include <map>
#include <stdexcept>
#include <string>

namespace nbl::spirv {
namespace {

enum Op : uint32_t {
  kOpCapability = 17,
  kOpExecutionMode = 16,
  kOpTypeBool = 20,
  kOpTypeInt = 21,
  kOpTypeFloat = 22,
  kOpTypeVector = 23,
  kOpTypeImage = 25,
  kOpTypeArray = 28,
  kOpTypeStruct = 30,
  kOpTypePointer = 32,
  kOpConstant = 43,
  kOpConstantComposite = 44,
  kOpSpecConstant = 50,
  kOpSpecConstantComposite = 51,
  kOpSpecConstantOp = 52,
  kOpVariable = 59,
  kOpDecorate = 71,
  kOpMemberDecorate = 72,
};

enum Decoration : uint32_t {
  kSpecId = 1,
  kArrayStride = 6,
  kBuiltIn = 11,
  kBinding = 33,
  kDescriptorSet = 34,
  kOffset = 35,
};

constexpr uint32_t kBuiltInWorkgroupSize = 25;
constexpr uint32_t kModeLocalSize = 17;
constexpr uint32_t kUniformConstantStorage = 0;
constexpr uint32_t kWorkgroupStorage = 4;
constexpr uint32_t kPushConstantStorage = 9;

struct Capability {
  const char* name;
  uint32_t number;
};
constexpr Capability kCapabilities[] = {
#define NBL_CAPABILITY(name, number, needs) {#name, number},
#include "spirv/capabilities.def"
#undef NBL_CAPABILITY
};

struct Instruction {
  uint32_t op = 0;
  std::vector<uint32_t> operands;
};

class Reader {
 public:
  Reader(const std::vector<uint32_t>& words, const std::vector<uint32_t>& spec) : spec_(spec) {
    if (words.size() < 5 || words[0] != 0x07230203u) throw std::runtime_error("not SPIR-V");
    for (size_t at = 5; at < words.size();) {
      const uint32_t length = words[at] >> 16;
      if (length == 0 || length > words.size() - at) throw std::runtime_error("SPIR-V is cut off");
      read({words[at] & 0xffffu, {words.begin() + at + 1, words.begin() + at + length}});
      at += length;
    }
    finish();
  }

  Facts facts;

 private:
  void read(const Instruction& in) {
    const auto& o = in.operands;
    switch (in.op) {
      case kOpCapability:
        facts.capability_mask |= capability_bit(o[0]);
        break;
      case kOpExecutionMode:
        if (o[1] == kModeLocalSize) check_size(o[2], o[3], o[4]);
        break;
      case kOpDecorate:
        decorate(o);
        break;
      case kOpMemberDecorate:
        if (o[2] == kOffset) offsets_[o[0]][o[1]] = o[3];
        break;
      case kOpTypeBool:
      case kOpTypeInt:
      case kOpTypeFloat:
      case kOpTypeVector:
      case kOpTypeImage:
      case kOpTypeArray:
      case kOpTypeStruct:
      case kOpTypePointer:
        types_[o[0]] = in;
        break;
      case kOpConstant:
      case kOpSpecConstant:
      case kOpConstantComposite:
      case kOpSpecConstantComposite:
      case kOpSpecConstantOp:
        constants_[o[1]] = in;
        break;
      case kOpVariable:
        if (o[2] == kWorkgroupStorage) facts.shared_bytes += size_of(types_.at(o[0]).operands[2]);
        if (o[2] == kUniformConstantStorage) add_image(o[1], types_.at(o[0]).operands[2]);
        if (o[2] == kPushConstantStorage) facts.push_bytes = size_of(types_.at(o[0]).operands[2]);
        break;
      default:
        break;
    }
  }

  void decorate(const std::vector<uint32_t>& o) {
    if (o[1] == kBinding) {
      facts.bindings = std::max(facts.bindings, o[2] + 1);
      bindings_[o[0]] = o[2];
    }
    if (o[1] == kSpecId) {
      facts.spec_count = std::max(facts.spec_count, o[2] + 1);
      spec_ids_[o[0]] = o[2];
    }
    if (o[1] == kArrayStride) strides_[o[0]] = o[2];
    if (o[1] == kDescriptorSet && o[2] != 0) throw std::runtime_error("descriptor set is not 0");
    if (o[1] == kBuiltIn && o[2] == kBuiltInWorkgroupSize) workgroup_size_ = o[0];
  }

  // A variable of the only kind of binding that there is beside storage buffers. Operands of an
  // image type: id, sampled type, dimension (1 = 2D), depth, arrayed, multisampled, sampled (1 =
  // with a sampler or fetched from).
  void add_image(uint32_t variable, uint32_t type) {
    const auto found = types_.find(type);
    const bool image = found != types_.end() && found->second.op == kOpTypeImage;
    if (!image || found->second.operands[2] != 1 || found->second.operands[6] != 1) {
      throw std::runtime_error("a binding is neither a storage buffer nor a sampled 2D image");
    }
    facts.image_mask |= 1u << bindings_.at(variable);
  }

  // The WorkgroupSize constant overrides the LocalSize mode.
  void finish() {
    if (workgroup_size_ == 0) return;
    const auto& o = constants_.at(workgroup_size_).operands;
    check_size(value_of(o[2]), value_of(o[3]), value_of(o[4]));
    const auto id = spec_ids_.find(o[2]);
    if (id != spec_ids_.end()) facts.local_id = id->second;
  }

  void check_size(uint32_t x, uint32_t y, uint32_t z) {
    if (y != 1 || z != 1) throw std::runtime_error("the workgroup is not 1-D");
    facts.local_x = x;
  }

  static uint32_t capability_bit(uint32_t number) {
    for (size_t i = 0; i < std::size(kCapabilities); ++i) {
      if (kCapabilities[i].number == number) return 1u << i;
    }
    throw std::runtime_error("capability " + std::to_string(number) +
                             " is not in spirv/capabilities.def");
  }

  uint32_t value_of(uint32_t id) const {
    const Instruction& in = constants_.at(id);
    const auto& o = in.operands;
    const auto spec_id = spec_ids_.find(id);
    if (spec_id != spec_ids_.end() && spec_id->second < spec_.size()) return spec_[spec_id->second];
    if (in.op != kOpSpecConstantOp) return o[2];
    const auto arg = [&](size_t i) { return value_of(o[3 + i]); };
    switch (o[2]) {
      case 81:
        return value_of(constants_.at(o[3]).operands[2 + o[4]]);
      case 128:
        return arg(0) + arg(1);
      case 130:
        return arg(0) - arg(1);
      case 132:
        return arg(0) * arg(1);
      case 134:
      case 135:
        return arg(1) == 0 ? 0 : arg(0) / arg(1);
      case 194:
        return arg(0) >> arg(1);
      case 196:
        return arg(0) << arg(1);
      case 199:
        return arg(0) & arg(1);
      default:
        throw std::runtime_error("unknown constant op " + std::to_string(o[2]));
    }
  }

  // Bytes. Three-component vectors count as four: a device may lay them out so.
  uint32_t size_of(uint32_t id) const {
    const Instruction& in = types_.at(id);
    const auto& o = in.operands;
    switch (in.op) {
      case kOpTypeBool:
        return 4;
      case kOpTypeInt:
      case kOpTypeFloat:
        return o[1] / 8;
      case kOpTypeVector:
        return size_of(o[1]) * (o[2] == 3 ? 4 : o[2]);
      case kOpTypeArray: {
        const auto stride = strides_.find(id);
        const uint32_t each = stride == strides_.end() ? size_of(o[1]) : stride->second;
        return each * value_of(o[2]);
      }
      case kOpTypeStruct:
        return struct_size(id, o);
      default:
        throw std::runtime_error("unknown type in shared or push memory");
    }
  }

  uint32_t struct_size(uint32_t id, const std::vector<uint32_t>& o) const {
    const auto offsets = offsets_.find(id);
    uint32_t end = 0;
    for (uint32_t i = 0; i + 1 < o.size(); ++i) {
      const uint32_t at = offsets == offsets_.end() ? end : offsets->second.at(i);
      end = std::max(end, at + size_of(o[i + 1]));
    }
    return end;
  }

  const std::vector<uint32_t>& spec_;
  std::map<uint32_t, uint32_t> spec_ids_;  // by constant
  std::map<uint32_t, Instruction> types_;
  std::map<uint32_t, Instruction> constants_;
  std::map<uint32_t, uint32_t> strides_;
  std::map<uint32_t, uint32_t> bindings_;  // by variable
  std::map<uint32_t, std::map<uint32_t, uint32_t>> offsets_;
  uint32_t workgroup_size_ = 0;
};

}  // namespace

Facts reflect(const std::vector<uint32_t>& words, const std::vector<uint32_t>& spec) {
  return Reader(words, spec).facts;
}

}  // namespace nbl::spirv
