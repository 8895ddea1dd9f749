// Finds the tensors of an archive: a configuration in JSON names, for each tensor, the member that
// holds its storage, and how it lies in there.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "compiler/import/json_field.h"
#include "compiler/import/pt2/exported_program.h"
#include "compiler/import/pt2/zip_file.h"

namespace nbl::compiler::pt2 {

// The bytes that an ExportedProgram's constants borrow.
struct PayloadStorage {
  std::map<std::string, std::vector<std::byte>> members;
  // Views that are not contiguous, made so, by member and geometry.
  std::map<std::string, std::vector<std::byte>> copies;
  uint64_t repeated_bytes = 0;  // of those that are larger than what they are views of
};

class Payload {
 public:
  // `folder` holds the members that the configuration at `config` names.
  // Borrows  the archive and the configuration's document.
  Payload(const ZipFile& archive, std::string folder, const JsonField& config);

  bool has(const std::string& name) const { return entries_.contains(name); }
  // Errors  ImportError where the tensor cannot be read, naming it.
  ConstantTensor tensor(const std::string& name, PayloadStorage* storage) const;

 private:
  const ZipFile* archive_;
  std::string folder_;
  std::map<std::string, JsonField> entries_;
};

}  // namespace nbl::compiler::pt2
