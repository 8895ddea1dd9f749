// Checks of what a caller asks the sampling for, before any of it counts.
#include <limits>

#include "rt/engine.h"
#include "spirv/step_state.h"

namespace nbl {
namespace {

static_assert(NBL_MAX_PENALTY_WINDOW == STEP_MOST_WINDOW);
static_assert(NBL_MAX_LOGIT_BIASES == STEP_MOST_BIAS);

constexpr float kMostBias = 1e6f;
constexpr uint32_t kDefaultWindow = NBL_DEFAULT_PENALTY_WINDOW;

// False for NaN too.
bool within(float value, float least, float most) {
  return value >= least && value <= most;
}

Status refuse(const char* why, Error* error) {
  return fail(error, Code::bad_sampling, 0, why);
}

}  // namespace

Status check_sampling(const Sampling& s, Error* error) {
  if (!within(s.temperature, 0, 1000)) return refuse("temperature must be 0 to 1000", error);
  if (!within(s.top_p, 0, 1)) return refuse("top_p must be 0 to 1", error);
  if (!within(s.min_p, 0, 1)) return refuse("min_p must be 0 to 1", error);
  if (!within(s.repeat_penalty, 0.01f, 100)) {
    return refuse("repeat_penalty must be 0 or 0.01 to 100", error);
  }
  if (!within(s.presence_penalty, -100, 100)) {
    return refuse("presence_penalty must be -100 to 100", error);
  }
  if (!within(s.frequency_penalty, -100, 100)) {
    return refuse("frequency_penalty must be -100 to 100", error);
  }
  if (s.penalty_window > STEP_MOST_WINDOW) {
    return fail(error, Code::bad_argument, 0, "penalty_window", s.penalty_window, STEP_MOST_WINDOW);
  }
  return {};
}

Status set_sampling(Engine* engine, const nbl_sampling& s, Error* error) {
  Sampling wanted{.temperature = s.temperature,
                  .top_k = s.top_k,
                  .top_p = s.top_p == 0 ? 1 : s.top_p,
                  .seed = s.seed,
                  .min_p = s.min_p,
                  .repeat_penalty = s.repeat_penalty == 0 ? 1 : s.repeat_penalty,
                  .presence_penalty = s.presence_penalty,
                  .frequency_penalty = s.frequency_penalty,
                  .penalty_window = s.penalty_window == 0 ? kDefaultWindow : s.penalty_window};
  NBL_TRY(check_sampling(wanted, error));
  const bool any =
      wanted.repeat_penalty != 1 || wanted.presence_penalty != 0 || wanted.frequency_penalty != 0;
  if (!any) wanted.penalty_window = 0;
  engine->sequence.sampling = wanted;
  return {};
}

Status set_logit_bias(Engine* engine, std::span<const nbl_logit_bias> biases, Error* error) {
  if (biases.size() > STEP_MOST_BIAS) {
    return fail(error, Code::bad_argument, 0, "count (of logit biases)", biases.size(),
                STEP_MOST_BIAS);
  }
  for (uint32_t i = 0; i < biases.size(); ++i) {
    const nbl_logit_bias& b = biases[i];
    if (b.token >= engine->plan.vocab_size) {
      return fail(error, Code::token_out_of_range, 0, {}, b.token, engine->plan.vocab_size);
    }
    if (b.bias != -std::numeric_limits<float>::infinity() &&
        !within(b.bias, -kMostBias, kMostBias)) {
      return refuse("a logit bias must be -infinity or -1e6 to 1e6", error);
    }
    for (uint32_t k = 0; k < i; ++k) {
      if (biases[k].token == b.token) return refuse("a token has two logit biases", error);
    }
  }
  for (uint32_t i = 0; i < biases.size(); ++i)
    write_bias(engine->stepper(), i, {biases[i].token, biases[i].bias});
  engine->sequence.bias_count = static_cast<uint32_t>(biases.size());
  return {};
}

}  // namespace nbl
