// What is in a model file, and what a board's device would do with it, as text and as JSON.
#pragma once

#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <vector>

#include "rt/kernels/caps.h"
#include "rt/model/model.h"
#include "rt/plan.h"

namespace nbl::compiler {

// Which tensors lie in each segment, which ops read it, and what that saves.
struct Sharing {
  struct Segment {
    std::vector<uint32_t> tensors;  // ascending
    std::vector<uint32_t> readers;  // ops
    uint64_t saved_bytes = 0;       // against a segment for each reader of a matrix
  };
  std::vector<Segment> segments;
  uint64_t saved_bytes = 0;
};
Sharing find_sharing(const Model& model);

// Summary, chat table, ops, tensors and segments.
std::string model_text(const Model& model);
nlohmann::json model_json(const Model& model);

// The chat table with an example of what it writes; null where the model has none.
std::string chat_text(const Model& model);
nlohmann::json chat_json(const Model& model);

// A plan and the memory it lives in.
struct OwnedPlan {
  std::vector<std::byte> storage;
  Plan plan;
};

// Plans the model for a device as the device itself would.
//
// Borrows  the model, while the plan is in use.
// Errors   CompileError, with the runtime's sentence.
OwnedPlan make_plan(const Model& model, const Caps& caps, const PlanOptions& options = {});

// Which block each weight segment is in: an image, a buffer, or the file imported.
std::string weights_text(const Model& model, const Plan& plan);
nlohmann::json weights_json(const Model& model, const Plan& plan);

// Memory by role, weights, dispatches with their kernels and barriers, and where activations lie
// over time.
std::string plan_text(const Model& model, const Plan& plan);
nlohmann::json plan_json(const Model& model, const Plan& plan);

// A chart of one phase's activation block: a column for each dispatch, a row for each part of the
// memory, and in each cell the letter of the value that lies there.
std::string memory_chart(std::span<const Value> values, uint64_t total_bytes,
                         size_t dispatch_count);

}  // namespace nbl::compiler
