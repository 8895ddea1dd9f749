#include "tools/run/output.h"

namespace nbl::tools {

Output::Output(const Options& options, EngineSession& session) {
  if (options.print_tokens || session.engine().info().has_tokenizer == 0) {
    ids_.emplace(stdout);
  } else {
    text_.emplace(session.engine(), stdout);
  }
}

void Output::prompt(const std::vector<uint32_t>& tokens, bool echo) {
  if (!text_) return;
  echo ? text_->put(tokens) : text_->skip(tokens);
}

void Output::put(std::span<const uint32_t> tokens) {
  ids_ ? ids_->put(tokens) : text_->put(tokens);
}

void Output::finish() {
  ids_ ? ids_->finish() : text_->finish();
}

}  // namespace nbl::tools
