#include <fmt/format.h>

#include <optional>

#include "boards/boards.h"
#include "compiler/board/fit.h"
#include "compiler/commands.h"
#include "compiler/error.h"
#include "compiler/inspect/inspect.h"
#include "compiler/open_model.h"

namespace nbl::compiler {
namespace {

PlanOptions plan_options(const InspectOptions& options) {
  PlanOptions plan;
  if (options.weights == "texture") plan.weights = WeightMemory::images;
  if (options.weights == "buffer") plan.weights = WeightMemory::buffers;
  return plan;
}

}  // namespace

void run_inspect(const InspectOptions& options) {
  const std::optional<Board> board =
      options.board.empty() ? std::nullopt : std::optional(open_board(options.board));
  const MappedFile file(options.input);
  const Model model = open_model(file);
  if (options.json) {
    nlohmann::json json = model_json(model);
    if (board) {
      json["fit"] = fit_json(check_fit(model, *board), *board);
      json["plan"] = plan_json(model, make_plan(model, board->caps, plan_options(options)).plan);
    }
    fmt::print("{}\n", json.dump(2, ' ', false, nlohmann::json::error_handler_t::replace));
    return;
  }
  fmt::print("{}", model_text(model));
  if (!board) return;
  fmt::print("{}\n{}", plan_text(model, make_plan(model, board->caps, plan_options(options)).plan),
             fit_text(check_fit(model, *board), *board));
}

}  // namespace nbl::compiler
