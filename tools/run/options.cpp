#include "tools/run/options.h"

#include "tools/common/kernel_options.h"
#include "tools/common/vulkan_loader.h"
#include "tools/run/context.h"

namespace nbl::tools {

void describe_options(CLI::App& app, Options& options) {
  app.add_option("-m,--model", options.model,
                 "Compiled model (.nbl); make one with nibblec compile")
      ->required();
  auto* prompt = app.add_option("-p,--prompt", options.prompt, "Text to continue");
  auto* file = app.add_option("-f,--file", options.prompt_file, "File with the text to continue");
  auto* tokens = app.add_option("--tokens", options.tokens,
                                "Token ids to continue, as 1,2,3; nothing is put in front");
  prompt->excludes(file)->excludes(tokens);
  file->excludes(tokens);
  auto* special = app.add_flag(
      "--special", options.special,
      "Control tokens written in the prompt, such as <|eot_id|>, stand for themselves");
  special->excludes(tokens);
  auto* chat = app.add_flag("--chat", options.chat,
                            "Converse: each line of standard input is a turn; /reset forgets,\n"
                            "/exit ends, ^C ends an answer or, between answers, the session");
  chat->excludes(prompt)->excludes(file)->excludes(tokens)->excludes(special);
  app.add_option("--system", options.system, "With --chat: what the model is told beforehand")
      ->needs(chat);
  app.add_option("-n,--count", options.generate,
                 "Tokens to generate; in a chat, of an answer, which has no limit unless given")
      ->capture_default_str();
  app.add_option("--temp", options.sampling.temperature, "Temperature; 0 = the most likely token")
      ->check(CLI::Range(0.0, 100.0))
      ->capture_default_str();
  app.add_option("--top-k", options.sampling.top_k, "Only among the K most likely; 0 = off")
      ->capture_default_str();
  app.add_option("--top-p", options.sampling.top_p,
                 "Only among the smallest set with probability P; 0 or 1 = off")
      ->check(CLI::Range(0.0, 1.0))
      ->capture_default_str();
  app.add_option("--seed", options.sampling.seed, "Same seed, same text")->capture_default_str();
  describe_sampling(app, options.sampling, options.more_sampling);
  app.add_option("--device", options.device,
                 "Vulkan device, counted from 0; default: first that fits")
      ->check(CLI::Range(0, 1 << 16));
  app.add_option("--context", options.context, "Positions to make room for; default: the model's")
      ->check(CLI::Range(1u, ~0u));
  app.add_option("--prefill-chunk", options.prefill_chunk, "Prompt tokens a step takes")
      ->check(CLI::Range(1u, ~0u));
  app.add_option("--burst", options.burst, "Tokens made in one submit at most")
      ->check(CLI::Range(1u, ~0u));
  app.add_flag("--floor", options.floor, "Only kernels inside Vulkan 1.1's minimums");
  app.add_flag("--float32", options.float32,
               "No matrix kernels: their operands are rounded to f16");
  app.add_flag("--no-import", options.no_import,
               "Copy the weights even where they could be imported");
  add_weights_option(app, options.weights);
  add_chain_option(app, options.chain);
  app.add_flag("--print-tokens", options.print_tokens, "Print the generated ids instead of text");
  app.add_flag("--no-echo", options.no_echo,
               "Do not print the prompt in front of its continuation");
  app.add_flag("--ignore-stop", options.ignore_stop, "Go on after a stop token");
  app.add_option("--logits", options.logits,
                 "Write the logits of every evaluated position: float32, little-endian,\n"
                 "[prompt + generated - 1][vocabulary]")
      ->excludes(chat);
  app.add_option("--cache", options.cache,
                 "Pipeline cache file: read when there, written otherwise");
  add_context_options(app, options);
  app.add_flag("-q,--quiet", options.quiet, "No statistics on standard error");
}

nbl_config make_config(const Options& options, const MappedFile& model, CacheFile* cache) {
  nbl_config config = {};
  config.get_instance_proc_addr = load_vulkan();
  config.model = model.bytes().data();
  config.model_bytes = model.bytes().size();
  config.device = options.device + 1;
  if (options.floor) config.flags |= NBL_FLAG_FLOOR_KERNELS;
  if (options.float32) config.flags |= NBL_FLAG_FLOAT32;
  if (options.no_import) config.flags |= NBL_FLAG_NO_IMPORT;
  config.flags |= weight_flags(options.weights) | chain_flags(options.chain);
  config.context = options.context;
  config.prefill_chunk = options.prefill_chunk;
  config.max_burst = options.burst;
  configure_context(options, &config);
  config.logits = options.logits.empty() ? NBL_LOGITS_NONE : NBL_LOGITS_ALL;
  if (cache != nullptr) {
    config.cache_load = &CacheFile::load;
    config.cache_store = &CacheFile::store;
    config.user = cache;
  }
  return config;
}

}  // namespace nbl::tools
