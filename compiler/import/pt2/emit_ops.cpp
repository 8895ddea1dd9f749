#include "compiler/import/pt2/emit_ops.h"

namespace nbl::compiler::pt2 {

int32_t emit_unary(Context& context, Function function, int32_t x) {
  return context.emit(
      {.kind = OpKind::elementwise, .name = {}, .inputs = {x}, .function = function},
      context.graph.columns(x));
}

int32_t emit_scalar(Context& context, Function function, int32_t x, double alpha) {
  return context.emit({.kind = OpKind::elementwise,
                       .name = {},
                       .inputs = {x},
                       .function = function,
                       .alpha = static_cast<float>(alpha)},
                      context.graph.columns(x));
}

int32_t emit_binary(Context& context, Function function, int32_t a, int32_t b, double alpha) {
  const uint32_t columns = context.graph.columns(a);
  const bool sum = function == Function::add || function == Function::sub;
  const bool both =
      context.graph.tensor(b).role == Role::activation && context.graph.columns(b) == columns;
  if (function == Function::add && both && alpha == 1) {
    return context.emit({.kind = OpKind::add, .name = {}, .inputs = {a, b}}, columns);
  }
  return context.emit({.kind = OpKind::elementwise,
                       .name = {},
                       .inputs = {a, b},
                       .function = function,
                       .alpha = sum ? static_cast<float>(alpha) : 0.0f},
                      columns);
}

int32_t emit_slice(Context& context, int32_t x, uint32_t offset, uint32_t count) {
  return context.emit({.kind = OpKind::slice, .name = {}, .inputs = {x}, .offset = offset}, count);
}

int32_t emit_cat(Context& context, const std::vector<int32_t>& parts) {
  uint32_t columns = 0;
  for (const int32_t part : parts)
    columns += context.graph.columns(part);
  return context.emit({.kind = OpKind::cat, .name = {}, .inputs = parts}, columns);
}

int32_t emit_permute(Context& context, int32_t x, uint32_t heads) {
  const uint32_t columns = context.graph.columns(x);
  return context.emit({.kind = OpKind::permute,
                       .name = {},
                       .inputs = {x},
                       .heads = heads,
                       .head_dim = columns / heads},
                      columns);
}

int32_t emit_softmax(Context& context, int32_t x, double scale) {
  return context.emit(
      {.kind = OpKind::softmax, .name = {}, .inputs = {x}, .scale = static_cast<float>(scale)},
      context.graph.columns(x));
}

int32_t emit_rms_norm(Context& context, int32_t x, int32_t weight, uint32_t heads, double eps) {
  return context.emit({.kind = OpKind::rms_norm,
                       .name = {},
                       .inputs = {x, weight},
                       .eps = static_cast<float>(eps),
                       .heads = heads == 1 ? 0 : heads},
                      context.graph.columns(x));
}

}  // namespace nbl::compiler::pt2
