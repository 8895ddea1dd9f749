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
constexpr uint32_t kPaddingWord = 0x88888888u;
constexpr float kMaxWeight = 8 * 65504.0f;

struct RowError {
  double error_squares = 0;
  double weight_squares = 0;
  bool lossless = false;
};

// One thread's buffers, a padded row each.
struct Scratch {
  explicit Scratch(uint32_t columns) : weights(columns), nibbles(columns) {}
  std::vector<float> weights;
  std::vector<uint8_t> nibbles;
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

RowError quantize_row(const RowSource& source, uint32_t row, Scratch* scratch, Q4Matrix* matrix) {
  std::vector<float>& weights = scratch->weights;
  uint8_t* nibbles = scratch->nibbles.data();
  const uint32_t group_size = matrix->group_size;
  source.read(row, weights.data());
  check_weights(source, row, weights);
  const RowPlace place = place_of(matrix, row);
  RowError error;
  for (uint32_t column = 0; column < weights.size(); column += group_size) {
    const float* group = weights.data() + column;
    const uint16_t half = quantize_q4_group(group, group_size, nibbles + column);
    place.scales[column / group_size * kTileRows] = half;
    const float scale = f16_to_f32(half);
    float error_sum = 0;
    float weight_sum = 0;
    for (uint32_t i = 0; i < group_size; ++i) {
      const float rounded = static_cast<float>(nibbles[column + i] - 8) * scale;
      error_sum += (group[i] - rounded) * (group[i] - rounded);
      weight_sum += group[i] * group[i];
    }
    error.error_squares += static_cast<double>(error_sum);
    error.weight_squares += static_cast<double>(weight_sum);
  }
  for (uint32_t word = 0; word < weights.size() / kWordColumns; ++word) {
    place.words[word * kTileRows] = pack_word(nibbles + word * kWordColumns);
  }
  return error;
}

// A Q4_0 block's 16 bytes hold elements 0..15 low and 16..31 high, which four masks turn into
// words.
RowError copy_q4_0_row(const RowSource& source, uint32_t row, const std::byte* blocks,
                       Q4Matrix* matrix) {
  const RowPlace place = place_of(matrix, row);
  for (uint32_t block = 0; block < matrix->columns / kSourceBlock; ++block) {
    uint16_t scale = 0;
    uint32_t bytes[4];
    std::memcpy(&scale, blocks, sizeof scale);
    std::memcpy(bytes, blocks + sizeof scale, sizeof bytes);
    blocks += sizeof scale + sizeof bytes;
    if (!f16_is_finite(scale)) {
      throw ImportError(fmt::format("{}: the Q4_0 scale of block {} is {}; it must be finite",
                                    source.describe(row), block, f16_to_f32(scale)));
    }
    place.scales[block * kTileRows] = scale;
    constexpr uint32_t kLow = 0x0f0f0f0fu;
    uint32_t* words = place.words + block * (kSourceBlock / kWordColumns) * kTileRows;
    words[0 * kTileRows] = (bytes[0] & kLow) | (bytes[1] & kLow) << 4;
    words[1 * kTileRows] = (bytes[2] & kLow) | (bytes[3] & kLow) << 4;
    words[2 * kTileRows] = (bytes[0] >> 4 & kLow) | (bytes[1] & ~kLow);
    words[3 * kTileRows] = (bytes[2] >> 4 & kLow) | (bytes[3] & ~kLow);
  }
  RowError error;
  error.lossless = true;
  return error;
}

RowError convert_row(const RowSource& source, uint32_t row, Scratch* scratch, Q4Matrix* matrix) {
  const bool may_copy = matrix->group_size == kSourceBlock && source.q4_0;
  const std::byte* blocks = may_copy ? source.q4_0(row) : nullptr;
  if (blocks != nullptr) return copy_q4_0_row(source, row, blocks, matrix);
  return quantize_row(source, row, scratch, matrix);
}

// Hands out tiles to threads and keeps the first failure in row order, so that the error too is the
// same with any number of threads.
class TileQueue {
 public:
  TileQueue(const RowSource& source, Q4Matrix* matrix, std::vector<RowError>* errors)
      : source_(source), matrix_(matrix), errors_(errors) {}

  void work() {
    Scratch scratch(q4_padded_columns(matrix_->columns, matrix_->group_size));
    for (;;) {
      const uint32_t row = next_.fetch_add(kTileRows);
      if (row >= source_.rows || row >= failed_row_.load()) return;
      try {
        const uint32_t end = std::min(row + kTileRows, source_.rows);
        for (uint32_t r = row; r < end; ++r) {
          (*errors_)[r] = convert_row(source_, r, &scratch, matrix_);
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
  Q4Matrix* matrix_;
  std::vector<RowError>* errors_;
  std::atomic<uint32_t> next_{0};
  std::atomic<uint32_t> failed_row_{~0u};
  std::mutex mutex_;
  std::exception_ptr failure_;
};

Q4Matrix padded_matrix(const RowSource& source, uint32_t group_size) {
  if (group_size != 32 && group_size != 64 && group_size != 128 && group_size != 256) {
    throw std::invalid_argument(
        fmt::format("the group size is {}; it must be 32, 64, 128 or 256", group_size));
  }
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

Q4Matrix quantize_q4(const RowSource& source, uint32_t group_size, Q4Error* error,
                     uint32_t thread_count) {
  Q4Matrix matrix = padded_matrix(source, group_size);
  std::vector<RowError> row_errors(source.rows);
  TileQueue queue(source, &matrix, &row_errors);
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
