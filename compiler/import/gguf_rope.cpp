// What a GGUF file says of rotary position embedding.
#include <fmt/format.h>

#include "compiler/import/gguf_hyper.h"
#include "compiler/import/llama_tensors.h"
#include "compiler/import/rope_frequencies.h"

namespace nbl::compiler {
namespace {

constexpr const char* kFactors = "rope_freqs";  // Llama 3.1's scaling
constexpr const char* kShortFactors = "rope_factors_short";
constexpr const char* kLongFactors = "rope_factors_long";

using Tensors = std::map<std::string, SourceTensor>;

std::string key(const Hyper& hyper, const char* name) {
  return fmt::format("{}.rope.{}", hyper.architecture, name);
}

double positive(const GgufFile& file, const std::string& key, double value) {
  if (value > 0) return value;
  throw ImportError(fmt::format("{}: key {} is {}; it must be positive", file.path(), key, value));
}

// By how much positions are squeezed together: linear scaling.
double linear_factor(const GgufFile& file, const Hyper& hyper, const Tensors& tensors) {
  const std::string type_key = key(hyper, "scaling.type");
  const std::string_view type = file.text(type_key).value_or("none");
  // Files from before scaling.type carry scale_linear alone.
  const std::string old_key = key(hyper, "scale_linear");
  const double old_factor = positive(file, old_key, file.number(old_key).value_or(1));
  if (type == "none") return old_factor;
  if (type == "longrope" && tensors.contains(kLongFactors)) return 1;
  if (type == "linear") {
    const std::string factor_key = key(hyper, "scaling.factor");
    return positive(file, factor_key, file.number(factor_key).value_or(old_factor));
  }
  throw ImportError(
      fmt::format("{}: key {} is {}; nibble knows none, linear and longrope with its factors",
                  file.path(), type_key, type));
}

// The factors of a tensor, which is taken out; none where it is not there.
std::vector<double> take_factors(const GgufFile& file, const char* name, const Hyper& hyper,
                                 Tensors* tensors) {
  const auto found = tensors->find(name);
  if (found == tensors->end()) return {};
  const SourceTensor tensor = found->second;
  tensors->erase(found);
  if (tensor.rows != 1 || tensor.columns != hyper.rotary_dim / 2) {
    throw ImportError(
        fmt::format("{}: tensor {} has shape [{}, {}]; the rotary dimension asks for [1, {}]",
                    file.path(), tensor.name, tensor.rows, tensor.columns, hyper.rotary_dim / 2));
  }
  std::vector<float> values(tensor.columns);
  tensor.read_row(0, values.data());
  return {values.begin(), values.end()};
}

void apply_llama3_factors(const GgufFile& file, Hyper* hyper, Tensors* tensors) {
  const std::vector<double> factors = take_factors(file, kFactors, *hyper, tensors);
  if (factors.empty()) return;
  scale_each(fmt::format("{}: tensor {}.weight", file.path(), kFactors), factors,
             &hyper->rope_inv_freq);
  hyper->rope_scaling = "a factor for each frequency";
}

void apply_longrope(const GgufFile& file, Hyper* hyper, Tensors* tensors) {
  const std::vector<double> few = take_factors(file, kShortFactors, *hyper, tensors);
  const std::vector<double> many = take_factors(file, kLongFactors, *hyper, tensors);
  if (few.empty() && many.empty()) return;
  if (few.empty() || many.empty()) {
    throw ImportError(fmt::format("{}: tensor {}.weight is missing", file.path(),
                                  few.empty() ? kShortFactors : kLongFactors));
  }
  const std::string length_key = key(*hyper, "scaling.original_context_length");
  const std::optional<uint32_t> length = file.unsigned_value(length_key);
  if (!length || *length == 0) {
    throw ImportError(fmt::format("{}: key {} is missing; the factors of LongRoPE need it",
                                  file.path(), length_key));
  }
  hyper->rope_long_inv_freq = hyper->rope_inv_freq;
  const auto label = [&](const char* name) {
    return fmt::format("{}: tensor {}.weight", file.path(), name);
  };
  scale_each(label(kShortFactors), few, &hyper->rope_inv_freq);
  scale_each(label(kLongFactors), many, &hyper->rope_long_inv_freq);
  hyper->rope_short_context = *length;
  const std::string factor_key = key(*hyper, "scaling.attn_factor");
  hyper->rope_magnitude =
      static_cast<float>(positive(file, factor_key, file.number(factor_key).value_or(1)));
  hyper->rope_scaling = fmt::format("longrope, long from {} positions on", *length + 1);
}

// Layers of Gemma 3 that have a window turn as if nothing were scaled, by a base of their own.
void read_local_rope(const GgufFile& file, Hyper* hyper) {
  if (hyper->architecture != "gemma3") return;
  const std::string base_key = key(*hyper, "freq_base_swa");
  hyper->local_rope_theta = positive(file, base_key, file.number(base_key).value_or(10000));
  hyper->local_rope_inv_freq = rope_frequencies(hyper->local_rope_theta, hyper->rotary_dim);
}

}  // namespace

void read_gguf_rope(const GgufFile& file, Tensors* tensors, Hyper* hyper) {
  const std::string base_key = key(*hyper, "freq_base");
  hyper->rope_theta = positive(file, base_key, file.number(base_key).value_or(10000));
  hyper->rotary_dim = file.unsigned_value(key(*hyper, "dimension_count")).value_or(hyper->head_dim);
  // Files of llama have the rows of q and k in an order in which neighbours turn together.
  hyper->rope_half = hyper->architecture != "llama";
  check_llama_hyper(file.path(), *hyper);
  hyper->rope_inv_freq = rope_frequencies(hyper->rope_theta, hyper->rotary_dim);
  const double factor = linear_factor(file, *hyper, *tensors);
  if (factor != 1) {
    scale_linearly(factor, &hyper->rope_inv_freq);
    hyper->rope_scaling = fmt::format("linear, factor {:g}", factor);
  }
  apply_llama3_factors(file, hyper, tensors);
  apply_longrope(file, hyper, tensors);
  read_local_rope(file, hyper);
  check_llama_hyper(file.path(), *hyper);
}

}  // namespace nbl::compiler
