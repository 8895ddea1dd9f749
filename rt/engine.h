// The engine behind the C API: what lives in the arena's front, and the order it is built in.
#pragma once

#include "rt/mem/pool.h"
#include "rt/nibble.h"
#include "rt/step.h"

namespace nbl {

// Persistent lifetime. Pool and callbacks are referred to by the driver and must not move.
struct Engine {
  Arena arena;
  Pool pool;
  Device device;
  Model model;
  Plan plan;
  Recording recording;
  Sequence sequence;
  nbl_config config{};
  nbl_memory memory{};
  uint64_t setup_allocations = 0;
  bool dead = false;  // a device call failed after the seal
  char dead_call[64] = {};

  Stepper stepper() const {
    return {
        &model, &plan, &device, &recording, config.timeout_ms, static_cast<OnFull>(config.on_full)};
  }
};

// Builds the engine at the front of the arena and seals it. On failure everything is taken down.
Status open_engine(const nbl_config& config, Engine** engine, Error* error);

// What nbl_set_sampling() and nbl_set_logit_bias() do.
Status set_sampling(Engine* engine, const nbl_sampling& sampling, Error* error);
Status set_logit_bias(Engine* engine, std::span<const nbl_logit_bias> biases, Error* error);

// What nbl_timings() says.
Status last_timings(const Engine& engine, bool prefill, std::span<nbl_timing> out, uint32_t* count,
                    Error* error);

// Sizes without building: opens the device with the caller's arena as working memory and closes it.
Status measure_engine(const nbl_config& config, nbl_memory* memory, Error* error);

void close_engine(Engine* engine);

}  // namespace nbl
