#include <fmt/format.h>
#include <sys/utsname.h>

#include <fstream>
#include <optional>

#include "boards/boards.h"
#include "compiler/board/fit.h"
#include "compiler/commands.h"
#include "compiler/error.h"
#include "compiler/image/config_file.h"
#include "compiler/image/kernels_file.h"
#include "compiler/image/object_file.h"
#include "compiler/open_model.h"

namespace nbl::compiler {
namespace {

void write_text(const std::filesystem::path& path, const std::string& text) {
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file << text;
  file.close();
  if (!file) throw CompileError(fmt::format("{}: cannot be written", path.string()));
}

Machine machine_for(const ImageParts& parts, const CompileTarget& target) {
  if (!parts.machine.empty()) return machine_of(parts.machine);
  if (!target.board.empty()) {
    const std::string toolchain = open_board(target.board).toolchain;
    if (!toolchain.empty()) return machine_of_toolchain(toolchain);
  }
  utsname self = {};
  uname(&self);
  return machine_of(self.machine);
}

void write_kernels(const Model& model, const Board& board, const ImageParts& parts) {
  const std::vector<VariantId> kernels = needed_kernels(model, board);
  uint64_t all = 0;
  for (const Variant& variant : kVariants)
    all += variant.word_bytes;
  write_text(parts.kernels,
             kernels_source(kernels, fmt::format("one model on board {}", board.name)));
  fmt::print("{}: {} of {} kernels, {} bytes of SPIR-V of {}\n", parts.kernels.string(),
             kernels.size(), kVariantCount, kernel_bytes(kernels), all);
}

void write_config(const Model& model, const Board& board, const ImageParts& parts) {
  const Fit fit = check_fit(model, board);
  const nbl_memory memory = memory_on(model, board, sizes_of(fit));
  write_text(parts.config, config_source(memory, fit, board, model.file().size()));
  fmt::print("{}: arena {} bytes, device memory {} bytes\n", parts.config.string(),
             memory.host_bytes, memory.device_bytes);
}

}  // namespace

void check_image_parts(const CompileTarget& target, const ImageParts& parts) {
  if (!parts.object.empty()) {
    machine_for(parts, target);
    check_symbol(parts.symbol);
  }
  if (target.board.empty() && !(parts.kernels.empty() && parts.config.empty())) {
    throw CompileError("--emit-config and --emit-kernels are for a board: give --board NAME");
  }
}

void write_image_parts(const std::filesystem::path& model, const CompileTarget& target,
                       const ImageParts& parts) {
  if (!parts.object.empty()) {
    write_object(model, machine_for(parts, target), parts.symbol, parts.object);
    fmt::print("{}: {}, {}_end, {}_bytes\n", parts.object.string(), parts.symbol, parts.symbol,
               parts.symbol);
  }
  if (parts.kernels.empty() && parts.config.empty()) return;
  const Board board = open_board(target.board);
  const MappedFile file(model);
  const Model opened = open_model(file);
  if (!parts.kernels.empty()) write_kernels(opened, board, parts);
  if (!parts.config.empty()) write_config(opened, board, parts);
}

}  // namespace nbl::compiler
