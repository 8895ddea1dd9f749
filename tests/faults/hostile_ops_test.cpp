// Could break: an elementwise, slice, cat, permute, softmax or norm whose numbers do not fit its
// operands reaches the device, or one that reads rows that a linear of the last row left out.
#include <gtest/gtest.h>

#include <cmath>
#include <functional>

#include "rt/model/check.h"
#include "rt/plan.h"
#include "tests/support/fault_rig.h"
#include "tests/support/graph_builder.h"
#include "tests/support/hostile_file.h"
#include "tests/support/model_builder.h"
#include "tests/support/small_llama.h"

namespace nbl {
namespace {

using test::GraphBuilder;
using test::HostileFile;
using O = fb::Op;

// One of each general op.
const test::AlignedBytes& good_file() {
  static const test::AlignedBytes file = [] {
    GraphBuilder net(1);
    int32_t x = net.rms_norm(net.embedding(40), 5);
    x = net.function(Function::sub, x, net.vector(8), 0.5f);
    const int32_t one = net.slice(x, 3, 1);
    x = net.function(Function::mul, x, one);
    x = net.function(Function::gelu, net.permute(x, 8));
    x = net.cat({net.softmax(x, 0.5f), one});
    const int32_t logits =
        net.linear(net.function(Function::add, x, compiler::kAbsent, 2), 283, true);
    net.sample(net.function(Function::mul, logits, compiler::kAbsent, 0.5f));
    return test::emit_graph(net.graph);
  }();
  return file;
}

struct Spoil {
  const char* what;
  const char* kind;
  uint32_t which;  // among the ops of that kind
  std::function<void(HostileFile&, const fb::Op*)> how;
};

const fb::Op* op_of(HostileFile& file, std::string_view kind, uint32_t which) {
  for (const fb::Op* op : *file.root()->ops()) {
    if (op->kind()->str() == kind && which-- == 0) return op;
  }
  throw std::runtime_error("there is no such op");
}

void expect_refused(const std::vector<Spoil>& cases, Code code, const std::string& names,
                    const test::AlignedBytes& good = good_file()) {
  for (const Spoil& c : cases) {
    HostileFile file(good);
    const fb::Op* op = op_of(file, c.kind, c.which);
    const std::string name = op->name()->str();
    c.how(file, op);
    file.fix();
    const std::string text = file.load_error();
    EXPECT_EQ(code_name(file.code()), std::string(code_name(code))) << c.what << ": " << text;
    EXPECT_NE(text.find(names.empty() ? name : names), std::string::npos) << c.what << ": " << text;
  }
}

TEST(HostileOps, the_good_file_loads) {
  HostileFile file(good_file());
  EXPECT_EQ(file.load_error(), "");
}

TEST(HostileOps, an_unknown_function_is_refused_by_name) {
  expect_refused({{"function", "elementwise", 1,
                   [](HostileFile& f, const fb::Op* op) { f.set_text(op->function(), "zz"); }}},
                 Code::unknown_op, "zzl");
}

TEST(HostileOps, numbers_that_do_not_fit_are_refused) {
  const auto number = [](flatbuffers::voffset_t field, auto value) {
    return [field, value](HostileFile& f, const fb::Op* op) { f.set(op, field, value); };
  };
  expect_refused(
      {
          {"alpha that is no number", "elementwise", 0, number(O::VT_ALPHA, std::nanf(""))},
          {"infinite alpha", "elementwise", 0, number(O::VT_ALPHA, INFINITY)},
          {"no factor", "elementwise", 0, number(O::VT_ALPHA, 0.0f)},
          {"infinite operand", "elementwise", 3, number(O::VT_ALPHA, -INFINITY)},
          {"function of one", "elementwise", 3,
           [](HostileFile& f, const fb::Op* op) { f.set_text(op->function(), "exp"); }},
          {"offset", "slice", 0, number(O::VT_OFFSET, 40u)},
          {"offset that wraps", "slice", 0, number(O::VT_OFFSET, ~0u)},
          {"heads of permute", "permute", 0, number(O::VT_HEADS, 7u)},
          {"no heads of permute", "permute", 0, number(O::VT_HEADS, 0u)},
          {"heads that wrap", "permute", 0,
           [](HostileFile& f, const fb::Op* op) {
             f.set(op, O::VT_HEADS, 1u << 31);
             f.set(op, O::VT_HEAD_DIM, 1u << 31);
           }},
          {"scale", "softmax", 0, number(O::VT_SCALE, -1.0f)},
          {"scale that is no number", "softmax", 0, number(O::VT_SCALE, std::nanf(""))},
          {"heads of a norm", "rms_norm", 0, number(O::VT_HEADS, 3u)},
          {"too many heads of a norm", "rms_norm", 0, number(O::VT_HEADS, ~0u)},
          {"another weight of a norm", "rms_norm", 0, number(O::VT_HEADS, 4u)},
      },
      Code::bad_op, "");
}

TEST(HostileOps, norms_of_queries_and_keys_that_do_not_fit_are_refused) {
  const test::AlignedBytes good =
      test::build_model(test::small_llama({.layers = 1, .architecture = "qwen3"}));
  HostileFile untouched(good);
  EXPECT_EQ(untouched.load_error(), "");
  const auto norm = [](const char* kind, uint32_t slot) {
    return [=](HostileFile& f, const fb::Op* op) {
      f.set_element(op->inputs(), 2, op_of(f, kind, 0)->inputs()->Get(slot));
    };
  };
  const auto eps = [](float value) {
    return [=](HostileFile& f, const fb::Op* op) { f.set(op, O::VT_EPS, value); };
  };
  expect_refused({{"norm of another length", "rope_update_cache", 0, norm("linear_q4gsw", 2)},
                  {"norm that is a matrix", "rope_update_cache", 0, norm("linear_q4gsw", 1)},
                  {"norm that is an activation", "rope_update_cache", 0, norm("linear_q4gsw", 0)},
                  {"no epsilon", "rope_update_cache", 0, eps(0)},
                  {"epsilon below zero", "rope_update_cache", 0, eps(-1)},
                  {"epsilon that is no number", "rope_update_cache", 0, eps(std::nanf(""))}},
                 Code::bad_op, "", good);
}

TEST(HostileOps, functions_that_are_no_gate_of_a_linear_are_refused) {
  const compiler::Checkpoint checkpoint =
      test::small_llama({.layers = 1, .architecture = "gemma3"});
  for (const Function function : {Function::gelu_tanh, Function::silu, Function::mul}) {
    for (const bool gated : {true, false}) {
      const auto edit = [&](compiler::Graph* graph) {
        for (compiler::GraphOp& op : graph->ops) {
          if (op.kind == OpKind::linear_q4gsw && op.swiglu == gated) op.function = function;
        }
      };
      HostileFile file(test::build_model(checkpoint, {.edit = edit}));
      const bool is_good = gated && function == Function::gelu_tanh;
      const std::string text = file.load_error();
      EXPECT_EQ(text.empty(), is_good) << text;
      if (!is_good) {
        EXPECT_EQ(code_name(file.code()), std::string(code_name(Code::bad_op))) << text;
      }
    }
  }
}

TEST(HostileOps, operands_that_do_not_fit_are_refused) {
  // The tensor that input `slot` of an op names.
  const auto input = [](HostileFile& f, std::string_view kind, uint32_t which, uint32_t slot) {
    return op_of(f, kind, which)->inputs()->Get(slot);
  };
  const auto become = [&](uint32_t slot, std::string_view kind, uint32_t which, uint32_t from) {
    return [=](HostileFile& f, const fb::Op* op) {
      f.set_element(op->inputs(), slot, input(f, kind, which, from));
    };
  };
  expect_refused(
      {
          {"b is the tokens", "elementwise", 0, become(1, "embedding_q4gsw", 0, 0)},
          {"b is a matrix", "elementwise", 0, become(1, "embedding_q4gsw", 0, 1)},
          {"a is a weight", "elementwise", 1, become(0, "rms_norm", 0, 1)},
          {"a is narrow", "elementwise", 0, become(0, "elementwise", 1, 1)},
          {"no a", "elementwise", 1,
           [](HostileFile& f, const fb::Op* op) { f.set_element(op->inputs(), 0, -1); }},
          {"cat of too few columns", "cat", 0, become(0, "cat", 0, 1)},
          {"cat without an input", "cat", 0,
           [](HostileFile& f, const fb::Op* op) { f.set_element(op->inputs(), 1, -1); }},
          {"cat of one", "cat", 0,
           [](HostileFile& f, const fb::Op* op) { f.set_length(op->inputs(), 1); }},
          {"softmax of a narrow row", "softmax", 0, become(0, "cat", 0, 1)},
          {"norm of a narrow row", "rms_norm", 0, become(1, "elementwise", 1, 1)},
      },
      Code::bad_op, "");
}

// All rows of what is before the linear, and only the last of what is behind it.
TEST(HostileOps, rows_that_are_not_there_are_refused) {
  expect_refused(
      {
          {"a capped row and all rows", "elementwise", 4,
           [](HostileFile& f, const fb::Op* op) {
             f.set_element(op->inputs(), 0, op_of(f, "linear_q4gsw", 0)->inputs()->Get(0));
           }},
      },
      Code::bad_op, "");
}

// A linear of the last row, `next` behind it, and the sample.
Status check_behind_last_row(OpKind kind, Function function, Error* error) {
  test::ModelBuilder builder(40, 16, 4);
  const int32_t tokens = builder.tokens();
  const int32_t table = builder.q4(40, 40, 32);
  const int32_t gain = builder.vector(40);
  const int32_t x = builder.activation(40), y = builder.activation(40), z = builder.activation(40);
  builder.op({.kind = OpKind::embedding_q4gsw, .inputs = {tokens, table}, .outputs = {x}});
  builder.op(
      {.kind = OpKind::linear_q4gsw, .inputs = {x, table}, .outputs = {y}, .last_row = true});
  test::OpSpec next{.kind = kind, .inputs = {y}, .outputs = {z}, .function = function};
  if (kind == OpKind::rms_norm) next.inputs.push_back(gain);
  if (kind == OpKind::linear_q4gsw) next.inputs.push_back(table);
  builder.op(next);
  builder.op({.kind = OpKind::sample, .inputs = {z}});
  return check_ops(builder.build(), error);
}

TEST(HostileOps, only_ops_on_rows_stand_behind_the_last_row) {
  Error error;
  EXPECT_TRUE(check_behind_last_row(OpKind::elementwise, Function::tanh, &error).ok());
  EXPECT_TRUE(check_behind_last_row(OpKind::rms_norm, Function::none, &error).ok());
  EXPECT_EQ(check_behind_last_row(OpKind::linear_q4gsw, Function::none, &error).code(),
            Code::bad_op);
  EXPECT_STREQ(error.name, "op2");
}

TEST(HostileOps, a_function_is_that_of_an_elementwise_op) {
  Error error;
  EXPECT_EQ(check_behind_last_row(OpKind::softmax, Function::tanh, &error).code(), Code::bad_op);
  EXPECT_EQ(check_behind_last_row(OpKind::elementwise, Function::none, &error).code(),
            Code::bad_op);
  EXPECT_TRUE(check_behind_last_row(OpKind::softmax, Function::none, &error).ok());
}

// Every byte of the graph spoilt under a right checksum: what still loads can be planned or is
// refused with a sentence.
TEST(HostileOps, flipped_bytes_never_crash_load_or_plan) {
  Caps caps = floor_caps();
  caps.memory_type_count = 1;
  caps.memory_types[0] = {kDeviceLocal | kHostVisible | kHostCoherent, 0};
  caps.memory_heap_count = 1;
  caps.memory_heap_bytes[0] = uint64_t{1} << 30;
  const test::ExactBytes block(size_t{4} << 20);
  HostileFile file(good_file());
  uint32_t survivors = 0;
  for (const uint8_t mask : {0x01, 0x08, 0x80, 0xff}) {
    for (std::byte& byte : file.graph()) {
      const std::byte kept = byte;
      byte ^= std::byte{mask};
      file.fix();
      if (file.load_error().empty()) {
        ++survivors;
        Arena arena({block.data.get(), block.size});
        auto out = std::make_unique<Plan>();
        Error error;
        char text[256];
        const Status status = plan(file.model(), caps, {}, &arena, out.get(), &error);
        EXPECT_TRUE(status.ok() || describe(error, text, sizeof text) > 0);
      }
      byte = kept;
    }
  }
  EXPECT_GT(survivors, 0u) << "names and hashes may be anything";
}

}  // namespace
}  // namespace nbl
