// Could break: what tells one architecture from llama, on the whole way from a GGUF file to tokens.
// The reference is a forward pass in float64 written from the papers, on weights that never went
// through a graph. Every case has a control: the same file with its difference left out of the
// reference, which must be far off.
#include <gtest/gtest.h>

#include "tests/support/compiled.h"
#include "tests/support/engine.h"
#include "tests/support/gguf_writer.h"
#include "tests/support/interpreter.h"
#include "tests/support/llama_forward.h"
#include "tests/support/random.h"

namespace nbl::test {
namespace {

using compiler::SourceType;

constexpr double kTolerance = 1e-3;
constexpr double kFarOff = 0.03;
constexpr uint32_t kContext = 150;
constexpr uint32_t kPrompt = 101;
constexpr uint32_t kGreedy = 24;

struct Case {
  const char* name;
  LlamaSpec spec;
  std::function<void(LlamaSpec*, LlamaForward::Weights*)> forget;
};
void PrintTo(const Case& model, std::ostream* out) {
  *out << model.name;
}

LlamaSpec small(LlamaSpec spec) {
  spec.dim = 96;
  spec.ffn = 160;
  spec.context = kContext;
  return spec;
}

void erase_like(const char* part, LlamaForward::Weights* weights) {
  std::erase_if(*weights,
                [&](const auto& entry) { return entry.first.find(part) != std::string::npos; });
}

std::vector<Case> cases() {
  return {
      {"llama3_factors",
       small({.theta = 500000, .rope_factors = {1, 1, 1, 1, 2, 3, 4, 8, 8, 8, 8, 8, 8, 8, 8, 8}}),
       [](auto* spec, auto*) { spec->rope_factors = {}; }},
      {"mistral_window", small({.tied = false, .window = 31}),
       [](auto* spec, auto*) { spec->window = 32; }},
      {"llama_linear_scaling", small({.rope_linear = 4}),
       [](auto* spec, auto*) { spec->rope_linear = 1; }},
      {"qwen2", small({.type = SourceType::q8_0, .architecture = "qwen2"}),
       [](auto*, auto* weights) { erase_like(".bias", weights); }},
      {"qwen2_interleaved", small({.architecture = "qwen2"}),
       [](auto* spec, auto*) { spec->architecture = "llama"; }},
      {"qwen3", small({.heads = 4, .head_dim = 40, .theta = 1e6, .architecture = "qwen3"}),
       [](auto*, auto* weights) { erase_like("attn_q_norm", weights); }},
      {"qwen3_q4_0", small({.type = SourceType::q4_0, .architecture = "qwen3"}),
       [](auto*, auto* weights) { erase_like("attn_k_norm", weights); }},
      {"gemma3",
       small({.layers = 7,
              .heads = 4,
              .kv_heads = 1,
              .head_dim = 48,
              .theta = 1e6,
              .eps = 1e-6f,
              .architecture = "gemma3",
              .window = 20,
              .window_period = 6,
              .local_theta = 10000,
              .rope_linear = 8}),
       [](auto* spec, auto*) { spec->local_theta = 0; }},
      {"gemma3_other_pattern",
       small({.layers = 3,
              .kv_heads = 1,
              .theta = 1e6,
              .architecture = "gemma3",
              .window = 17,
              .window_period = 2,
              .local_theta = 20000,
              .logit_softcap = 3,
              .attention_softcap = 2,
              .attention_scale = 0.11}),
       [](auto* spec, auto*) { spec->window_period = 0; }},
      {"gemma3_head", small({.layers = 1, .architecture = "gemma3", .logit_softcap = 3}),
       [](auto* spec, auto*) { spec->logit_softcap = 0; }},
      {"phi3_short",
       small({.rotary_dim = 24,
              .architecture = "phi3",
              .window = 47,
              .short_factors = {1, 1, 1.1f, 1.2f, 1.5f, 2, 2, 2, 2, 2, 2, 2},
              .long_factors = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12},
              .short_context = kContext,
              .rope_magnitude = 1.19f}),
       [](auto* spec, auto*) { spec->short_context = 0; }},
      {"phi3_long",
       small({.rotary_dim = 24,
              .type = SourceType::f16,
              .architecture = "phi3",
              .short_factors = {1, 1, 1.1f, 1.2f, 1.5f, 2, 2, 2, 2, 2, 2, 2},
              .long_factors = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12},
              .short_context = 64,
              .rope_magnitude = 1.19f}),
       [](auto* spec, auto*) { spec->rope_magnitude = 1; }},
      {"phi3_plain", small({.kv_heads = 6, .type = SourceType::q4_0, .architecture = "phi3"}),
       [](auto* spec, auto*) { spec->rotary_dim = 16; }},
  };
}

struct Compiled {
  LlamaSpec spec;
  LlamaForward::Weights weights;  // as the compiler made them
  AlignedBytes fused;
  AlignedBytes plain;
};

Compiled compile(const Case& model) {
  Compiled out;
  out.spec = model.spec;
  out.spec.seed = seed();
  const LlamaFile source = write_gguf_llama(out.spec);
  const TempFile file(source.bytes);
  const compiler::Checkpoint checkpoint = compiler::import_checkpoint(file.path(), {});
  BuildOptions options{.context = kContext, .prefill_chunk = 32};
  out.fused = build_model(checkpoint, options);
  options.passes.fuse = false;
  out.plain = build_model(checkpoint, options);
  const Interpreter reader(out.plain.span());
  for (const NamedShape& shape : named_shapes(out.spec)) {
    const bool is_bias = shape.name.ends_with(".bias");
    const std::string name = is_bias ? shape.name : shape.name + ".weight";
    std::vector<float>& values = out.weights[shape.name];
    for (uint32_t n = 0; n < shape.rows; ++n) {
      for (uint32_t k = 0; k < shape.columns; ++k)
        values.push_back(static_cast<float>(reader.weight(name, n, k)));
    }
    if (out.spec.type == SourceType::q4_0 || shape.rows == 1) {
      EXPECT_EQ(values, source.weights.at(shape.name))
          << shape.name << " is not taken over as it is";
    }
  }
  return out;
}

std::vector<uint32_t> prompt_of(uint32_t vocab) {
  Random random(kPrompt);
  std::vector<uint32_t> tokens;
  for (uint32_t i = 0; i < kPrompt; ++i)
    tokens.push_back(random.below(vocab));
  return tokens;
}

using Rows = std::vector<std::vector<double>>;

Rows rows_of(LlamaForward* forward, const std::vector<uint32_t>& tokens) {
  Rows rows;
  for (const uint32_t token : tokens)
    rows.push_back(forward->step(token));
  return rows;
}

double worst_error(const std::vector<std::vector<float>>& rows, const Rows& expected) {
  double worst = rows.size() == expected.size() ? 0 : INFINITY;
  for (size_t i = 0; i < std::min(rows.size(), expected.size()); ++i)
    worst = std::max(worst, relative_error(rows[i], expected[i]));
  return worst;
}

class Architecture : public testing::TestWithParam<Case> {};

TEST_P(Architecture, computes_what_its_paper_says) {
  NBL_REQUIRE_VULKAN();
  const Compiled model = compile(GetParam());
  const std::vector<uint32_t> prompt = prompt_of(model.spec.vocab);
  LlamaForward forward(model.spec, model.weights);
  const Rows expected = rows_of(&forward, prompt);
  std::vector<uint32_t> greedy;
  for (uint32_t i = 0; i < kGreedy; ++i) {
    const std::vector<double> row = i == 0 ? expected.back() : forward.step(greedy.back());
    greedy.push_back(argmax(row));
  }
  for (const AlignedBytes* file : {&model.fused, &model.plain}) {
    for (const uint32_t flags : {uint32_t{NBL_FLAG_FLOAT32}, uint32_t{NBL_FLAG_FLOOR_KERNELS}}) {
      SCOPED_TRACE(testing::Message()
                   << (file == &model.fused ? "fused" : "not fused") << ", flags " << flags);
      TestEngine engine(file->span(), {.flags = flags, .logits = NBL_LOGITS_ALL});
      EXPECT_LE(worst_error(engine.logits_of(prompt, 32), expected), kTolerance);
      // The stop token ends what the engine writes and not what the reference does.
      const std::vector<uint32_t> written = engine.generate(kGreedy);
      ASSERT_LE(written.size(), greedy.size());
      EXPECT_EQ(written, std::vector(greedy.begin(), greedy.begin() + std::ssize(written)));
    }
  }
}

TEST_P(Architecture, is_told_from_its_neighbour) {
  const Compiled model = compile(GetParam());
  const std::vector<uint32_t> prompt = prompt_of(model.spec.vocab);
  LlamaForward forward(model.spec, model.weights);
  LlamaSpec other = model.spec;
  LlamaForward::Weights weights = model.weights;
  GetParam().forget(&other, &weights);
  LlamaForward wrong(other, weights);
  const Rows expected = rows_of(&forward, prompt);
  std::vector<std::vector<float>> rows;
  for (const std::vector<double>& row : rows_of(&wrong, prompt))
    rows.emplace_back(row.begin(), row.end());
  EXPECT_GT(worst_error(rows, expected), kFarOff);
}

// Norms of keys and an int8 cache both find something over whole heads of one work-group.
TEST(ArchitectureCaches, may_be_of_any_type) {
  NBL_REQUIRE_VULKAN();
  for (const char* name : {"qwen3", "gemma3"}) {
    LlamaSpec spec = small({.heads = 3, .kv_heads = 1, .head_dim = 36, .architecture = name});
    spec.seed = seed();
    const TempFile file(write_gguf_llama(spec).bytes);
    const compiler::Checkpoint checkpoint = compiler::import_checkpoint(file.path(), {});
    const std::vector<uint32_t> prompt = prompt_of(spec.vocab);
    for (const DType cache : {DType::f32, DType::f16, DType::i8}) {
      SCOPED_TRACE(testing::Message() << name << ", cache type " << static_cast<int>(cache));
      const AlignedBytes model =
          build_model(checkpoint, {.context = kContext, .prefill_chunk = 32, .cache = cache});
      Interpreter reference(model.span());
      TestEngine engine(model.span(), {.flags = NBL_FLAG_FLOAT32, .logits = NBL_LOGITS_ALL});
      // A value halfway between two steps of int8 goes either way.
      const double tolerance = cache == DType::i8 ? 2e-2 : kTolerance;
      EXPECT_LE(worst_error(engine.logits_of(prompt, 32), reference.evaluate(prompt)), tolerance);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(all, Architecture, testing::ValuesIn(cases()),
                         [](const auto& model) { return model.param.name; });

}  // namespace
}  // namespace nbl::test
