#include "compiler/eval/reference.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <thread>

#include "compiler/eval/int8_rows.h"

namespace nbl::compiler {
namespace {

// Independent sums that the compiler can keep in vector registers.
constexpr size_t kDotLanes = 16;

float dot(const float* a, const float* b, size_t count) {
  float lanes[kDotLanes] = {};
  size_t i = 0;
  for (; i + kDotLanes <= count; i += kDotLanes) {
    for (size_t lane = 0; lane < kDotLanes; ++lane)
      lanes[lane] += a[i + lane] * b[i + lane];
  }
  double sum = 0;
  for (const float lane : lanes)
    sum += static_cast<double>(lane);
  for (; i < count; ++i)
    sum += static_cast<double>(a[i]) * static_cast<double>(b[i]);
  return static_cast<float>(sum);
}

// Calls work(begin, end) for the parts of [0, count), one a processor.
template <typename Work>
void in_parallel(size_t count, const Work& work) {
  const size_t parts = std::max(1u, std::thread::hardware_concurrency());
  std::vector<std::jthread> threads;
  for (size_t part = 0; part < parts; ++part) {
    threads.emplace_back([&work, begin = count * part / parts, end = count * (part + 1) / parts] {
      work(begin, end);
    });
  }
}

float silu(float x) {
  return x / (1 + std::exp(-x));
}

float gelu_tanh(float x) {
  constexpr float kSlope = 0.7978845608f;  // sqrt(2 / pi)
  return 0.5f * x * (1 + std::tanh(kSlope * (x + 0.044715f * x * x * x)));
}

float capped(float x, float cap) {
  return cap == 0 ? x : cap * std::tanh(x / cap);
}

void add(std::vector<float>* x, const std::vector<float>& y) {
  std::ranges::transform(*x, y, x->begin(), std::plus<>());
}

double negative_log_likelihood(std::span<const float> logits, uint32_t token) {
  const double largest = static_cast<double>(*std::ranges::max_element(logits));
  double total = 0;
  for (const float logit : logits)
    total += std::exp(static_cast<double>(logit) - largest);
  return std::log(total) + largest - static_cast<double>(logits[token]);
}

}  // namespace

Reference::Reference(const Checkpoint& checkpoint, const ReferenceWeights& weights,
                     Activations activations)
    : checkpoint_(checkpoint), hyper_(checkpoint.hyper), activations_(activations) {
  if (weights.group_size == 0) return;
  for (const auto& [name, tensor] : checkpoint.tensors) {
    if (name.ends_with("_norm") || name.ends_with(".bias")) continue;
    const bool is_head = name == "token_embd" || name == "output";
    const uint32_t bits =
        kept_bits(name + ".weight", is_head ? weights.head_bits : 4, weights.keep);
    RowSource rows = source_rows(tensor);
    if (weights.moments != nullptr && weights.moments->contains(name)) {
      rows.importance = [from = weights.moments->at(name)](uint32_t) { return from->data(); };
    }
    quantized_[name] = quantize_q4(rows, weights.group_size, nullptr, 0,
                                   {.layout = bits == 8 ? Layout::q8_t16k4 : Layout::q4_t16k8,
                                    .quantizer = weights.quantizer});
  }
}

void Reference::read_row(const std::string& tensor, uint32_t row, float* out) const {
  const auto quantized = quantized_.find(tensor);
  if (quantized != quantized_.end()) {
    unpack_q4_row(quantized->second, row, out);
  } else {
    checkpoint_.tensors.at(tensor).read_row(row, out);
  }
}

void Reference::add_squares(const Rows& x, const std::string& weight) {
  const size_t columns = checkpoint_.tensors.at(weight).columns;
  std::vector<double>& sums = (*observed_)[weight];
  sums.resize(columns);
  for (size_t i = 0; i < x.size(); ++i)
    sums[i % columns] += static_cast<double>(x[i]) * static_cast<double>(x[i]);
}

Reference::Rows Reference::matmul(Rows x, const std::string& weight) {
  const SourceTensor& shape = checkpoint_.tensors.at(weight);
  if (observed_ != nullptr) add_squares(x, weight);
  // 8-bit weights are multiplied with activations as they are.
  const auto quantized = quantized_.find(weight);
  const bool eight = quantized != quantized_.end() && quantized->second.format.eight_bits();
  if (activations_ == Activations::int8 && !eight) round_rows_to_int8(&x, shape.columns);
  Rows out(token_count_ * shape.rows);
  in_parallel(shape.rows, [&](size_t begin, size_t end) {
    std::vector<float> row(shape.columns);
    for (size_t n = begin; n < end; ++n) {
      read_row(weight, static_cast<uint32_t>(n), row.data());
      for (size_t t = 0; t < token_count_; ++t) {
        out[t * shape.rows + n] = dot(row.data(), x.data() + t * shape.columns, shape.columns);
      }
    }
  });
  return out;
}

Reference::Rows Reference::rms_norm(const Rows& x, const std::string& weight) const {
  const size_t columns = checkpoint_.tensors.at(weight).columns;
  std::vector<float> scale(columns);
  read_row(weight, 0, scale.data());
  for (float& value : scale)
    value += hyper_.norm_offset;
  Rows out(x.size());
  for (size_t at = 0; at < x.size(); at += columns) {
    double squares = 0;
    for (size_t i = 0; i < columns; ++i) {
      squares += static_cast<double>(x[at + i]) * static_cast<double>(x[at + i]);
    }
    const double mean = squares / static_cast<double>(columns);
    const double factor = 1 / std::sqrt(mean + static_cast<double>(hyper_.eps));
    for (size_t i = 0; i < columns; ++i) {
      out[at + i] = static_cast<float>(static_cast<double>(x[at + i]) * factor) * scale[i];
    }
  }
  return out;
}

Reference::Rows Reference::project(const Rows& x, const std::string& weight) {
  Rows out = matmul(x, weight);
  if (!hyper_.qkv_bias) return out;
  std::vector<float> bias(out.size() / token_count_);
  read_row(weight + ".bias", 0, bias.data());
  for (size_t i = 0; i < out.size(); ++i)
    out[i] += bias[i % bias.size()];
  return out;
}

// As in a model compiled for just these positions.
const std::vector<double>& Reference::frequencies(uint32_t index) const {
  const bool has_window = !hyper_.windows.empty() && hyper_.windows[index] != 0;
  if (has_window && !hyper_.local_rope_inv_freq.empty()) return hyper_.local_rope_inv_freq;
  const bool is_long = hyper_.rope_short_context != 0 && token_count_ > hyper_.rope_short_context;
  return is_long ? hyper_.rope_long_inv_freq : hyper_.rope_inv_freq;
}

void Reference::rotate(uint32_t index, Rows* x, uint32_t heads) const {
  const size_t pairs = hyper_.rotary_dim / 2;
  const std::vector<double>& inverse = frequencies(index);
  for (size_t t = 0; t < token_count_; ++t) {
    for (size_t i = 0; i < pairs; ++i) {
      const double angle = static_cast<double>(t) * inverse[i];
      const float cosine = hyper_.rope_magnitude * static_cast<float>(std::cos(angle));
      const float sine = hyper_.rope_magnitude * static_cast<float>(std::sin(angle));
      for (size_t head = 0; head < heads; ++head) {
        float* at = x->data() + (t * heads + head) * hyper_.head_dim;
        float& first = at[hyper_.rope_half ? i : 2 * i];
        float& second = at[hyper_.rope_half ? i + pairs : 2 * i + 1];
        const float turned = first * cosine - second * sine;
        second = first * sine + second * cosine;
        first = turned;
      }
    }
  }
}

float Reference::score(const float* query, const float* key) const {
  const auto usual = static_cast<float>(1 / std::sqrt(static_cast<double>(hyper_.head_dim)));
  const float scale = hyper_.attention_scale == 0 ? usual : hyper_.attention_scale;
  return capped(scale * dot(query, key, hyper_.head_dim), hyper_.attention_softcap);
}

Reference::Rows Reference::attend(uint32_t index, const Rows& q, const Rows& k,
                                  const Rows& v) const {
  const size_t dim = hyper_.head_dim;
  const size_t q_stride = hyper_.heads * dim;
  const size_t kv_stride = hyper_.kv_heads * dim;
  const size_t shared_by = hyper_.heads / hyper_.kv_heads;
  const size_t window = hyper_.windows.empty() ? 0 : hyper_.windows[index];
  Rows out(token_count_ * q_stride);
  in_parallel(hyper_.heads, [&](size_t begin, size_t end) {
    std::vector<float> p(token_count_);
    for (size_t head = begin; head < end; ++head) {
      const size_t kv = head / shared_by * dim;
      for (size_t t = 0; t < token_count_; ++t) {
        const float* query = q.data() + t * q_stride + head * dim;
        const size_t first = window == 0 || t < window ? 0 : t - window + 1;
        for (size_t c = first; c <= t; ++c)
          p[c] = score(query, &k[c * kv_stride + kv]);
        const auto seen = std::span(p).subspan(first, t + 1 - first);
        const float largest = *std::ranges::max_element(seen);
        float total = 0;
        for (float& weight : seen)
          total += weight = std::exp(weight - largest);
        float* row = out.data() + t * q_stride + head * dim;
        for (size_t c = first; c <= t; ++c) {
          const float weight = p[c] / total;
          for (size_t d = 0; d < dim; ++d)
            row[d] += weight * v[c * kv_stride + kv + d];
        }
      }
    }
  });
  return out;
}

Reference::Rows Reference::attention(uint32_t index, const Rows& x) {
  const std::string at = fmt::format("blk.{}.", index);
  Rows q = project(x, at + "attn_q");
  Rows k = project(x, at + "attn_k");
  const Rows v = project(x, at + "attn_v");
  if (hyper_.qk_norm) {
    q = rms_norm(q, at + "attn_q_norm");
    k = rms_norm(k, at + "attn_k_norm");
  }
  rotate(index, &q, hyper_.heads);
  rotate(index, &k, hyper_.kv_heads);
  return matmul(attend(index, q, k, v), at + "attn_output");
}

Reference::Rows Reference::feed_forward(const std::string& at, const Rows& x) {
  Rows gate = matmul(x, at + "ffn_gate");
  const Rows up = matmul(x, at + "ffn_up");
  for (size_t i = 0; i < gate.size(); ++i) {
    gate[i] = (hyper_.gate == Gate::silu ? silu(gate[i]) : gelu_tanh(gate[i])) * up[i];
  }
  return matmul(gate, at + "ffn_down");
}

void Reference::layer(uint32_t index, Rows* x) {
  const std::string at = fmt::format("blk.{}.", index);
  Rows attended = attention(index, rms_norm(*x, at + "attn_norm"));
  if (hyper_.post_norms) attended = rms_norm(attended, at + "post_attention_norm");
  add(x, attended);
  Rows fed = feed_forward(at, rms_norm(*x, at + "ffn_norm"));
  if (hyper_.post_norms) fed = rms_norm(fed, at + "post_ffw_norm");
  add(x, fed);
}

std::string Reference::head() const {
  return checkpoint_.tensors.contains("output") ? "output" : "token_embd";
}

Reference::Rows Reference::hidden(std::span<const uint32_t> tokens) {
  if (tokens.size() > hyper_.context) {
    throw std::invalid_argument(
        fmt::format("{} tokens are more than the {} positions", tokens.size(), hyper_.context));
  }
  token_count_ = tokens.size();
  Rows x(token_count_ * hyper_.dim);
  for (size_t t = 0; t < token_count_; ++t) {
    if (tokens[t] >= hyper_.vocab) {
      throw std::invalid_argument(fmt::format("there is no token {}", tokens[t]));
    }
    read_row("token_embd", tokens[t], x.data() + t * hyper_.dim);
  }
  for (float& value : x)
    value *= hyper_.embedding_scale;
  for (uint32_t i = 0; i < hyper_.layers; ++i)
    layer(i, &x);
  return rms_norm(x, "output_norm");
}

void Reference::observe(std::span<const uint32_t> tokens,
                        std::map<std::string, std::vector<double>>* sums) {
  observed_ = sums;
  add_squares(hidden(tokens), head());
  observed_ = nullptr;
}

std::vector<float> Reference::logits(std::span<const uint32_t> tokens) {
  Rows out = matmul(hidden(tokens), head());
  for (float& logit : out)
    logit = capped(logit, hyper_.logit_softcap);
  return out;
}

PerplexityResult perplexity(Reference* model, std::span<const uint32_t> tokens, int32_t first,
                            uint32_t window, uint32_t vocab) {
  const size_t lead = first >= 0 ? 1 : 0;
  if (tokens.size() + lead < 2 || window < 2) {
    throw std::invalid_argument("the text is too short: there is no token to predict");
  }
  PerplexityResult result;
  double sum = 0;
  while (tokens.size() + lead >= 2) {
    const size_t count = std::min<size_t>(tokens.size(), window - lead);
    std::vector<uint32_t> batch(tokens.begin(), tokens.begin() + static_cast<long>(count));
    if (lead == 1) batch.insert(batch.begin(), static_cast<uint32_t>(first));
    const std::vector<float> rows = model->logits(batch);
    for (size_t i = 0; i + 1 < batch.size(); ++i) {
      sum += negative_log_likelihood(std::span(rows).subspan(i * vocab, vocab), batch[i + 1]);
      ++result.scored_tokens;
    }
    tokens = tokens.subspan(count);
    if (tokens.empty()) break;
  }
  result.perplexity = std::exp(sum / static_cast<double>(result.scored_tokens));
  return result;
}

}  // namespace nbl::compiler
