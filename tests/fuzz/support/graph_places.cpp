#include "tests/fuzz/support/graph_places.h"

#include "flatbuffers/minireflect.h"
#include "fuzz/schema_generated.h"

namespace nbl::fuzz {
namespace {

constexpr uint32_t kMostElements = 64;

class Walk {
 public:
  explicit Walk(std::vector<Place>* out) : out_(out) {}

  void table(uint8_t* at, const flatbuffers::TypeTable* types) {
    uint8_t* const vtable = at - flatbuffers::ReadScalar<flatbuffers::soffset_t>(at);
    const auto vtable_bytes = flatbuffers::ReadScalar<flatbuffers::voffset_t>(vtable);
    for (size_t i = 0; i < types->num_elems; ++i) {
      const size_t slot = 4 + 2 * i;
      if (slot + 2 > vtable_bytes) break;
      add(vtable + slot, 2, PlaceKind::slot);
      const auto field = flatbuffers::ReadScalar<flatbuffers::voffset_t>(vtable + slot);
      if (field == 0) continue;
      const flatbuffers::TypeCode code = types->type_codes[i];
      if (code.is_repeating) {
        vector(target(at + field), code, types);
      } else {
        value(at + field, code, types);
      }
    }
  }

 private:
  void add(uint8_t* at, size_t bytes, PlaceKind kind) {
    out_->push_back({at, static_cast<uint8_t>(bytes), kind});
  }

  uint8_t* target(uint8_t* at) {
    add(at, 4, PlaceKind::offset);
    return at + flatbuffers::ReadScalar<flatbuffers::uoffset_t>(at);
  }

  void value(uint8_t* at, flatbuffers::TypeCode code, const flatbuffers::TypeTable* types) {
    const auto type = static_cast<flatbuffers::ElementaryType>(code.base_type);
    if (type == flatbuffers::ET_STRING) {
      add(target(at), 4, PlaceKind::length);
    } else if (type == flatbuffers::ET_SEQUENCE) {
      table(target(at), types->type_refs[code.sequence_ref]());
    } else {
      add(at, flatbuffers::InlineSize(type, nullptr), PlaceKind::number);
    }
  }

  void vector(uint8_t* at, flatbuffers::TypeCode code, const flatbuffers::TypeTable* types) {
    add(at, 4, PlaceKind::length);
    const uint32_t count = flatbuffers::ReadScalar<flatbuffers::uoffset_t>(at);
    const auto type = static_cast<flatbuffers::ElementaryType>(code.base_type);
    const bool inside = type != flatbuffers::ET_STRING && type != flatbuffers::ET_SEQUENCE;
    const size_t step = inside ? flatbuffers::InlineSize(type, nullptr) : 4;
    for (uint32_t i = 0; i < count && i < kMostElements; ++i)
      value(at + 4 + i * step, code, types);
  }

  std::vector<Place>* out_;
};

}  // namespace

std::vector<Place> places_of(std::span<uint8_t> graph) {
  std::vector<Place> places;
  flatbuffers::Verifier verifier(graph.data(), graph.size(), 8, 1u << 18);
  if (graph.size() < 8 || !fb::VerifyModelBuffer(verifier)) return places;
  const auto root = flatbuffers::ReadScalar<flatbuffers::uoffset_t>(graph.data());
  Walk(&places).table(graph.data() + root, fb::ModelTypeTable());
  return places;
}

}  // namespace nbl::fuzz
