// Could break: a weight that is in an image and in a buffer too, or in an image that some reader
// cannot read; an image larger than the device makes; images where they were forbidden.
#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "tests/rt/plan/image_checks.h"
#include "tests/support/model_builder.h"

namespace nbl::test {
namespace {

Caps image_caps() {
  Caps caps = floor_caps();
  caps.kind = DeviceKind::integrated;
  caps.memory_type_count = 2;
  caps.memory_types[0] = {kDeviceLocal | kHostVisible | kHostCoherent, 0};
  caps.memory_types[1] = {kDeviceLocal, 0};
  caps.memory_heap_count = 1;
  caps.memory_heap_bytes[0] = 1ull << 36;
  caps.image_rows = 8;
  caps.image_rows_bytes = 8 * kImageRowBytes;
  return caps;
}

struct Planned {
  std::vector<std::byte> block;
  Plan plan;
  Error error;
  Status status;
};

std::unique_ptr<Planned> make_plan(const Model& model, const Caps& caps,
                                   const PlanOptions& options) {
  auto p = std::make_unique<Planned>();
  p->block.resize(2u << 20);
  const size_t skip = (64 - reinterpret_cast<uintptr_t>(p->block.data()) % 64) % 64;
  Arena arena(std::span(p->block).subspan(skip));
  p->status = plan(model, caps, options, &arena, &p->plan, &p->error);
  return p;
}

constexpr PlanOptions kImages{.weights = WeightMemory::images};

uint32_t images_of(const Plan& plan) {
  uint32_t count = 0;
  for (const Block& block : plan.blocks)
    count += block.image_rows != 0 ? 1 : 0;
  return count;
}

// q4 weights whose values are in images, and all of them.
struct Count {
  uint32_t in_images = 0, all = 0;
};
Count weights_of(const Model& model, const Plan& plan) {
  Count count;
  for (uint32_t i = 0; i < model.tensor_count(); ++i) {
    const Tensor t = model.tensor(i);
    if (t.dtype != DType::q4) continue;
    ++count.all;
    const uint32_t block = plan.segments[static_cast<uint32_t>(t.data)].first.block;
    count.in_images += plan.blocks[block].image_rows != 0 ? 1 : 0;
  }
  return count;
}

void expect_right(const Plan& plan, const Caps& caps) {
  for (const Block& block : plan.blocks)
    expect_image_block_right(block, caps);
  for (const Phase* phase : {&plan.decode, &plan.prefill}) {
    for (const Dispatch& d : phase->dispatches) {
      for (uint32_t b = 0; b < d.binding_count; ++b)
        expect_image_binding_right(plan, d, b);
    }
  }
}

class PlanImages : public testing::Test {
 protected:
  PlanImages() : builder_(512, 256, 16) { builder_.decoder({.dim = 288, .ffn = 300}); }
  ModelBuilder builder_;
};

TEST_F(PlanImages, hold_every_4_bit_weight_where_they_are_asked_for) {
  const Model model = builder_.build();
  const auto p = make_plan(model, image_caps(), kImages);
  ASSERT_TRUE(p->status.ok());
  const Count count = weights_of(model, p->plan);
  EXPECT_EQ(count.in_images, count.all);
  EXPECT_EQ(images_of(p->plan), 1u);
  expect_right(p->plan, image_caps());
}

TEST_F(PlanImages, are_chosen_by_caps_and_forbidden_by_options) {
  const Model model = builder_.build();
  Caps fast = image_caps();
  fast.features |= kTextureWeights;
  const struct {
    Caps caps;
    PlanOptions options;
    bool images;
  } cases[] = {
      {image_caps(), {}, false},
      {fast, {}, true},
      {fast, {.weights = WeightMemory::buffers}, false},
      {fast, {.floor_kernels = true}, false},
      {fast, {.floor_kernels = true, .weights = WeightMemory::images}, false},
      {fast, {.float32 = true, .stage_weights = true}, true},
  };
  for (const auto& c : cases) {
    const auto p = make_plan(model, c.caps, c.options);
    ASSERT_TRUE(p->status.ok());
    EXPECT_EQ(images_of(p->plan) > 0, c.images);
    expect_right(p->plan, c.caps);
  }
}

TEST_F(PlanImages, keep_a_file_from_being_imported) {
  Caps caps = image_caps();
  caps.features |= kHostImport;
  caps.import_align_bytes = 4096;
  const auto p =
      make_plan(builder_.build(), caps, {.import_weights = true, .weights = kImages.weights});
  ASSERT_TRUE(p->status.ok());
  EXPECT_FALSE(p->plan.options.import_weights);
  EXPECT_EQ(p->plan.imported_bytes, 0u);
}

TEST_F(PlanImages, give_way_to_buffers_on_a_device_whose_images_are_too_small) {
  const Model model = builder_.build();
  Caps narrow = image_caps();
  narrow.max_image_dim = 1023;
  Caps unknown = image_caps();
  unknown.image_rows = 0;
  Caps coarse = image_caps();  // no step of rows fits the height
  coarse.image_rows = 8192;
  Caps huge = image_caps();  // a step is larger than an allocation
  huge.image_rows_bytes = 1ull << 40;
  for (const Caps& caps : {narrow, unknown, coarse, huge}) {
    const auto p = make_plan(model, caps, kImages);
    ASSERT_TRUE(p->status.ok());
    EXPECT_EQ(images_of(p->plan), 0u);
    expect_right(p->plan, caps);
  }
}

TEST(PlanImageParts, hold_what_one_image_does_not) {
  // 30000 rows of 2048: 30.7 MB in images of 16 MiB.
  ModelBuilder builder(30000, 64, 4);
  builder.decoder({.dim = 2048, .layers = 1, .heads = 32, .head_dim = 64});
  const Model model = builder.build();
  Caps caps = image_caps();
  caps.max_image_dim = 1024;
  const auto p = make_plan(model, caps, kImages);
  ASSERT_TRUE(p->status.ok());
  expect_right(p->plan, caps);
  const Count count = weights_of(model, p->plan);
  EXPECT_EQ(count.in_images, count.all);
  uint32_t cut = 0;
  for (const SegmentPlace& place : p->plan.segments)
    cut += place.part_bytes != 0 ? 1 : 0;
  EXPECT_EQ(cut, 2u) << "embedding and head, not their scales";
  EXPECT_GE(images_of(p->plan), 5u);
}

// 128 rows of the head are 131072 bytes, more than an image of this device: it stays in a buffer,
// and what is smaller does not.
TEST(PlanImageParts, fall_back_weight_by_weight) {
  ModelBuilder builder(2048, 64, 4);
  builder.decoder({.dim = 2048, .layers = 1, .heads = 4, .head_dim = 4});
  const Model model = builder.build();
  Caps caps = image_caps();
  caps.image_rows = 1;
  caps.image_rows_bytes = 64 << 20;  // four rows, 64 KiB of texels, in a block
  const auto p = make_plan(model, caps, kImages);
  ASSERT_TRUE(p->status.ok()) << p->error.name;
  expect_right(p->plan, caps);
  const Count count = weights_of(model, p->plan);
  EXPECT_GT(count.in_images, 0u);
  EXPECT_LT(count.in_images, count.all);
}

// Two tensors over one segment: one copy, read from the image by both.
TEST(PlanImageSharing, of_a_tied_weight_is_one_copy) {
  ModelBuilder builder(300, 64, 4);
  const int32_t ids = builder.tokens();
  const int32_t table = builder.q4(300, 96, 32);
  const int32_t x = builder.activation(96);
  const int32_t logits = builder.activation(300);
  builder.op({.kind = OpKind::embedding_q4gsw, .inputs = {ids, table}, .outputs = {x}});
  builder.op({.kind = OpKind::linear_q4gsw,
              .inputs = {x, builder.same_segments(table), -1, -1, -1},
              .outputs = {logits},
              .last_row = true});
  builder.op({.kind = OpKind::sample, .inputs = {logits}, .outputs = {}});
  const Model model = builder.build();
  const auto p = make_plan(model, image_caps(), kImages);
  ASSERT_TRUE(p->status.ok());
  expect_right(p->plan, image_caps());
  EXPECT_EQ(weights_of(model, p->plan).in_images, 2u);
  const uint64_t texels = q4_data_bytes(300, 96, 32);
  for (const Block& block : p->plan.blocks) {
    EXPECT_EQ(block.image_rows, block.image_rows == 0 ? 0 : (texels / kImageRowBytes + 8) / 8 * 8);
  }
}

TEST(PlanImageParts, smaller_than_any_window_are_refused) {
  ModelBuilder builder(2048, 64, 4);
  builder.decoder({.dim = 2048, .layers = 1, .heads = 4, .head_dim = 4});
  Caps caps = image_caps();
  caps.max_allocation_bytes = 100000;
  for (const WeightMemory weights : {WeightMemory::images, WeightMemory::buffers}) {
    const auto p = make_plan(builder.build(), caps, {.weights = weights});
    EXPECT_EQ(p->status.code(), Code::device_limit);
    EXPECT_STREQ(p->error.name, "a weight segment");
  }
}

// A file may let an op that reads buffers look at a weight's bytes.
TEST(PlanImageSharing, with_a_reader_of_buffers_stays_a_buffer) {
  ModelBuilder builder(32, 64, 4);
  const int32_t ids = builder.tokens();
  const int32_t table = builder.q4(32, 128, 32);  // 2048 bytes: also a vector of 512
  const int32_t other = builder.q4(512, 128, 32);
  const int32_t x = builder.activation(128), y = builder.activation(512);
  const int32_t z = builder.activation(512), logits = builder.activation(32);
  builder.op({.kind = OpKind::embedding_q4gsw, .inputs = {ids, table}, .outputs = {x}});
  builder.op({.kind = OpKind::linear_q4gsw, .inputs = {x, other, -1, -1, -1}, .outputs = {y}});
  builder.op(
      {.kind = OpKind::rms_norm, .inputs = {y, builder.vector_over(table, 512)}, .outputs = {z}});
  builder.op({.kind = OpKind::linear_q4gsw,
              .inputs = {z, builder.q4(32, 512, 32), -1, -1, -1},
              .outputs = {logits},
              .last_row = true});
  builder.op({.kind = OpKind::sample, .inputs = {logits}, .outputs = {}});
  const Model model = builder.build();
  const auto p = make_plan(model, image_caps(), kImages);
  ASSERT_TRUE(p->status.ok()) << p->error.name;
  expect_right(p->plan, image_caps());
  const Count count = weights_of(model, p->plan);
  EXPECT_EQ(count.in_images, 2u);
  EXPECT_EQ(count.all, 3u);
}

}  // namespace
}  // namespace nbl::test
