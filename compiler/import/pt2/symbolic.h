// Symbolic expressions of the file, which are printed as sympy's srepr, in the notation of people.
#pragma once

#include <string>
#include <string_view>

namespace nbl::compiler::pt2 {

// "Mul(Integer(16), Symbol('s58', positive=True, integer=True))" -> "16*s58". Functions without an
// operator keep their name; text of another form is handed back as it is.
std::string infix_of(std::string_view expression);

}  // namespace nbl::compiler::pt2
