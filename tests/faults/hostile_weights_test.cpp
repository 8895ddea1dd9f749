// Could break: a weight whose stated format does not fit its bytes is taken, or a linear is given
// rows that it cannot read.
#include <gtest/gtest.h>

#include <functional>

#include "tests/support/hostile_file.h"
#include "tests/support/quantized_llama.h"

namespace nbl {
namespace {

using test::HostileFile;

// Its table lies in rows of groups of 8 with f32 scales.
const test::QuantizedLlama& llama() {
  static const test::QuantizedLlama made = [] {
    test::QuantizedLlama llama;
    llama.embedding = test::random_rows(1, llama.vocab(), llama.dim(), 8, true);
    return llama;
  }();
  return made;
}

fb::Tensor* table_of(HostileFile& file) {
  for (const fb::Tensor* tensor : *file.root()->tensors()) {
    if (tensor->name()->str() == "token_embd.weight") return const_cast<fb::Tensor*>(tensor);
  }
  throw std::runtime_error("there is no table");
}

void expect_refused(Code code, const char* names, const std::function<void(HostileFile&)>& how) {
  static const test::AlignedBytes good = llama().file();
  HostileFile file(good);
  ASSERT_EQ(file.load_error(), "");
  how(file);
  file.fix();
  const std::string text = file.load_error();
  EXPECT_EQ(code_name(file.code()), std::string(code_name(code))) << text;
  EXPECT_NE(text.find(names), std::string::npos) << text;
}

TEST(HostileWeights, with_scales_of_an_unknown_type_are_refused_by_name) {
  expect_refused(Code::unknown_layout, "z32",
                 [](HostileFile& f) { f.set_text(table_of(f)->scale_dtype(), "z"); });
  // A type that exists, and that no scale has.
  expect_refused(Code::unknown_layout, "u32",
                 [](HostileFile& f) { f.set_text(table_of(f)->scale_dtype(), "u"); });
}

TEST(HostileWeights, whose_scales_have_the_size_of_another_type_are_refused) {
  expect_refused(Code::bad_tensor, "token_embd.weight",
                 [](HostileFile& f) { f.set_text(table_of(f)->scale_dtype(), "f16"); });
  expect_refused(Code::bad_tensor, "token_embd.weight", [](HostileFile& f) {
    const auto scales = static_cast<uint32_t>(table_of(f)->scales());
    const fb::Segment* segment = f.root()->segments()->Get(scales);
    f.set(segment, fb::Segment::VT_SIZE, segment->size() - 4);
  });
}

TEST(HostileWeights, in_groups_that_there_are_not_are_refused) {
  for (const uint32_t group : {0u, 1u, 4u, 7u, 16u, 24u, 96u, 256u, 512u, 1u << 31, ~0u}) {
    expect_refused(Code::bad_tensor, "token_embd.weight",
                   [&](HostileFile& f) { f.set(table_of(f), fb::Tensor::VT_GROUP_SIZE, group); });
  }
}

TEST(HostileWeights, in_an_unknown_layout_are_refused_by_name) {
  expect_refused(Code::unknown_layout, "q5_rows_linear",
                 [](HostileFile& f) { f.set_text(table_of(f)->layout(), "q5"); });
}

TEST(HostileWeights, that_a_linear_reads_in_rows_are_refused) {
  compiler::Graph graph = llama().graph();
  const compiler::GraphOp& head = graph.ops[graph.ops.size() - 2];
  for (const Layout layout : {Layout::q4_rows_linear, Layout::q4_rows_embedding}) {
    graph.tensor(head.inputs[1]).q4_layout = layout;
    const test::TempFile path("", ".nbl");
    compiler::emit(graph, nullptr, {}, path.path());
    HostileFile file(test::read_file(path.path()));
    EXPECT_NE(file.load_error().find("op logits is malformed"), std::string::npos);
    EXPECT_EQ(file.code(), Code::bad_op);
  }
}

// An op of 4 bits over a weight of 8, a type in the layout of the other, and a segment of the size
// of the other.
TEST(HostileWeights, of_8_bits_are_refused_under_the_name_of_4_and_the_other_way_round) {
  const auto expect = [](const compiler::PassOptions& passes, Code code, const char* names,
                         const std::function<void(HostileFile&)>& how) {
    HostileFile file(llama().file(passes));
    ASSERT_EQ(file.load_error(), "");
    how(file);
    file.fix();
    const std::string text = file.load_error();
    EXPECT_EQ(code_name(file.code()), std::string(code_name(code))) << text;
    EXPECT_NE(text.find(names), std::string::npos) << text;
  };
  const compiler::PassOptions eight{.embedding_layout = compiler::EmbeddingLayout::tiled,
                                    .head_bits = 8};
  const compiler::PassOptions four{.embedding_layout = compiler::EmbeddingLayout::tiled};
  struct Renamed {
    const compiler::PassOptions& passes;
    const char* layout;
    const char* dtype;
  };
  for (const Renamed& to : {Renamed{eight, "q4_t16k8", "q4"}, Renamed{four, "q8_t16k4", "q8"}}) {
    const auto rename_layout = [&](HostileFile& f) {
      f.set_text(table_of(f)->layout(), to.layout);
    };
    const auto rename_dtype = [&](HostileFile& f) { f.set_text(table_of(f)->dtype(), to.dtype); };
    expect(to.passes, Code::unknown_layout, "layout", rename_layout);
    expect(to.passes, Code::unknown_layout, "layout", rename_dtype);
    expect(to.passes, Code::bad_tensor, "token_embd.weight", [&](HostileFile& f) {
      rename_layout(f);
      rename_dtype(f);
    });
  }
  expect(eight, Code::bad_op, "op embedding is malformed",
         [&](HostileFile& f) { f.set_text(f.root()->ops()->Get(0)->kind(), "embedding_q4gsw"); });
}

// Some bytes of every tensor's fields: a status or a model, never a crash.
TEST(HostileWeights, with_any_byte_flipped_end_in_a_status_or_a_model) {
  static const test::AlignedBytes good = llama().file();
  HostileFile file(good);
  const size_t count = file.graph().size();
  for (size_t at = 0; at < count; ++at) {
    HostileFile spoilt(good);
    spoilt.graph()[at] ^= std::byte{0x41};
    spoilt.fix();
    (void)spoilt.load_error();
  }
}

}  // namespace
}  // namespace nbl
