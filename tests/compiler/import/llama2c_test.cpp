// Breaks if a llama2.c weight lands under another name or a wrong file is taken for a checkpoint.
#include "compiler/import/llama2c.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <filesystem>

#include "tests/support/import_errors.h"
#include "tests/support/llama2c_writer.h"
#include "tests/support/temp_file.h"

namespace {

using namespace nbl::compiler;
using namespace nbl::test;

LlamaSpec small_spec() {
  LlamaSpec spec;
  spec.dim = 60;
  spec.heads = 6;
  spec.kv_heads = 3;
  spec.head_dim = 10;
  spec.ffn = 77;
  spec.layers = 3;
  return spec;
}

void expect_equal(const Checkpoint& checkpoint, const LlamaFile& file) {
  ASSERT_EQ(checkpoint.tensors.size(), file.weights.size());
  for (const auto& [name, values] : file.weights) {
    ASSERT_TRUE(checkpoint.tensors.contains(name)) << name;
    const SourceTensor& tensor = checkpoint.tensors.at(name);
    ASSERT_EQ(tensor.rows * tensor.columns, values.size()) << name;
    std::vector<float> row(tensor.columns);
    for (uint64_t r = 0; r < tensor.rows; ++r) {
      tensor.read_row(r, row.data());
      ASSERT_EQ(std::memcmp(row.data(), &values[r * tensor.columns], tensor.row_bytes()), 0)
          << name << " row " << r;
    }
  }
}

std::string with_field(std::string bytes, size_t index, int32_t value) {
  return bytes.replace(4 * index, 4, reinterpret_cast<const char*>(&value), 4);
}

TEST(Llama2c, reads_back_every_weight_of_a_tied_checkpoint) {
  const LlamaFile written = write_llama2c(small_spec());
  const TempFile file(written.bytes);
  const Checkpoint checkpoint = import_checkpoint(file.path(), {});
  expect_equal(checkpoint, written);
  const Hyper& hyper = checkpoint.hyper;
  EXPECT_EQ(hyper.architecture, "llama");
  EXPECT_EQ(hyper.name, file.path().stem().string());
  EXPECT_EQ(hyper.vocab, 367u);
  EXPECT_EQ(hyper.dim, 60u);
  EXPECT_EQ(hyper.layers, 3u);
  EXPECT_EQ(hyper.heads, 6u);
  EXPECT_EQ(hyper.kv_heads, 3u);
  EXPECT_EQ(hyper.head_dim, 10u);
  EXPECT_EQ(hyper.ffn, 77u);
  EXPECT_EQ(hyper.context, 77u);
  EXPECT_EQ(hyper.eps, 1e-5f);
  EXPECT_EQ(hyper.rotary_dim, 10u);
  EXPECT_FALSE(hyper.rope_half);
  EXPECT_EQ(hyper.stop_tokens, (std::vector<uint32_t>{1, 2}));
  ASSERT_EQ(hyper.rope_inv_freq.size(), 5u);
  EXPECT_EQ(hyper.rope_inv_freq[0], 1.0);
  EXPECT_NEAR(hyper.rope_inv_freq[4], std::pow(10000.0, -0.8), 1e-12);
  EXPECT_FALSE(checkpoint.tokenizer);
}

TEST(Llama2c, reads_back_the_classifier_of_an_untied_checkpoint) {
  LlamaSpec spec = small_spec();
  spec.tied = false;
  const LlamaFile written = write_llama2c(spec);
  const TempFile file(written.bytes);
  const Checkpoint checkpoint = import_checkpoint(file.path(), {});
  EXPECT_TRUE(checkpoint.tensors.contains("output"));
  expect_equal(checkpoint, written);
}

TEST(Llama2c, outlives_the_file_on_disk) {
  const LlamaFile written = write_llama2c(small_spec());
  auto file = std::make_unique<TempFile>(written.bytes);
  const Checkpoint checkpoint = import_checkpoint(file->path(), {});
  file.reset();
  expect_equal(checkpoint, written);
}

TEST(Llama2c, refuses_every_truncation_and_a_byte_too_many) {
  LlamaSpec spec = small_spec();
  spec.layers = 1;
  spec.vocab = 5;
  const std::string bytes = write_llama2c(spec).bytes;
  expect_refused(bytes + "x", {"a whole llama2.c checkpoint"});
  const TempFile file(bytes);
  for (size_t size = bytes.size(); size-- > 0;) {
    if (size > 64 && size % 97 != 0) continue;
    std::filesystem::resize_file(file.path(), size);
    ASSERT_NE(import_error(file.path()), "") << size;
  }
}

TEST(Llama2c, refuses_header_fields_that_make_no_sense) {
  const std::string bytes = write_llama2c(small_spec()).bytes;
  const char* names[] = {"dim", "hidden_dim", "n_layers", "n_heads", "n_kv_heads", "", "seq_len"};
  for (size_t field : {0, 1, 2, 3, 4, 6}) {
    expect_refused(with_field(bytes, field, 0), {names[field], "0", "must be positive"});
    expect_refused(with_field(bytes, field, -5), {names[field], "-5", "must be positive"});
  }
  expect_refused(with_field(bytes, 5, 0), {"vocabulary size is 0"});
  expect_refused(with_field(bytes, 5, INT32_MIN), {"vocabulary size is 2147483648", "268435456"});
  expect_refused(with_field(bytes, 3, 7), {"dim 60", "n_heads 7"});
  expect_refused(with_field(bytes, 4, 4), {"6 heads", "4 key/value heads"});
  expect_refused(with_field(bytes, 2, 1 << 20), {"layer count is 1048576", "1..1024"});
}

TEST(Llama2c, refuses_sizes_whose_sum_overflows) {
  std::string bytes(28 + 64, '\0');
  const int32_t fields[] = {1 << 28, 1 << 28, 1024, 4096, 4096, 1 << 28, 1 << 28};
  std::memcpy(bytes.data(), fields, sizeof fields);
  expect_refused(bytes, {"64 bytes follow the header", "more than 2^64"});
}

TEST(Llama2c, refuses_a_norm_that_is_not_finite) {
  const LlamaSpec spec = small_spec();
  const size_t first_norm = 7 + size_t{spec.vocab} * spec.dim;
  expect_refused(with_field(write_llama2c(spec).bytes, first_norm + 60 + 5, 0x7f800000),
                 {"blk.1.attn_norm", "element 5 = inf", "finite"});
}

TEST(Llama2c, names_the_formats_that_are_something_else) {
  expect_refused(std::string("PK\x03\x04") + std::string(60, 'a'), {"zip archive"});
  expect_refused(std::string("\x10\0\0\0\0\0\0\0{\"a\":1}", 16), {"safetensors"});
  expect_refused("24ka" + std::string(60, '\0'), {"version 1 or 2"});
  expect_refused("tjgg" + std::string(60, '\0'), {"before GGUF"});
  expect_refused("NBLMODEL" + std::string(60, '\0'), {"already a nibble model"});
  expect_refused("Once upon a time, there was a little girl.", {"neither", "llama2.c"});
}

TEST(Llama2c, names_a_file_that_is_not_there_or_empty) {
  EXPECT_NE(import_error("/nonexistent/model.bin").find("/nonexistent/model.bin: cannot open"),
            std::string::npos);
  expect_refused("", {"the file is empty"});
  EXPECT_NE(import_error("/").find("no config.json"), std::string::npos);
}

TEST(Llama2cTokenizer, reads_back_pieces_scores_and_types) {
  const TokenizerData written = write_llama2c(small_spec()).tokenizer;
  const TempFile file(write_llama2c_tokenizer(written));
  for (const uint32_t vocab : {0u, 367u}) {
    const TokenizerData read = import_tokenizer(file.path(), vocab);
    EXPECT_EQ(read.pieces, written.pieces);
    EXPECT_EQ(read.scores, written.scores);
    EXPECT_EQ(read.types, written.types);
    EXPECT_EQ(read.bos, 1);
    EXPECT_EQ(read.eos, 2);
    EXPECT_EQ(read.unknown, 0);
    EXPECT_TRUE(read.add_bos);
    EXPECT_TRUE(read.add_space_prefix);
  }
}

TEST(Llama2cTokenizer, refuses_truncations_and_another_vocabulary_size) {
  const std::string bytes = write_llama2c_tokenizer(write_llama2c(small_spec()).tokenizer);
  const TempFile whole(bytes);
  EXPECT_THROW(import_tokenizer(whole.path(), 366), ImportError);
  EXPECT_THROW(import_tokenizer(whole.path(), 368), ImportError);
  const TempFile cut(bytes);
  for (size_t size = bytes.size(); size-- > 0;) {
    std::filesystem::resize_file(cut.path(), size);
    ASSERT_THROW(import_tokenizer(cut.path(), 367), ImportError) << size;
  }
}

TEST(Llama2cTokenizer, refuses_lengths_and_scores_that_make_no_sense) {
  const std::string bytes = write_llama2c_tokenizer(write_llama2c(small_spec()).tokenizer);
  for (const int32_t length : {-1, 1 << 30}) {
    const TempFile file(with_field(bytes, 2, length));
    EXPECT_THROW(import_tokenizer(file.path(), 367), ImportError);
  }
  const TempFile file(with_field(bytes, 1, 0x7fc00000));
  EXPECT_THROW(import_tokenizer(file.path(), 367), ImportError);
}

TEST(Llama2c, imports_the_trained_stories260K_with_its_tokenizer) {
  const std::filesystem::path folder = shared_folder() / "models" / "stories260K";
  if (!std::filesystem::exists(folder)) GTEST_SKIP() << folder << " is not there";
  const Checkpoint checkpoint =
      import_checkpoint(folder / "stories260K.bin", folder / "tok512.bin");
  const Hyper& hyper = checkpoint.hyper;
  EXPECT_EQ(hyper.dim, 64u);
  EXPECT_EQ(hyper.ffn, 172u);
  EXPECT_EQ(hyper.layers, 5u);
  EXPECT_EQ(hyper.heads, 8u);
  EXPECT_EQ(hyper.kv_heads, 4u);
  EXPECT_EQ(hyper.vocab, 512u);
  EXPECT_EQ(hyper.context, 512u);
  EXPECT_EQ(hyper.head_dim, 8u);
  EXPECT_FALSE(checkpoint.tensors.contains("output"));
  // Trained norms lie near 1 and matrices near 0; another order of the tensors would show.
  for (const auto& [name, tensor] : checkpoint.tensors) {
    const bool is_norm = name.ends_with("norm");
    ASSERT_EQ(tensor.rows == 1, is_norm) << name;
    double sum = 0;
    std::vector<float> row(tensor.columns);
    for (uint64_t r = 0; r < tensor.rows; ++r) {
      tensor.read_row(r, row.data());
      for (const float value : row) {
        ASSERT_LT(std::fabs(value), 20.0f) << name;
        sum += static_cast<double>(value);
      }
    }
    const double mean = sum / static_cast<double>(tensor.rows * tensor.columns);
    EXPECT_TRUE(is_norm ? mean > 0.2 : std::fabs(mean) < 0.05) << name << " " << mean;
  }
  ASSERT_TRUE(checkpoint.tokenizer);
  const TokenizerData& tokenizer = *checkpoint.tokenizer;
  EXPECT_EQ(tokenizer.pieces.size(), 512u);
  EXPECT_EQ(tokenizer.pieces[0], "<unk>");
  EXPECT_EQ(tokenizer.pieces[13], "<0x0A>");
  EXPECT_EQ(tokenizer.types[13], 2);
  EXPECT_EQ(tokenizer.pieces[259], "\xe2\x96\x81t");
  EXPECT_EQ(tokenizer.pieces[264], "nd");
  EXPECT_EQ(tokenizer.scores[264], -5.0f);
}

}  // namespace
