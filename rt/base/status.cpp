#include "rt/base/status.h"

#include <cstring>

namespace nbl {
namespace {

constexpr const char* kNames[] = {
#define NBL_STATUS(code, sentence) #code,
#include "rt/base/status.def"
#undef NBL_STATUS
};

constexpr const char* kSentences[] = {
#define NBL_STATUS(code, sentence) sentence,
#include "rt/base/status.def"
#undef NBL_STATUS
};

// Appends to a fixed buffer and drops what does not fit.
struct Writer {
  char* out;
  size_t capacity;
  size_t used = 0;

  void put(char c) {
    if (used + 1 < capacity) out[used++] = c;
  }
  void put(std::string_view text) {
    for (const char c : text)
      put(c);
  }
  void put(uint64_t number) {
    char digits[20];
    size_t count = 0;
    do {
      digits[count++] = static_cast<char>('0' + number % 10);
      number /= 10;
    } while (number != 0);
    while (count > 0)
      put(digits[--count]);
  }
};

bool starts_with(std::string_view text, std::string_view prefix) {
  return text.size() >= prefix.size() && memcmp(text.data(), prefix.data(), prefix.size()) == 0;
}

}  // namespace

Status fail(Error* error, Code code, uint32_t where, std::string_view name, uint64_t value,
            uint64_t limit) {
  const Status status(code, where);
  if (error == nullptr) return status;
  error->status = status;
  error->value = value;
  error->limit = limit;
  const size_t length = name.size() < sizeof error->name ? name.size() : sizeof error->name - 1;
  if (length > 0) memcpy(error->name, name.data(), length);
  error->name[length] = 0;
  return status;
}

Status fail_named(Error* error, Code code, uint32_t where, const char* name, uint64_t value,
                  uint64_t limit) {
  return fail(error, code, where, std::string_view(name), value, limit);
}

size_t describe(const Error& error, char* out, size_t out_bytes) {
  if (out_bytes == 0) return 0;
  Writer writer{out, out_bytes};
  std::string_view rest = kSentences[static_cast<size_t>(error.status.code())];
  while (!rest.empty()) {
    if (starts_with(rest, "{name}")) {
      writer.put(std::string_view(error.name));
      rest.remove_prefix(6);
    } else if (starts_with(rest, "{value}")) {
      writer.put(error.value);
      rest.remove_prefix(7);
    } else if (starts_with(rest, "{limit}")) {
      writer.put(error.limit);
      rest.remove_prefix(7);
    } else {
      writer.put(rest.front());
      rest.remove_prefix(1);
    }
  }
  out[writer.used] = 0;
  return writer.used;
}

const char* code_name(Code code) {
  return kNames[static_cast<size_t>(code)];
}

}  // namespace nbl
