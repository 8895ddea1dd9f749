// Writes zip archives of stored members, for tests that damage them.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace nbl::test {

using ZipMembers = std::vector<std::pair<std::string, std::string>>;

// By a table: a fuzzer spends much of its time here.
inline uint32_t crc32_of(std::string_view bytes) {
  static const std::array<uint32_t, 256> kTable = [] {
    std::array<uint32_t, 256> table{};
    for (uint32_t byte = 0; byte < table.size(); ++byte) {
      table[byte] = byte;
      for (int bit = 0; bit < 8; ++bit)
        table[byte] = (table[byte] >> 1) ^ ((table[byte] & 1u) != 0 ? 0xedb88320u : 0u);
    }
    return table;
  }();
  uint32_t crc = ~0u;
  for (const char byte : bytes)
    crc = (crc >> 8) ^ kTable[(crc ^ static_cast<uint8_t>(byte)) & 0xff];
  return ~crc;
}

namespace zip_writer {

inline void append(std::string* out, uint64_t value, int bytes) {
  for (int i = 0; i < bytes; ++i)
    out->push_back(static_cast<char>(value >> (8 * i)));
}

// What the local and the central header have in common, from "version needed" on.
inline void append_facts(std::string* out, const std::string& name, std::string_view data) {
  append(out, 20, 2);    // version needed
  append(out, 0, 2);     // flags
  append(out, 0, 2);     // stored
  append(out, 0, 2);     // time
  append(out, 0x21, 2);  // 1980-01-01
  append(out, crc32_of(data), 4);
  append(out, data.size(), 4);
  append(out, data.size(), 4);
  append(out, name.size(), 2);
  append(out, 0, 2);  // extra
}

}  // namespace zip_writer

inline std::string zip_of(const ZipMembers& members) {
  using zip_writer::append;
  std::string out;
  std::string central;
  for (const auto& [name, data] : members) {
    const size_t offset = out.size();
    append(&out, 0x04034b50, 4);
    zip_writer::append_facts(&out, name, data);
    out += name + data;
    append(&central, 0x02014b50, 4);
    append(&central, 20, 2);  // made by
    zip_writer::append_facts(&central, name, data);
    append(&central, 0, 2);  // comment
    append(&central, 0, 2);  // disk
    append(&central, 0, 2);  // internal attributes
    append(&central, 0, 4);  // external attributes
    append(&central, offset, 4);
    central += name;
  }
  const size_t start = out.size();
  out += central;
  append(&out, 0x06054b50, 4);
  append(&out, 0, 4);  // disks
  append(&out, members.size(), 2);
  append(&out, members.size(), 2);
  append(&out, central.size(), 4);
  append(&out, start, 4);
  append(&out, 0, 2);  // comment
  return out;
}

}  // namespace nbl::test
