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

// Where row `row` lies in the tiles: element i of the row at data[i * kTileRows].
struct RowPlace {
  uint32_t* words;
  uint16_t* scales;
};

RowPlace place_of(Q4Matrix* matrix, uint32_t row) {
  const uint64_t columns = q4_padded_columns(matrix->columns, matrix->group_size);
  const uint64_t tile = row / kTileRows;
  const uint64_t lane = row % kTileRows;
  return {matrix->words.data() + tile * (columns / kWordColumns) * kTileRows + lane,
          matrix->scales.data() + tile * (columns / matrix->group_size) * kTileRows + lane};
}

uint32_t pack_word(const uint8_t* nibbles) {
  uint32_t word = 0;
  for (uint32_t byte = 0; byte < 4; ++byte) {
    word |= static_cast<uint32_t>(nibbles[byte] | nibbles[byte + 4] << 4) << (8 * byte);
  }
  return word;
}

void store_row(const Scratch& scratch, uint32_t row, Q4Matrix* matrix) {
  const RowPlace place = place_of(matrix, row);
  for (size_t word = 0; word < scratch.nibbles.size() / kWordColumns; ++word) {
    place.words[word * kTileRows] = pack_word(scratch.nibbles.data() + word * kWordColumns);
  }
  for (size_t group = 0; group < scratch.scales.size(); ++group) {
    place.scales[group * kTileRows] = f32_to_f16(scratch.scales[group]);
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
    error = take_q4_row(taken, source.columns, matrix->group_size, scratch);
  } else if (blocks != nullptr) {
    error = take_q4_0_row(source, row, blocks, matrix->group_size, scratch);
  } else {
    error = quantize_row(source, row, group_size, matrix->group_size, scratch);
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
    Scratch scratch(q4_padded_columns(matrix_->columns, matrix_->group_size), matrix_->group_size);
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

Q4Matrix padded_matrix(const RowSource& source, uint32_t group_size) {
  Q4Matrix matrix;
  matrix.rows = source.rows;
  matrix.columns = source.columns;
  matrix.group_size = group_size;
  matrix.words.assign(q4_data_bytes(source.rows, source.columns, group_size) / sizeof(uint32_t),
                      kPaddingWord);
  matrix.scales.assign(q4_scale_bytes(source.rows, source.columns, group_size) / sizeof(uint16_t),
                       0);
  return matrix;
}

}  // namespace

double Q4Error::relative_rms() const {
  return weight_squares > 0 ? std::sqrt(error_squares / weight_squares) : 0;
}

bool is_group_size(uint32_t group_size) {
  return group_size % kWordColumns == 0 && group_size > 0 && group_size <= kMaxGroupSize;
}

uint32_t q4_group_size(const RowSource& source, uint32_t group_size) {
  if (source.all_quantized) return source.quantized_group;
  const uint32_t wanted = stored_group_size(group_size, source.columns);
  return source.quantized_group == 0 ? wanted : std::min(wanted, source.quantized_group);
}

Q4Matrix quantize_q4(const RowSource& source, uint32_t group_size, Q4Error* error,
                     uint32_t thread_count) {
  if (!is_group_size(group_size)) {
    throw std::invalid_argument(
        fmt::format("the group size is {}; it must be a multiple of {}, {} "
                    "at most",
                    group_size, kWordColumns, kMaxGroupSize));
  }
  Q4Matrix matrix = padded_matrix(source, q4_group_size(source, group_size));
  std::vector<RowError> row_errors(source.rows);
  // Nothing but padding is left to quantize where all else arrives so.
  const uint32_t quantized_in = source.all_quantized ? matrix.group_size : group_size;
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
  const uint64_t columns = q4_padded_columns(matrix.columns, matrix.group_size);
  const uint64_t tile = row / kTileRows;
  const uint64_t lane = row % kTileRows;
  for (uint32_t k = 0; k < matrix.columns; ++k) {
    const uint64_t word_index =
        (tile * (columns / kWordColumns) + k / kWordColumns) * kTileRows + lane;
    const uint64_t scale_index =
        (tile * (columns / matrix.group_size) + k / matrix.group_size) * kTileRows + lane;
    const uint32_t shift = 8 * (k % 4) + (k % kWordColumns < 4 ? 0 : 4);
    const int nibble = static_cast<int>(matrix.words[word_index] >> shift & 15u);
    out[k] = static_cast<float>(nibble - 8) * f16_to_f32(matrix.scales[scale_index]);
  }
}

}  // namespace nbl::compiler
