// Groupwise symmetric int4 and int8: value = (nibble - 8) * scale or (byte - 128) * scale, one
// scale for group_size columns of a row. The layouts are those of rt/model/q4.h.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "compiler/quantize/row_source.h"
#include "rt/model/model.h"

namespace nbl::compiler {

// A quantized matrix in the layout of the model file.
//
// Shapes  words and scales: as many bytes as the format says.
// Layout  that of the format; padding rows have scale 0, and all padding has nibble 8 or byte 128.
struct Q4Matrix {
  uint32_t rows = 0;
  uint32_t columns = 0;
  Q4Format format;
  std::vector<uint32_t> words;
  std::vector<uint16_t> scales;     // f16, where the format has those
  std::vector<float> float_scales;  // else these

  std::span<const std::byte> scale_bytes() const;
};

// What quantization cost, summed over the rows that went through it.
struct Q4Error {
  double error_squares = 0;
  double weight_squares = 0;
  // The same two with each weight's importance; 0 where it has none.
  double important_error_squares = 0;
  double important_squares = 0;
  uint64_t quantized_rows = 0;
  uint64_t lossless_rows = 0;  // taken over bit for bit

  // sqrt(sum (w - w')^2 / sum w^2); 0 where nothing was quantized.
  double relative_rms() const;
  // sqrt(sum i (w - w')^2 / sum i w^2): what the outputs change by, as far as inputs are
  // independent.
  double important_rms() const;
  void add(const Q4Error& other);
};

// Multiples of 8 up to this are group sizes to quantize in.
inline constexpr uint32_t kMaxGroupSize = 4096;
bool is_group_size(uint32_t group_size);

// How the scale of a group is found.
//   rtn     puts the weight of the largest magnitude at the end of the range; each weight goes to
//           the nearest step.
//   search  the best of several scales, the plain one among them (quantize_group()).
enum class Quantizer : uint8_t { rtn, search };

struct QuantizeOptions {
  Layout layout = Layout::q4_t16k8;
  Quantizer quantizer = Quantizer::search;
};

// How the file holds a matrix that is quantized in groups of `group_size`: in those of
// stored_group_size(), or smaller ones where rows that arrive quantized have them; with f16 scales
// unless one of such rows is no f16.
Q4Format q4_format_of(const RowSource& source, uint32_t group_size,
                      Layout layout = Layout::q4_t16k8);

// Quantizes `source`. Rows that arrive quantized are taken over bit for bit, and Q4_0 rows where
// group_size is 32. To 8 bits so are all rows that are whole numbers times scales
// (source_types.h), in the groups and with the scales that they have. The result depends on nothing
// but the source: not on the number of threads.
//
// Units   thread_count 0 = one a processor; error may be null.
// Errors  ImportError where a weight or a scale of the source is not finite, or a weight is too
// large for an
//         f16 scale; it names tensor and row. std::invalid_argument where group_size is none.
Q4Matrix quantize_q4(const RowSource& source, uint32_t group_size, Q4Error* error = nullptr,
                     uint32_t thread_count = 0, const QuantizeOptions& how = {});

// Writes the `columns` values of a row, without padding.
void unpack_q4_row(const Q4Matrix& matrix, uint32_t row, float* out);

struct GroupOptions {
  bool eight_bits = false;
  Quantizer quantizer = Quantizer::search;
  const float* importance = nullptr;  // of each weight, finite and not negative; null: all alike
};

// Quantizes one group: writes codes (value + 8, or + 128) and returns the f16 scale.
//
// A search takes the best of the plain scale and several that put the weight of the largest
// magnitude at targets around the ends of the range, each refined to the least-squares scale of its
// own rounding. All are rounded to f16 before their squared error is taken, so that what is
// compared is what the device computes; the result is never worse than the plain one. With
// importances it is the sum of importance * error^2 that is the least.
//
// Shapes  weights, codes: count, a multiple of 4. The weights are finite and at most 8 * 65504.
uint16_t quantize_group(const float* weights, uint32_t count, uint8_t* codes,
                        const GroupOptions& how = {});

}  // namespace nbl::compiler
