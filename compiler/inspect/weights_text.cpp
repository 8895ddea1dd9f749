// Where a plan puts each weight segment.
#include <fmt/format.h>

#include "compiler/inspect/inspect.h"
#include "spirv/texture.h"

namespace nbl::compiler {
namespace {

const char* place_name(const Block& block) {
  if (block.imported) return "imported";
  return block.image_rows != 0 ? "image" : "buffer";
}

// Blocks that a segment is spread over.
uint64_t part_count(const Model& model, const Plan& plan, uint32_t segment) {
  const uint64_t part = plan.segments[segment].part_bytes;
  return part == 0 ? 1 : div_up(model.segment(segment).size, part);
}

std::string tensor_names(const Model& model, const std::vector<uint32_t>& tensors) {
  std::vector<std::string> names;
  for (const uint32_t tensor : tensors)
    names.emplace_back(model.tensor(tensor).name);
  return fmt::format("{}", fmt::join(names, " + "));
}

std::string blocks_text(const Plan& plan) {
  std::string text;
  for (size_t i = 0; i < plan.blocks.size(); ++i) {
    const Block& block = plan.blocks[i];
    if (block.role != BlockRole::weights) continue;
    text += fmt::format("  block {:3} {:8} {:12} bytes", i, place_name(block), block.bytes);
    if (block.image_rows != 0) {
      text += fmt::format(", {} x {} texels", 1u << TEXTURE_WIDTH_LOG2, block.image_rows);
    }
    text += "\n";
  }
  return text;
}

}  // namespace

std::string weights_text(const Model& model, const Plan& plan) {
  const Sharing sharing = find_sharing(model);
  std::string text = "\nweights\n" + blocks_text(plan);
  for (uint32_t i = 0; i < model.segment_count(); ++i) {
    const Region& place = plan.segments[i].first;
    const uint64_t parts = part_count(model, plan, i);
    text += fmt::format("{:4} {:8} block {:3} at {:10} {:12} bytes{}  {}\n", i,
                        place_name(plan.blocks[place.block]), place.block, place.offset,
                        model.segment(i).size, parts == 1 ? "" : fmt::format(" in {} parts", parts),
                        tensor_names(model, sharing.segments[i].tensors));
  }
  return text;
}

nlohmann::json weights_json(const Model& model, const Plan& plan) {
  nlohmann::json json = nlohmann::json::array();
  for (uint32_t i = 0; i < model.segment_count(); ++i) {
    const Region& place = plan.segments[i].first;
    json.push_back({{"segment", i},
                    {"place", place_name(plan.blocks[place.block])},
                    {"block", place.block},
                    {"offset", place.offset},
                    {"parts", part_count(model, plan, i)}});
  }
  return json;
}

}  // namespace nbl::compiler
