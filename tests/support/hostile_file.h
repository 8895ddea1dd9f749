// A copy of a model file to be spoilt in place, with checksums that fit again.
#pragma once

#include <cstddef>
#include <cstring>
#include <string>
#include <string_view>

#include "rt/base/crc32.h"
#include "rt/load.h"
#include "rt/model/file.h"
#include "schema_generated.h"
#include "tests/support/compiled.h"

namespace nbl::test {

class HostileFile {
 public:
  explicit HostileFile(const AlignedBytes& good) : bytes_(good) {}

  std::span<std::byte> bytes() { return bytes_.span(); }
  FileHeader& header() { return *reinterpret_cast<FileHeader*>(bytes_.lines.data()); }
  std::span<std::byte> graph() {
    return bytes().subspan(header().graph_offset, header().graph_bytes);
  }
  const fb::Model* root() { return fb::GetModel(graph().data()); }

  // Writes a field that the file holds.
  template <typename T>
  static void set(const void* table, flatbuffers::voffset_t field, T value) {
    const auto* fields = static_cast<const flatbuffers::Table*>(table);
    const uint8_t* at = fields->GetAddressOf(field);
    if (at == nullptr) throw std::runtime_error("the file leaves this field out");
    std::memcpy(const_cast<uint8_t*>(at), &value, sizeof value);
  }
  template <typename T>
  static void set_element(const flatbuffers::Vector<T>* vector, uint32_t index, T value) {
    write(vector, sizeof(uint32_t) + index * sizeof value, &value, sizeof value);
  }
  // The length lies in front of the elements.
  template <typename T>
  static void set_length(const flatbuffers::Vector<T>* vector, uint32_t length) {
    write(vector, 0, &length, sizeof length);
  }
  // Overwrites the beginning of a text.
  static void set_text(const flatbuffers::String* text, std::string_view with) {
    write(text, sizeof(uint32_t), with.data(), with.size());
  }

  void fix_header() {
    header().header_crc32 = crc32(bytes().first(offsetof(FileHeader, header_crc32)));
  }
  void fix() {
    header().graph_crc32 = crc32(graph());
    fix_header();
  }

  // The first `size` bytes are loaded; the sentence is empty where that works.
  std::string load_error(size_t size) {
    error_ = {};
    model_ = {};
    if (load(bytes().first(size), &model_, &error_).ok()) return {};
    char text[256];
    const size_t length = describe(error_, text, sizeof text);
    return length == 0 ? "a failure without a sentence" : std::string(text, length);
  }
  std::string load_error() { return load_error(bytes_.size); }
  Code code() const { return error_.status.code(); }
  const Model& model() const { return model_; }

 private:
  // FlatBuffers' types are views of one byte; not inlined, so that the compiler does not take them
  // for the objects that are written to.
  [[gnu::noinline]] static void write(const void* view, size_t offset, const void* from,
                                      size_t size) {
    std::memcpy(static_cast<char*>(const_cast<void*>(view)) + offset, from, size);
  }

  AlignedBytes bytes_;
  Model model_;
  Error error_;
};

}  // namespace nbl::test
