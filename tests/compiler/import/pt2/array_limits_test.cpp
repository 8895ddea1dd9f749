// Could break: a program of a few lines takes gigabytes of memory before anything refuses it, or a
// large one is refused what it needs.
#include "compiler/import/pt2/array_limits.h"

#include <gtest/gtest.h>

#include <limits>

#include "compiler/import/pt2/layout.h"
#include "compiler/import/pt2/payload.h"
#include "tests/support/peak_memory.h"
#include "tests/support/pt2_builder.h"
#include "tests/support/pt2_fixture.h"

namespace {

using namespace nbl::test;
using nbl::compiler::ImportError;
using nlohmann::json;
using pt2::ArrayLimits;
using pt2::HeldElements;

constexpr int64_t kFloor = int64_t{1} << 25;

TEST(ArrayLimits, grow_with_the_constants_of_a_program) {
  EXPECT_EQ(pt2::most_elements(), kFloor);
  {
    const ArrayLimits limits(100);
    EXPECT_EQ(pt2::most_elements(), kFloor + 800);
    const ArrayLimits most(~uint64_t{0});
    EXPECT_EQ(pt2::most_elements(), int64_t{1} << 31);
  }
  EXPECT_EQ(pt2::most_elements(), kFloor);
}

TEST(ArrayLimits, hold_for_all_arrays_that_are_kept_at_a_time) {
  HeldElements some;
  some.hold(kFloor);
  {
    HeldElements more;
    more.hold(kFloor);
    EXPECT_THROW(more.hold(1), pt2::NodeError);
  }
  some.hold(kFloor);
  EXPECT_THROW(some.hold(std::numeric_limits<int64_t>::max()), pt2::NodeError);
}

TEST(ArrayLimits, refuse_a_program_of_a_few_lines_that_would_take_all_memory) {
  Pt2Builder program;
  const std::string x = program.embed(8);
  const std::string ones =
      program.call("torch.ops.aten.ones.default", {{"size", sizes({int64_t{1} << 27})}});
  const std::string sum = program.aten("sum.default", ones);
  const std::string scaled = program.aten("mul.Tensor", x, {{"other", of(sum)}});
  const uint64_t before = peak_memory_bytes();
  const std::string error = lower_error(program.finish(scaled, 8));
  EXPECT_NE(error.find("more than 33"), std::string::npos) << error;
  EXPECT_LT(peak_memory_bytes() - before, uint64_t{256} << 20);
}

// The weights of an archive, with one in another form.
class Weights {
 public:
  Weights(const std::string& name, std::vector<int64_t> sizes, std::vector<int64_t> strides)
      : archive_("tensors") {
    archive_.edit("data/weights/model_weights_config.json", [&](json* document) {
      json& meta = (*document)["config"][name]["tensor_meta"];
      meta["sizes"] = meta["strides"] = json::array();
      for (size_t i = 0; i < sizes.size(); ++i) {
        meta["sizes"].push_back({{"as_int", sizes[i]}});
        meta["strides"].push_back({{"as_int", strides[i]}});
      }
      document_ = *document;
    });
  }

  pt2::ConstantTensor tensor(const std::string& name, pt2::PayloadStorage* storage) const {
    const TempFile file(archive_.bytes(), ".pt2");
    const pt2::ZipFile zip(file.path());
    const std::string source = "the archive";
    const pt2::Payload payload(zip, "tensors/data/weights/",
                               nbl::compiler::JsonField(source, document_, "the document"));
    return payload.tensor(name, storage);
  }

 private:
  Pt2Archive archive_;
  json document_;
};

// 40 MiB each.
TEST(Payload, counts_repeated_tensors_together) {
  constexpr int64_t kRepeats = (40 << 20) / 24;
  pt2::PayloadStorage storage;
  const Weights first("expanded", {kRepeats, 6}, {0, 1});
  EXPECT_EQ(first.tensor("expanded", &storage).bytes.size(), size_t{kRepeats} * 24);
  EXPECT_NO_THROW(first.tensor("expanded", &storage)) << "it is there already";
  const Weights second("transposed", {kRepeats, 6}, {0, 1});
  EXPECT_THROW(second.tensor("transposed", &storage), ImportError);
}

TEST(Payload, steps_nowhere_in_a_dimension_of_one) {
  const int64_t far = std::numeric_limits<int64_t>::max();
  pt2::PayloadStorage storage;
  const Weights weights("transposed", {1, 6, 4}, {far, 1, 6});
  const pt2::ConstantTensor tensor = weights.tensor("transposed", &storage);
  const pt2::ConstantTensor plain =
      Weights("transposed", {6, 4}, {1, 6}).tensor("transposed", &storage);
  ASSERT_EQ(tensor.bytes.size(), plain.bytes.size());
  EXPECT_TRUE(std::equal(tensor.bytes.begin(), tensor.bytes.end(), plain.bytes.begin()));
}

}  // namespace
