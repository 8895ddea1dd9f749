// Breaks if the reader loses or changes anything that an exported program says: values of weights
// however they are stored, the kinds of arguments, the signature, symbols and their ranges.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "compiler/import/half.h"
#include "compiler/import/pt2/symbolic.h"
#include "tests/support/pt2_fixture.h"

namespace {

using namespace nbl::compiler::pt2;
using namespace nbl::test;

template <typename T>
double at(const std::byte* data, size_t i) {
  T value;
  std::memcpy(&value, data + i * sizeof(T), sizeof(T));
  return static_cast<double>(value);
}

double element(const ConstantTensor& tensor, size_t i) {
  const std::byte* data = tensor.bytes.data();
  switch (tensor.meta.dtype) {
    case ScalarType::uint8:
      return at<uint8_t>(data, i);
    case ScalarType::int8:
      return at<int8_t>(data, i);
    case ScalarType::int16:
      return at<int16_t>(data, i);
    case ScalarType::int32:
      return at<int32_t>(data, i);
    case ScalarType::int64:
      return at<int64_t>(data, i);
    case ScalarType::float32:
      return at<float>(data, i);
    case ScalarType::float64:
      return at<double>(data, i);
    case ScalarType::boolean:
      return at<uint8_t>(data, i);
    case ScalarType::float16:
    case ScalarType::bfloat16: {
      uint16_t bits;
      std::memcpy(&bits, data + 2 * i, 2);
      const bool half = tensor.meta.dtype == ScalarType::float16;
      return static_cast<double>(half ? nbl::compiler::f16_to_f32(bits)
                                      : nbl::compiler::bf16_to_f32(bits));
    }
    case ScalarType::unknown:
      break;
  }
  ADD_FAILURE() << "a tensor of unknown type";
  return 0;
}

// The last one.
const Node& node_of(const ExportedProgram& program, const std::string& target) {
  for (size_t i = program.nodes.size(); i-- > 0;) {
    if (program.nodes[i].target == target) return program.nodes[i];
  }
  ADD_FAILURE() << "no node " << target;
  return program.nodes.front();
}

const Argument& input_of(const Node& node, const std::string& name) {
  for (const NamedArgument& input : node.inputs) {
    if (input.name == name) return input.value;
  }
  ADD_FAILURE() << node.target << " has no input " << name;
  return node.inputs.front().value;
}

TEST(Pt2Program, every_fixture_is_read) {
  const std::vector<std::string> names = pt2_names();
  EXPECT_GE(names.size(), 50u);
  for (const std::string& name : names) {
    SCOPED_TRACE(name);
    const ExportedProgram program = read_exported_program(pt2_path(name));
    EXPECT_GT(program.nodes.size(), 10u);
    EXPECT_GE(program.outputs.size(), 1u);
    EXPECT_TRUE(program.torch_version.starts_with("2.")) << program.torch_version;
    for (const InputSpec& input : program.inputs) {
      EXPECT_NE(input.kind, InputKind::other) << input.value;
      const bool constant = input.kind != InputKind::user;
      EXPECT_EQ(program.constants.contains(input.target), constant) << input.value;
      EXPECT_TRUE(program.tensors.contains(input.value) || program.integers.contains(input.value));
    }
    for (const Node& node : program.nodes) {
      EXPECT_FALSE(node.target.empty());
      for (const NamedArgument& input : node.inputs)
        EXPECT_FALSE(std::holds_alternative<Other>(input.value)) << node.target << input.name;
    }
  }
}

TEST(Pt2Program, weights_have_the_values_that_pytorch_saved) {
  const ExportedProgram program = read_exported_program(pt2_path("tensors"));
  const nlohmann::json facts = pt2_facts("tensors");
  size_t seen = 0;
  for (const auto& [name, wanted] : facts.items()) {
    SCOPED_TRACE(name);
    const auto found = program.constants.find(name);
    ASSERT_NE(found, program.constants.end());
    const ConstantTensor& tensor = found->second;
    const std::string type = wanted["dtype"] == "bool" ? "boolean" : std::string(wanted["dtype"]);
    EXPECT_EQ(scalar_type_name(tensor.meta.dtype), type);
    EXPECT_EQ(tensor.shape, wanted["shape"].get<std::vector<int64_t>>());
    const std::vector<double> values = wanted["values"];
    ASSERT_EQ(tensor.bytes.size(), values.size() * scalar_type_bytes(tensor.meta.dtype));
    for (size_t i = 0; i < values.size(); ++i)
      EXPECT_EQ(element(tensor, i), values[i]) << "element " << i;
    ++seen;
  }
  EXPECT_EQ(seen, program.constants.size());
  EXPECT_GE(seen, 20u);
}

TEST(Pt2Program, parameters_that_share_storage_share_bytes) {
  const ExportedProgram program = read_exported_program(pt2_path("tensors"));
  EXPECT_EQ(program.constants.at("plain").bytes.data(),
            program.constants.at("shared").bytes.data());
  EXPECT_NE(program.constants.at("plain").bytes.data(),
            program.constants.at("transposed").bytes.data());
}

TEST(Pt2Program, constants_outlive_the_archive_and_its_copies) {
  ExportedProgram copy;
  {
    const ExportedProgram program = read_exported_program(pt2_path("tensors"));
    copy = program;
  }
  EXPECT_EQ(element(copy.constants.at("scalar"), 0), 2.5);
  EXPECT_EQ(element(copy.constants.at("transposed"), 1), -1.5);
}

TEST(Pt2Program, arguments_keep_their_kinds) {
  const ExportedProgram program = read_exported_program(pt2_path("static_fill"));
  const Node& index = node_of(program, "torch.ops.aten.index.Tensor");
  const auto* indices = std::get_if<ValueNames>(&input_of(index, "indices"));
  ASSERT_NE(indices, nullptr);
  EXPECT_EQ(indices->names.back(), "input_pos");
  const Node& fill = node_of(program, "torch.ops.aten.masked_fill.Scalar");
  const auto* value = std::get_if<double>(&input_of(fill, "value"));
  ASSERT_NE(value, nullptr);
  EXPECT_TRUE(std::isinf(*value) && *value < 0) << *value;
  const Node& dequantize = node_of(program, "torch.ops.torchao.dequantize_affine.default");
  EXPECT_TRUE(std::holds_alternative<None>(input_of(dequantize, "zero_point")));
  const auto* type = std::get_if<ScalarType>(&input_of(dequantize, "input_dtype"));
  ASSERT_NE(type, nullptr);
  EXPECT_EQ(*type, ScalarType::int8);
  const auto* block = std::get_if<std::vector<IntOrName>>(&input_of(dequantize, "block_size"));
  ASSERT_NE(block, nullptr);
  ASSERT_EQ(block->size(), 2u);
  EXPECT_EQ((*block)[1].value, 32);
  EXPECT_EQ(std::get<int64_t>(input_of(dequantize, "quant_min")), -8);
  EXPECT_NE(dequantize.stack_trace.find("decoder.py"), std::string::npos);
}

TEST(Pt2Program, nones_in_a_list_of_tensors_stay_in_their_place) {
  const ExportedProgram program = read_exported_program(pt2_path("put"));
  const Node& put = node_of(program, "torch.ops.aten.index_put_.default");
  const auto* indices = std::get_if<ValueNames>(&input_of(put, "indices"));
  ASSERT_NE(indices, nullptr);
  EXPECT_EQ(indices->names, (std::vector<std::string>{"", "", "input_pos"}));
}

TEST(Pt2Program, sizes_may_be_symbols_with_ranges) {
  const ExportedProgram program = read_exported_program(pt2_path("llama"));
  const TensorMeta& tokens = program.tensors.at("tokens");
  ASSERT_EQ(tokens.sizes.size(), 2u);
  EXPECT_FALSE(tokens.sizes[0].symbolic());
  ASSERT_TRUE(tokens.sizes[1].symbolic());
  EXPECT_EQ(tokens.sizes[1].value, 3);  // of the example
  const Range& range = program.ranges.at(tokens.sizes[1].expression);
  EXPECT_EQ(range.least, 1);
  EXPECT_EQ(range.most, 80);
  EXPECT_EQ(program.integers.at("item").expression, "u0");
  EXPECT_EQ(program.integers.at("item").value, -1);
}

TEST(Pt2Program, mutated_buffers_and_numbers_are_in_the_signature) {
  const ExportedProgram core = read_exported_program(pt2_path("llama_core"));
  ASSERT_EQ(core.outputs.size(), 3u);
  EXPECT_EQ(core.outputs[0].kind, OutputKind::buffer_mutation);
  EXPECT_EQ(core.outputs[0].target, "layers.0.attention.k_cache");
  EXPECT_EQ(core.outputs[2].kind, OutputKind::user);
  const Node& update = node_of(core, "torch.ops.higher_order.auto_functionalized_v2");
  EXPECT_EQ(std::get<std::string>(input_of(update, "")), "torch.ops.llama.update_cache.default");

  const ExportedProgram with_int = read_exported_program(pt2_path("llama_int"));
  const InputSpec& position = with_int.inputs.back();
  EXPECT_EQ(position.kind, InputKind::user);
  EXPECT_TRUE(with_int.integers.contains(position.value));

  const ExportedProgram fleeting = read_exported_program(pt2_path("half"));
  for (const InputSpec& input : fleeting.inputs) {
    if (input.kind != InputKind::buffer || input.target.starts_with("rope")) continue;
    if (input.target == "mask") continue;
    EXPECT_NE(input.persistent, input.target.ends_with("_cache")) << input.target;
  }
}

TEST(Pt2Program, graphs_without_gradients_are_put_in_place) {
  const ExportedProgram program = read_exported_program(pt2_path("hf_llama"));
  bool seen = false;
  for (const Node& node : program.nodes) {
    EXPECT_EQ(node.target.find("wrap_with"), std::string::npos);
    for (const std::string& output : node.outputs)
      seen = seen || output.starts_with("submod_");
    if (node.target != "torch.ops.aten.linear.default") continue;
    const auto* input = std::get_if<ValueName>(&node.inputs[0].value);
    ASSERT_NE(input, nullptr);
    EXPECT_TRUE(program.tensors.contains(input->name));
  }
  EXPECT_TRUE(seen);
}

TEST(Pt2Symbolic, expressions_are_printed_as_people_write_them) {
  EXPECT_EQ(infix_of("Symbol('s58', positive=True, integer=True)"), "s58");
  EXPECT_EQ(infix_of("Mul(Integer(16), Symbol('s58', positive=True, integer=True))"), "16*s58");
  EXPECT_EQ(infix_of("Add(Mul(Integer(32), Symbol('s27', integer=True)), Integer(-32))"),
            "32*s27 + -32");
  EXPECT_EQ(infix_of("Mul(Integer(2), Add(Symbol('s0'), Integer(1)))"), "2*(s0 + 1)");
  EXPECT_EQ(infix_of("Min(Integer(8), Symbol('u0', integer=True))"), "Min(8, u0)");
  EXPECT_EQ(infix_of("LessThan(Symbol('u0'), Integer(14))"), "u0 <= 14");
  EXPECT_EQ(infix_of("FloorDiv(Add(Symbol('s0'), Integer(3)), Integer(4))"), "(s0 + 3) // 4");
  EXPECT_EQ(infix_of("Mul(FloorDiv(Symbol('s0'), Integer(4)), Integer(4))"), "(s0 // 4)*4");
}

TEST(Pt2Symbolic, other_text_stays_as_it_is) {
  for (const std::string text : {"", "s0", "s0 + 1", "Mul(", "Symbol('s0", "Mul()", "Integer()",
                                 "Symbol('s0') and more", "Add(Integer(1),)"}) {
    EXPECT_EQ(infix_of(text), text);
  }
  std::string deep;
  for (int i = 0; i < 100000; ++i)
    deep += "Add(";
  EXPECT_EQ(infix_of(deep), deep);
}

}  // namespace
