#include "tools/run/output.h"

#include "tools/common/failure.h"

namespace nbl::tools {

Output::Output(const Options& options, EngineSession& session)
    : stops_(options.more_sampling.stops) {
  const bool tokenizer = session.engine().info().has_tokenizer != 0;
  if (!stops_.empty() && !tokenizer) {
    throw Failure("the model has no tokenizer: --stop has no text to look at");
  }
  if (!stops_.empty() && options.print_tokens) {
    throw Failure("--stop needs text: leave out --print-tokens");
  }
  if (options.print_tokens || !tokenizer) {
    ids_.emplace(stdout);
  } else {
    text_.emplace(session.engine(), stdout);
  }
}

void Output::prompt(const std::vector<uint32_t>& tokens, bool echo) {
  if (!text_) return;
  echo ? text_->put(tokens) : text_->skip(tokens);
  text_->stop_at(stops_);
}

void Output::put(std::span<const uint32_t> tokens) {
  ids_ ? ids_->put(tokens) : text_->put(tokens);
}

void Output::finish() {
  ids_ ? ids_->finish() : text_->finish();
}

}  // namespace nbl::tools
