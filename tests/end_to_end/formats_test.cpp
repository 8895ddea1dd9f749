// Could break: a weight format that only one of compiler, plan and kernels knows; the references
// are the float64 interpreter on the compiled file, and the same model in another layout.
#include <gtest/gtest.h>

#include "tests/support/engine.h"
#include "tests/support/interpreter.h"
#include "tests/support/quantized_llama.h"

namespace nbl::test {
namespace {

using compiler::EmbeddingLayout;

constexpr double kTolerance = 1e-3;

std::vector<uint32_t> random_tokens(uint32_t vocab, uint32_t count) {
  Random random(count);
  std::vector<uint32_t> tokens;
  for (uint32_t i = 0; i < count; ++i)
    tokens.push_back(random.below(vocab));
  return tokens;
}

// The rows of all tokens, by prefill in chunks and by decode.
std::vector<std::vector<float>> rows_of(const AlignedBytes& file,
                                        const std::vector<uint32_t>& tokens, uint32_t flags = 0) {
  TestEngine engine(file.span(), {.flags = flags, .logits = NBL_LOGITS_ALL});
  std::vector<std::vector<float>> rows = engine.logits_of(tokens, 8);
  engine.rewind(0);
  for (std::vector<float>& row : engine.logits_of(tokens, 1))
    rows.push_back(std::move(row));
  return rows;
}

void expect_right(const AlignedBytes& file, uint32_t vocab) {
  const std::vector<uint32_t> tokens = random_tokens(vocab, 21);
  for (const uint32_t flags :
       {0u, uint32_t{NBL_FLAG_FLOOR_KERNELS}, uint32_t{NBL_FLAG_GPU_KERNELS}}) {
    const std::vector<std::vector<float>> rows = rows_of(file, tokens, flags);
    Interpreter reference(file.span());
    for (size_t i = 0; i < tokens.size(); ++i) {
      const std::vector<double> want = reference.step(tokens[i]);
      EXPECT_LT(relative_error(rows[i], want), kTolerance) << "prefill " << i;
      EXPECT_LT(relative_error(rows[i + tokens.size()], want), kTolerance) << "decode " << i;
    }
  }
}

// Group of everything that is quantized here, groups of the table and the head, their scales.
struct Formats {
  uint32_t group, table_group, head_group;
  bool table_f32, head_f32;
};

class WeightFormats : public testing::TestWithParam<Formats> {};

TEST_P(WeightFormats, give_the_logits_of_the_interpreter) {
  NBL_REQUIRE_VULKAN();
  const Formats& f = GetParam();
  QuantizedLlama llama;
  llama.embedding = random_rows(1, llama.vocab(), llama.dim(), f.table_group, f.table_f32);
  llama.head = random_rows(2, llama.vocab(), llama.dim(), f.head_group, f.head_f32);
  llama.embedding->embedding_order = f.table_f32;
  expect_right(llama.file({}, f.group), llama.vocab());
}

INSTANTIATE_TEST_SUITE_P(
    Groups, WeightFormats,
    testing::Values(Formats{8, 8, 8, false, true}, Formats{16, 16, 32, true, true},
                    Formats{24, 48, 16, true, false}, Formats{96, 96, 96, false, true},
                    Formats{112, 32, 512, true, true}, Formats{512, 1024, 64, false, false}));

// Weights of different groups and scales that the passes stack and interleave.
TEST(FusedWeights, that_arrive_quantized_keep_their_values) {
  NBL_REQUIRE_VULKAN();
  QuantizedLlama llama;
  const LlamaSpec& s = llama.spec;
  const uint32_t kv = s.kv_heads * s.head_dim;
  llama.others = {{"blk.0.attn_q.weight", random_rows(11, s.heads * s.head_dim, s.dim, 96)},
                  {"blk.0.attn_k.weight", random_rows(12, kv, s.dim, 48, true)},
                  {"blk.0.attn_v.weight", random_rows(13, kv, s.dim, 32)},
                  {"blk.0.ffn_gate.weight", random_rows(14, s.ffn, s.dim, 64)},
                  {"blk.0.ffn_up.weight", random_rows(15, s.ffn, s.dim, 8)}};
  const AlignedBytes fused = llama.file();
  const AlignedBytes plain = llama.file({.fuse = false});
  expect_right(fused, llama.vocab());
  Interpreter a(fused.span()), b(plain.span());
  for (const uint32_t token : random_tokens(llama.vocab(), 9)) {
    const std::vector<double> row = a.step(token);
    EXPECT_LT(relative_error(std::vector<float>(row.begin(), row.end()), b.step(token)), 1e-6);
  }
}

// The same weights in any layout of the table: every logit has the same bits.
TEST(EmbeddingLayouts, give_the_same_logits) {
  NBL_REQUIRE_VULKAN();
  for (const bool f32 : {false, true}) {
    QuantizedLlama llama;
    llama.embedding = random_rows(3, llama.vocab(), llama.dim(), 16, f32);
    const std::vector<uint32_t> tokens = random_tokens(llama.vocab(), 13);
    std::vector<std::vector<float>> first;
    for (const EmbeddingLayout layout :
         {EmbeddingLayout::tiled, EmbeddingLayout::linear, EmbeddingLayout::embedding}) {
      const AlignedBytes file = llama.file({.embedding_layout = layout});
      const auto rows = rows_of(file, tokens);
      if (first.empty()) first = rows;
      EXPECT_EQ(rows, first) << static_cast<int>(layout);
    }
  }
}

// One copy in device memory too: a tied model takes a table less than one that is not.
TEST(TiedWeights, are_one_copy_on_the_device) {
  NBL_REQUIRE_VULKAN();
  QuantizedLlama llama;
  llama.embedding = random_rows(4, llama.vocab(), llama.dim(), 32);
  llama.embedding->embedding_order = true;
  llama.head = std::make_shared<compiler::Q4Rows>(*llama.embedding);
  llama.head->embedding_order = false;
  const AlignedBytes tied = llama.file();
  expect_right(tied, llama.vocab());
  llama.head = random_rows(5, llama.vocab(), llama.dim(), 32);
  const AlignedBytes apart = llama.file({.embedding_layout = EmbeddingLayout::tiled});
  const EngineOptions copied{.flags = NBL_FLAG_NO_IMPORT};
  const TestEngine one(tied.span(), copied), two(apart.span(), copied);
  const Q4Format format;
  const auto up = [](uint64_t bytes) { return (bytes + 255) / 256 * 256; };
  EXPECT_EQ(two.needed().weight_bytes - one.needed().weight_bytes,
            up(format.data_bytes(llama.vocab(), llama.dim())) +
                up(format.scale_bytes(llama.vocab(), llama.dim())));
}

}  // namespace
}  // namespace nbl::test
