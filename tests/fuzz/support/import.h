// Runs an importer, and the compiler behind it, on files that lie in a folder of their own.
#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <string_view>

#include "tests/support/zip_writer.h"

namespace nbl::fuzz {

// A folder in memory where the machine has such a file system; goes away with the process.
class Workplace {
 public:
  Workplace();
  ~Workplace();
  Workplace(const Workplace&) = delete;
  Workplace& operator=(const Workplace&) = delete;

  // Makes it empty.
  void clear() const;
  // Into `folder` inside of it. Of a name that leads elsewhere the last part counts.
  std::filesystem::path write(const std::string& name, std::string_view bytes,
                              const std::string& folder = {}) const;
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};
const Workplace& workplace();

// A finding: any exception but an error for people, or one without a sentence.
void expect_error_or_nothing(const std::function<void()>& work);

// Compiles what lies at `input`. What the compiler writes, the runtime must take.
void compile_and_load(const std::filesystem::path& input);

// The members of a zip archive; none where it is no whole one.
test::ZipMembers zip_members(std::string_view archive);

}  // namespace nbl::fuzz
