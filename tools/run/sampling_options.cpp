#include "tools/run/sampling_options.h"

#include <charconv>

#include "tools/common/failure.h"

namespace nbl::tools {
namespace {

nbl_logit_bias parse_bias(const std::string& text) {
  nbl_logit_bias bias = {};
  const char* const end = text.data() + text.size();
  const auto [equals, token_error] = std::from_chars(text.data(), end, bias.token);
  if (token_error == std::errc() && equals != end && *equals == '=') {
    const auto [last, value_error] = std::from_chars(equals + 1, end, bias.bias);
    if (value_error == std::errc() && last == end) return bias;
  }
  throw Failure("--logit-bias takes TOKEN=VALUE, such as 15=-2.5 or 15=-inf; this is not one: " +
                text);
}

}  // namespace

void describe_sampling(CLI::App& app, nbl_sampling& sampling, SamplingOptions& options) {
  app.add_option("--min-p", sampling.min_p,
                 "Only tokens at least P times as likely as the likeliest; 0 = off")
      ->check(CLI::Range(0.0, 1.0))
      ->capture_default_str();
  app.add_option("--repeat-penalty", sampling.repeat_penalty,
                 "Divides the logits of tokens that came lately (multiplies those below 0);\n"
                 "0.01 to 100; 0 or 1 = off")
      ->check(CLI::Range(0.0, 100.0))
      ->capture_default_str();
  app.add_option("--presence-penalty", sampling.presence_penalty,
                 "Subtracted from the logits of tokens that came lately; 0 = off")
      ->check(CLI::Range(-100.0, 100.0))
      ->capture_default_str();
  app.add_option("--frequency-penalty", sampling.frequency_penalty,
                 "Likewise, once for each time that the token came; 0 = off")
      ->check(CLI::Range(-100.0, 100.0))
      ->capture_default_str();
  sampling.penalty_window = NBL_DEFAULT_PENALTY_WINDOW;
  app.add_option("--repeat-last-n", sampling.penalty_window,
                 "Tokens, of prompt and text, that count as lately")
      ->check(CLI::Range(1, int{NBL_MAX_PENALTY_WINDOW}))
      ->capture_default_str();
  app.add_option("--logit-bias", options.logit_biases,
                 "TOKEN=VALUE: adds to the logit of a token, -inf bans it; can be repeated")
      ->allow_extra_args(false);
  app.add_option("--stop", options.stops, "End in front of this text; can be repeated")
      ->allow_extra_args(false);
}

void set_sampling(nibble::Engine& engine, const nbl_sampling& sampling,
                  const SamplingOptions& options) {
  nbl_error error = {};
  check(engine.set_sampling(sampling, &error), error);
  std::vector<nbl_logit_bias> biases;
  for (const std::string& text : options.logit_biases)
    biases.push_back(parse_bias(text));
  check(engine.set_logit_bias(biases, &error), error);
}

}  // namespace nbl::tools
