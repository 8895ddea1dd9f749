#include "compiler/quantize/q4.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstring>
#include <exception>
#include <mutex>
#include <stdexcept>
#include <thread>

#include "compiler/import/half.h"
#include "rt/model/model.h"

namespace nbl::compiler {
namespace {

constexpr uint32_t kTileRows = 16;
constexpr uint32_t kWordColumns = 8;  // of nibbles
constexpr float kMaxWeight = 8 * 65504.0f;

Q4Error lossless_row() {
  Q4Error error;
  error.lossless_rows = 1;
  return error;
}

// One thread's buffers, a padded row each; scales: one for each group of the file.
struct Scratch {
  Scratch(uint32_t columns, uint32_t group_size)
      : weights(columns), codes(columns), scales(columns / group_size), integers(columns) {}
  std::vector<float> weights;
  std::vector<uint8_t> codes;  // what is stored
  std::vector<float> scales;
  std::vector<int8_t> integers;  // of a row that is encoded as such
  std::vector<float> importance = {};
  std::vector<float> source_scales = {};
};

// The code of the value 0.
uint8_t zero_code(const Q4Format& format) {
  return format.eight_bits() ? 128 : 8;
}

uint32_t columns_of_word(const Q4Format& format) {
  return format.eight_bits() ? kWordColumns / 2 : kWordColumns;
}

// Where a row lies: its element i at begin(elements of a row) + i * stride.
struct RowPlace {
  RowPlace(const Q4Format& format, uint32_t row)
      : tile(format.tiled() ? row / kTileRows : row),
        lane(format.tiled() ? row % kTileRows : 0),
        stride(format.tiled() ? kTileRows : 1) {}
  size_t begin(size_t elements) const { return tile * elements * stride + lane; }

  size_t tile;
  size_t lane;
  size_t stride;
};

// The bit at which the code of column `column` of a word begins.
uint32_t shift_in(Layout layout, uint32_t column) {
  if (layout == Layout::q8_t16k4) return 8 * column;
  if (layout == Layout::q4_t16k8) return 8 * (column % 4) + (column < 4 ? 0 : 4);
  return 4 * (layout == Layout::q4_rows_linear ? column : column ^ 1);
}

uint32_t pack_word(const Q4Format& format, const uint8_t* codes) {
  uint32_t word = 0;
  for (uint32_t i = 0; i < columns_of_word(format); ++i)
    word |= uint32_t{codes[i]} << shift_in(format.layout, i);
  return word;
}

void store_row(const Scratch& scratch, uint32_t row, Q4Matrix* matrix) {
  const RowPlace place(matrix->format, row);
  const size_t columns = columns_of_word(matrix->format);
  const size_t word_count = scratch.codes.size() / columns;
  uint32_t* words = matrix->words.data() + place.begin(word_count);
  for (size_t i = 0; i < word_count; ++i)
    words[i * place.stride] = pack_word(matrix->format, scratch.codes.data() + i * columns);
  const size_t first_scale = place.begin(scratch.scales.size());
  for (size_t i = 0; i < scratch.scales.size(); ++i) {
    const size_t at = first_scale + i * place.stride;
    if (matrix->format.f32_scales) {
      matrix->float_scales[at] = scratch.scales[i];
    } else {
      matrix->scales[at] = f32_to_f16(scratch.scales[i]);
    }
  }
}

void check_weights(const RowSource& source, uint32_t row, const std::vector<float>& weights) {
  float largest = 0;
  bool ordered = true;  // false once a NaN was seen
  for (const float weight : weights) {
    const float magnitude = std::fabs(weight);
    ordered &= magnitude >= 0;
    largest = magnitude > largest ? magnitude : largest;
  }
  if (ordered && largest <= kMaxWeight) return;
  const auto bad = std::find_if(weights.begin(), weights.end(),
                                [](float weight) { return !(std::fabs(weight) <= kMaxWeight); });
  throw ImportError(
      fmt::format("{}: the weight in column {} is {}; it must be finite and at most {}",
                  source.describe(row), bad - weights.begin(), *bad, kMaxWeight));
}

// What the weights of a group lost.
struct Sums {
  float error = 0, weight = 0, important_error = 0, important = 0;

  void add(float value, float rounded, float importance) {
    const float square = (value - rounded) * (value - rounded);
    error += square;
    weight += value * value;
    important_error += importance * square;
    important += importance * value * value;
  }
  void add_to(Q4Error* sum) const {
    sum->error_squares += static_cast<double>(error);
    sum->weight_squares += static_cast<double>(weight);
    sum->important_error_squares += static_cast<double>(important_error);
    sum->important_squares += static_cast<double>(important);
  }
};

// The importance of a row's columns with 0 for its padding, or null.
const float* padded_importance(const RowSource& source, uint32_t row, Scratch* scratch) {
  const float* importance = source.importance ? source.importance(row) : nullptr;
  if (importance == nullptr) return nullptr;
  scratch->importance.assign(importance, importance + source.columns);
  scratch->importance.resize(scratch->weights.size(), 0.0f);
  return scratch->importance.data();
}

// In groups of `group_size`, which may be many of the file's.
Q4Error quantize_row(const RowSource& source, uint32_t row, uint32_t group_size,
                     const Q4Format& format, Quantizer quantizer, Scratch* scratch) {
  std::vector<float>& weights = scratch->weights;
  uint8_t* codes = scratch->codes.data();
  source.read(row, weights.data());
  check_weights(source, row, weights);
  Q4Error error;
  error.quantized_rows = 1;
  const auto columns = static_cast<uint32_t>(weights.size());
  const float* importance = padded_importance(source, row, scratch);
  GroupOptions how{.eight_bits = format.eight_bits(), .quantizer = quantizer};
  const int zero = zero_code(format);
  for (uint32_t column = 0; column < columns; column += group_size) {
    const float* group = weights.data() + column;
    const uint32_t count = std::min(group_size, columns - column);
    how.importance = importance == nullptr ? nullptr : importance + column;
    const float scale = f16_to_f32(quantize_group(group, count, codes + column, how));
    std::fill_n(scratch->scales.begin() + column / format.group_size, count / format.group_size,
                scale);
    Sums sums;
    for (uint32_t i = 0; i < count; ++i) {
      const float rounded = static_cast<float>(codes[column + i] - zero) * scale;
      sums.add(group[i], rounded, how.importance == nullptr ? 0.0f : how.importance[i]);
    }
    sums.add_to(&error);
  }
  return error;
}

Q4Error take_row(const Q4Row& row, uint32_t columns, const Q4Format& format, Scratch* scratch) {
  const uint8_t zero = zero_code(format);
  std::ranges::fill(scratch->codes, zero);
  std::ranges::fill(scratch->scales, 0.0f);
  for (uint32_t k = 0; k < columns; ++k) {
    scratch->codes[k] = static_cast<uint8_t>(row.values[k] + zero);
    scratch->scales[k / format.group_size] = row.scales[k / row.group_size];
  }
  return lossless_row();
}

// Decodes the row's whole numbers and scales into scratch.
Q4Row decode_row(const RowSource& source, uint32_t row, const EncodedRow& encoded,
                 Scratch* scratch) {
  const uint32_t group = integer_group(encoded.type);
  scratch->source_scales.resize(source.columns / group);
  read_source_integers(encoded.type, encoded.data, source.columns, scratch->integers.data(),
                       scratch->source_scales.data());
  for (size_t i = 0; i < scratch->source_scales.size(); ++i) {
    if (std::isfinite(scratch->source_scales[i])) continue;
    throw ImportError(fmt::format("{}: the {} scale of block {} is {}; it must be finite",
                                  source.describe(row), source_type_name(encoded.type), i,
                                  scratch->source_scales[i]));
  }
  return {scratch->integers.data(), scratch->source_scales.data(), group};
}

// Whether whole numbers of the source become the file's as they are.
bool keeps_integers(const EncodedRow& row, uint32_t group_size, const Q4Format& format) {
  if (row.data == nullptr || integer_group(row.type) == 0) return false;
  return format.eight_bits() || (row.type == SourceType::q4_0 && group_size == kSourceBlock);
}

Q4Error convert_row(const RowSource& source, uint32_t row, uint32_t group_size, Quantizer quantizer,
                    Scratch* scratch, Q4Matrix* matrix) {
  const Q4Format& format = matrix->format;
  Q4Row taken = source.quantized ? source.quantized(row) : Q4Row{};
  const EncodedRow encoded = source.encoded ? source.encoded(row) : EncodedRow{};
  if (taken.values == nullptr && keeps_integers(encoded, group_size, format)) {
    taken = decode_row(source, row, encoded, scratch);
  }
  const Q4Error error = taken.values != nullptr
                            ? take_row(taken, source.columns, format, scratch)
                            : quantize_row(source, row, group_size, format, quantizer, scratch);
  store_row(*scratch, row, matrix);
  return error;
}

// Hands out tiles to threads and keeps the first failure in row order, so that the error too is the
// same with any number of threads.
class TileQueue {
 public:
  TileQueue(const RowSource& source, uint32_t group_size, Quantizer quantizer, Q4Matrix* matrix,
            std::vector<Q4Error>* errors)
      : source_(source),
        group_size_(group_size),
        quantizer_(quantizer),
        matrix_(matrix),
        errors_(errors) {}

  void work() {
    const Q4Format& format = matrix_->format;
    Scratch scratch(format.columns(matrix_->columns), format.group_size);
    for (;;) {
      const uint32_t row = next_.fetch_add(kTileRows);
      if (row >= source_.rows || row >= failed_row_.load()) return;
      try {
        const uint32_t end = std::min(row + kTileRows, source_.rows);
        for (uint32_t r = row; r < end; ++r) {
          (*errors_)[r] = convert_row(source_, r, group_size_, quantizer_, &scratch, matrix_);
        }
      } catch (...) {
        const std::scoped_lock lock(mutex_);
        if (row < failed_row_.load()) {
          failed_row_ = row;
          failure_ = std::current_exception();
        }
      }
    }
  }

  void rethrow() const {
    if (failure_) std::rethrow_exception(failure_);
  }

 private:
  const RowSource& source_;
  const uint32_t group_size_;
  const Quantizer quantizer_;
  Q4Matrix* matrix_;
  std::vector<Q4Error>* errors_;
  std::atomic<uint32_t> next_{0};
  std::atomic<uint32_t> failed_row_{~0u};
  std::mutex mutex_;
  std::exception_ptr failure_;
};

Q4Matrix padded_matrix(const RowSource& source, const Q4Format& format) {
  Q4Matrix matrix;
  matrix.rows = source.rows;
  matrix.columns = source.columns;
  matrix.format = format;
  const uint32_t zeros = format.eight_bits() ? 0x80808080u : 0x88888888u;
  matrix.words.assign(format.data_bytes(source.rows, source.columns) / sizeof(uint32_t), zeros);
  const uint64_t scale_bytes = format.scale_bytes(source.rows, source.columns);
  matrix.scales.assign(format.f32_scales ? 0 : scale_bytes / sizeof(uint16_t), 0);
  matrix.float_scales.assign(format.f32_scales ? scale_bytes / sizeof(float) : 0, 0.0f);
  return matrix;
}

}  // namespace

double Q4Error::relative_rms() const {
  return weight_squares > 0 ? std::sqrt(error_squares / weight_squares) : 0;
}

double Q4Error::important_rms() const {
  return important_squares > 0 ? std::sqrt(important_error_squares / important_squares) : 0;
}

void Q4Error::add(const Q4Error& other) {
  error_squares += other.error_squares;
  weight_squares += other.weight_squares;
  important_error_squares += other.important_error_squares;
  important_squares += other.important_squares;
  quantized_rows += other.quantized_rows;
  lossless_rows += other.lossless_rows;
}

bool is_group_size(uint32_t group_size) {
  return group_size % kWordColumns == 0 && group_size > 0 && group_size <= kMaxGroupSize;
}

std::span<const std::byte> Q4Matrix::scale_bytes() const {
  return format.f32_scales ? std::as_bytes(std::span(float_scales))
                           : std::as_bytes(std::span(scales));
}

Q4Format q4_format_of(const RowSource& source, uint32_t group_size, Layout layout) {
  const Grid& grid = Q4Format{layout}.eight_bits() ? source.eight : source.four;
  uint32_t group = grid.group;
  if (!grid.all) {
    const uint32_t wanted = stored_group_size(group_size, source.columns);
    group = group == 0 ? wanted : std::min(wanted, group);
  }
  return {layout, group, grid.f32_scales};
}

Q4Matrix quantize_q4(const RowSource& source, uint32_t group_size, Q4Error* error,
                     uint32_t thread_count, const QuantizeOptions& how) {
  if (!is_group_size(group_size)) {
    throw std::invalid_argument(
        fmt::format("the group size is {}; it must be a multiple of {}, {} "
                    "at most",
                    group_size, kWordColumns, kMaxGroupSize));
  }
  Q4Matrix matrix = padded_matrix(source, q4_format_of(source, group_size, how.layout));
  std::vector<Q4Error> row_errors(source.rows);
  // Nothing but padding is left to quantize where all else arrives so.
  const Grid& grid = matrix.format.eight_bits() ? source.eight : source.four;
  const uint32_t quantized_in = grid.all ? matrix.format.group_size : group_size;
  TileQueue queue(source, quantized_in, how.quantizer, &matrix, &row_errors);
  if (thread_count == 0) thread_count = std::max(1u, std::thread::hardware_concurrency());
  const uint32_t tiles = (source.rows + kTileRows - 1) / kTileRows;
  {
    std::vector<std::jthread> helpers;
    for (uint32_t i = 1; i < std::min(thread_count, tiles); ++i) {
      helpers.emplace_back([&queue] { queue.work(); });
    }
    queue.work();
  }
  queue.rethrow();
  if (error == nullptr) return matrix;
  *error = {};
  for (const Q4Error& row : row_errors)
    error->add(row);
  return matrix;
}

void unpack_q4_row(const Q4Matrix& matrix, uint32_t row, float* out) {
  const Q4Format& format = matrix.format;
  const RowPlace place(format, row);
  const uint32_t columns = format.columns(matrix.columns);
  const uint32_t word_columns = columns_of_word(format);
  const size_t first_word = place.begin(columns / word_columns);
  const size_t first_scale = place.begin(columns / format.group_size);
  for (uint32_t k = 0; k < matrix.columns; ++k) {
    const uint32_t word = matrix.words[first_word + k / word_columns * place.stride];
    const size_t at = first_scale + k / format.group_size * place.stride;
    const float scale = format.f32_scales ? matrix.float_scales[at] : f16_to_f32(matrix.scales[at]);
    const uint32_t mask = format.eight_bits() ? 255 : 15;
    const uint32_t code = word >> shift_in(format.layout, k % word_columns) & mask;
    out[k] = (static_cast<float>(code) - static_cast<float>(zero_code(format))) * scale;
  }
}

}  // namespace nbl::compiler
