// Could break: a damaged or hostile model file is read past its end, crashes a later stage, is
// refused without a sentence, or is taken although its numbers do not fit each other.
#include "tests/support/hostile_file.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>

#include "rt/plan.h"
#include "tests/support/fault_rig.h"

namespace nbl {
namespace {

using test::AlignedBytes;
using test::HostileFile;

const AlignedBytes& good_file() {
  static const AlignedBytes file = test::tiny_model(true);
  return file;
}

// The floor with one kind of memory, as on a small board.
Caps floor_board() {
  Caps caps = floor_caps();
  caps.kind = DeviceKind::integrated;
  caps.memory_type_count = 1;
  caps.memory_types[0] = {kDeviceLocal | kHostVisible | kHostCoherent, 0};
  caps.memory_heap_count = 1;
  caps.memory_heap_bytes[0] = uint64_t{1} << 30;
  return caps;
}

// What plan() says of a model that loads: "" or a sentence, never a crash.
void plan_on_the_floor(const Model& model) {
  static test::ExactBytes block(size_t{4} << 20);
  Arena arena({block.data.get(), block.size});
  Plan out;
  Error error;
  const Status status = plan(model, floor_board(), {}, &arena, &out, &error);
  char text[256];
  if (!status.ok()) {
    EXPECT_GT(describe(error, text, sizeof text), 0u);
  } else {
    EXPECT_GT(out.decode.dispatches.size(), 0u);
  }
}

constexpr uint32_t kNoSegment = ~0u;

// True where the graph's numbers, and not only its names, differ from the good model's.
bool computes_something_else(const Model& a, const Model& b) {
  const auto op_facts = [](const Op& o) {
    std::vector<double> facts = {double(o.kind),
                                 double(o.input_count),
                                 double(o.output_count),
                                 o.eps,
                                 o.scale,
                                 double(o.heads),
                                 double(o.kv_heads),
                                 double(o.head_dim),
                                 double(o.rotary_dim),
                                 double(o.rope_half),
                                 double(o.swiglu),
                                 double(o.last_row),
                                 double(o.function),
                                 o.alpha,
                                 double(o.offset)};
    facts.insert(facts.end(), std::begin(o.inputs), std::end(o.inputs));
    facts.insert(facts.end(), std::begin(o.outputs), std::end(o.outputs));
    return facts;
  };
  if (a.op_count() != b.op_count() || a.tensor_count() != b.tensor_count()) return true;
  if (a.prefill_chunk() != b.prefill_chunk() || a.context_length() != b.context_length())
    return true;
  for (uint32_t i = 0; i < a.op_count(); ++i) {
    if (op_facts(a.op(i)) != op_facts(b.op(i))) return true;
  }
  for (uint32_t i = 0; i < a.tensor_count(); ++i) {
    const Tensor t = a.tensor(i), u = b.tensor(i);
    if (t.data != u.data || t.scales != u.scales || t.role != u.role) return true;
  }
  return false;
}

// Loads a copy of the file's first bytes that ends where they end.
Code load_exactly(std::span<const std::byte> bytes) {
  const test::ExactBytes copy(bytes.size());
  std::memcpy(copy.data.get(), bytes.data(), bytes.size());
  Model model;
  Error error;
  const Status status = load({copy.data.get(), copy.size}, &model, &error);
  char text[256];
  EXPECT_TRUE(status.ok() || describe(error, text, sizeof text) > 0);
  return status.code();
}

TEST(HostileFile, the_good_file_loads) {
  HostileFile file(good_file());
  EXPECT_EQ(file.load_error(), "");
  file.fix();
  EXPECT_EQ(file.load_error(), "");
  EXPECT_EQ(std::memcmp(file.bytes().data(), good_file().span().data(), good_file().size), 0);
}

TEST(HostileFile, every_truncation_is_refused) {
  HostileFile file(good_file());
  const size_t graph_end = file.header().graph_offset + file.header().graph_bytes;
  for (size_t size = 0; size < graph_end; ++size) {
    ASSERT_NE(load_exactly(file.bytes().first(size)), Code::ok) << size;
  }
  for (size_t size = graph_end; size < good_file().size; ++size) {
    ASSERT_EQ(load_exactly(file.bytes().first(size)), Code::file_truncated) << size;
  }
}

TEST(HostileFile, every_truncation_that_admits_itself_is_refused) {
  HostileFile file(good_file());
  const FileHeader original = file.header();
  for (uint64_t bytes = 0; bytes < original.graph_bytes; ++bytes) {
    file.header().graph_bytes = bytes;
    file.header().file_bytes = original.graph_offset + bytes;
    file.fix();
    ASSERT_NE(load_exactly(file.bytes().first(original.graph_offset + bytes)), Code::ok) << bytes;
  }
}

// Where each weight segment ends, in the order of the file.
std::vector<uint64_t> segment_ends(HostileFile& file) {
  std::vector<uint64_t> ends;
  for (const fb::Segment* segment : *file.root()->segments())
    ends.push_back(segment->offset() + segment->size());
  std::sort(ends.begin(), ends.end());
  return ends;
}

TEST(HostileFile, weights_that_are_cut_off_are_refused_by_a_file_that_admits_it) {
  HostileFile file(good_file());
  const uint64_t last = segment_ends(file).back();
  const uint64_t graph_end = file.header().graph_offset + file.header().graph_bytes;
  std::vector<uint64_t> sizes = {graph_end, last - 1, last, last + 1};
  for (const uint64_t end : segment_ends(file)) {
    for (const uint64_t size : {end - 1, end, end + 1})
      sizes.push_back(size);
  }
  for (uint64_t size = graph_end; size < last; size += 61)
    sizes.push_back(size);
  for (const uint64_t size : sizes) {
    if (size > good_file().size) continue;
    file.header().file_bytes = size;
    file.fix_header();
    const Code code = load_exactly(file.bytes().first(size));
    ASSERT_EQ(code == Code::ok, size >= last) << size;
  }
}

TEST(HostileFile, every_flipped_bit_of_the_header_is_refused) {
  HostileFile file(good_file());
  for (size_t bit = 0; bit < 8 * sizeof(FileHeader); ++bit) {
    const std::byte mask{static_cast<uint8_t>(1u << bit % 8)};
    file.bytes()[bit / 8] ^= mask;
    ASSERT_NE(file.load_error(), "") << bit;
    file.bytes()[bit / 8] ^= mask;
  }
}

TEST(HostileFile, flipped_header_bits_under_a_right_checksum_never_crash) {
  for (size_t bit = 0; bit < 8 * offsetof(FileHeader, header_crc32); ++bit) {
    HostileFile file(good_file());
    file.bytes()[bit / 8] ^= std::byte{static_cast<uint8_t>(1u << bit % 8)};
    file.fix_header();
    ASSERT_NE(file.load_error(), "") << bit;
  }
}

TEST(HostileFile, every_flipped_byte_of_the_graph_is_noticed) {
  HostileFile file(good_file());
  for (std::byte& byte : file.graph()) {
    byte ^= std::byte{0x10};
    file.load_error();
    ASSERT_EQ(file.code(), Code::bad_checksum);
    byte ^= std::byte{0x10};
  }
}

// Calls `visit` for every flip of a graph byte that still makes a model.
void for_each_survivor(uint8_t mask, const std::function<void(HostileFile&, size_t)>& visit) {
  HostileFile file(good_file());
  for (size_t at = 0; at < file.graph().size(); ++at) {
    file.graph()[at] ^= std::byte{mask};
    file.fix();
    if (file.load_error().empty()) visit(file, at);
    file.graph()[at] ^= std::byte{mask};
  }
}

TEST(HostileFile, flipped_graph_bytes_under_right_checksums_never_crash_load_or_plan) {
  HostileFile good(good_file());
  ASSERT_EQ(good.load_error(), "");
  for (const uint8_t mask : {0x01, 0x02, 0x04, 0x08, 0x10, 0x20, 0x40, 0x80, 0xff}) {
    uint32_t survivors = 0;
    for_each_survivor(mask, [&](HostileFile& file, size_t at) {
      ++survivors;
      // Most others differ in names, hashes or pieces, which plan does not look at.
      if (at % 16 == 0 || computes_something_else(file.model(), good.model()))
        plan_on_the_floor(file.model());
    });
    EXPECT_GT(survivors, 0u) << "names and hashes may be anything";
  }
}

// Returns false where the engine did not open; then there is a sentence.
bool run_one_token(const AlignedBytes& file) {
  nbl_config config = test::fault_config(file);
  config.driver_pool_bytes = 4u << 20;
  test::ExactBytes arena(0);
  nbl_memory memory = {};
  nbl_error error = {};
  nbl_status status = test::give_arena(&config, &arena, &memory, &error);
  nbl_engine* engine = nullptr;
  if (status == 0) status = nbl_open(&config, &engine, &error);
  if (status != 0) {
    EXPECT_NE(test::sentence(error), "");
    return false;
  }
  const uint32_t token = 3;
  status = nbl_evaluate(engine, &token, 1, &error);
  if (status != 0) {
    EXPECT_STREQ(nbl_status_name(status), "not_finite") << test::sentence(error);
  }
  nbl_close(engine);
  return true;
}

// Weights mean what they mean: any bytes are some model's. Every 67th is flipped, padding included.
TEST(HostileFile, flipped_weight_bytes_load_and_are_found_by_the_hashes) {
  HostileFile file(good_file());
  ASSERT_EQ(file.load_error(), "");
  const size_t graph_end = file.header().graph_offset + file.header().graph_bytes;
  uint32_t in_segments = 0;
  for (size_t at = graph_end; at < good_file().size; at += 67) {
    file.bytes()[at] ^= std::byte{0x40};
    ASSERT_EQ(file.load_error(), "") << at;
    uint32_t segment = kNoSegment;
    for (uint32_t i = 0; i < file.model().segment_count(); ++i) {
      const Segment s = file.model().segment(i);
      if (at >= s.offset && at - s.offset < s.size) segment = i;
    }
    Error error;
    const Status status = verify_hashes(file.model(), &error);
    ASSERT_EQ(status.ok(), segment == kNoSegment) << at;
    if (!status.ok()) {
      ASSERT_EQ(status.code(), Code::bad_checksum);
      ASSERT_EQ(status.where(), segment) << at;
      ++in_segments;
    }
    file.bytes()[at] ^= std::byte{0x40};
  }
  EXPECT_GT(in_segments, 100u);
}

TEST(HostileFile, models_that_survive_a_flip_run_without_a_crash) {
  NBL_REQUIRE_VULKAN();
  HostileFile good(good_file());
  ASSERT_EQ(good.load_error(), "");
  std::vector<AlignedBytes> strange;
  for (const uint8_t mask : {0x01, 0x04, 0x40, 0x80}) {
    for_each_survivor(mask, [&](HostileFile& file, size_t) {
      if (!computes_something_else(file.model(), good.model())) return;
      AlignedBytes copy = good_file();
      std::memcpy(copy.span().data(), file.bytes().data(), file.bytes().size());
      strange.push_back(std::move(copy));
    });
  }
  ASSERT_FALSE(strange.empty());
  constexpr size_t kRuns = 40;
  const size_t step = std::max<size_t>(1, strange.size() / kRuns);
  size_t opened = 0;
  for (size_t i = 0; i < strange.size(); i += step)
    opened += run_one_token(strange[i]) ? 1 : 0;
  EXPECT_GT(opened, 0u);
}

// Large scales, and whatever nibbles.
TEST(HostileFile, models_with_flipped_weights_run_without_a_crash) {
  NBL_REQUIRE_VULKAN();
  HostileFile good(good_file());
  for (const uint64_t end : segment_ends(good)) {
    AlignedBytes spoilt = good_file();
    for (const uint64_t back : {1u, 2u, 30u, 31u, 64u})
      spoilt.span()[end - back] ^= std::byte{0xff};
    EXPECT_TRUE(run_one_token(spoilt)) << end;
  }
}

TEST(HostileFile, other_files_and_versions_are_named) {
  HostileFile file(good_file());
  file.header().version = 7;
  EXPECT_NE(file.load_error().find("version 7"), std::string::npos);
  EXPECT_EQ(file.code(), Code::unknown_version);
  file.header().magic[0] = 'G';
  file.load_error();
  EXPECT_EQ(file.code(), Code::bad_magic);
}

TEST(HostileFile, reserved_fields_are_zero) {
  for (const int i : {0, 1, 2, 3}) {
    HostileFile file(good_file());
    file.header().reserved[i] = 1;
    file.fix();
    EXPECT_NE(file.load_error().find("reserved"), std::string::npos);
    EXPECT_EQ(file.code(), Code::bad_header);
  }
}

TEST(HostileFile, bytes_at_an_odd_address_are_refused) {
  HostileFile file(good_file());
  Model model;
  Error error;
  EXPECT_EQ(load(file.bytes().subspan(4), &model, &error).code(), Code::unaligned_model);
}

}  // namespace
}  // namespace nbl
