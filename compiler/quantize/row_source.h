// Rows of a weight matrix on their way into a Q4Matrix, put together from tensors of the checkpoint
// one row at a time, so that no matrix is ever held in float32.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "compiler/import/checkpoint.h"
#include "compiler/quantize/q4_rows.h"

namespace nbl::compiler {

// A row that arrives quantized: `columns` values and a scale for each group (q4_rows.h).
struct Q4Row {
  const int8_t* values = nullptr;  // null: the row is not quantized
  const float* scales = nullptr;
  uint32_t group_size = 0;
};

// A row as the checkpoint has it encoded (source_types.h).
struct EncodedRow {
  SourceType type = SourceType::f32;
  const std::byte* data = nullptr;  // null: it is not encoded so
};

// Rows that are whole numbers times scales of their own, and can be taken over as they are.
struct Grid {
  uint32_t group = 0;       // the largest group of the file that holds them; 0 = there are none
  bool all = false;         // all rows are of them
  bool f32_scales = false;  // a scale of theirs is no f16
};

// A matrix that is read row by row. All functions may be called from several threads at once.
struct RowSource {
  uint32_t rows = 0;
  uint32_t columns = 0;
  // Writes `columns` floats.
  std::function<void(uint32_t row, float* out)> read;
  // The row as the checkpoint has it. Empty where it has none so.
  std::function<EncodedRow(uint32_t row)> encoded;
  // The row as it arrives quantized. Empty where none does.
  std::function<Q4Row(uint32_t row)> quantized;
  // How much an error in each column matters, `columns` of them. Empty or null: all alike.
  std::function<const float*(uint32_t row)> importance = {};
  Grid four = {};   // of rows that arrive quantized
  Grid eight = {};  // of those and of encoded ones whose whole numbers fit 8 bits
  // Names tensor and row in errors.
  std::function<std::string(uint32_t row)> describe;
};

// One tensor.
//
// Borrows  the tensor's bytes; the SourceTensor itself is copied.
// Errors   ImportError where a dimension is beyond kMaxDim.
RowSource source_rows(const SourceTensor& tensor);

// A weight that arrives quantized.
//
// Errors  those of check_q4_rows().
RowSource quantized_rows(std::shared_ptr<const Q4Rows> rows);

// The rows of all parts, one part after the other.
//
// Errors  ImportError where the parts differ in columns, there are none, or there are too many
// rows.
RowSource concatenate(std::vector<RowSource> parts);

// Row 2i is row i of `even`, row 2i+1 row i of `odd`; from 2 * even.rows on, rows of zeros up to
// 2 * align_up(even.rows, 32), so that the halves of the result have whole activation blocks.
//
// Errors  ImportError where the two differ in shape.
RowSource interleave(RowSource even, RowSource odd);

}  // namespace nbl::compiler
