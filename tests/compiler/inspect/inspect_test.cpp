// Could break: the chart shows another place or time than planned, sharing is counted wrongly, or a
// board's plan cannot be made.
#include "compiler/inspect/inspect.h"

#include <gtest/gtest.h>

#include <sstream>

#include "boards/boards.h"
#include "rt/load.h"
#include "tests/support/chat_model.h"
#include "tests/support/compiled.h"
#include "tests/support/small_llama.h"

namespace nbl::compiler {
namespace {

Model load_or_fail(const test::AlignedBytes& file) {
  Model model;
  Error error;
  EXPECT_TRUE(load(file.span(), &model, &error).ok()) << error.name;
  return model;
}

TEST(MemoryChart, shows_each_value_at_its_offset_and_time) {
  const Value values[] = {{0, 0, 1, 512, 0, 0}, {1, 1, 3, 256, 512, 0}, {2, 2, 3, 512, 0, 0}};
  std::istringstream text(memory_chart(values, 768, 4));
  std::vector<std::string> rows;
  for (std::string line; std::getline(text, line);)
    rows.push_back(line.substr(13));
  ASSERT_EQ(rows.size(), 24u);
  for (size_t i = 0; i < 16; ++i)
    EXPECT_EQ(rows[i], "aacc") << i;
  for (size_t i = 16; i < 24; ++i)
    EXPECT_EQ(rows[i], ".bbb") << i;
}

TEST(Sharing, counts_what_a_tied_head_saves) {
  const Checkpoint checkpoint = test::small_llama({.dim = 96, .vocab = 128, .tied = true});
  const uint64_t table_bytes = q4_data_bytes(128, 96, 32) + q4_scale_bytes(128, 96, 32);
  const test::AlignedBytes tied = test::build_model(checkpoint);
  EXPECT_EQ(find_sharing(load_or_fail(tied)).saved_bytes, table_bytes);
  const test::AlignedBytes apart =
      test::build_model(checkpoint, {.passes = {.disabled = {"tie_weights"}}});
  EXPECT_EQ(find_sharing(load_or_fail(apart)).saved_bytes, table_bytes);
}

TEST(Sharing, counts_nothing_where_nothing_is_tied) {
  const test::AlignedBytes file = test::build_model(test::small_llama({.tied = false}));
  EXPECT_EQ(find_sharing(load_or_fail(file)).saved_bytes, 0u);
}

TEST(ModelText, shows_what_attention_is_asked_for) {
  const auto edit = [](Graph* graph) {
    for (GraphOp& op : graph->ops) {
      if (op.kind != OpKind::sdpa_with_kv_cache) continue;
      op.window = 9;
      op.softcap = 30;
      op.full = true;
    }
  };
  const test::AlignedBytes file =
      test::build_model(test::small_llama({.layers = 1}), {.cache = DType::i8, .edit = edit});
  const Model model = load_or_fail(file);
  const std::string text = model_text(model);
  EXPECT_NE(text.find("window=9 softcap=30 full"), std::string::npos) << text;
  EXPECT_NE(text.find("state      i8  [2, 64, 32]"), std::string::npos) << text;
  const std::string json = model_json(model).dump();
  EXPECT_NE(json.find("\"window\":9"), std::string::npos);
  EXPECT_NE(json.find("\"softcap\":30"), std::string::npos);
  EXPECT_NE(json.find("\"full\":true"), std::string::npos);
}

TEST(ModelText, shows_how_a_model_chats) {
  const test::AlignedBytes file = test::chat_model(64);
  const Model model = load_or_fail(file);
  const std::string text = model_text(model);
  EXPECT_NE(text.find("user_before               \"<|im_start|>user\\n\"\n"), std::string::npos)
      << text;
  EXPECT_NE(text.find("assistant\\n\"\n  its tokens"), std::string::npos) << text;
  const nlohmann::json chat = model_json(model)["chat"];
  EXPECT_EQ(chat["texts"]["close"], "\n");
  EXPECT_GT(chat["example"].size(), 20u);
  const test::AlignedBytes mute = test::build_model(test::small_llama({.layers = 1}));
  EXPECT_NE(model_text(load_or_fail(mute)).find("no chat table"), std::string::npos);
  EXPECT_TRUE(model_json(load_or_fail(mute))["chat"].is_null());
}

TEST(Boards, can_all_plan_a_model) {
  const test::AlignedBytes file = test::build_model(test::small_llama({}));
  const Model model = load_or_fail(file);
  for (const Board& board : boards()) {
    const OwnedPlan owned = make_plan(model, board.caps);
    EXPECT_GT(owned.plan.decode.dispatches.size(), 0u) << board.name;
    const std::string text = plan_text(model, owned.plan);
    EXPECT_NE(text.find(board.caps.name), std::string::npos);
    EXPECT_EQ(plan_json(model, owned.plan)["decode"]["dispatches"].size(),
              owned.plan.decode.dispatches.size());
  }
}

// A tied table is one segment: the plan of a board tells where it and its scales are.
TEST(Boards, tell_where_each_weight_lives) {
  const test::AlignedBytes file = test::build_model(test::small_llama({.tied = true}));
  const Model model = load_or_fail(file);
  const struct {
    const char* board;
    WeightMemory weights;
    bool images;
  } cases[] = {{"adreno-740", WeightMemory::automatic, true},
               {"adreno-740", WeightMemory::buffers, false},
               {"rpi5", WeightMemory::automatic, false},
               {"rpi5", WeightMemory::images, true}};
  for (const auto& c : cases) {
    const OwnedPlan owned = make_plan(model, find_board(c.board)->caps, {.weights = c.weights});
    const nlohmann::json weights = plan_json(model, owned.plan)["weights"];
    const std::string text = weights_text(model, owned.plan);
    EXPECT_EQ(text.find(" texels") != std::string::npos, c.images) << text;
    ASSERT_EQ(weights.size(), model.segment_count());
    for (uint32_t i = 0; i < model.tensor_count(); ++i) {
      const Tensor t = model.tensor(i);
      if (t.role != Role::weight) continue;
      EXPECT_NE(text.find(t.name), std::string::npos);
      const bool image = c.images && t.dtype == DType::q4;
      EXPECT_EQ(weights[static_cast<size_t>(t.data)]["place"], image ? "image" : "buffer");
      if (t.scales < 0) continue;
      EXPECT_EQ(weights[static_cast<size_t>(t.scales)]["place"], "buffer");
    }
  }
}

TEST(Boards, are_found_by_name) {
  EXPECT_EQ(find_board("no such board"), nullptr);
  for (const Board& board : boards())
    EXPECT_EQ(find_board(board.name), &board);
}

TEST(Boards, are_never_below_the_floor) {
  const Caps least = floor_caps();
  for (const Board& board : boards()) {
    EXPECT_GE(board.caps.max_invocations, least.max_invocations) << board.name;
    EXPECT_GE(board.caps.max_shared_bytes, least.max_shared_bytes) << board.name;
    EXPECT_GE(board.caps.max_push_bytes, least.max_push_bytes) << board.name;
    EXPECT_GE(board.caps.max_storage_buffers, least.max_storage_buffers) << board.name;
    EXPECT_GE(board.caps.max_storage_range_bytes, least.max_storage_range_bytes) << board.name;
    EXPECT_GE(board.caps.memory_type_count, 1u) << board.name;
    EXPECT_GE(board.caps.max_image_dim, least.max_image_dim) << board.name;
    EXPECT_GT(board.caps.image_rows, 0u) << board.name;
  }
}

TEST(ModelText, names_every_tensor) {
  const test::AlignedBytes file = test::build_model(test::small_llama({}));
  const Model model = load_or_fail(file);
  const std::string text = model_text(model);
  for (uint32_t i = 0; i < model.tensor_count(); ++i) {
    EXPECT_NE(text.find(model.tensor(i).name), std::string::npos);
  }
  EXPECT_EQ(model_json(model)["tensors"].size(), model.tensor_count());
}

}  // namespace
}  // namespace nbl::compiler
