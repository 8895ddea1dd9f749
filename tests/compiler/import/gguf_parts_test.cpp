// Breaks if a checkpoint in several files is read with a part missing, twice or of another one.
#include "compiler/import/gguf_parts.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "compiler/import/gguf_writer.h"
#include "tests/support/gguf_writer.h"
#include "tests/support/import_errors.h"

namespace {

using namespace nbl::compiler;
using namespace nbl::test;

constexpr uint32_t kParts = 3;

// A folder with a checkpoint in three files.
class Parts {
 public:
  explicit Parts(const LlamaSpec& spec = {}) : source_(write_gguf_llama(spec)) {
    static int count = 0;
    folder_ = std::filesystem::temp_directory_path() /
              ("nibble_parts_" + std::to_string(getpid()) + "_" + std::to_string(count++));
    std::filesystem::create_directory(folder_);
    for (uint32_t part = 0; part < kParts; ++part)
      write(part, part, kParts, named_shapes(spec).size(), spec);
  }
  ~Parts() { std::filesystem::remove_all(folder_); }
  Parts(const Parts&) = delete;
  Parts& operator=(const Parts&) = delete;

  std::filesystem::path path(uint32_t part) const {
    return folder_ / ("model-0000" + std::to_string(part + 1) + "-of-00003.gguf");
  }
  const LlamaFile& source() const { return source_; }

  // The tensors of `part` under the name of part `part`, saying that it is part `own` of `count`.
  void write(uint32_t part, uint32_t own, uint32_t count, uint64_t tensors,
             const LlamaSpec& spec = {}) const {
    const std::string bytes = write_gguf_part(source_, spec, part, kParts, {own, count, tensors});
    std::ofstream(path(part), std::ios::binary).write(bytes.data(), std::ssize(bytes));
  }

 private:
  LlamaFile source_;
  std::filesystem::path folder_;
};

void expect_refused_at(const std::filesystem::path& path, const std::vector<std::string>& wanted) {
  const std::string error = import_error(path);
  ASSERT_NE(error, "") << "was imported";
  for (const std::string& part : wanted)
    EXPECT_NE(error.find(part), std::string::npos) << error << "\n  lacks: " << part;
}

TEST(GgufParts, are_one_checkpoint) {
  const Parts parts;
  const Checkpoint checkpoint = import_checkpoint(parts.path(0), {});
  ASSERT_EQ(checkpoint.tensors.size(), parts.source().weights.size());
  for (const auto& [name, values] : parts.source().weights) {
    const SourceTensor& tensor = checkpoint.tensors.at(name);
    std::vector<float> row(tensor.columns);
    tensor.read_row(tensor.rows - 1, row.data());
    EXPECT_TRUE(std::equal(row.rbegin(), row.rend(), values.rbegin())) << name;
  }
}

TEST(GgufParts, are_refused_where_one_is_missing) {
  const Parts parts;
  std::filesystem::remove(parts.path(1));
  expect_refused_at(parts.path(0),
                    {"model-00002-of-00003.gguf", "is missing", "part 2", "3 parts"});
}

TEST(GgufParts, are_refused_where_the_first_is_not_given) {
  const Parts parts;
  expect_refused_at(parts.path(2), {"part 3 of 3", "give the first, model-00001-of-00003.gguf"});
}

TEST(GgufParts, are_refused_where_one_is_foreign) {
  const Parts parts;
  const uint64_t tensors = parts.source().weights.size();
  parts.write(1, 2, kParts, tensors);
  expect_refused_at(parts.path(0), {"model-00002", "is part 3 of 3", "part 2 of 3 is needed"});
  parts.write(1, 1, 5, tensors);
  expect_refused_at(parts.path(0), {"model-00002", "is part 2 of 5", "part 2 of 3 is needed"});
  std::filesystem::copy_file(parts.path(2), parts.path(1),
                             std::filesystem::copy_options::overwrite_existing);
  expect_refused_at(parts.path(0), {"model-00002", "part 2 of 3 is needed"});
  std::ofstream(parts.path(1), std::ios::binary) << write_gguf_llama({}).bytes;
  expect_refused_at(parts.path(0), {"model-00002", "no part of a checkpoint"});
  std::ofstream(parts.path(1), std::ios::binary) << "something else";
  expect_refused_at(parts.path(0), {"model-00002", "not a GGUF file"});
}

TEST(GgufParts, are_refused_where_tensors_are_there_twice_or_not_at_all) {
  const Parts parts;
  const uint64_t tensors = parts.source().weights.size();
  parts.write(0, 0, kParts, tensors + 1);
  expect_refused_at(parts.path(0), {"split.tensors.count is " + std::to_string(tensors + 1),
                                    "have " + std::to_string(tensors) + " tensors"});
  // The second part with the tensors of the third.
  const Parts other;
  other.write(2, 1, kParts, tensors);
  std::filesystem::copy_file(other.path(2), parts.path(1),
                             std::filesystem::copy_options::overwrite_existing);
  expect_refused_at(parts.path(0), {"is in another part", "model-00003"});
}

TEST(GgufParts, are_refused_where_their_name_leads_to_no_other) {
  const Parts parts;
  const std::filesystem::path renamed = parts.path(0).parent_path() / "model.gguf";
  std::filesystem::rename(parts.path(0), renamed);
  expect_refused_at(renamed, {"part 1 of 3", "must end in -00001-of-00003.gguf"});
  parts.write(0, 7, 3, 1);
  expect_refused_at(parts.path(0), {"split.no is 7", "split.count 3"});
}

TEST(GgufParts, may_be_one) {
  const Parts parts;
  GgufWriter writer;
  writer.add_u32("split.count", 1);
  const TempFile file(writer.header());
  EXPECT_EQ(open_gguf(std::make_shared<MappedFile>(file.path())).size(), 1u);
}

}  // namespace
