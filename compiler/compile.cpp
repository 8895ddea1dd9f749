#include "compiler/compile.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "compiler/arch/architecture.h"
#include "compiler/error.h"
#include "compiler/import/pt2/archive.h"
#include "compiler/source.h"

namespace nbl::compiler {
namespace {

// Options that are wrong whatever the checkpoint holds.
void check_options(const CompileOptions& options) {
  if (!is_group_size(options.group_size)) {
    throw CompileError(fmt::format("the group size is {}; it must be a multiple of 8 from 8 to {}",
                                   options.group_size, kMaxGroupSize));
  }
  std::error_code ignored;
  if (std::filesystem::equivalent(options.input, options.output, ignored)) {
    throw CompileError(
        fmt::format("input and output are the same file: {}", options.input.string()));
  }
}

// Also of a folder that is given with a slash behind it.
std::string last_name(const std::filesystem::path& path) {
  const std::filesystem::path plain = std::filesystem::absolute(path).lexically_normal();
  return (plain.has_filename() ? plain : plain.parent_path()).filename().string();
}

bool is_q4_0(const SourceTensor* source) {
  return !source->quantized && source->type == SourceType::q4_0;
}

// Matrices of 8 bits that 4 would have held as exactly; empty where there are none.
std::string note_on_wasted_bits(const Graph& graph, uint32_t group_size) {
  std::vector<std::string> names;
  for (const GraphTensor& tensor : graph.tensors) {
    if (tensor.dtype != DType::q8 || !tensor.constant->parts.empty()) continue;
    const Constant& constant = *tensor.constant;
    const bool blocks = group_size == kSourceBlock && !constant.sources.empty() &&
                        std::ranges::all_of(constant.sources, is_q4_0);
    if (constant.quantized || blocks) names.push_back(tensor.name);
  }
  if (names.empty()) return {};
  return fmt::format("the checkpoint has {} at 4 bits: 8 take more memory and change nothing",
                     fmt::join(names, ", "));
}

std::string quantization_of(const CompileOptions& options, const Graph& graph) {
  const bool eight = std::ranges::any_of(
      graph.tensors, [](const GraphTensor& tensor) { return tensor.dtype == DType::q8; });
  return fmt::format("groupwise symmetric int4{}, f16 scales, {}{}", eight ? " and int8" : "",
                     options.quantizer == Quantizer::rtn ? "round to nearest" : "search",
                     options.calibrate.empty()
                         ? ""
                         : fmt::format(", calibrated with {}", last_name(options.calibrate)));
}

Metadata describe(const CompileOptions& options, const ModelSource& source,
                  const std::string& chat) {
  Metadata metadata = {{"source", last_name(options.input)},
                       {"quantization", quantization_of(options, source.graph)},
                       {"group_size", fmt::format("{}", options.group_size)},
                       {"activations", options.passes.activations == Activations::int8
                                           ? "int8, a scale and a zero point a row"
                                           : "f32"}};
  if (!chat.empty()) metadata.emplace_back("chat", chat);
  metadata.insert(metadata.end(), source.metadata.begin(), source.metadata.end());
  return metadata;
}

void check_tokenizer_size(const TokenizerData& tokenizer, const Hyper& hyper) {
  if (tokenizer.pieces.size() > hyper.vocab) {
    throw CompileError(fmt::format("the tokenizer has {} pieces; the model knows {} tokens",
                                   tokenizer.pieces.size(), hyper.vocab));
  }
}

}  // namespace

Graph make_graph(const Checkpoint& checkpoint, uint32_t context, uint32_t prefill_chunk,
                 const PassOptions& passes, DType cache) {
  Graph graph =
      build_graph(checkpoint, {.context = context, .prefill_chunk = prefill_chunk, .cache = cache});
  run_passes(&graph, passes);
  return graph;
}

CompileReport compile(const CompileOptions& options) {
  check_options(options);
  ModelSource source =
      pt2::is_archive(options.input) ? read_program(options) : read_checkpoint(options);
  CompileReport report;
  report.hyper = source.hyper;
  report.warnings = source.warnings;
  report.notes = source.notes;
  TokenizerData* tokenizer = source.tokenizer ? &*source.tokenizer : nullptr;
  ChatChoice chat;
  if (tokenizer == nullptr) {
    if (!options.chat.empty() && options.chat != "none") {
      throw CompileError(
          "the model has no tokenizer and cannot chat: give it one with --tokenizer");
    }
    report.warnings.push_back(
        "the model has no tokenizer: it takes and gives token ids only (--tokenizer adds one)");
  } else {
    check_tokenizer_size(*tokenizer, source.hyper);
    chat = choose_chat(options.chat, tokenizer, &source.graph.stop_tokens);
    if (chat.format) report.chat = chat.format->family;
    if (!chat.note.empty()) report.notes.push_back(chat.note);
  }
  run_passes(&source.graph, options.passes);
  const std::string wasted = note_on_wasted_bits(source.graph, options.group_size);
  if (!wasted.empty()) report.notes.push_back(wasted);
  report.context = source.graph.context_length;
  report.op_count = source.graph.ops.size();
  report.emitted = emit(source.graph, tokenizer,
                        {.group_size = options.group_size,
                         .chat = chat.format ? &*chat.format : nullptr,
                         .quantizer = options.quantizer,
                         .metadata = describe(options, source, report.chat),
                         .progress = options.progress},
                        options.output);
  return report;
}

}  // namespace nbl::compiler
