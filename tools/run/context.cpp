#include "tools/run/context.h"

#include <cstdio>

#include "tools/common/failure.h"
#include "tools/common/mapped_file.h"
#include "tools/run/prompt.h"
#include "tools/run/sampling_options.h"

namespace nbl::tools {
namespace {

bool has_prompt(const Options& options) {
  return options.prompt || options.tokens || !options.prompt_file.empty();
}

}  // namespace

void add_context_options(CLI::App& app, Options& options) {
  app.add_option("--load-state", options.load_state,
                 "Go on from a saved state, with the sampling that it was saved with unless\n"
                 "given; the prompt, if any, follows what was there");
  app.add_option("--save-state", options.save_state, "Save the state at the end to this file")
      ->excludes("--logits");
  app.add_option("--on-full", options.on_full,
                 "Where the context is full: stop, fail (error, the default of nbl_config), or\n"
                 "drop the oldest tokens but the first ones (slide)")
      ->check(CLI::IsMember({"error", "stop", "slide"}))
      ->capture_default_str();
  app.add_option("--sinks", options.sinks, "First tokens that stay with --on-full slide")
      ->capture_default_str();
}

void configure_context(const Options& options, nbl_config* config) {
  config->on_full = options.on_full == "slide"  ? NBL_ON_FULL_SLIDE
                    : options.on_full == "stop" ? NBL_ON_FULL_STOP
                                                : NBL_ON_FULL_ERROR;
  config->sink_tokens = options.sinks == 0 ? NBL_NO_SINKS : options.sinks;
}

std::vector<uint32_t> begin_sequence(const Options& options, EngineSession& session) {
  nibble::Engine& engine = session.engine();
  nbl_error error = {};
  if (!options.load_state.empty()) {
    const MappedFile state(options.load_state);
    check(engine.load_state(state.bytes(), &error), error);
    if (options.samples) set_sampling(engine, options.sampling, options.more_sampling);
    if (!options.quiet) std::fprintf(stderr, "loaded %u positions\n", engine.position());
    uint32_t token = 0;
    if (!has_prompt(options) && engine.next_token(&token) == 0) return {};
    return make_prompt(options, session, engine.position() == 0);
  }
  const std::span<const uint32_t> prefix = engine.prefix();
  if (prefix.empty()) return make_prompt(options, session, true);
  if (!options.quiet) {
    std::fprintf(stderr, "starting after the model's prefix of %zu tokens\n", prefix.size());
  }
  if (has_prompt(options)) return make_prompt(options, session, false);
  // Nothing follows it: its last token is evaluated once more for what comes next.
  const uint32_t last = prefix.back();
  check(engine.rewind(static_cast<uint32_t>(prefix.size()) - 1, &error), error);
  return {last};
}

void save_state(EngineSession& session, OutputFile* file) {
  std::string state(static_cast<size_t>(session.engine().state_bytes()), '\0');
  size_t bytes = 0;
  nbl_error error = {};
  check(session.engine().save_state(std::as_writable_bytes(std::span(state)), &bytes, &error),
        error);
  file->finish(state);
}

}  // namespace nbl::tools
