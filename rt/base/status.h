// Status and Error: how the runtime says what went wrong.
//
// A Status is four bytes and travels through return values. The values that a sentence for people
// needs (which tensor, how many bytes, what limit) go into an Error, which the caller owns and
// every stage fills through fail(). Nothing here allocates or prints.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace nbl {

enum class Code : uint8_t {
#define NBL_STATUS(code, sentence) code,
#include "rt/base/status.def"
#undef NBL_STATUS
};

// What happened (code) and to which tensor, op or call (where). Fits a register, owns nothing.
class [[nodiscard]] Status {
 public:
  constexpr Status() = default;
  constexpr Status(Code code, uint32_t where = 0)
      : bits_(static_cast<uint32_t>(code) | (where << 8)) {}
  constexpr bool ok() const { return code() == Code::ok; }
  constexpr Code code() const { return static_cast<Code>(bits_ & 0xffu); }
  constexpr uint32_t where() const { return bits_ >> 8; }
  constexpr uint32_t bits() const { return bits_; }

 private:
  uint32_t bits_ = 0;
};

// The facts behind a failed Status. `name` is a copy, cut to fit, always zero-terminated.
struct Error {
  Status status;
  uint64_t value = 0;
  uint64_t limit = 0;
  char name[64] = {};
};

// Fills *error (which may be null) and returns its Status, so that a failure is one line:
//   if (n > limit) return fail(error, Code::bad_tensor, i, tensor.name, n, limit);
Status fail(Error* error, Code code, uint32_t where, std::string_view name, uint64_t value = 0,
            uint64_t limit = 0);

// The same with a zero-terminated name, which most are: a call of it takes half the code.
Status fail_named(Error* error, Code code, uint32_t where, const char* name, uint64_t value,
                  uint64_t limit);
template <size_t kSize>
inline Status fail(Error* error, Code code, uint32_t where, const char (&name)[kSize],
                   uint64_t value = 0, uint64_t limit = 0) {
  return fail_named(error, code, where, name, value, limit);
}

// Writes the sentence for `error` into out, zero-terminated and cut to out_bytes.
// Returns the length written, without the zero.
size_t describe(const Error& error, char* out, size_t out_bytes);

// The name of a code as in status.def.
const char* code_name(Code code);

}  // namespace nbl

// Hands a failed Status to the caller.
#define NBL_TRY(expression)                            \
  do {                                                 \
    const ::nbl::Status nbl_try_status = (expression); \
    if (!nbl_try_status.ok()) return nbl_try_status;   \
  } while (false)
