// How nibble-run chooses tokens, and where it stops: the options beyond temperature, top k and top
// p.
#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

#include "rt/nibble.hpp"

namespace nbl::tools {

struct SamplingOptions {
  std::vector<std::string> logit_biases;  // TOKEN=VALUE
  std::vector<std::string> stops;
};

// Adds the options to `app`, which writes into both when it parses.
void describe_sampling(CLI::App& app, nbl_sampling& sampling, SamplingOptions& options);

// Hands sampling and biases to the engine. Throws Failure where it refuses them.
void set_sampling(nibble::Engine& engine, const nbl_sampling& sampling,
                  const SamplingOptions& options);

}  // namespace nbl::tools
