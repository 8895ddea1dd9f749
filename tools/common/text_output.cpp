#include "tools/common/text_output.h"

#include <cerrno>
#include <cstring>
#include <string>

#include "tools/common/failure.h"

namespace nbl::tools {
namespace {

void flush(std::FILE* stream) {
  if (std::fflush(stream) != 0 || std::ferror(stream) != 0) {
    throw Failure(std::string("cannot write the output: ") + std::strerror(errno));
  }
}

}  // namespace

void TextOutput::decode(uint32_t token, bool write) {
  size_t length = 0;
  nbl_error error = {};
  check(engine_.detokenize(&decoder_, token, piece_, &length, &error), error);
  if (write) this->write({piece_.data(), length});
}

void TextOutput::write(std::string_view text) {
  size_t length = 0;
  nbl_error error = {};
  check(stops_.put(&decoder_, text, shown_, &length, &error), error);
  std::fwrite(shown_.data(), 1, length, stream_);
}

void TextOutput::put(std::span<const uint32_t> tokens) {
  for (const uint32_t token : tokens)
    decode(token, true);
  flush(stream_);
}

void TextOutput::stop_at(const std::vector<std::string>& texts) {
  std::vector<const char*> pointers;
  for (const std::string& text : texts)
    pointers.push_back(text.c_str());
  nbl_error error = {};
  check(stops_.begin(pointers, &error), error);
}

void TextOutput::skip(std::span<const uint32_t> tokens) {
  for (const uint32_t token : tokens)
    decode(token, false);
}

void TextOutput::finish() {
  size_t length = 0;
  nbl_error error = {};
  check(nbl_detokenize_flush(&decoder_, piece_.data(), piece_.size(), &length, &error), error);
  write({piece_.data(), length});
  check(stops_.flush(shown_, &length, &error), error);
  std::fwrite(shown_.data(), 1, length, stream_);
  std::fputc('\n', stream_);
  flush(stream_);
}

void IdOutput::put(std::span<const uint32_t> tokens) {
  for (const uint32_t token : tokens) {
    std::fprintf(stream_, "%s%u", first_ ? "" : " ", token);
    first_ = false;
  }
  flush(stream_);
}

void IdOutput::finish() {
  std::fputc('\n', stream_);
  flush(stream_);
}

}  // namespace nbl::tools
