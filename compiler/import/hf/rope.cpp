#include "compiler/import/hf/rope.h"

#include <fmt/format.h>

#include <cmath>

#include "compiler/import/hf/json_file.h"
#include "compiler/import/rope_frequencies.h"

namespace nbl::compiler::hf {
namespace {

double positive(const JsonField& object, std::string_view key, double value) {
  if (value > 0 && std::isfinite(value)) return value;
  object.fail(fmt::format("has {} {}; it must be positive", key, value));
}

double positive_at(const JsonField& object, std::string_view key) {
  return positive(object, key, object.at(key).real());
}

std::vector<double> factors_of(const JsonField& scaling, std::string_view key) {
  std::vector<double> factors;
  for (const JsonField& element : scaling.at(key).elements())
    factors.push_back(element.real());
  return factors;
}

std::string type_of(const JsonField& scaling) {
  return text_or(scaling, "rope_type", text_or(scaling, "type", "default"));
}

// Both factor lists go into *hyper: which one counts is settled by the context compiled for.
void scale_longrope(const JsonField& config, const JsonField& scaling, Hyper* hyper) {
  const std::string source = fmt::format("{}: {}", scaling.source(), scaling.place());
  constexpr const char* kTrained = "original_max_position_embeddings";
  const JsonField& place = scaling.has(kTrained) ? scaling : config;
  const uint32_t trained = whole_number(place.at(kTrained), 2, hyper->context);
  hyper->rope_long_inv_freq = hyper->rope_inv_freq;
  scale_each(source + ".short_factor", factors_of(scaling, "short_factor"), &hyper->rope_inv_freq);
  scale_each(source + ".long_factor", factors_of(scaling, "long_factor"),
             &hyper->rope_long_inv_freq);
  hyper->rope_short_context = trained;
  const double magnitude =
      real_or(scaling, "attention_factor", longrope_magnitude(hyper->context, trained));
  hyper->rope_magnitude = static_cast<float>(positive(scaling, "attention_factor", magnitude));
  for (const char* key : {"short_mscale", "long_mscale"}) {
    if (scaling.has(key)) scaling.at(key).fail("is not known to nibble");
  }
}

void scale(const JsonField& config, const JsonField& scaling, Hyper* hyper) {
  const std::string type = type_of(scaling);
  if (type == "default") return;
  if (type == "linear") {
    const double factor = positive_at(scaling, "factor");
    scale_linearly(factor, &hyper->rope_inv_freq);
    hyper->rope_scaling = fmt::format("linear, factor {:g}", factor);
  } else if (type == "llama3") {
    const Llama3Scaling llama3{.factor = positive_at(scaling, "factor"),
                               .low_turns = positive_at(scaling, "low_freq_factor"),
                               .high_turns = positive_at(scaling, "high_freq_factor"),
                               .trained = positive_at(scaling, "original_max_position_embeddings")};
    if (!(llama3.high_turns > llama3.low_turns)) {
      scaling.fail(
          fmt::format("has high_freq_factor {} and low_freq_factor {}; the first must be "
                      "larger",
                      llama3.high_turns, llama3.low_turns));
    }
    scale_each(scaling.place(), llama3_factors(llama3, hyper->rope_inv_freq),
               &hyper->rope_inv_freq);
    hyper->rope_scaling = fmt::format("llama3, factor {:g}", llama3.factor);
  } else if (type == "longrope" || type == "su") {
    scale_longrope(config, scaling, hyper);
    hyper->rope_scaling = fmt::format("longrope from {} positions", hyper->rope_short_context);
  } else {
    scaling.fail(
        fmt::format("has rope_type {}; nibble knows default, linear, llama3 and longrope", type));
  }
}

void set_local(const JsonField& config, double theta, Hyper* hyper) {
  hyper->local_rope_theta = positive(config, "the RoPE base of layers with a window", theta);
  hyper->local_rope_inv_freq = rope_frequencies(theta, hyper->rotary_dim);
}

void set_frequencies(const JsonField& holder, double theta, double share, Hyper* hyper) {
  hyper->rope_theta = positive(holder, "rope_theta", theta);
  if (!(share > 0 && share <= 1)) {
    holder.fail(fmt::format("has partial_rotary_factor {}; it must lie in 0..1", share));
  }
  hyper->rotary_dim = static_cast<uint32_t>(share * hyper->head_dim);
  hyper->rope_half = true;
  hyper->rope_inv_freq = rope_frequencies(hyper->rope_theta, hyper->rotary_dim);
}

// One set of parameters, or one for each kind of layer.
void read_parameters(const JsonField& config, const RopeDefaults& defaults, double share,
                     Hyper* hyper) {
  const JsonField parameters = config.at("rope_parameters");
  const bool by_layer = parameters.has("full_attention");
  const JsonField all = by_layer ? parameters.at("full_attention") : parameters;
  const double theta = real_or(all, "rope_theta", real_or(config, "rope_theta", defaults.theta));
  set_frequencies(all, theta, real_or(all, "partial_rotary_factor", share), hyper);
  scale(config, all, hyper);
  double local_theta = defaults.local_theta;
  if (by_layer && parameters.has("sliding_attention")) {
    const JsonField local = parameters.at("sliding_attention");
    if (type_of(local) != "default") {
      local.fail(fmt::format("has rope_type {}; nibble knows default there", type_of(local)));
    }
    local_theta = real_or(local, "rope_theta", local_theta == 0 ? theta : local_theta);
  }
  if (local_theta != 0) set_local(parameters, local_theta, hyper);
}

}  // namespace

void read_rope(const JsonField& config, const RopeDefaults& defaults, Hyper* hyper) {
  const double share = real_or(config, "partial_rotary_factor", 1);
  if (config.has("rope_parameters")) return read_parameters(config, defaults, share, hyper);
  set_frequencies(config, real_or(config, "rope_theta", defaults.theta), share, hyper);
  if (config.has("rope_scaling")) scale(config, config.at("rope_scaling"), hyper);
  if (defaults.local_theta == 0) return;
  set_local(config, real_or(config, "rope_local_base_freq", defaults.local_theta), hyper);
}

}  // namespace nbl::compiler::hf
