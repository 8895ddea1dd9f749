// Could break: an option that makes no sense is taken, or the defaults are not what --help says.
#include "compiler/compile.h"

#include <gtest/gtest.h>

#include "compiler/inspect/inspect.h"
#include "rt/load.h"
#include "tests/support/compiled.h"
#include "tests/support/llama2c_writer.h"

namespace nbl::compiler {
namespace {

test::LlamaFile checkpoint_with_context(uint32_t context) {
  return test::write_llama2c(
      {.dim = 96, .heads = 6, .kv_heads = 2, .head_dim = 16, .context = context});
}

class Compile : public testing::Test {
 protected:
  std::string error_of(const CompileOptions& options) {
    try {
      compile(options);
    } catch (const std::exception& error) {
      return error.what();
    }
    return {};
  }
  const test::TempFile output_{"", ".nbl"};
};

TEST_F(Compile, takes_the_whole_context_of_a_small_checkpoint) {
  const test::TempFile input(checkpoint_with_context(77).bytes);
  const CompileReport report = compile({.input = input.path(), .output = output_.path()});
  EXPECT_EQ(report.context, 77u);
  EXPECT_TRUE(report.notes.empty());
  const test::AlignedBytes file = test::read_file(output_.path());
  EXPECT_EQ(file.size, report.emitted.file_bytes);
  Model model;
  ASSERT_TRUE(load(file.span(), &model, nullptr).ok());
  EXPECT_EQ(model.context_length(), 77u);
}

TEST_F(Compile, caps_a_long_context_and_says_so) {
  const test::TempFile input(checkpoint_with_context(4000).bytes);
  const CompileReport report = compile({.input = input.path(), .output = output_.path()});
  EXPECT_EQ(report.context, kDefaultContext);
  ASSERT_EQ(report.notes.size(), 1u);
  EXPECT_NE(report.notes[0].find("4000"), std::string::npos);
}

TEST_F(Compile, gives_more_context_on_request_but_not_more_than_there_is) {
  const test::TempFile input(checkpoint_with_context(4000).bytes);
  EXPECT_EQ(compile({.input = input.path(), .output = output_.path(), .context = 3000}).context,
            3000u);
  EXPECT_NE(error_of({.input = input.path(), .output = output_.path(), .context = 4001})
                .find("allows 1 to 4000"),
            std::string::npos);
}

TEST_F(Compile, keeps_keys_and_values_in_the_numbers_asked_for) {
  const test::TempFile input(checkpoint_with_context(77).bytes);
  for (const DType cache : {DType::f16, DType::f32, DType::i8}) {
    compile({.input = input.path(), .output = output_.path(), .cache = cache});
    const test::AlignedBytes file = test::read_file(output_.path());
    Model model;
    ASSERT_TRUE(load(file.span(), &model, nullptr).ok());
    uint32_t states = 0;
    for (uint32_t i = 0; i < model.tensor_count(); ++i) {
      if (model.tensor(i).role != Role::state) continue;
      EXPECT_EQ(model.tensor(i).dtype, cache);
      ++states;
    }
    EXPECT_GT(states, 0u);
  }
  EXPECT_NE(error_of({.input = input.path(), .output = output_.path(), .cache = DType::u32})
                .find("it can be f16, f32 or i8"),
            std::string::npos);
}

TEST_F(Compile, gives_linears_int8_activations_on_request_and_notes_it) {
  const test::TempFile input(checkpoint_with_context(77).bytes);
  for (const Activations activations : {Activations::f32, Activations::int8}) {
    compile(
        {.input = input.path(), .output = output_.path(), .passes = {.activations = activations}});
    const test::AlignedBytes file = test::read_file(output_.path());
    Model model;
    ASSERT_TRUE(load(file.span(), &model, nullptr).ok());
    const bool int8 = activations == Activations::int8;
    for (uint32_t i = 0; i < model.op_count(); ++i) {
      const OpKind kind = model.op(i).kind;
      EXPECT_NE(kind, int8 ? OpKind::linear_q4gsw : OpKind::linear_dq8ca_q4gsw);
    }
    const std::string text = model_text(model);
    EXPECT_NE(text.find(int8 ? "activations: int8" : "activations: f32"), std::string::npos);
    EXPECT_EQ(text.find("linear_dq8ca_q4gsw") != std::string::npos, int8);
  }
}

TEST_F(Compile, warns_of_a_missing_tokenizer) {
  const test::TempFile input(checkpoint_with_context(77).bytes);
  const CompileReport report = compile({.input = input.path(), .output = output_.path()});
  ASSERT_FALSE(report.warnings.empty());
  EXPECT_NE(report.warnings.back().find("tokenizer"), std::string::npos);
}

TEST_F(Compile, refuses_to_overwrite_its_input) {
  const test::TempFile input(checkpoint_with_context(77).bytes);
  EXPECT_NE(error_of({.input = input.path(), .output = input.path()}).find("same file"),
            std::string::npos);
}

TEST_F(Compile, refuses_group_sizes_that_the_format_has_not) {
  const test::TempFile input(checkpoint_with_context(77).bytes);
  for (const uint32_t size : {0u, 4u, 33u, 4104u}) {
    EXPECT_NE(error_of({.input = input.path(), .output = output_.path(), .group_size = size}), "");
  }
}

}  // namespace
}  // namespace nbl::compiler
