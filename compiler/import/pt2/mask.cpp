// Masks, told by their values: causal, a window, or numbers of their own.
#include <fmt/format.h>

#include <algorithm>

#include "compiler/import/pt2/attention.h"
#include "compiler/import/pt2/coefficients.h"

namespace nbl::compiler::pt2 {
namespace {

// At and below it, no position is left by a softmax; the same bound as for fills.
constexpr double kMasked = -1e4;
// What a masked position of an explicit mask becomes: finite, so that no product is undefined.
constexpr float kOut = -1e30f;

// One mask's values for the row of one token.
std::vector<double> row_of(const Context& context, const ExpressionRef& mask, int64_t token,
                           int64_t position) {
  const Numbers& numbers = evaluate(mask, step_at(context, token, position));
  Layout layout = numbers.layout;
  const auto at = [&](int64_t size) {
    return size == 1 ? 0 : context.whole_sequence ? position : token;
  };
  if (layout.rank() >= 2) {
    const int64_t rows = layout.dims[layout.rank() - 2];
    layout = selected(layout, -2, at(rows));
  }
  // What is left before the columns are heads, which must agree.
  const int64_t columns = layout.rank() == 0 ? 1 : layout.dims.back();
  const std::vector<double> all = numbers.with(layout).values();
  const std::vector<double> first(all.begin(), all.begin() + columns);
  for (size_t i = 0; i < all.size(); ++i) {
    if (all[i] != first[i % first.size()]) throw NodeError("masks one head other than another");
  }
  return first;
}

// The sum of all masks from position 0 to the last that the row can see.
std::vector<double> summed_row(const Context& context, const Attention& attention,
                               uint32_t position, uint32_t positions) {
  const int64_t last_start = std::max<int64_t>(0, int64_t{positions} - context.step.tokens);
  const int64_t token =
      context.whole_sequence ? 0 : std::max<int64_t>(0, int64_t{position} - last_start);
  const Step step = step_at(context, token, position);
  const auto end =
      static_cast<size_t>(attention.causal ? int64_t{position} + 1 : step.position + step.tokens);
  std::vector<double> sum(end, 0.0);
  for (const ExpressionRef& mask : attention.masks) {
    const std::vector<double> row = row_of(context, mask, token, position);
    if (row.size() != 1 && row.size() < end) {
      throw NodeError(fmt::format("has a mask of {} columns at position {}", row.size(), position));
    }
    // Behind the newest position there is nothing to see.
    if (!attention.live && !attention.causal && row.size() > end) sum.resize(row.size(), 0.0);
    for (size_t c = 0; c < sum.size(); ++c)
      sum[c] += row[row.size() == 1 ? 0 : c];
  }
  return sum;
}

struct Survey {
  bool explicit_values = false;
  uint32_t window = 0;
  std::vector<float> values;  // [positions, positions]
};

// Adds the row of one position to what is known of the mask.
void survey_row(Survey* survey, const std::vector<double>& row, uint32_t position) {
  for (size_t c = position + 1; c < row.size(); ++c) {
    if (!(row[c] <= kMasked)) {
      throw NodeError(
          "lets a token see positions behind its own, which only an attention without a mask may");
    }
  }
  uint32_t first = 0;
  while (first < position && row[first] <= kMasked)
    ++first;
  for (size_t c = first; c <= position; ++c)
    survey->explicit_values = survey->explicit_values || row[c] != 0;
  if (first > 0 && survey->window == 0) survey->window = position - first + 1;
  const uint32_t expected =
      survey->window == 0 || position < survey->window ? 0 : position - survey->window + 1;
  survey->explicit_values = survey->explicit_values || first != expected;
}

Survey survey_of(const Context& context, const Attention& attention, uint32_t positions) {
  Survey survey;
  survey.values.assign(size_t{positions} * positions, kOut);
  for (uint32_t p = 0; p < positions; ++p) {
    const std::vector<double> row = summed_row(context, attention, p, positions);
    survey_row(&survey, row, p);
    for (uint32_t c = 0; c <= p; ++c) {
      survey.values[size_t{p} * positions + c] =
          row[c] <= kMasked ? kOut : static_cast<float>(row[c]);
    }
  }
  return survey;
}

MaskKind kind_of(Context& context, const Attention& attention, uint32_t positions) {
  if (attention.masks.empty()) {
    const Step& step = context.step;
    if (attention.causal || step.tokens == 1) {
      const bool ends =
          attention.causal || attention.live || attention.length == step.position + step.tokens;
      if (ends) return {};
    } else if (attention.live || attention.length == step.position + step.tokens) {
      return {.full = true};
    }
    throw NodeError("attends to the whole cache without a mask, also to what is not written yet");
  }
  Survey survey = survey_of(context, attention, positions);
  if (!survey.explicit_values) return {.window = survey.window};
  auto constant = std::make_shared<Constant>();
  constant->values = std::move(survey.values);
  return {.weight = context.graph.add({.name = attention.masks[0]->name,
                                       .role = Role::weight,
                                       .dtype = DType::f32,
                                       .shape = {positions, positions},
                                       .constant = std::move(constant)})};
}

}  // namespace

void apply_mask(Context& context, const MaskRequest& request, uint32_t positions) {
  const Attention& attention = request.attention;
  std::string key = fmt::format("{} {} {}", attention.causal, attention.live, attention.length);
  for (const ExpressionRef& mask : attention.masks)
    key += fmt::format(" {}", mask->id);
  const auto [found, added] = context.mask_kinds.try_emplace(key);
  if (added) found->second = kind_of(context, attention, positions);
  GraphOp& op = context.graph.ops.at(request.op);
  op.window = found->second.window;
  op.full = found->second.full;
  if (found->second.weight != kAbsent) op.inputs.push_back(found->second.weight);
}

}  // namespace nbl::compiler::pt2
