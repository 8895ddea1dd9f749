// Breaks if a GGUF weight, hyperparameter or token is read as something else than was written.
#include "compiler/import/gguf.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "compiler/import/gguf_writer.h"
#include "tests/support/gguf_writer.h"
#include "tests/support/import_errors.h"
#include "tests/support/temp_file.h"

namespace {

using namespace nbl::compiler;
using namespace nbl::test;

void expect_equal(const Checkpoint& checkpoint, const LlamaFile& file) {
  ASSERT_EQ(checkpoint.tensors.size(), file.weights.size());
  for (const auto& [name, values] : file.weights) {
    ASSERT_TRUE(checkpoint.tensors.contains(name)) << name;
    const SourceTensor& tensor = checkpoint.tensors.at(name);
    ASSERT_EQ(tensor.rows * tensor.columns, values.size()) << name;
    std::vector<float> row(tensor.columns);
    for (uint64_t r = 0; r < tensor.rows; ++r) {
      tensor.read_row(r, row.data());
      for (uint64_t c = 0; c < tensor.columns; ++c) {
        ASSERT_EQ(row[c], values[r * tensor.columns + c]) << name << " " << r << "," << c;
      }
    }
  }
}

TEST(Gguf, reads_back_every_weight_of_every_type) {
  for (uint32_t number = 0; number < kSourceTypeCount; ++number) {
    const auto type = static_cast<SourceType>(number);
    SCOPED_TRACE(source_type_name(type));
    for (const bool tied : {true, false}) {
      LlamaSpec spec;
      spec.type = type;
      if (source_block(type) == 256) {
        spec.dim = spec.ffn = 256;
        spec.heads = 8;
      }
      spec.tied = tied;
      const LlamaFile written = write_gguf_llama(spec);
      const TempFile file(written.bytes, ".gguf");
      const Checkpoint checkpoint = import_checkpoint(file.path(), {});
      EXPECT_EQ(checkpoint.tensors.at("blk.1.ffn_down").type, type);
      EXPECT_EQ(checkpoint.tensors.contains("output"), !tied);
      expect_equal(checkpoint, written);
    }
  }
}

TEST(Gguf, reads_back_the_hyperparameters) {
  LlamaSpec spec;
  spec.rotary_dim = 24;
  spec.theta = 500000;
  spec.eps = 3e-6f;
  const TempFile file(write_gguf_llama(spec).bytes);
  const Hyper hyper = import_checkpoint(file.path(), {}).hyper;
  EXPECT_EQ(hyper.architecture, "llama");
  EXPECT_EQ(hyper.name, "synthetic");
  EXPECT_EQ(hyper.vocab, spec.vocab);
  EXPECT_EQ(hyper.dim, spec.dim);
  EXPECT_EQ(hyper.layers, spec.layers);
  EXPECT_EQ(hyper.heads, spec.heads);
  EXPECT_EQ(hyper.kv_heads, spec.kv_heads);
  EXPECT_EQ(hyper.head_dim, 32u);
  EXPECT_EQ(hyper.ffn, spec.ffn);
  EXPECT_EQ(hyper.context, spec.context);
  EXPECT_EQ(hyper.eps, 3e-6f);
  EXPECT_EQ(hyper.rope_theta, 500000);
  EXPECT_EQ(hyper.rotary_dim, 24u);
  EXPECT_FALSE(hyper.rope_half);
  EXPECT_EQ(hyper.stop_tokens, std::vector<uint32_t>{2});
  ASSERT_EQ(hyper.rope_inv_freq.size(), 12u);
  for (int i = 0; i < 12; ++i) {
    EXPECT_NEAR(hyper.rope_inv_freq[i], std::exp(std::log(500000.0) * -i / 12.0), 1e-12) << i;
  }
}

TEST(Gguf, divides_frequencies_by_rope_factors) {
  LlamaSpec spec;
  for (int i = 0; i < 16; ++i)
    spec.rope_factors.push_back(1.0f + static_cast<float>(i));
  const TempFile file(write_gguf_llama(spec).bytes);
  const Checkpoint checkpoint = import_checkpoint(file.path(), {});
  EXPECT_FALSE(checkpoint.tensors.contains("rope_freqs"));
  for (int i = 0; i < 16; ++i) {
    EXPECT_NEAR(checkpoint.hyper.rope_inv_freq[i], std::pow(10000.0, -i / 16.0) / (1 + i), 1e-12);
  }
  spec.rope_factors.pop_back();
  expect_refused(write_gguf_llama(spec).bytes, {"rope_freqs.weight", "[1, 15]", "[1, 16]"});
  spec.rope_factors.push_back(0);
  expect_refused(write_gguf_llama(spec).bytes, {"rope_freqs.weight", "element 15", "positive"});
}

TEST(Gguf, reads_back_the_vocabulary) {
  const LlamaFile written = write_gguf_llama(LlamaSpec{});
  const TempFile file(written.bytes);
  const Checkpoint checkpoint = import_checkpoint(file.path(), {});
  ASSERT_TRUE(checkpoint.tokenizer);
  EXPECT_EQ(checkpoint.tokenizer->pieces, written.tokenizer.pieces);
  EXPECT_EQ(checkpoint.tokenizer->scores, written.tokenizer.scores);
  EXPECT_EQ(checkpoint.tokenizer->types, written.tokenizer.types);
  EXPECT_EQ(checkpoint.tokenizer->unknown, 0);
  EXPECT_EQ(checkpoint.tokenizer->bos, 1);
  EXPECT_EQ(checkpoint.tokenizer->eos, 2);
  EXPECT_TRUE(checkpoint.warnings.empty());
}

TEST(Gguf, warns_where_there_is_no_vocabulary_it_can_carry) {
  LlamaSpec spec;
  spec.tokenizer = false;
  const TempFile file(write_gguf_llama(spec).bytes);
  const Checkpoint checkpoint = import_checkpoint(file.path(), {});
  EXPECT_FALSE(checkpoint.tokenizer);
  ASSERT_EQ(checkpoint.warnings.size(), 1u);
  EXPECT_NE(checkpoint.warnings[0].find("tokenizer.ggml.model is none"), std::string::npos);
}

TEST(Gguf, takes_a_vocabulary_from_another_file) {
  LlamaSpec spec;
  const TempFile with(write_gguf_llama(spec).bytes);
  spec.tokenizer = false;
  const TempFile without(write_gguf_llama(spec).bytes);
  const Checkpoint checkpoint = import_checkpoint(without.path(), with.path());
  ASSERT_TRUE(checkpoint.tokenizer);
  EXPECT_EQ(checkpoint.tokenizer->pieces.size(), spec.vocab);
  EXPECT_TRUE(checkpoint.warnings.empty());
  EXPECT_EQ(checkpoint.hyper.stop_tokens, std::vector<uint32_t>{2});
  spec.vocab -= 1;
  const TempFile shorter(write_gguf_llama(spec).bytes);
  EXPECT_THROW(import_checkpoint(shorter.path(), with.path()), ImportError);
}

TEST(Gguf, reads_the_vocabulary_of_llama_as_others_wrote_it) {
  const auto path = shared_folder() / "tokenizers" / "ggml-vocab-llama-spm.gguf";
  if (!std::filesystem::exists(path)) GTEST_SKIP() << path << " is not there";
  const TokenizerData data = import_tokenizer(path, 32000);
  EXPECT_EQ(data.pieces[0], "<unk>");
  EXPECT_EQ(data.types[0], 3);
  EXPECT_EQ(data.pieces[1], "<s>");
  EXPECT_EQ(data.types[1], 1);
  EXPECT_EQ(data.pieces[13], "<0x0A>");
  EXPECT_EQ(data.types[13], 2);
  EXPECT_EQ(data.pieces[278], "\xe2\x96\x81the");
  EXPECT_EQ(data.types[278], 0);
  EXPECT_EQ(data.scores[278], -19.0f);
  EXPECT_EQ(data.bos, 1);
  EXPECT_EQ(data.eos, 2);
  EXPECT_NE(import_error(path).find("token_embd.weight is missing"), std::string::npos)
      << import_error(path);
}

TEST(Gguf, refuses_a_vocabulary_of_another_kind_as_a_tokenizer) {
  GgufWriter writer;
  writer.add_text("tokenizer.ggml.model", "bert");
  const TempFile file(writer.header());
  EXPECT_THROW(import_tokenizer(file.path(), 0), ImportError);
}

TEST(SyntheticVocabulary, has_distinct_pieces_that_merges_reach) {
  const TokenizerData data = synthetic_vocabulary(30000);
  ASSERT_EQ(data.pieces.size(), 30000u);
  std::map<std::string, size_t> ids;
  for (size_t id = 0; id < data.pieces.size(); ++id) {
    ASSERT_TRUE(ids.emplace(data.pieces[id], id).second) << data.pieces[id];
    const std::string& piece = data.pieces[id];
    if (data.types[id] != 0 || piece.size() < 2 || piece == "\xe2\x96\x81") continue;
    ASSERT_TRUE(ids.contains(piece.substr(0, piece.size() - 1))) << piece;
    ASSERT_TRUE(ids.contains(piece.substr(piece.size() - 1))) << piece;
  }
  EXPECT_EQ(synthetic_vocabulary(1).pieces.size(), 1u);
}

}  // namespace
