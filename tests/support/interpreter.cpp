#include "tests/support/interpreter.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <stdexcept>

#include "schema_generated.h"

namespace nbl::test {
namespace {

constexpr size_t kHeaderBytes = 64;
constexpr size_t kGraphOffsetAt = 24;
constexpr size_t kGraphBytesAt = 32;
constexpr uint32_t kFineRows = 64;

uint64_t read_u64(std::span<const std::byte> bytes, size_t at) {
  uint64_t value = 0;
  std::memcpy(&value, bytes.data() + at, sizeof value);
  return value;
}

double half_value(uint16_t bits) {
  const int exponent = bits >> 10 & 31;
  const int fraction = bits & 1023;
  const double magnitude =
      exponent == 0 ? std::ldexp(fraction, -24) : std::ldexp(1024 + fraction, exponent - 25);
  return (bits & 0x8000) != 0 ? -magnitude : magnitude;
}

// x / sqrt(mean(x^2) + eps) * weight
std::vector<double> normalize(const std::vector<double>& x, const std::vector<float>& weight,
                              double eps) {
  double squares = 0;
  for (const double v : x)
    squares += v * v;
  const double factor = 1 / std::sqrt(squares / static_cast<double>(x.size()) + eps);
  std::vector<double> out(x.size());
  for (size_t i = 0; i < x.size(); ++i)
    out[i] = x[i] * factor * static_cast<double>(weight[i]);
  return out;
}

double gelu_tanh(double x) {
  const double u = std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x);
  return 0.5 * x * (1 + std::tanh(u));
}

double silu(double x) {
  return x / (1 + std::exp(-x));
}

bool is(const flatbuffers::String* text, std::string_view expected) {
  return text->string_view() == expected;
}

}  // namespace

Interpreter::Interpreter(std::span<const std::byte> file) : file_(file) {
  if (file.size() < kHeaderBytes) throw std::runtime_error("no header");
  const uint64_t offset = read_u64(file, kGraphOffsetAt);
  const uint64_t bytes = read_u64(file, kGraphBytesAt);
  if (offset > file.size() || bytes > file.size() - offset) throw std::runtime_error("no graph");
  flatbuffers::Verifier verifier(reinterpret_cast<const uint8_t*>(file.data()) + offset, bytes);
  if (!fb::VerifyModelBuffer(verifier)) throw std::runtime_error("the graph does not verify");
  model_ = fb::GetModel(file.data() + offset);
  load_weights();
}

uint32_t Interpreter::vocab_size() const {
  return model_->vocab_size();
}
uint32_t Interpreter::context_length() const {
  return model_->context_length();
}

void Interpreter::rewind(uint32_t position) {
  if (position > position_) throw std::runtime_error("rewind goes backwards only");
  position_ = position;
}

void Interpreter::set_cache_noise(double fraction, uint64_t seed) {
  cache_noise_ = fraction;
  noise_.seed(seed);
}

const std::byte* Interpreter::segment(int32_t index, uint64_t bytes) const {
  const fb::Segment* s = model_->segments()->Get(static_cast<uint32_t>(index));
  if (s->size() != bytes || s->offset() + s->size() > file_.size()) {
    throw std::runtime_error("segment " + s->name()->str() + " has another size");
  }
  return file_.data() + s->offset();
}

Interpreter::Matrix Interpreter::unpack_quantized(const fb::Tensor& tensor) const {
  const uint64_t group = tensor.group_size();
  const bool f32 = tensor.scale_dtype() != nullptr && is(tensor.scale_dtype(), "f32");
  const bool eight = is(tensor.layout(), "q8_t16k4");
  const bool tiled = eight || is(tensor.layout(), "q4_t16k8");
  const bool swapped = is(tensor.layout(), "q4_rows_embedding");
  Matrix m{tensor.shape()->Get(0), tensor.shape()->Get(1), {}};
  const uint64_t unit = tiled ? std::max<uint64_t>(group, 32) : group;
  const uint64_t rows = tiled ? (m.rows + 31) / 32 * 32 : m.rows;
  const uint64_t columns = (m.columns + unit - 1) / unit * unit;
  const uint64_t scale_size = f32 ? 4 : 2;
  const std::byte* bytes = segment(tensor.data(), rows * columns / (eight ? 1 : 2));
  const std::byte* scales =
      segment(tensor.scales(), (rows * columns / group * scale_size + 3) / 4 * 4);
  m.values.resize(size_t{m.rows} * m.columns);
  for (uint64_t n = 0; n < m.rows; ++n) {
    for (uint64_t k = 0; k < m.columns; ++k) {
      // The byte that holds the nibble, whether it is the upper half, and the number of the scale.
      uint64_t at = n * columns / 2 + k / 2;
      bool upper = (k % 2 == 1) != swapped;
      uint64_t scale_at = n * (columns / group) + k / group;
      if (tiled) {
        at = (((n / 16) * (columns / 8) + k / 8) * 16 + n % 16) * 4 + k % 4;
        upper = k % 8 >= 4;
        scale_at = ((n / 16) * (columns / group) + k / group) * 16 + n % 16;
      }
      if (eight) at = (((n / 16) * (columns / 4) + k / 4) * 16 + n % 16) * 4 + k % 4;
      const int byte = std::to_integer<int>(bytes[at]);
      const int value = eight ? byte - 128 : (upper ? byte >> 4 : byte & 15) - 8;
      uint16_t half = 0;
      float scale = 0;
      std::memcpy(&half, scales + scale_at * scale_size, sizeof half);
      if (f32) std::memcpy(&scale, scales + scale_at * scale_size, sizeof scale);
      m.values[n * m.columns + k] =
          static_cast<float>(value * (f32 ? static_cast<double>(scale) : half_value(half)));
    }
  }
  return m;
}

void Interpreter::load_weights() {
  matrix_of_.resize(model_->tensors()->size());
  values_.resize(model_->tensors()->size());
  for (uint32_t i = 0; i < model_->tensors()->size(); ++i) {
    const fb::Tensor& tensor = *model_->tensors()->Get(i);
    const auto& shape = *tensor.shape();
    const uint32_t last = shape.Get(shape.size() - 1);
    if (is(tensor.role(), "state")) {
      values_[i].resize(size_t{shape.Get(0)} * shape.Get(1) * last);
    } else if (is(tensor.role(), "activation")) {
      values_[i].resize(last);
    } else if (is(tensor.role(), "weight")) {
      const uint32_t rows = shape.size() == 1 ? 1 : shape.Get(0);
      Matrix& m = weights_[{tensor.data(), tensor.scales(), rows, last}];
      matrix_of_[i] = &m;
      if (!m.values.empty()) continue;
      if (is(tensor.dtype(), "q4") || is(tensor.dtype(), "q8")) {
        m = unpack_quantized(tensor);
        continue;
      }
      const uint64_t stored = shape.size() == 1 ? (last + 31) / 32 * 32 : uint64_t{rows} * last;
      const std::byte* bytes = segment(tensor.data(), stored * 4);
      m = {rows, last, std::vector<float>(size_t{rows} * last)};
      std::memcpy(m.values.data(), bytes, m.values.size() * 4);
    }
  }
}

const std::vector<double>& Interpreter::input(const fb::Op& op, uint32_t slot) const {
  return values_.at(static_cast<size_t>(op.inputs()->Get(slot)));
}

std::vector<double>& Interpreter::output(const fb::Op& op, uint32_t slot) {
  return values_.at(static_cast<size_t>(op.outputs()->Get(slot)));
}

const Interpreter::Matrix& Interpreter::matrix(const fb::Op& op, uint32_t slot) const {
  return *matrix_of_.at(static_cast<size_t>(op.inputs()->Get(slot)));
}

// scale * (xq - zero), where xq = clamp(round(x / scale) + zero, -128, 127).
void Interpreter::round_to_int8(std::vector<double>* x) {
  std::uniform_real_distribution<double> noise(1 - cache_noise_, 1 + cache_noise_);
  double low = 0, high = 0;
  for (double& v : *x) {
    if (cache_noise_ > 0) v *= noise(noise_);
    v = static_cast<double>(static_cast<float>(v));
    low = std::min(low, v);
    high = std::max(high, v);
  }
  double scale = static_cast<double>(static_cast<float>((high - low) / 255));
  if (high - low < 0x1p-110) scale = static_cast<double>(0.1f);
  const bool by_low = 128 + low / scale < 127 - high / scale;
  const double end = by_low ? -128 - low / scale : 127 - high / scale;
  const double zero = std::clamp(std::nearbyint(end), -128.0, 127.0);
  scale = std::max(scale, static_cast<double>(6.1e-5f));
  for (double& v : *x) {
    v = scale * (std::clamp(std::nearbyint(v / scale) + zero, -128.0, 127.0) - zero);
  }
}

void Interpreter::linear(const fb::Op& op) {
  const auto present = [&](uint32_t slot) {
    return slot < op.inputs()->size() && op.inputs()->Get(slot) >= 0;
  };
  std::vector<double> x = input(op, 0);
  if (present(2)) x = normalize(x, matrix(op, 2).values, static_cast<double>(op.eps()));
  if (is(op.kind(), "linear_dq8ca_q4gsw")) round_to_int8(&x);
  const Matrix& w = matrix(op, 1);
  std::vector<double> rows(w.rows);
  for (size_t n = 0; n < w.rows; ++n) {
    const float* row = w.values.data() + n * w.columns;
    double sum = 0;
    for (size_t k = 0; k < w.columns; ++k)
      sum += static_cast<double>(row[k]) * x[k];
    rows[n] = sum;
  }
  std::vector<double>& out = output(op, 0);
  const bool gelu = op.function() != nullptr && is(op.function(), "gelu_tanh");
  for (size_t n = 0; n < out.size(); ++n) {
    const auto gated = [&](double gate) { return gelu ? gelu_tanh(gate) : silu(gate); };
    out[n] = op.swiglu() ? gated(rows[2 * n]) * rows[2 * n + 1] : rows[n];
    if (present(3)) out[n] += static_cast<double>(matrix(op, 3).values[n]);
    if (present(4)) out[n] += input(op, 4)[n];
  }
}

void Interpreter::rotate(const fb::Op& op, const Matrix& table, uint32_t heads, double* x) const {
  const uint32_t pairs = op.rotary_dim() / 2;
  const float* fine = table.values.data() + size_t{position_ % kFineRows} * table.columns;
  const float* coarse =
      table.values.data() + (kFineRows + size_t{position_ / kFineRows}) * table.columns;
  for (uint32_t head = 0; head < heads; ++head, x += op.head_dim()) {
    for (uint32_t i = 0; i < pairs; ++i) {
      const double cos_a = static_cast<double>(fine[2 * i]);
      const double sin_a = static_cast<double>(fine[2 * i + 1]);
      const double cos_b = static_cast<double>(coarse[2 * i]);
      const double sin_b = static_cast<double>(coarse[2 * i + 1]);
      const double cosine = cos_a * cos_b - sin_a * sin_b;
      const double sine = sin_a * cos_b + cos_a * sin_b;
      double& first = x[op.rope_half() ? i : 2 * i];
      double& second = x[op.rope_half() ? i + pairs : 2 * i + 1];
      const double turned = first * cosine - second * sine;
      second = first * sine + second * cosine;
      first = turned;
    }
  }
}

// Heads of q by the first head_dim weights, heads of k by the others.
void Interpreter::norm_heads(const fb::Op& op, std::vector<double>* qkv) {
  const std::vector<float>& weights = matrix(op, 2).values;
  const size_t dim = op.head_dim();
  for (size_t head = 0; head < op.heads() + op.kv_heads(); ++head) {
    double* x = qkv->data() + head * dim;
    double squares = 0;
    for (size_t i = 0; i < dim; ++i)
      squares += x[i] * x[i];
    const double size =
        std::sqrt(squares / static_cast<double>(dim) + static_cast<double>(op.eps()));
    for (size_t i = 0; i < dim; ++i)
      x[i] *= static_cast<double>(weights[head < op.heads() ? i : dim + i]) / size;
  }
}

void Interpreter::rope_update_cache(const fb::Op& op) {
  std::vector<double> qkv = input(op, 0);
  const size_t q_columns = size_t{op.heads()} * op.head_dim();
  const size_t kv_columns = size_t{op.kv_heads()} * op.head_dim();
  if (op.inputs()->size() > 2 && op.inputs()->Get(2) >= 0) norm_heads(op, &qkv);
  rotate(op, matrix(op, 1), op.heads() + op.kv_heads(), qkv.data());
  std::copy_n(qkv.begin(), q_columns, output(op, 0).begin());
  write_cache(qkv.data() + q_columns, op.outputs()->Get(1));
  write_cache(qkv.data() + q_columns + kv_columns, op.outputs()->Get(2));
}

void Interpreter::run(const fb::Op& op) {
  const std::string_view kind = op.kind()->string_view();
  if (kind == "embedding_q4gsw" || kind == "embedding_q8gsw") {
    const Matrix& m = matrix(op, 1);
    std::copy_n(m.values.begin() + static_cast<std::ptrdiff_t>(size_t{token_} * m.columns),
                m.columns, output(op, 0).begin());
  } else if (kind == "rms_norm") {
    rms_norm(op);
  } else if (kind == "linear_q4gsw" || kind == "linear_q8gsw" || kind == "linear_dq8ca_q4gsw") {
    linear(op);
  } else if (kind == "rope") {
    output(op, 0) = input(op, 0);
    rotate(op, matrix(op, 1), op.heads(), output(op, 0).data());
  } else if (kind == "update_cache") {
    write_cache(input(op, 0).data(), op.outputs()->Get(0));
  } else if (kind == "rope_update_cache") {
    rope_update_cache(op);
  } else if (kind == "sdpa_with_kv_cache") {
    attention(op);
  } else if (kind == "swiglu") {
    for (size_t i = 0; i < input(op, 0).size(); ++i) {
      output(op, 0)[i] = silu(input(op, 0)[i]) * input(op, 1)[i];
    }
  } else if (kind == "add") {
    for (size_t i = 0; i < input(op, 0).size(); ++i) {
      output(op, 0)[i] = input(op, 0)[i] + input(op, 1)[i];
    }
  } else if (kind == "elementwise") {
    elementwise(op);
  } else if (kind == "slice" || kind == "cat" || kind == "permute") {
    move_columns(op);
  } else if (kind == "softmax") {
    softmax(op);
  } else if (kind != "sample") {
    throw std::runtime_error("unknown op " + std::string(kind));
  }
}

std::vector<double> Interpreter::step(uint32_t token) {
  if (position_ >= context_length()) throw std::runtime_error("the context is full");
  if (token >= vocab_size()) throw std::runtime_error("no such token");
  token_ = token;
  live_end_ = position_ + 1;
  for (const fb::Op* op : *model_->ops())
    run(*op);
  ++position_;
  const fb::Op* sample = model_->ops()->Get(model_->ops()->size() - 1);
  return input(*sample, 0);
}

std::vector<std::vector<double>> Interpreter::evaluate(std::span<const uint32_t> tokens) {
  std::vector<std::vector<double>> rows;
  for (const uint32_t token : tokens)
    rows.push_back(step(token));
  return rows;
}

std::vector<std::vector<double>> Interpreter::evaluate_together(std::span<const uint32_t> tokens) {
  const auto count = static_cast<uint32_t>(tokens.size());
  if (count > context_length() - position_) throw std::runtime_error("the context is full");
  const uint32_t first = position_;
  live_end_ = first + count;
  // Activations of each token; states stay where they are.
  std::vector<std::vector<std::vector<double>>> rows(count);
  for (auto& row : rows) {
    row.resize(values_.size());
    for (uint32_t i = 0; i < values_.size(); ++i) {
      if (is(model_->tensors()->Get(i)->role(), "activation")) row[i].resize(values_[i].size());
    }
  }
  const auto exchange = [&](uint32_t t) {
    for (uint32_t i = 0; i < values_.size(); ++i) {
      if (is(model_->tensors()->Get(i)->role(), "activation")) std::swap(values_[i], rows[t][i]);
    }
  };
  for (const fb::Op* op : *model_->ops()) {
    for (uint32_t t = 0; t < count; ++t) {
      token_ = tokens[t];
      position_ = first + t;
      exchange(t);
      run(*op);
      exchange(t);
    }
  }
  position_ = live_end_;
  const auto logits =
      static_cast<size_t>(model_->ops()->Get(model_->ops()->size() - 1)->inputs()->Get(0));
  std::vector<std::vector<double>> out;
  for (const auto& row : rows)
    out.push_back(row[logits]);
  return out;
}

int32_t Interpreter::find(std::string_view tensor) const {
  for (uint32_t i = 0; i < model_->tensors()->size(); ++i) {
    if (is(model_->tensors()->Get(i)->name(), tensor)) return static_cast<int32_t>(i);
  }
  throw std::runtime_error("no tensor " + std::string(tensor));
}

const std::vector<double>& Interpreter::value(std::string_view tensor) const {
  return values_[static_cast<size_t>(find(tensor))];
}

double Interpreter::weight(std::string_view tensor, uint32_t row, uint32_t column) const {
  const Matrix* m = matrix_of_[static_cast<size_t>(find(tensor))];
  if (m == nullptr || row >= m->rows || column >= m->columns) {
    throw std::runtime_error("no such element of " + std::string(tensor));
  }
  return static_cast<double>(m->values[size_t{row} * m->columns + column]);
}

double negative_log_likelihood(std::span<const double> logits, uint32_t token) {
  const double largest = *std::ranges::max_element(logits);
  double total = 0;
  for (const double logit : logits)
    total += std::exp(logit - largest);
  return std::log(total) + largest - logits[token];
}

double perplexity(std::span<const std::vector<double>> logits, std::span<const uint32_t> tokens) {
  if (tokens.size() < 2 || logits.size() + 1 < tokens.size()) {
    throw std::runtime_error("perplexity needs two tokens and a row for each but the last");
  }
  double sum = 0;
  for (size_t i = 0; i + 1 < tokens.size(); ++i) {
    sum += negative_log_likelihood(logits[i], tokens[i + 1]);
  }
  return std::exp(sum / static_cast<double>(tokens.size() - 1));
}

uint32_t argmax(std::span<const double> values) {
  return static_cast<uint32_t>(std::ranges::max_element(values) - values.begin());
}

}  // namespace nbl::test
