// Breaks if rows of fused matrices come from the wrong tensor or lose their lossless Q4_0 form.
#include "compiler/quantize/row_source.h"

#include <gtest/gtest.h>

#include <vector>

#include "compiler/quantize/q4.h"
#include "tests/support/gguf_writer.h"
#include "tests/support/random.h"

namespace {

using namespace nbl::compiler;
using nbl::test::encode_tensor;
using nbl::test::Random;

// A tensor with its bytes and what they stand for.
struct Owned {
  Owned(const char* name, SourceType type, uint64_t rows, uint64_t columns)
      : values(Random(rows * 31 + columns).normals(rows * columns)),
        bytes(encode_tensor(type, columns, &values)),
        tensor{name, type, rows, columns, reinterpret_cast<const std::byte*>(bytes.data())} {}

  std::vector<float> row(uint64_t index) const {
    const auto begin = values.begin() + static_cast<std::ptrdiff_t>(index * tensor.columns);
    return {begin, begin + static_cast<std::ptrdiff_t>(tensor.columns)};
  }

  std::vector<float> values;
  std::string bytes;
  SourceTensor tensor;
};

std::vector<float> read(const RowSource& source, uint32_t row) {
  std::vector<float> values(source.columns);
  source.read(row, values.data());
  return values;
}

TEST(RowSource, concatenates_tensors_of_different_types) {
  const Owned q("q", SourceType::q4_0, 13, 64);
  const Owned k("k", SourceType::q8_0, 1, 64);
  const Owned v("v", SourceType::f16, 7, 64);
  const RowSource all =
      concatenate({source_rows(q.tensor), source_rows(k.tensor), source_rows(v.tensor)});
  ASSERT_EQ(all.rows, 21u);
  ASSERT_EQ(all.columns, 64u);
  for (uint32_t r = 0; r < 13; ++r)
    EXPECT_EQ(read(all, r), q.row(r)) << r;
  EXPECT_EQ(read(all, 13), k.row(0));
  for (uint32_t r = 14; r < 21; ++r)
    EXPECT_EQ(read(all, r), v.row(r - 14)) << r;
  EXPECT_EQ(all.encoded(12).data, q.tensor.row_data(12));
  EXPECT_EQ(all.encoded(12).type, SourceType::q4_0);
  EXPECT_EQ(all.encoded(13).type, SourceType::q8_0);
  EXPECT_EQ(all.encoded(14).type, SourceType::f16);
  EXPECT_EQ(all.describe(0), "tensor q, row 0");
  EXPECT_EQ(all.describe(13), "tensor k, row 0");
  EXPECT_EQ(all.describe(20), "tensor v, row 6");
  Q4Error error;
  quantize_q4(all, 32, &error);
  EXPECT_EQ(error.lossless_rows, 13u);
  EXPECT_EQ(error.quantized_rows, 8u);
}

TEST(RowSource, interleaves_two_tensors_and_pads_with_zeros) {
  const Owned gate("gate", SourceType::q4_0, 37, 96);
  const Owned up("up", SourceType::f32, 37, 96);
  const RowSource both = interleave(source_rows(gate.tensor), source_rows(up.tensor));
  ASSERT_EQ(both.rows, 128u);
  for (uint32_t i = 0; i < 37; ++i) {
    EXPECT_EQ(read(both, 2 * i), gate.row(i)) << i;
    EXPECT_EQ(read(both, 2 * i + 1), up.row(i)) << i;
    EXPECT_EQ(both.encoded(2 * i).data, gate.tensor.row_data(i));
    EXPECT_EQ(both.encoded(2 * i + 1).type, SourceType::f32);
  }
  for (uint32_t r = 74; r < 128; ++r) {
    EXPECT_EQ(read(both, r), std::vector<float>(96, 0.0f)) << r;
    EXPECT_EQ(both.encoded(r).data, nullptr);
  }
  EXPECT_EQ(both.describe(73), "tensor up, row 36");
  EXPECT_EQ(both.describe(74), "padding row 74");
  const Q4Matrix matrix = quantize_q4(both, 32);
  std::vector<float> row(96);
  unpack_q4_row(matrix, 72, row.data());
  EXPECT_EQ(row, gate.row(36));
  unpack_q4_row(matrix, 127, row.data());
  EXPECT_EQ(row, std::vector<float>(96, 0.0f));
}

TEST(RowSource, leaves_whole_blocks_without_padding) {
  const Owned gate("gate", SourceType::f32, 64, 5);
  EXPECT_EQ(interleave(source_rows(gate.tensor), source_rows(gate.tensor)).rows, 128u);
}

TEST(RowSource, refuses_parts_that_do_not_fit_together) {
  const Owned a("a", SourceType::f32, 3, 8);
  const Owned b("b", SourceType::f32, 3, 9);
  const Owned c("c", SourceType::f32, 4, 8);
  EXPECT_THROW(concatenate({}), ImportError);
  EXPECT_THROW(concatenate({source_rows(a.tensor), source_rows(b.tensor)}), ImportError);
  EXPECT_THROW(interleave(source_rows(a.tensor), source_rows(b.tensor)), ImportError);
  EXPECT_THROW(interleave(source_rows(a.tensor), source_rows(c.tensor)), ImportError);
  SourceTensor huge = a.tensor;
  huge.rows = 1ull << 33;
  EXPECT_THROW(source_rows(huge), ImportError);
}

}  // namespace
