// Could break: a file whose checksums are right but whose numbers do not fit is taken, or is
// refused for a reason that is not the one.
#include <gtest/gtest.h>

#include <cmath>
#include <functional>

#include "tests/support/fault_rig.h"
#include "tests/support/hostile_file.h"

namespace nbl {
namespace {

using test::AlignedBytes;
using test::HostileFile;

const AlignedBytes& good_file() {
  static const AlignedBytes file = test::tiny_model(true);
  return file;
}

// One spoilt thing and what load() must say of it.
struct Spoil {
  const char* what;
  Code code;
  const char* names;  // a part of the sentence
  std::function<void(HostileFile&)> how;
};

void expect_refused(const std::vector<Spoil>& cases, const AlignedBytes& good = good_file()) {
  for (const Spoil& c : cases) {
    HostileFile file(good);
    c.how(file);
    file.fix();
    const std::string text = file.load_error();
    EXPECT_EQ(code_name(file.code()), std::string(code_name(c.code))) << c.what << ": " << text;
    EXPECT_NE(text.find(c.names), std::string::npos) << c.what << ": " << text;
  }
}

uint32_t tensor_of(HostileFile& file, std::string_view role, std::string_view dtype) {
  const auto* tensors = file.root()->tensors();
  for (uint32_t i = 0; i < tensors->size(); ++i) {
    if (tensors->Get(i)->role()->str() == role && tensors->Get(i)->dtype()->str() == dtype)
      return i;
  }
  throw std::runtime_error("there is no such tensor");
}

const fb::Op* op_of(HostileFile& file, std::string_view kind) {
  for (const fb::Op* op : *file.root()->ops()) {
    if (op->kind()->str() == kind) return op;
  }
  throw std::runtime_error("there is no such op");
}

TEST(HostileFields, unknown_names_are_refused_by_name) {
  const auto tensor = [](HostileFile& f) { return f.root()->tensors()->Get(0); };
  expect_refused({
      {"op kind", Code::unknown_op, "zzbedding",
       [](HostileFile& f) { f.set_text(op_of(f, "embedding_q4gsw")->kind(), "zz"); }},
      {"role", Code::unknown_layout, "zz",
       [&](HostileFile& f) { f.set_text(tensor(f)->role(), "zz"); }},
      {"dtype", Code::unknown_layout, "zz",
       [&](HostileFile& f) { f.set_text(tensor(f)->dtype(), "zz"); }},
      {"layout", Code::unknown_layout, "zz",
       [&](HostileFile& f) { f.set_text(tensor(f)->layout(), "zz"); }},
      {"tokenizer", Code::unknown_layout, "zpm",
       [](HostileFile& f) { f.set_text(f.root()->tokenizer()->kind(), "z"); }},
  });
}

TEST(HostileFields, segments_out_of_place_are_refused) {
  using S = fb::Segment;
  const auto segment = [](HostileFile& f, uint32_t i) { return f.root()->segments()->Get(i); };
  expect_refused({
      {"past the end", Code::file_truncated, "weight segment",
       [&](HostileFile& f) { f.set(segment(f, 0), S::VT_SIZE, uint64_t{1} << 40); }},
      {"size that wraps", Code::file_truncated, "weight segment",
       [&](HostileFile& f) { f.set(segment(f, 0), S::VT_SIZE, ~uint64_t{0} - 63); }},
      {"offset past the end", Code::file_truncated, "weight segment",
       [&](HostileFile& f) {
         f.set(segment(f, f.root()->segments()->size() - 1), S::VT_OFFSET, uint64_t{1} << 50);
       }},
      {"misaligned", Code::bad_segment, "4096",
       [&](HostileFile& f) { f.set(segment(f, 0), S::VT_OFFSET, segment(f, 0)->offset() + 64); }},
      {"over each other", Code::bad_segment, "overlaps",
       [&](HostileFile& f) { f.set(segment(f, 1), S::VT_OFFSET, segment(f, 0)->offset()); }},
      {"over the graph", Code::bad_segment, "overlaps",
       [&](HostileFile& f) { f.set(segment(f, 0), S::VT_OFFSET, uint64_t{4096}); }},
      {"shorter than its tensor", Code::bad_tensor, "malformed",
       [&](HostileFile& f) { f.set(segment(f, 0), S::VT_SIZE, segment(f, 0)->size() - 1); }},
  });
}

TEST(HostileFields, indices_out_of_range_are_refused) {
  const auto weight = [](HostileFile& f) {
    return f.root()->tensors()->Get(tensor_of(f, "weight", "q4"));
  };
  const auto linear = [](HostileFile& f) { return op_of(f, "linear_q4gsw"); };
  expect_refused({
      {"input", Code::bad_op, "malformed",
       [&](HostileFile& f) { f.set_element(linear(f)->inputs(), 0, 9999); }},
      {"negative input", Code::bad_op, "malformed",
       [&](HostileFile& f) { f.set_element(linear(f)->inputs(), 0, -2); }},
      {"absent input", Code::bad_op, "malformed",
       [&](HostileFile& f) { f.set_element(linear(f)->inputs(), 0, -1); }},
      {"absent output", Code::bad_op, "malformed",
       [&](HostileFile& f) { f.set_element(linear(f)->outputs(), 0, -1); }},
      {"output", Code::bad_op, "malformed",
       [&](HostileFile& f) { f.set_element(linear(f)->outputs(), 0, 1 << 30); }},
      {"its own input", Code::bad_op, "malformed",
       [&](HostileFile& f) {
         f.set_element(linear(f)->inputs(), 0, linear(f)->outputs()->Get(0));
       }},
      {"values", Code::bad_tensor, "malformed",
       [&](HostileFile& f) { f.set(weight(f), fb::Tensor::VT_DATA, 9999); }},
      {"scales", Code::bad_tensor, "malformed",
       [&](HostileFile& f) { f.set(weight(f), fb::Tensor::VT_SCALES, -7); }},
  });
}

TEST(HostileFields, operands_of_linears_with_int8_activations_are_checked) {
  test::BuildOptions options;
  options.passes.activations = compiler::Activations::int8;
  const AlignedBytes good = test::build_model(test::small_llama({.layers = 1}), options);
  const auto linear = [](HostileFile& f) { return op_of(f, "linear_dq8ca_q4gsw"); };
  HostileFile whole(good);
  whole.fix();
  ASSERT_EQ(whole.load_error(), "");
  expect_refused(
      {
          {"unknown kind", Code::unknown_op, "zzzzar_dq8ca",
           [&](HostileFile& f) { f.set_text(linear(f)->kind(), "zzzz"); }},
          {"input", Code::bad_op, "malformed",
           [&](HostileFile& f) { f.set_element(linear(f)->inputs(), 0, 9999); }},
          {"no rows to round", Code::bad_op, "malformed",
           [&](HostileFile& f) { f.set_element(linear(f)->inputs(), 0, -1); }},
          {"no weight", Code::bad_op, "malformed",
           [&](HostileFile& f) { f.set_element(linear(f)->inputs(), 1, -1); }},
          {"a norm that is no vector", Code::bad_op, "malformed",
           [&](HostileFile& f) {
             f.set_element(linear(f)->inputs(), 2, linear(f)->inputs()->Get(1));
           }},
          {"eps that is no number", Code::bad_op, "malformed",
           [&](HostileFile& f) { f.set(linear(f), fb::Op::VT_EPS, std::nanf("")); }},
      },
      good);
}

TEST(HostileFields, numbers_that_do_not_fit_are_refused) {
  const auto shape = [](HostileFile& f, const char* role, const char* dtype) {
    return f.root()->tensors()->Get(tensor_of(f, role, dtype))->shape();
  };
  using M = fb::Model;
  expect_refused({
      {"no rows", Code::bad_tensor, "malformed",
       [&](HostileFile& f) { f.set_element(shape(f, "weight", "q4"), 0, 0u); }},
      {"huge rows", Code::bad_tensor, "malformed",
       [&](HostileFile& f) { f.set_element(shape(f, "weight", "q4"), 0, 0xffffffffu); }},
      {"other columns", Code::bad_tensor, "malformed",
       [&](HostileFile& f) { f.set_element(shape(f, "weight", "q4"), 1, 4096u); }},
      {"wide activation", Code::bad_op, "malformed",
       [&](HostileFile& f) { f.set_element(shape(f, "activation", "f32"), 1, 65u); }},
      {"heads of 6", Code::bad_head_dim, "6 elements",
       [&](HostileFile& f) { f.set_element(shape(f, "state", "f16"), 2, 6u); }},
      {"heads of 6 in the op", Code::bad_head_dim, "6 elements",
       [](HostileFile& f) { f.set(op_of(f, "sdpa_with_kv_cache"), fb::Op::VT_HEAD_DIM, 6u); }},
      {"heads too wide", Code::bad_head_dim, "256",
       [&](HostileFile& f) { f.set_element(shape(f, "state", "f16"), 2, 260u); }},
      {"other heads", Code::bad_op, "malformed",
       [&](HostileFile& f) { f.set_element(shape(f, "state", "f16"), 0, 3u); }},
      {"other context", Code::bad_tensor, "malformed",
       [&](HostileFile& f) { f.set_element(shape(f, "state", "f16"), 1, 63u); }},
      {"group size", Code::bad_tensor, "malformed",
       [&](HostileFile& f) {
         f.set(f.root()->tensors()->Get(tensor_of(f, "weight", "q4")), fb::Tensor::VT_GROUP_SIZE,
               0u);
       }},
      {"no vocabulary", Code::bad_header, "vocabulary",
       [](HostileFile& f) { f.set(f.root(), M::VT_VOCAB_SIZE, 0u); }},
      {"huge context", Code::bad_header, "context",
       [](HostileFile& f) { f.set(f.root(), M::VT_CONTEXT_LENGTH, 1u << 25); }},
      {"huge chunk", Code::bad_header, "chunk",
       [](HostileFile& f) { f.set(f.root(), M::VT_PREFILL_CHUNK, 5000u); }},
      {"no heads", Code::bad_op, "malformed",
       [](HostileFile& f) { f.set(op_of(f, "sdpa_with_kv_cache"), fb::Op::VT_HEADS, 0u); }},
      {"huge heads", Code::bad_op, "malformed",
       [](HostileFile& f) { f.set(op_of(f, "sdpa_with_kv_cache"), fb::Op::VT_HEADS, ~0u); }},
      {"no group of heads", Code::bad_op, "malformed",
       [](HostileFile& f) { f.set(op_of(f, "sdpa_with_kv_cache"), fb::Op::VT_KV_HEADS, 3u); }},
      {"scale that is no number", Code::bad_op, "malformed",
       [](HostileFile& f) {
         f.set(op_of(f, "sdpa_with_kv_cache"), fb::Op::VT_SCALE, std::nanf(""));
       }},
  });
}

// An int8 cache, a window, a cap and a mask.
AlignedBytes attention_file() {
  const auto edit = [](compiler::Graph* graph) {
    auto constant = std::make_shared<compiler::Constant>();
    constant->values.resize(size_t{64} * 64);
    const int32_t mask = graph->add({.name = "mask",
                                     .role = Role::weight,
                                     .dtype = DType::f32,
                                     .shape = {64, 64},
                                     .constant = std::move(constant)});
    for (compiler::GraphOp& op : graph->ops) {
      if (op.kind != OpKind::sdpa_with_kv_cache) continue;
      op.window = 9;
      op.softcap = 30;
      op.full = true;
      op.inputs.push_back(mask);
    }
    compiler::tidy(graph);
  };
  return test::build_model(test::small_llama({.layers = 1, .vocab = 400}),
                           {.cache = DType::i8, .edit = edit});
}

TEST(HostileFields, attention_that_no_kernel_computes_is_refused) {
  const AlignedBytes good = attention_file();
  using O = fb::Op;
  const auto sdpa = [](HostileFile& f) { return op_of(f, "sdpa_with_kv_cache"); };
  const auto mask = [&](HostileFile& f) {
    return f.root()->tensors()->Get(static_cast<uint32_t>(sdpa(f)->inputs()->Get(3)));
  };
  const auto cap = [&](float value) {
    return [&sdpa, value](HostileFile& f) { f.set(sdpa(f), O::VT_SOFTCAP, value); };
  };
  const std::vector<Spoil> cases = {
      {"cap that is no number", Code::bad_op, "malformed", cap(std::nanf(""))},
      {"negative cap", Code::bad_op, "malformed", cap(-30)},
      {"infinite cap", Code::bad_op, "malformed", cap(INFINITY)},
      {"cap of nearly nothing", Code::bad_op, "malformed", cap(1e-44f)},
      {"mask of another shape", Code::bad_op, "malformed",
       [&](HostileFile& f) {
         f.set_element(mask(f)->shape(), 0, 32u);
         f.set_element(mask(f)->shape(), 1, 128u);
       }},
      {"mask of fewer rows", Code::bad_tensor, "mask",
       [&](HostileFile& f) { f.set_element(mask(f)->shape(), 0, 63u); }},
      {"mask that is the input", Code::bad_op, "malformed",
       [&](HostileFile& f) { f.set_element(sdpa(f)->inputs(), 3, sdpa(f)->inputs()->Get(0)); }},
      {"mask that is a cache", Code::bad_op, "malformed",
       [&](HostileFile& f) { f.set_element(sdpa(f)->inputs(), 3, sdpa(f)->inputs()->Get(1)); }},
      {"mask out of range", Code::bad_op, "malformed",
       [&](HostileFile& f) { f.set_element(sdpa(f)->inputs(), 3, 1 << 20); }},
      {"cache of heads of 30", Code::bad_head_dim, "30 elements",
       [](HostileFile& f) {
         f.set_element(f.root()->tensors()->Get(tensor_of(f, "state", "i8"))->shape(), 2, 30u);
       }},
      {"cache of bytes that are tokens", Code::unknown_layout, "u8",
       [](HostileFile& f) {
         f.set_text(f.root()->tensors()->Get(tensor_of(f, "state", "i8"))->dtype(), "u8");
       }},
      {"cache of 4-bit numbers", Code::unknown_layout, "q4",
       [](HostileFile& f) {
         f.set_text(f.root()->tensors()->Get(tensor_of(f, "state", "i8"))->dtype(), "q4");
       }},
  };
  for (const Spoil& c : cases) {
    HostileFile file(good);
    c.how(file);
    file.fix();
    const std::string text = file.load_error();
    EXPECT_EQ(code_name(file.code()), std::string(code_name(c.code))) << c.what << ": " << text;
    EXPECT_NE(text.find(c.names), std::string::npos) << c.what << ": " << text;
  }
  for (const uint32_t window : {1u, 64u, 0x7fffffffu, 0xffffffffu}) {
    HostileFile file(good);
    file.set(sdpa(file), O::VT_WINDOW, window);
    file.fix();
    EXPECT_EQ(file.load_error(), "") << window;
  }
}

TEST(HostileFields, tokenizer_tables_that_lead_astray_are_refused) {
  const auto t = [](HostileFile& f) { return f.root()->tokenizer(); };
  const char* text = "tokenizer";
  expect_refused({
      {"offset past the pieces", Code::bad_tokenizer, text,
       [&](HostileFile& f) {
         f.set_element(t(f)->offsets(), t(f)->offsets()->size() - 1, 1u << 30);
       }},
      {"falling offsets", Code::bad_tokenizer, text,
       [&](HostileFile& f) { f.set_element(t(f)->offsets(), 5, 1u << 20); }},
      {"score that is no number", Code::bad_tokenizer, text,
       [&](HostileFile& f) { f.set_element(t(f)->scores(), 9, std::nanf("")); }},
      {"piece type", Code::bad_tokenizer, text,
       [&](HostileFile& f) { f.set_element(t(f)->types(), 9, uint8_t{6}); }},
      {"sorted id", Code::bad_tokenizer, text,
       [&](HostileFile& f) { f.set_element(t(f)->sorted(), 0, 380u); }},
      {"sorted twice", Code::bad_tokenizer, text,
       [&](HostileFile& f) { f.set_element(t(f)->sorted(), 1, t(f)->sorted()->Get(0)); }},
      {"byte token", Code::bad_tokenizer, text,
       [&](HostileFile& f) { f.set_element(t(f)->byte_tokens(), 255, 380); }},
      {"bos", Code::bad_tokenizer, text,
       [&](HostileFile& f) { f.set(t(f), fb::Tokenizer::VT_BOS, 380); }},
      {"count", Code::bad_tokenizer, text,
       [&](HostileFile& f) { f.set_length(t(f)->scores(), 379); }},
  });
}

}  // namespace
}  // namespace nbl
