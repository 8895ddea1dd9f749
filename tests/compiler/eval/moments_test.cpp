// Could break: what a matrix is multiplied with is measured for another one, or a weight of one
// column is given to the next.
#include "compiler/eval/moments.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numeric>
#include <stdexcept>

#include "compiler/arch/architecture.h"
#include "compiler/compile.h"
#include "compiler/error.h"
#include "compiler/eval/reference.h"
#include "compiler/eval/tokenize.h"
#include "tests/support/llama2c_writer.h"
#include "tests/support/pt2_fixture.h"
#include "tests/support/small_llama.h"
#include "tests/support/stories.h"

namespace nbl::compiler {
namespace {

constexpr uint32_t kVocab = 131;

Checkpoint small(bool tied) {
  return test::small_llama({.layers = 2, .vocab = kVocab, .tied = tied});
}

std::vector<uint32_t> some_tokens(uint32_t count) {
  std::vector<uint32_t> tokens;
  for (uint32_t i = 0; i < count; ++i)
    tokens.push_back(i * i * 7 % kVocab);
  return tokens;
}

// What the first layer's q, k and v are multiplied with is the norm of embedding rows.
TEST(Moments, of_the_first_layer_are_those_of_normed_embeddings) {
  const Checkpoint checkpoint = small(true);
  const std::vector<uint32_t> tokens = some_tokens(60);
  const Moments moments = measure_moments(checkpoint, tokens);
  const size_t dim = checkpoint.hyper.dim;
  std::vector<float> row(dim), norm(dim);
  checkpoint.tensors.at("blk.0.attn_norm").read_row(0, norm.data());
  std::vector<double> want(dim);
  for (const uint32_t token : tokens) {
    checkpoint.tensors.at("token_embd").read_row(token, row.data());
    double squares = 0;
    for (const float value : row)
      squares += static_cast<double>(value) * static_cast<double>(value);
    const double mean = squares / static_cast<double>(dim);
    for (size_t i = 0; i < dim; ++i) {
      const double x = static_cast<double>(row[i]) * static_cast<double>(norm[i]);
      want[i] += x * x / (mean + static_cast<double>(checkpoint.hyper.eps));
    }
  }
  const double total = std::accumulate(want.begin(), want.end(), 0.0) / static_cast<double>(dim);
  for (const char* name : {"blk.0.attn_q", "blk.0.attn_k", "blk.0.attn_v"}) {
    const std::vector<float>& got = *moments.at(name);
    ASSERT_EQ(got.size(), dim);
    for (size_t i = 0; i < dim; ++i)
      EXPECT_NEAR(static_cast<double>(got[i]), want[i] / total, 1e-4 * want[i] / total) << i;
  }
}

TEST(Moments, are_there_for_every_matrix_that_something_is_multiplied_with) {
  for (const bool tied : {true, false}) {
    const Checkpoint checkpoint = small(tied);
    const Moments moments = measure_moments(checkpoint, some_tokens(40));
    EXPECT_EQ(moments.size(), 2u * 7 + 1);
    EXPECT_EQ(moments.contains("token_embd"), tied);
    EXPECT_EQ(moments.contains("output"), !tied);
    for (const auto& [name, values] : moments) {
      EXPECT_EQ(values->size(), checkpoint.tensors.at(name).columns);
      const double sum = std::accumulate(values->begin(), values->end(), 0.0);
      EXPECT_NEAR(sum / static_cast<double>(values->size()), 1, 1e-3) << name;
    }
  }
}

TEST(Moments, need_tokens) {
  EXPECT_THROW(measure_moments(small(true), {}), std::invalid_argument);
  EXPECT_THROW(measure_moments(small(true), std::vector<uint32_t>{kVocab}), std::invalid_argument);
}

TEST(Moments, reach_the_matrices_of_their_names_and_leave_ties_alone) {
  const Checkpoint checkpoint = small(true);
  Graph graph = build_graph(checkpoint, {.context = 64});
  const Moments moments = measure_moments(checkpoint, some_tokens(40));
  attach_moments(moments, &graph);
  for (const GraphTensor& tensor : graph.tensors) {
    if (tensor.role != Role::weight || tensor.dtype != DType::q4) continue;
    const std::string name = tensor.name.substr(0, tensor.name.size() - 7);
    EXPECT_EQ(tensor.constant->importance, moments.at(name)) << name;
  }
  EXPECT_GE(tie_weights(&graph), 1);
}

TEST(Calibration, changes_the_weights_that_are_quantized) {
  NBL_REQUIRE_STORIES();
  const test::TempFile plain("", ".nbl"), calibrated("", ".nbl");
  CompileOptions options{.input = test::stories_folder() / "stories260K.bin",
                         .output = plain.path(),
                         .tokenizer = test::stories_folder() / "tok512.bin"};
  const EmitReport before = compile(options).emitted;
  options.output = calibrated.path();
  options.calibrate = std::filesystem::path(NIBBLE_SOURCE_DIR) / "tests/data/calibration.txt";
  const EmitReport after = compile(options).emitted;
  EXPECT_EQ(before.quantization.important_rms(), 0);
  EXPECT_GT(after.quantization.important_rms(), 0);
  EXPECT_GT(after.quantization.relative_rms(), before.quantization.relative_rms());
  ASSERT_EQ(after.matrices.size(), before.matrices.size());
  for (const MatrixReport& matrix : after.matrices)
    EXPECT_GT(matrix.quantization.important_rms(), 0) << matrix.name;
}

// Each step to a better form costs the story less.
TEST(Calibration, and_a_head_of_8_bits_bring_the_perplexity_down) {
  NBL_REQUIRE_STORIES();
  const Checkpoint checkpoint = import_checkpoint(test::stories_folder() / "stories260K.bin",
                                                  test::stories_folder() / "tok512.bin");
  const std::filesystem::path data = std::filesystem::path(NIBBLE_SOURCE_DIR) / "tests/data";
  const std::vector<uint32_t> tokens = tokenize_file(checkpoint, data / "perplexity.txt");
  const Moments moments =
      measure_moments(checkpoint, tokenize_file(checkpoint, data / "calibration.txt"));
  const auto measure = [&](const ReferenceWeights& weights) {
    Reference model(checkpoint, weights);
    return perplexity(&model, tokens, checkpoint.tokenizer->bos, 512, 512).perplexity;
  };
  const double stored = measure({});
  const double plain = measure({.group_size = 32});
  const double calibrated = measure({.group_size = 32, .moments = &moments});
  const double head = measure({.group_size = 32, .head_bits = 8, .moments = &moments});
  const double all = measure({.group_size = 32, .keep = {{"*", 8}}});
  EXPECT_LT(calibrated, plain);
  EXPECT_LT(head, calibrated);
  EXPECT_NEAR(all, stored, 2e-3 * stored);
}

TEST(Calibration, is_refused_without_a_tokenizer_or_a_network_that_is_known) {
  const test::TempFile text("once upon a time"), output("", ".nbl");
  const test::TempFile checkpoint(test::write_llama2c({.head_dim = 16}).bytes);
  const auto error_of = [&](const std::filesystem::path& input) {
    try {
      compile({.input = input, .output = output.path(), .calibrate = text.path()});
    } catch (const std::exception& error) {
      return std::string(error.what());
    }
    return std::string();
  };
  EXPECT_EQ(error_of(checkpoint.path()),
            "the checkpoint has no tokenizer: give one with --tokenizer");
  const std::string program = error_of(test::pt2_path("llama"));
  EXPECT_NE(program.find("is an exported program: only checkpoints can be calibrated"),
            std::string::npos)
      << program;
}

}  // namespace
}  // namespace nbl::compiler
