#include <fmt/format.h>

#include <algorithm>
#include <cstdio>

#include "compiler/commands.h"
#include "compiler/eval/reference.h"
#include "compiler/eval/tokenize.h"

namespace nbl::compiler {
namespace {

// "4 bits, groups of 32, search", "4 and 8 bits, groups of 32, search, calibrated"
std::string form_of(const PerplexityOptions& options) {
  const bool eight = options.head_bits == 8 || !options.keep.empty();
  return fmt::format("4{} bits, groups of {}, {}{}", eight ? " and 8" : "", options.group_size,
                     options.quantizer == Quantizer::rtn ? "rtn" : "search",
                     options.calibrate.empty() ? "" : ", calibrated");
}

void print_line(const std::string& form, const PerplexityResult& result, double stored) {
  fmt::print("{:<44} perplexity {:.4f} ({:+.2f} %)\n", form, result.perplexity,
             100 * (result.perplexity / stored - 1));
  std::fflush(stdout);
}

}  // namespace

void run_perplexity(const PerplexityOptions& options) {
  const Checkpoint checkpoint = import_checkpoint(options.input, options.tokenizer);
  const Hyper& hyper = checkpoint.hyper;
  const std::vector<uint32_t> tokens = tokenize_file(checkpoint, options.text);
  const TokenizerData& tokenizer = *checkpoint.tokenizer;
  const int32_t bos = tokenizer.add_bos ? tokenizer.bos : -1;
  const uint32_t window = std::min(options.window, hyper.context);
  const auto measure = [&](const ReferenceWeights& weights,
                           Activations activations = Activations::f32) {
    Reference model(checkpoint, weights, activations);
    return perplexity(&model, tokens, bos, window, hyper.vocab);
  };
  const PerplexityResult stored = measure({});
  fmt::print("{} tokens, windows of {}\n", stored.scored_tokens, window);
  fmt::print("{:<44} perplexity {:.4f}\n", "weights as stored", stored.perplexity);
  std::fflush(stdout);
  Moments moments;
  if (!options.calibrate.empty()) {
    moments = measure_moments(checkpoint, tokenize_file(checkpoint, options.calibrate));
  }
  const ReferenceWeights packed{.group_size = options.group_size,
                                .quantizer = options.quantizer,
                                .head_bits = options.head_bits,
                                .keep = options.keep,
                                .moments = &moments};
  print_line(form_of(options), measure(packed), stored.perplexity);
  if (options.activations == Activations::f32) return;
  print_line("and int8 activations", measure(packed, options.activations), stored.perplexity);
}

}  // namespace nbl::compiler
