// What an elementwise op computes. The formulas are in spirv/elementwise.comp.
#pragma once

#include <cstdint>
#include <string_view>

namespace nbl {

enum class Function : uint8_t {
  none,  // ops of other kinds
  // a and b
  add,
  sub,
  mul,
  div,
  // a alone
  sigmoid,
  silu,
  gelu,
  gelu_tanh,
  tanh,
  relu,
  exp,
  neg,
  rsqrt,
  square,
  sqrt,
  reciprocal,
};
inline constexpr uint32_t kFunctionCount = 17;

// The names in the file, in the order of the enum; an op that has no function leaves it out.
inline constexpr std::string_view kFunctionNames[kFunctionCount] = {
    "",     "add",  "sub", "mul", "div",   "sigmoid", "silu", "gelu",      "gelu_tanh",
    "tanh", "relu", "exp", "neg", "rsqrt", "square",  "sqrt", "reciprocal"};

constexpr bool is_binary(Function function) {
  return function >= Function::add && function <= Function::div;
}

}  // namespace nbl
