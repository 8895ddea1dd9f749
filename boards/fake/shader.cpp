// Source  SPIR-V specification 1.3, section 3 (binary form). What a module may touch is told from
//         its loads, stores and atomics, not from what its bindings are declared as.
#include "boards/fake/shader.h"

#include <exception>
#include <set>
#include <span>

namespace nbl::fake {
namespace {

enum Op : uint32_t {
  kTypePointer = 32,
  kSpecConstant = 50,
  kSpecConstantComposite = 51,
  kVariable = 59,
  kLoad = 61,
  kStore = 62,
  kAccessChain = 65,
  kInBoundsAccessChain = 66,
  kDecorate = 71,
  kMemberDecorate = 72,
  kAtomicLoad = 227,
  kAtomicStore = 228,
  kAtomicExchange = 229,
  kAtomicXor = 242,
  kCooperativeMatrixLoad = 5359,
  kCooperativeMatrixStore = 5360,
  kCooperativeMatrixLoadKHR = 4457,
  kCooperativeMatrixStoreKHR = 4458,
};
constexpr uint32_t kSpecId = 1;
constexpr uint32_t kBuiltIn = 11;
constexpr uint32_t kNonWritable = 24;
constexpr uint32_t kBinding = 33;
constexpr uint32_t kWorkgroupSize = 25;

class Scan {
 public:
  explicit Scan(Shader* shader) : shader_(shader) {}

  void read(uint32_t op, std::span<const uint32_t> o) {
    switch (op) {
      case kDecorate:
        if (o[1] == kBinding) bindings_[o[0]] = o[2];
        if (o[1] == kSpecId) spec_ids_[o[0]] = static_cast<int32_t>(o[2]);
        if (o[1] == kBuiltIn && o[2] == kWorkgroupSize) workgroup_size_ = o[0];
        break;
      case kMemberDecorate:
        if (o[2] == kNonWritable) readonly_.insert(o[0]);
        break;
      case kTypePointer:
        pointee_[o[0]] = o[2];
        break;
      case kSpecConstantComposite:
        if (o[1] == workgroup_size_ && spec_ids_.contains(o[2])) {
          shader_->size_id = spec_ids_[o[2]];
        }
        break;
      case kVariable:
        if (bindings_.contains(o[1])) base_[o[1]] = {bindings_[o[1]], pointee_[o[0]]};
        break;
      case kAccessChain:
      case kInBoundsAccessChain:
        if (base_.contains(o[2])) base_[o[1]] = base_[o[2]];
        break;
      case kLoad:
      case kAtomicLoad:
      case kCooperativeMatrixLoad:
      case kCooperativeMatrixLoadKHR:
        touch(o[2], true, false);
        break;
      case kStore:
      case kAtomicStore:
      case kCooperativeMatrixStore:
      case kCooperativeMatrixStoreKHR:
        touch(o[0], false, true);
        break;
      default:
        if (op >= kAtomicExchange && op <= kAtomicXor) touch(o[2], true, true);
        break;
    }
  }

 private:
  struct Base {
    uint32_t binding;
    uint32_t type;
  };

  void touch(uint32_t pointer, bool reads, bool writes) {
    const auto found = base_.find(pointer);
    if (found == base_.end()) return;
    const uint32_t bit = 1u << found->second.binding;
    if (reads) shader_->reads |= bit;
    if (!writes) return;
    shader_->writes |= bit;
    if (readonly_.contains(found->second.type)) shader_->written_although_readonly |= bit;
  }

  Shader* shader_;
  std::map<uint32_t, uint32_t> bindings_;
  std::map<uint32_t, uint32_t> pointee_;
  std::map<uint32_t, int32_t> spec_ids_;
  std::map<uint32_t, Base> base_;  // of pointers into bindings
  std::set<uint32_t> readonly_;    // struct types
  uint32_t workgroup_size_ = 0;
};

}  // namespace

Shader read_shader(const std::vector<uint32_t>& words) {
  Shader shader;
  try {
    shader.facts = spirv::reflect(words);
  } catch (const std::exception& error) {
    shader.wrong = error.what();
    return shader;
  }
  Scan scan(&shader);
  for (size_t at = 5; at < words.size(); at += words[at] >> 16) {
    scan.read(words[at] & 0xffffu, std::span(words).subspan(at + 1, (words[at] >> 16) - 1));
  }
  return shader;
}

}  // namespace nbl::fake
