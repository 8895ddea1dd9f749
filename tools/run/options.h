// What nibble-run was asked for.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <optional>
#include <string>

#include "rt/nibble.h"
#include "tools/common/cache_file.h"
#include "tools/common/mapped_file.h"
#include "tools/run/sampling_options.h"

namespace nbl::tools {

struct Options {
  std::string model;
  std::optional<std::string> prompt;
  std::string prompt_file;
  std::optional<std::string> tokens;
  bool special = false;
  bool chat = false;
  std::optional<std::string> system;
  uint32_t generate = 128;
  nbl_sampling sampling = {};
  SamplingOptions more_sampling;
  int32_t device = -1;
  uint32_t context = 0;
  uint32_t prefill_chunk = 0;
  uint32_t burst = 0;
  bool floor = false;
  bool float32 = false;
  bool no_import = false;
  std::string weights = "auto";
  std::string chain = "auto";
  bool print_tokens = false;
  bool ignore_stop = false;
  bool no_echo = false;
  bool quiet = false;
  std::string logits;
  std::string cache;
  std::string load_state;
  std::string save_state;
  std::string on_full = "stop";
  uint32_t sinks = 4;
  bool samples = false;  // any option of sampling was given
};

// Adds every option to `app`, which writes into `options` when it parses.
void describe_options(CLI::App& app, Options& options);

// The engine's configuration. Borrows the model, and the cache file when it is not null.
nbl_config make_config(const Options& options, const MappedFile& model, CacheFile* cache);

}  // namespace nbl::tools
