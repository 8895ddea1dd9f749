// Could break: an input taken for another, an op that is skipped in silence, or a refusal that does
// not say where.
#include <gtest/gtest.h>

#include "tests/support/pt2_builder.h"

namespace nbl::test {
namespace {

constexpr int64_t kWide = 8;

bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

TEST(LowerInputs, finds_the_token_ids_by_the_embedding) {
  Pt2Builder net;
  EXPECT_EQ(lowered(net.finish(net.embed(kWide), kWide)),
            "embed [T, 8] = embedding_q4gsw(tokens, embed.weight)\n"
            "head [T, 32] = linear_q4gsw(embed, head.weight) last_row\n"
            "sample(head)\n");
}

TEST(LowerInputs, finds_them_behind_casts_and_views) {
  Pt2Builder net;
  const std::string ids = net.aten("to.dtype", "tokens", {{"dtype", of(pt2::ScalarType::int32)}});
  const std::string flat = net.aten("view.default", ids, {{"size", sizes({"length"})}});
  const std::string table = net.floats("embed.weight", {32, kWide});
  const std::string x =
      net.call("torch.ops.aten.embedding.default", {{"weight", of(table)}, {"indices", of(flat)}});
  EXPECT_TRUE(has(lowered(net.finish(x, kWide)), "embedding_q4gsw(tokens, embed.weight)"));
}

TEST(LowerInputs, takes_the_names_that_it_is_given) {
  Pt2Builder net;
  const pt2::ExportedProgram program = net.finish(net.embed(kWide), kWide);
  EXPECT_EQ(lower_error(program, {.tokens = "tokens"}), "");
  const std::string error = lower_error(program, {.tokens = "words"});
  EXPECT_TRUE(has(error, "no input words; the program has tokens")) << error;
}

TEST(LowerInputs, refuses_inputs_that_the_runtime_does_not_have) {
  Pt2Builder net;
  net.input("bias", {{kWide, ""}}, pt2::ScalarType::float32);
  const std::string x = net.aten("add.Tensor", net.embed(kWide), {{"other", of("bias")}});
  const std::string error = lower_error(net.finish(x, kWide));
  EXPECT_TRUE(has(error, "input bias is neither the token ids nor a position")) << error;
}

TEST(LowerInputs, refuses_a_fixed_length_of_several_tokens) {
  Pt2Builder net(5);
  const std::string error = lower_error(net.finish(net.embed(kWide), kWide));
  EXPECT_TRUE(has(error, "a fixed length of 5 tokens")) << error;
}

TEST(LowerInputs, takes_prefill_no_longer_than_the_program_does) {
  Pt2Builder net(0, 12);
  const pt2::Lowered result =
      pt2::lower(net.finish(net.embed(kWide), kWide), {.prefill_chunk = 64});
  EXPECT_EQ(result.graph.prefill_chunk, 12u);
  EXPECT_EQ(result.context_limit, 12u);
}

TEST(LowerInputs, refuses_a_context_past_the_program) {
  Pt2Builder net(0, 12);
  const std::string error = lower_error(net.finish(net.embed(kWide), kWide), {.context = 13});
  EXPECT_TRUE(has(error, "the context is 13; this program allows 1 to 12")) << error;
}

TEST(LowerInputs, takes_assertions_as_limits) {
  Pt2Builder net(0, 64);
  const std::string fits = net.call("_operator.le", {{"a", of("length")}, {"b", of(10)}});
  net.call("torch.ops.aten._assert_scalar.default",
           {{"self", of(fits)}, {"assert_msg", text("too long")}}, {"asserted"});
  EXPECT_EQ(pt2::lower(net.finish(net.embed(kWide), kWide), {}).context_limit, 10u);
}

TEST(LowerInputs, refuses_an_unknown_op_with_its_place_and_what_there_is) {
  Pt2Builder net;
  const std::string x = net.embed(kWide);
  net.stack_trace =
      "  File \"/home/user/model.py\", line 12, in forward\n    x = self.norm(x)\n"
      "  File \"/home/user/norm.py\", line 7, in forward\n    return x.cumsum(-1)\n";
  const std::string y = net.aten("cumsum.default", x, {{"dim", of(-1)}});
  const std::string error = lower_error(net.finish(y, kWide));
  EXPECT_TRUE(has(error, "test.pt2: torch.ops.aten.cumsum.default")) << error;
  EXPECT_TRUE(has(error, "norm.py:7 (return x.cumsum(-1))")) << error;
  EXPECT_TRUE(has(error, "supported are ")) << error;
  EXPECT_TRUE(has(error, "aten.scaled_dot_product_attention")) << error;
}

TEST(LowerInputs, keeps_the_newest_token_of_the_output) {
  Pt2Builder net;
  const std::string x = net.embed(kWide);
  const std::string last = net.aten("slice.Tensor", x, {{"dim", of(1)}, {"start", of(-1)}});
  EXPECT_TRUE(has(lowered(net.finish(last, kWide)), "last_row"));
}

TEST(LowerInputs, refuses_an_output_without_the_newest_token) {
  Pt2Builder net;
  const std::string x = net.embed(kWide);
  const std::string first = net.aten("select.int", x, {{"dim", of(1)}, {"index", of(0)}});
  EXPECT_TRUE(has(lower_error(net.finish(first, kWide)), "leaves out the newest token"));
}

TEST(LowerInputs, takes_the_choice_of_a_token_for_the_logits) {
  Pt2Builder net;
  const std::string logits = net.linear(net.embed(kWide), "head", 32, kWide);
  const std::string choice = net.aten("argmax.default", logits, {{"dim", of(-1)}});
  EXPECT_TRUE(has(lowered(net.returning(choice)), "sample(head)"));
}

TEST(LowerInputs, refuses_a_vocabulary_of_another_size_than_the_table) {
  Pt2Builder net;
  const std::string logits = net.linear(net.embed(kWide), "head", 33, kWide);
  EXPECT_TRUE(has(lower_error(net.returning(logits)), "32 rows, for 33 logits"));
}

TEST(LowerInputs, refuses_to_read_what_was_changed_in_place) {
  Pt2Builder net;
  const std::string x = net.embed(kWide);
  const std::string view = net.aten("view.default", x, {{"size", sizes({"length", kWide})}});
  net.aten("mul_.Tensor", x, {{"other", of(2.0)}});
  EXPECT_TRUE(has(lower_error(net.finish(view, kWide)), "changed it in place"));
}

TEST(LowerElementwise, fuses_silu_and_a_product) {
  for (const bool sigmoid : {false, true}) {
    Pt2Builder net;
    const std::string x = net.embed(kWide);
    const std::string gate = net.linear(x, "gate", 16, kWide);
    const std::string up = net.linear(x, "up", 16, kWide);
    const std::string act =
        sigmoid ? net.aten("mul.Tensor", gate, {{"other", of(net.aten("sigmoid.default", gate))}})
                : net.aten("silu.default", gate);
    const std::string y = net.aten("mul.Tensor", act, {{"other", of(up)}});
    EXPECT_TRUE(has(lowered(net.finish(y, 16)), "swiglu(gate, up)"));
  }
}

TEST(LowerElementwise, takes_halves_of_one_product) {
  Pt2Builder net;
  const std::string both = net.linear(net.embed(kWide), "both", 32, kWide);
  net.call("torch.ops.aten.chunk.default", {{"self", of(both)}, {"chunks", of(2)}, {"dim", of(-1)}},
           {"gate", "up"});
  const std::string y =
      net.aten("mul.Tensor", net.aten("silu.default", "gate"), {{"other", of("up")}});
  const std::string graph = lowered(net.finish(y, 16));
  EXPECT_TRUE(has(graph, "slice(both)\n")) << graph;
  EXPECT_TRUE(has(graph, "slice(both) offset=16")) << graph;
  EXPECT_TRUE(has(graph, "swiglu(")) << graph;
}

TEST(LowerElementwise, gives_a_linear_its_bias) {
  for (const bool product : {false, true}) {
    Pt2Builder net;
    const std::string x = net.embed(kWide);
    const std::string weight = net.floats("body.weight", {kWide, kWide});
    const std::string bias = net.floats("body.bias", {kWide}, 1.0f);
    const std::string flat = net.aten("view.default", x, {{"size", sizes({"length", kWide})}});
    const std::string y =
        product ? net.call("torch.ops.aten.addmm.default",
                           {{"self", of(bias)},
                            {"mat1", of(flat)},
                            {"mat2", of(net.aten("t.default", weight))}})
                : net.call("torch.ops.aten.linear.default",
                           {{"input", of(x)}, {"weight", of(weight)}, {"bias", of(bias)}});
    const std::string graph = lowered(net.finish(y, kWide));
    EXPECT_TRUE(has(graph, "linear_q4gsw(embed, body.weight, -, body.bias)")) << graph;
  }
}

TEST(LowerElementwise, adds_residuals_and_scales) {
  Pt2Builder net;
  const std::string x = net.aten("mul.Tensor", net.embed(kWide), {{"other", of(3.0)}});
  const std::string y = net.linear(x, "body", kWide, kWide);
  const std::string sum = net.aten("add.Tensor", x, {{"other", of(y)}});
  const std::string graph = lowered(net.finish(sum, kWide));
  EXPECT_TRUE(has(graph, "elementwise(embed) function=mul alpha=3")) << graph;
  EXPECT_TRUE(has(graph, "= add(")) << graph;
}

TEST(LowerElementwise, keeps_the_functions_that_nothing_absorbs) {
  Pt2Builder net;
  std::string x = net.embed(kWide);
  for (const char* op : {"gelu.default", "tanh.default", "relu.default", "exp.default"})
    x = net.aten(op, x);
  const std::string graph = lowered(net.finish(x, kWide));
  for (const char* function : {"gelu", "tanh", "relu", "exp"})
    EXPECT_TRUE(has(graph, std::string("function=") + function)) << graph;
}

TEST(LowerElementwise, moves_columns_where_the_graph_does) {
  Pt2Builder net;
  const std::string x = net.embed(kWide);
  const std::string split = net.aten("view.default", x, {{"size", sizes({1, "length", 2, 4})}});
  const std::string turned = net.aten("transpose.int", split, {{"dim0", of(2)}, {"dim1", of(3)}});
  const std::string flat =
      net.aten("reshape.default", turned, {{"shape", sizes({1, "length", kWide})}});
  const std::string graph = lowered(net.finish(flat, kWide));
  EXPECT_TRUE(has(graph, "permute(embed) heads=2 head_dim=4")) << graph;
}

TEST(LowerElementwise, refuses_learned_positions) {
  Pt2Builder net;
  net.positions();
  const std::string table = net.floats("positions.weight", {16, kWide});
  const std::string rows = net.call("torch.ops.aten.embedding.default",
                                    {{"weight", of(table)}, {"indices", of("input_pos")}});
  const std::string x = net.aten("add.Tensor", net.embed(kWide), {{"other", of(rows)}});
  EXPECT_NE(lower_error(net.finish(x, kWide), {.tokens = "tokens"}), "");
}

}  // namespace
}  // namespace nbl::test
