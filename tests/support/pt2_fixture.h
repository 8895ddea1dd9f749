// The exported programs under tests/fixtures/pt2, whole or with something changed.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "compiler/import/checkpoint.h"
#include "compiler/import/pt2/archive.h"
#include "compiler/import/pt2/zip_file.h"
#include "tests/support/temp_file.h"
#include "tests/support/zip_writer.h"

namespace nbl::test {

inline std::filesystem::path pt2_folder() {
  return std::filesystem::path(NIBBLE_SOURCE_DIR) / "tests/fixtures/pt2";
}
inline std::filesystem::path pt2_path(const std::string& name) {
  return pt2_folder() / (name + ".pt2");
}

// Every fixture's name, in order.
inline std::vector<std::string> pt2_names() {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(pt2_folder())) {
    if (entry.path().extension() == ".pt2") names.push_back(entry.path().stem().string());
  }
  std::sort(names.begin(), names.end());
  return names;
}

// What the exporting script knows of a fixture: NAME.json.
inline nlohmann::json pt2_facts(const std::string& name) {
  return nlohmann::json::parse(std::ifstream(pt2_folder() / (name + ".json")));
}

// The float64 logits of the first tokens: NAME.f64, rows of `vocab`.
inline std::vector<double> pt2_logits(const std::string& name) {
  const std::filesystem::path path = pt2_folder() / (name + ".f64");
  std::vector<double> values(std::filesystem::file_size(path) / sizeof(double));
  std::ifstream(path, std::ios::binary)
      .read(reinterpret_cast<char*>(values.data()),
            static_cast<std::streamsize>(values.size() * sizeof(double)));
  return values;
}

// A fixture's members, to be changed and packed again.
class Pt2Archive {
 public:
  explicit Pt2Archive(const std::string& name) : root_(name + "/") {
    const compiler::pt2::ZipFile file(pt2_path(name));
    for (const auto& [member, size] : file.members())
      members_.emplace_back(member, file.read_text(member));
  }

  std::string& member(const std::string& name) {
    for (auto& [known, data] : members_) {
      if (known == root_ + name) return data;
    }
    ADD_FAILURE() << "no member " << name;
    return members_.front().second;
  }
  void add(const std::string& name, std::string data) { members_.emplace_back(name, data); }
  void remove(const std::string& name) {
    std::erase_if(members_, [&](const auto& entry) { return entry.first == root_ + name; });
  }
  void rename(const std::string& from, const std::string& to) {
    for (auto& entry : members_) {
      if (entry.first == root_ + from) entry.first = root_ + to;
    }
  }
  // Changes a member that is JSON.
  void edit(const std::string& name, const std::function<void(nlohmann::json*)>& change) {
    nlohmann::json document = nlohmann::json::parse(member(name));
    change(&document);
    member(name) = document.dump();
  }
  void edit_program(const std::function<void(nlohmann::json*)>& change) {
    edit("models/model.json", change);
  }
  const ZipMembers& members() const { return members_; }
  std::string bytes() const { return zip_of(members_); }

 private:
  std::string root_;
  ZipMembers members_;
};

// The text of the ImportError that reading the bytes ends in; "" where it succeeds. Any other
// exception fails the test.
inline std::string pt2_error_of(std::string_view bytes) {
  const TempFile file(bytes, ".pt2");
  try {
    compiler::pt2::read_exported_program(file.path());
  } catch (const compiler::ImportError& error) {
    EXPECT_NE(std::string(error.what()).find(file.path().string()), std::string::npos)
        << error.what() << "\n  does not name the file";
    return error.what();
  }
  return "";
}

inline void expect_pt2_refused(const Pt2Archive& archive, const std::vector<std::string>& parts) {
  const std::string error = pt2_error_of(archive.bytes());
  ASSERT_NE(error, "") << "was read; expected an error with " << parts[0];
  for (const std::string& part : parts) {
    EXPECT_NE(error.find(part), std::string::npos) << error << "\n  lacks: " << part;
  }
}

}  // namespace nbl::test
