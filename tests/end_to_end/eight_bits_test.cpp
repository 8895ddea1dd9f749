// Could break: 8-bit weights that only one of compiler, loader, plan and kernels knows, a second
// copy of a tied table, or a chain that runs past them. The reference is the float64 interpreter on
// the compiled file.
#include <gtest/gtest.h>

#include "compiler/inspect/inspect.h"
#include "rt/load.h"
#include "tests/support/engine.h"
#include "tests/support/gguf_writer.h"
#include "tests/support/interpreter.h"
#include "tests/support/random.h"
#include "tests/support/small_llama.h"
#include "tests/support/stories.h"

namespace nbl::test {
namespace {

using compiler::Activations;
using compiler::SourceType;

constexpr double kTolerance = 1e-3;
// Activations that round to the other int8 value.
constexpr double kInt8Tolerance = 5e-2;

std::vector<uint32_t> tokens_of(uint32_t vocab, uint32_t count) {
  Random random(count);
  std::vector<uint32_t> tokens;
  for (uint32_t i = 0; i < count; ++i)
    tokens.push_back(random.below(vocab));
  return tokens;
}

void expect_right(const AlignedBytes& file, uint32_t flags, double tolerance) {
  TestEngine engine(file.span(), {.flags = flags, .logits = NBL_LOGITS_ALL});
  Interpreter reference(file.span());
  const std::vector<uint32_t> tokens = tokens_of(reference.vocab_size(), 21);
  const auto prefilled = engine.logits_of(tokens, 8);
  engine.rewind(0);
  const auto decoded = engine.logits_of(tokens, 1);
  for (size_t i = 0; i < tokens.size(); ++i) {
    const std::vector<double> want = reference.step(tokens[i]);
    EXPECT_LT(relative_error(prefilled[i], want), tolerance) << "prefill " << i;
    EXPECT_LT(relative_error(decoded[i], want), tolerance) << "decode " << i;
  }
}

struct Case {
  const char* name;
  bool tied;
  compiler::PassOptions passes;
  uint32_t group_size = 32;
  double tolerance = kTolerance;
};
void PrintTo(const Case& c, std::ostream* out) {
  *out << c.name;
}

class EightBits : public testing::TestWithParam<Case> {};

TEST_P(EightBits, give_the_logits_of_the_interpreter) {
  NBL_REQUIRE_VULKAN();
  const Case& c = GetParam();
  const AlignedBytes file =
      build_model(small_llama({.tied = c.tied}), {.passes = c.passes, .group_size = c.group_size});
  for (const uint32_t flags :
       {0u, uint32_t{NBL_FLAG_FLOOR_KERNELS}, uint32_t{NBL_FLAG_GPU_KERNELS},
        uint32_t{NBL_FLAG_CHAIN}, uint32_t{NBL_FLAG_GPU_KERNELS | NBL_FLAG_TEXTURE_WEIGHTS}}) {
    SCOPED_TRACE(flags);
    expect_right(file, flags, c.tolerance);
  }
}

INSTANTIATE_TEST_SUITE_P(
    Models, EightBits,
    testing::Values(
        Case{"tied_head", true, {.head_bits = 8}}, Case{"untied_head", false, {.head_bits = 8}},
        Case{"head_in_small_groups", true, {.head_bits = 8}, 8},
        Case{"head_alone", false, {.keep = {{"output", 8}}}},
        Case{"embedding_alone", false, {.keep = {{"token_embd", 8}}}},
        Case{"everything", true, {.keep = {{"*", 8}}}},
        Case{"everything_unfused", false, {.fuse = false, .keep = {{"*", 8}}}},
        Case{"parts_of_what_would_be_fused", true, {.keep = {{"*.attn_v", 8}, {"*.ffn_up", 8}}}},
        Case{"int8_activations",
             true,
             {.activations = Activations::int8, .head_bits = 8},
             32,
             kInt8Tolerance}),
    [](const auto& one) { return one.param.name; });

// Greedy decoding in bursts, as the interpreter would go on.
TEST(EightBitTokens, are_those_of_the_interpreter) {
  NBL_REQUIRE_VULKAN();
  NBL_REQUIRE_STORIES();
  const compiler::Checkpoint checkpoint = compiler::import_checkpoint(
      stories_folder() / "stories260K.bin", stories_folder() / "tok512.bin");
  for (const compiler::PassOptions& passes :
       {compiler::PassOptions{.head_bits = 8}, compiler::PassOptions{.keep = {{"*", 8}}}}) {
    const AlignedBytes file =
        build_model(checkpoint, {.passes = passes, .context = 256, .prefill_chunk = 16});
    Interpreter reference(file.span());
    for (const uint32_t flags : {0u, uint32_t{NBL_FLAG_FLOOR_KERNELS}, uint32_t{NBL_FLAG_CHAIN}}) {
      TestEngine engine(file.span(), {.flags = flags});
      const std::vector<uint32_t> prompt = engine.tokenize("Once upon a time", true);
      engine.evaluate(prompt);
      const std::vector<uint32_t> got = engine.generate(100);
      reference.reset();
      std::vector<double> logits = reference.evaluate(prompt).back();
      for (size_t i = 0; i < got.size(); ++i) {
        ASSERT_EQ(got[i], argmax(logits)) << "token " << i << " with flags " << flags;
        logits = reference.step(got[i]);
      }
    }
  }
}

// Tied, they are one segment in the file and one copy on the device: twice the nibbles of a 4-bit
// table, and the same scales.
TEST(EightBitTables, are_stored_once_where_embedding_and_head_are_tied) {
  NBL_REQUIRE_VULKAN();
  const compiler::Checkpoint tied = small_llama({.tied = true});
  const compiler::Checkpoint apart = small_llama({.tied = false});
  const auto weights = [](const compiler::Checkpoint& checkpoint, uint32_t head_bits) {
    const AlignedBytes file = build_model(checkpoint, {.passes = {.head_bits = head_bits}});
    Model model;
    EXPECT_TRUE(load(file.span(), &model, nullptr).ok());
    EXPECT_EQ(compiler::find_sharing(model).saved_bytes > 0,
              !checkpoint.tensors.contains("output"));
    const TestEngine engine(file.span(), {.flags = NBL_FLAG_NO_IMPORT});
    EXPECT_EQ(engine.info().memory.device_bytes, engine.needed().device_bytes);
    return engine.needed().weight_bytes;
  };
  const uint32_t rows = tied.hyper.vocab, columns = tied.hyper.dim;
  const Q4Format four, eight{.layout = Layout::q8_t16k4};
  const auto up = [](uint64_t bytes) { return (bytes + 255) / 256 * 256; };
  const uint64_t small = up(four.data_bytes(rows, columns));
  const uint64_t large = up(eight.data_bytes(rows, columns));
  EXPECT_EQ(large, 2 * small);
  EXPECT_EQ(weights(tied, 8) - weights(tied, 4), large - small);
  EXPECT_EQ(weights(apart, 8) - weights(tied, 8), large + up(eight.scale_bytes(rows, columns)));
}

// A chain ends before what it cannot run; the head is a dispatch of its own behind it.
TEST(EightBitHeads, stand_behind_the_chain_of_the_layers) {
  NBL_REQUIRE_VULKAN();
  const compiler::Checkpoint checkpoint = small_llama({.heads = 2, .kv_heads = 1, .head_dim = 64});
  const EngineOptions options{.flags = NBL_FLAG_CHAIN};
  const auto dispatches = [&](uint32_t head_bits) {
    const AlignedBytes file = build_model(checkpoint, {.passes = {.head_bits = head_bits}});
    return TestEngine(file.span(), options).info().decode_dispatches;
  };
  EXPECT_EQ(dispatches(8), dispatches(4) + 1);
}

// What a checkpoint holds as whole numbers is in the file as it was, whatever it is fused with.
TEST(EightBitSources, are_taken_over_bit_for_bit) {
  for (const SourceType type : {SourceType::q8_0, SourceType::q6_k, SourceType::q5_0}) {
    for (const bool fuse : {true, false}) {
      SCOPED_TRACE(compiler::source_type_name(type));
      const LlamaFile made = write_gguf_llama({.dim = 256,
                                               .layers = 1,
                                               .heads = 4,
                                               .kv_heads = 4,
                                               .head_dim = 64,
                                               .ffn = 512,
                                               .type = type});
      const TempFile input(made.bytes, ".gguf"), output("", ".nbl");
      const compiler::CompileReport report =
          compiler::compile({.input = input.path(),
                             .output = output.path(),
                             .group_size = 128,
                             .passes = {.fuse = fuse, .keep = {{"*", 8}}}});
      EXPECT_EQ(report.emitted.quantization.quantized_rows, 0u);
      EXPECT_TRUE(report.notes.empty());
      const AlignedBytes file = read_file(output.path());
      Interpreter model(file.span());
      const std::vector<float>& table = made.weights.at("token_embd");
      for (uint32_t i = 0; i < table.size(); ++i)
        ASSERT_EQ(model.weight("token_embd.weight", i / 256, i % 256), table[i]);
      if (fuse) continue;
      const std::vector<float>& down = made.weights.at("blk.0.ffn_down");
      for (uint32_t i = 0; i < down.size(); ++i)
        ASSERT_EQ(model.weight("blk.0.ffn_down.weight", i / 512, i % 512), down[i]);
    }
  }
}

// 8 bits for what 4 hold as well: done, and said.
TEST(EightBitSources, of_4_bits_are_noted) {
  const LlamaFile made = write_gguf_llama({.dim = 64,
                                           .layers = 1,
                                           .heads = 2,
                                           .kv_heads = 2,
                                           .head_dim = 32,
                                           .ffn = 96,
                                           .type = SourceType::q4_0});
  const TempFile input(made.bytes, ".gguf"), output("", ".nbl");
  compiler::CompileOptions options{
      .input = input.path(), .output = output.path(), .passes = {.head_bits = 8}};
  EXPECT_EQ(compiler::compile(options).notes,
            std::vector<std::string>{"the checkpoint has token_embd.weight at 4 bits: 8 take more "
                                     "memory and change nothing"});
  options.group_size = 64;  // 4 bits would round it anew
  EXPECT_TRUE(compiler::compile(options).notes.empty());
}

}  // namespace
}  // namespace nbl::test
