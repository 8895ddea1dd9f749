#include "compiler/import/pt2/context.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace nbl::compiler::pt2 {

int32_t Context::add_source(Source source) {
  sources.push_back(std::move(source));
  return static_cast<int32_t>(sources.size()) - 1;
}

int32_t Context::activation_source(int32_t tensor) {
  const auto [found, added] = source_of_.try_emplace(tensor, 0);
  if (added) {
    found->second = add_source({.kind = Source::Kind::activation,
                                .tensor = tensor,
                                .rows = step.tokens,
                                .columns = graph.columns(tensor)});
  }
  return found->second;
}

Elements Context::activation(int32_t tensor, Dims dims) {
  return whole_source(activation_source(tensor), std::move(dims));
}

int32_t Context::emit(GraphOp op, uint32_t columns) {
  const std::string key =
      fmt::format("{} {} {} {} {} {} {} {} {} {} {} {}", static_cast<int>(op.kind),
                  fmt::join(op.inputs, ","), op.eps, op.scale, op.heads, op.kv_heads, op.head_dim,
                  op.rotary_dim, op.rope_half, static_cast<int>(op.function), op.alpha, op.offset);
  const auto [found, added] = emitted_.try_emplace(key, kAbsent);
  if (!added) return found->second;
  if (op.name.empty()) op.name = node_name;
  const int32_t out = graph.add({.name = op.name, .shape = {0, columns}});
  op.outputs = {out};
  graph.ops.push_back(std::move(op));
  found->second = out;
  return out;
}

const GraphOp* Context::producer(int32_t tensor) const {
  const int32_t op = graph.producer(tensor);
  return op < 0 ? nullptr : &graph.ops[static_cast<size_t>(op)];
}

int32_t Context::vector_weight(const std::string& name, const std::vector<double>& values) {
  std::string key = "vector " + name;
  for (const double value : values)
    key += fmt::format(" {:a}", value);
  const auto [found, added] = weights.try_emplace(key, kAbsent);
  if (!added) return found->second;
  auto constant = std::make_shared<Constant>();
  for (const double value : values)
    constant->values.push_back(static_cast<float>(value));
  found->second = graph.add({.name = name,
                             .role = Role::weight,
                             .dtype = DType::f32,
                             .shape = {static_cast<uint32_t>(values.size())},
                             .constant = std::move(constant)});
  return found->second;
}

std::optional<double> fixed_number(const Context& context, const Value& value) {
  const auto* expression = std::get_if<ExpressionRef>(&value);
  if (expression == nullptr || (*expression)->varies) return std::nullopt;
  const Numbers& numbers = context.numbers(*expression);
  if (numbers.layout.count() != 1) return std::nullopt;
  return numbers.only();
}

}  // namespace nbl::compiler::pt2
