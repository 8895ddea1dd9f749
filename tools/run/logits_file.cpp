#include "tools/run/logits_file.h"

#include "tools/common/failure.h"

namespace nbl::tools {

LogitsFile::LogitsFile(const std::string& path, nibble::Engine& engine)
    : path_(path), engine_(engine), file_(std::fopen(path.c_str(), "wb"), &std::fclose) {
  if (file_ == nullptr) throw Failure("cannot write the logits to " + path);
  const nbl_info info = engine.info();
  rows_.resize(size_t{info.vocab_size} * info.prefill_chunk);
  vocab_size_ = info.vocab_size;
}

void LogitsFile::append() {
  uint32_t rows = 0;
  nbl_error error = {};
  check(engine_.logits(rows_, &rows, &error), error);
  const size_t count = size_t{rows} * vocab_size_;
  if (std::fwrite(rows_.data(), sizeof(float), count, file_.get()) != count) fail();
}

void LogitsFile::finish() {
  if (std::fclose(file_.release()) != 0) fail();
}

void LogitsFile::fail() {
  throw Failure("cannot write the logits to " + path_);
}

}  // namespace nbl::tools
