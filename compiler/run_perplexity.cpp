#include <fmt/format.h>

#include <algorithm>
#include <fstream>
#include <iterator>

#include "compiler/commands.h"
#include "compiler/error.h"
#include "compiler/eval/reference.h"
#include "compiler/eval/tokenize.h"

namespace nbl::compiler {
namespace {

std::string read_text(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in) throw CompileError(fmt::format("cannot read {}", path.string()));
  return {std::istreambuf_iterator<char>(in), {}};
}

}  // namespace

void run_perplexity(const PerplexityOptions& options) {
  const Checkpoint checkpoint = import_checkpoint(options.input, options.tokenizer);
  const Hyper& hyper = checkpoint.hyper;
  if (!checkpoint.tokenizer) {
    throw CompileError(
        fmt::format("{} has no tokenizer: give one with --tokenizer", options.input.string()));
  }
  const TokenizerData& tokenizer = *checkpoint.tokenizer;
  const std::vector<uint32_t> tokens = tokenize(tokenizer, read_text(options.text));
  const int32_t bos = tokenizer.add_bos ? tokenizer.bos : -1;
  const uint32_t window = std::min(options.window, hyper.context);

  const auto measure = [&](uint32_t group_size, Activations activations = Activations::f32) {
    Reference model(checkpoint, group_size, activations);
    return perplexity(&model, tokens, bos, window, hyper.vocab);
  };
  const PerplexityResult stored = measure(0);
  fmt::print("{} tokens, windows of {}\n", stored.scored_tokens, window);
  fmt::print("weights as stored         perplexity {:.4f}\n", stored.perplexity);
  std::fflush(stdout);
  const PerplexityResult packed = measure(options.group_size);
  fmt::print("4 bits, groups of {:<3}     perplexity {:.4f} ({:+.2f} %)\n", options.group_size,
             packed.perplexity, 100 * (packed.perplexity / stored.perplexity - 1));
  if (options.activations == Activations::f32) return;
  std::fflush(stdout);
  const PerplexityResult int8 = measure(options.group_size, options.activations);
  fmt::print("and int8 activations      perplexity {:.4f} ({:+.2f} %)\n", int8.perplexity,
             100 * (int8.perplexity / stored.perplexity - 1));
}

}  // namespace nbl::compiler
