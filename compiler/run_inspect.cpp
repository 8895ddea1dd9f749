#include <fmt/format.h>

#include "boards/boards.h"
#include "compiler/commands.h"
#include "compiler/error.h"
#include "compiler/inspect/inspect.h"
#include "compiler/open_model.h"

namespace nbl::compiler {
namespace {

const Caps& board_named(const std::string& name) {
  const Caps* caps = find_board(name);
  if (caps != nullptr) return *caps;
  std::string known;
  for (const Board& board : boards())
    known += fmt::format("{}{}", known.empty() ? "" : ", ", board.name);
  throw CompileError(fmt::format("there is no board {}; there are {}", name, known));
}

PlanOptions plan_options(const InspectOptions& options) {
  PlanOptions plan;
  if (options.weights == "texture") plan.weights = WeightMemory::images;
  if (options.weights == "buffer") plan.weights = WeightMemory::buffers;
  return plan;
}

}  // namespace

void run_inspect(const InspectOptions& options) {
  const Caps* caps = options.board.empty() ? nullptr : &board_named(options.board);
  const MappedFile file(options.input);
  const Model model = open_model(file);
  if (options.json) {
    nlohmann::json json = model_json(model);
    if (caps != nullptr) {
      json["plan"] = plan_json(model, make_plan(model, *caps, plan_options(options)).plan);
    }
    fmt::print("{}\n", json.dump(2, ' ', false, nlohmann::json::error_handler_t::replace));
    return;
  }
  fmt::print("{}", model_text(model));
  if (caps == nullptr) return;
  fmt::print("{}", plan_text(model, make_plan(model, *caps, plan_options(options)).plan));
}

}  // namespace nbl::compiler
