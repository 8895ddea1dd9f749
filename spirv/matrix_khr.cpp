#include "spirv/matrix_khr.h"

#include <cstring>
#include <map>
#include <stdexcept>
#include <string>
#include <utility>

namespace nbl::spirv {
namespace {

using Words = std::vector<uint32_t>;

enum Op : uint32_t {
  kOpExtension = 10,
  kOpCapability = 17,
  kOpTypeInt = 21,
  kOpConstantTrue = 41,
  kOpConstantFalse = 42,
  kOpConstant = 43,
  kOpLoad = 61,
  kOpTypeMatrixNV = 5358,
  kOpMatrixLoadNV = 5359,
  kOpMatrixStoreNV = 5360,
  kOpMatrixMulAddNV = 5361,
  kOpMatrixLengthNV = 5362,
  kOpTypeMatrixKHR = 4456,
  kOpMatrixLoadKHR = 4457,
  kOpMatrixStoreKHR = 4458,
  kOpMatrixMulAddKHR = 4459,
};

constexpr uint32_t kMatrixNV = 5357;  // capabilities
constexpr uint32_t kMatrixKHR = 6022;
constexpr const char* kExtensionNV = "SPV_NV_cooperative_matrix";
constexpr const char* kExtensionKHR = "SPV_KHR_cooperative_matrix";

// As the KHR extension numbers them; layouts take the first two.
enum Use : uint32_t { kLeft = 0, kRight = 1, kSum = 2, kUses = 3 };

// The operands of a string: its bytes, a zero at least, in whole words.
Words string_words(const std::string& text) {
  Words words(text.size() / 4 + 1);
  std::memcpy(words.data(), text.data(), text.size());
  return words;
}

class Rewriter {
 public:
  explicit Rewriter(const Words& in) : in_(in) {
    if (in.size() < 5 || in[0] != 0x07230203u) throw std::runtime_error("not SPIR-V");
    constants_ = in[3];
    each([this](uint32_t op, const Words& o) { learn(op, o); });
    out_.assign(in.begin(), in.begin() + 5);
    out_[3] += kUses;  // ids in use end below it
    each([this](uint32_t op, const Words& o) { rewrite(op, o); });
  }

  Words take() { return std::move(out_); }

 private:
  template <typename Visit>
  void each(const Visit& visit) {
    for (size_t at = 5; at < in_.size();) {
      const uint32_t length = in_[at] >> 16;
      if (length == 0 || length > in_.size() - at) throw std::runtime_error("SPIR-V is cut off");
      const auto first = in_.begin() + static_cast<std::ptrdiff_t>(at);
      visit(in_[at] & 0xffffu, Words(first + 1, first + length));
      at += length;
    }
  }

  void learn(uint32_t op, const Words& o) {
    switch (op) {
      case kOpTypeInt:
        if (o[1] == 32 && o[2] == 0) uint_ = o[0];
        break;
      case kOpConstantTrue:
      case kOpConstantFalse:
        column_major_[o[1]] = op == kOpConstantTrue;
        break;
      case kOpLoad:
      case kOpMatrixLoadNV:
        type_of_[o[1]] = o[0];
        break;
      case kOpMatrixMulAddNV:
        type_of_[o[1]] = o[0];
        use(known(type_of_, o[2]), kLeft);
        use(known(type_of_, o[3]), kRight);
        use(o[0], kSum);
        break;
      case kOpMatrixLengthNV:
        throw std::runtime_error("the length of a cooperative matrix is not rewritten");
      default:
        break;
    }
  }

  template <typename Value>
  static Value known(const std::map<uint32_t, Value>& values, uint32_t id) {
    const auto found = values.find(id);
    if (found != values.end()) return found->second;
    throw std::runtime_error("a factor that was not loaded, or a layout that is no constant");
  }

  void use(uint32_t type, Use as) {
    const auto [entry, is_new] = uses_.try_emplace(type, as);
    if (!is_new && entry->second != as) {
      throw std::runtime_error("a cooperative matrix type has two uses");
    }
  }

  void rewrite(uint32_t op, const Words& o) {
    switch (op) {
      case kOpCapability:
        return put(op, {o[0] == kMatrixNV ? kMatrixKHR : o[0]});
      case kOpExtension:
        return put(op, o == string_words(kExtensionNV) ? string_words(kExtensionKHR) : o);
      case kOpTypeMatrixNV:
        return put_type(o);
      case kOpMatrixLoadNV:
        return put_access(kOpMatrixLoadKHR, o, 3);
      case kOpMatrixStoreNV:
        return put_access(kOpMatrixStoreKHR, o, 2);
      case kOpMatrixMulAddNV:
        return put(kOpMatrixMulAddKHR, o);
      default:
        return put(op, o);
    }
  }

  // Types and constants are in one section: the uses come before the first matrix type.
  void put_type(const Words& o) {
    for (uint32_t i = 0; i < kUses && !have_constants_; ++i) {
      put(kOpConstant, {uint_, constants_ + i, i});
    }
    have_constants_ = true;
    const auto found = uses_.find(o[0]);
    if (found == uses_.end()) throw std::runtime_error("a cooperative matrix type has no use");
    put(kOpTypeMatrixKHR, {o[0], o[1], o[2], o[3], o[4], constants_ + found->second});
  }

  // Stride and whether columns are contiguous, at `at`, become the layout and the stride.
  void put_access(uint32_t op, Words o, size_t at) {
    const uint32_t layout = known(column_major_, o[at + 1]) ? 1 : 0;
    o[at + 1] = o[at];
    o[at] = constants_ + layout;
    put(op, o);
  }

  void put(uint32_t op, const Words& operands) {
    out_.push_back(static_cast<uint32_t>(operands.size() + 1) << 16 | op);
    out_.insert(out_.end(), operands.begin(), operands.end());
  }

  const Words& in_;
  Words out_;
  uint32_t uint_ = 0;
  uint32_t constants_ = 0;  // the id of 0, before those of 1 and 2
  bool have_constants_ = false;
  std::map<uint32_t, bool> column_major_;  // by constant
  std::map<uint32_t, uint32_t> type_of_;   // of what is loaded or multiplied
  std::map<uint32_t, Use> uses_;           // by type
};

}  // namespace

std::vector<uint32_t> matrices_as_khr(const std::vector<uint32_t>& words) {
  return Rewriter(words).take();
}

}  // namespace nbl::spirv
