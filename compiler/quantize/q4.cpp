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
constexpr uint32_t kWordColumns = 8;
constexpr uint8_t kZeroNibble = 8;
constexpr uint32_t kPaddingWord = 0x88888888u;
constexpr float kMaxWeight = 8 * 65504.0f;

struct RowError {
  double error_squares = 0;
  double weight_squares = 0;
  bool lossless = false;
};

// One thread's buffers, a padded row each; scales: one for each group of the file.
struct Scratch {
  Scratch(uint32_t columns, uint32_t group_size)
      : weights(columns), nibbles(columns), scales(columns / group_size) {}
  std::vector<float> weights;
  std::vector<uint8_t> nibbles;
  std::vector<float> scales;
};

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

// The bit at which the nibble of column `column` of a word begins.
uint32_t shift_in(Layout layout, uint32_t column) {
  if (layout == Layout::q4_t16k8) return 8 * (column % 4) + (column < 4 ? 0 : 4);
  return 4 * (layout == Layout::q4_rows_linear ? column : column ^ 1);
}

uint32_t pack_word(Layout layout, const uint8_t* nibbles) {
  uint32_t word = 0;
  for (uint32_t i = 0; i < kWordColumns; ++i)
    word |= uint32_t{nibbles[i]} << shift_in(layout, i);
  return word;
}

void store_row(const Scratch& scratch, uint32_t row, Q4Matrix* matrix) {
  const RowPlace place(matrix->format, row);
  const size_t word_count = scratch.nibbles.size() / kWordColumns;
  uint32_t* words = matrix->words.data() + place.begin(word_count);
  for (size_t i = 0; i < word_count; ++i) {
    words[i * place.stride] =
        pack_word(matrix->format.layout, scratch.nibbles.data() + i * kWordColumns);
  }
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

// In groups of `group_size`, which may be many of the file's.
RowError quantize_row(const RowSource& source, uint32_t row, uint32_t group_size,
                      uint32_t stored_group, Scratch* scratch) {
  std::vector<float>& weights = scratch->weights;
  uint8_t* nibbles = scratch->nibbles.data();
  source.read(row, weights.data());
  check_weights(source, row, weights);
  RowError error;
  const auto columns = static_cast<uint32_t>(weights.size());
  for (uint32_t column = 0; column < columns; column += group_size) {
    const float* group = weights.data() + column;
    const uint32_t count = std::min(group_size, columns - column);
    const float scale = f16_to_f32(quantize_q4_group(group, count, nibbles + column));
    std::fill_n(scratch->scales.begin() + column / stored_group, count / stored_group, scale);
    float error_sum = 0;
    float weight_sum = 0;
    for (uint32_t i = 0; i < count; ++i) {
      const float rounded = static_cast<float>(nibbles[column + i] - 8) * scale;
      error_sum += (group[i] - rounded) * (group[i] - rounded);
      weight_sum += group[i] * group[i];
    }
    error.error_squares += static_cast<double>(error_sum);
    error.weight_squares += static_cast<double>(weight_sum);
  }
  return error;
}

RowError take_q4_row(const Q4Row& row, uint32_t columns, uint32_t stored_group, Scratch* scratch) {
  std::ranges::fill(scratch->nibbles, kZeroNibble);
  std::ranges::fill(scratch->scales, 0.0f);
  for (uint32_t k = 0; k < columns; ++k) {
    scratch->nibbles[k] = static_cast<uint8_t>(row.values[k] + kZeroNibble);
    scratch->scales[k / stored_group] = row.scales[k / row.group_size];
  }
  RowError error;
  error.lossless = true;
  return error;
}

// A Q4_0 block's 16 bytes hold elements 0..15 low and 16..31 high.
RowError take_q4_0_row(const RowSource& source, uint32_t row, const std::byte* blocks,
                       uint32_t stored_group, Scratch* scratch) {
  constexpr uint32_t kHalf = kSourceBlock / 2;
  for (uint32_t block = 0; block < source.columns / kSourceBlock; ++block) {
    uint16_t scale = 0;
    std::memcpy(&scale, blocks, sizeof scale);
    if (!f16_is_finite(scale)) {
      throw ImportError(fmt::format("{}: the Q4_0 scale of block {} is {}; it must be finite",
                                    source.describe(row), block, f16_to_f32(scale)));
    }
    uint8_t* nibbles = scratch->nibbles.data() + block * kSourceBlock;
    for (uint32_t i = 0; i < kHalf; ++i) {
      const auto byte = std::to_integer<uint8_t>(blocks[sizeof scale + i]);
      nibbles[i] = byte & 15;
      nibbles[i + kHalf] = byte >> 4;
    }
    std::fill_n(scratch->scales.begin() + block * kSourceBlock / stored_group,
                kSourceBlock / stored_group, f16_to_f32(scale));
    blocks += sizeof scale + kHalf;
  }
  RowError error;
  error.lossless = true;
  return error;
}

RowError convert_row(const RowSource& source, uint32_t row, uint32_t group_size, Scratch* scratch,
                     Q4Matrix* matrix) {
  const Q4Row taken = source.quantized ? source.quantized(row) : Q4Row{};
  const bool may_take_blocks = group_size == kSourceBlock && source.q4_0;
  const std::byte* blocks = may_take_blocks ? source.q4_0(row) : nullptr;
  RowError error;
  if (taken.values != nullptr) {
    error = take_q4_row(taken, source.columns, matrix->format.group_size, scratch);
  } else if (blocks != nullptr) {
    error = take_q4_0_row(source, row, blocks, matrix->format.group_size, scratch);
  } else {
    error = quantize_row(source, row, group_size, matrix->format.group_size, scratch);
  }
  store_row(*scratch, row, matrix);
  return error;
}

// Hands out tiles to threads and keeps the first failure in row order, so that the error too is the
// same with any number of threads.
class TileQueue {
 public:
  TileQueue(const RowSource& source, uint32_t group_size, Q4Matrix* matrix,
            std::vector<RowError>* errors)
      : source_(source), group_size_(group_size), matrix_(matrix), errors_(errors) {}

  void work() {
    const Q4Format& format = matrix_->format;
    Scratch scratch(format.columns(matrix_->columns), format.group_size);
    for (;;) {
      const uint32_t row = next_.fetch_add(kTileRows);
      if (row >= source_.rows || row >= failed_row_.load()) return;
      try {
        const uint32_t end = std::min(row + kTileRows, source_.rows);
        for (uint32_t r = row; r < end; ++r) {
          (*errors_)[r] = convert_row(source_, r, group_size_, &scratch, matrix_);
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
  Q4Matrix* matrix_;
  std::vector<RowError>* errors_;
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
  matrix.words.assign(format.data_bytes(source.rows, source.columns) / sizeof(uint32_t),
                      kPaddingWord);
  const uint64_t scale_bytes = format.scale_bytes(source.rows, source.columns);
  matrix.scales.assign(format.f32_scales ? 0 : scale_bytes / sizeof(uint16_t), 0);
  matrix.float_scales.assign(format.f32_scales ? scale_bytes / sizeof(float) : 0, 0.0f);
  return matrix;
}

}  // namespace

double Q4Error::relative_rms() const {
  return weight_squares > 0 ? std::sqrt(error_squares / weight_squares) : 0;
}

bool is_group_size(uint32_t group_size) {
  return group_size % kWordColumns == 0 && group_size > 0 && group_size <= kMaxGroupSize;
}

std::span<const std::byte> Q4Matrix::scale_bytes() const {
  return format.f32_scales ? std::as_bytes(std::span(float_scales))
                           : std::as_bytes(std::span(scales));
}

Q4Format q4_format_of(const RowSource& source, uint32_t group_size, Layout layout) {
  uint32_t group = source.quantized_group;
  if (!source.all_quantized) {
    const uint32_t wanted = stored_group_size(group_size, source.columns);
    group = group == 0 ? wanted : std::min(wanted, group);
  }
  return {layout, group, source.f32_scales};
}

Q4Matrix quantize_q4(const RowSource& source, uint32_t group_size, Q4Error* error,
                     uint32_t thread_count, Layout layout) {
  if (!is_group_size(group_size)) {
    throw std::invalid_argument(
        fmt::format("the group size is {}; it must be a multiple of {}, {} "
                    "at most",
                    group_size, kWordColumns, kMaxGroupSize));
  }
  Q4Matrix matrix = padded_matrix(source, q4_format_of(source, group_size, layout));
  std::vector<RowError> row_errors(source.rows);
  // Nothing but padding is left to quantize where all else arrives so.
  const uint32_t quantized_in = source.all_quantized ? matrix.format.group_size : group_size;
  TileQueue queue(source, quantized_in, &matrix, &row_errors);
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
  for (const RowError& row : row_errors) {
    error->error_squares += row.error_squares;
    error->weight_squares += row.weight_squares;
    error->lossless_rows += row.lossless ? 1 : 0;
    error->quantized_rows += row.lossless ? 0 : 1;
  }
  return matrix;
}

void unpack_q4_row(const Q4Matrix& matrix, uint32_t row, float* out) {
  const Q4Format& format = matrix.format;
  const RowPlace place(format, row);
  const uint32_t columns = format.columns(matrix.columns);
  const size_t first_word = place.begin(columns / kWordColumns);
  const size_t first_scale = place.begin(columns / format.group_size);
  for (uint32_t k = 0; k < matrix.columns; ++k) {
    const uint32_t word = matrix.words[first_word + k / kWordColumns * place.stride];
    const size_t at = first_scale + k / format.group_size * place.stride;
    const float scale = format.f32_scales ? matrix.float_scales[at] : f16_to_f32(matrix.scales[at]);
    const uint32_t nibble = word >> shift_in(format.layout, k % kWordColumns) & 15u;
    out[k] = (static_cast<float>(nibble) - 8) * scale;
  }
}

}  // namespace nbl::compiler
