// nibblec: checkpoints to .nbl model files, and a look inside these.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <exception>
#include <map>
#include <string>

#include "boards/boards.h"
#include "compiler/chat/chat_format.h"
#include "compiler/commands.h"

namespace {

using namespace nbl::compiler;

constexpr int kFailure = 1;

const char* const kExamples =
    "Examples:\n"
    "  nibblec compile smollm2-135m-q4_0.gguf -o smollm2.nbl\n"
    "      A GGUF file; its Q4_0 weights are taken over bit for bit.\n"
    "  nibblec compile Qwen3-0.6B/ -o qwen3.nbl\n"
    "      A model folder of Hugging Face: config.json, safetensors and tokenizer.json.\n"
    "  nibblec compile stories260K.bin --tokenizer tok512.bin -o stories.nbl\n"
    "      A llama2.c checkpoint, whose tokenizer is a file of its own.\n"
    "  nibblec compile model.gguf -o model.nbl --group-size 128 --context 4096\n"
    "      Coarser scales for a smaller file, a longer context.\n"
    "  nibblec compile model.gguf -o model.nbl --activations int8\n"
    "      int8 activations times 4-bit weights, for GPUs with a packed dot product.\n"
    "  nibblec compile model.gguf -o model.nbl --head-bits 8 --keep 'blk.*.ffn_down=8'\n"
    "      8 bits for the embedding and head, and for what the pattern names.\n"
    "  nibblec compile model.gguf -o model.nbl --calibrate texts.txt --report --eval story.txt\n"
    "      Scales that suit what the model is for, and what they cost.\n"
    "  nibblec compile decoder.pt2 -o decoder.nbl\n"
    "      What torch.export.save of PyTorch writes, with quantized weights or without.\n"
    "  nibblec compile model.gguf -o model.nbl --chat chatml\n"
    "      How the model chats, where its chat template does not tell.\n"
    "  nibblec compile model.gguf -o model.nbl --board rpi5\n"
    "      Checked against a Raspberry Pi 5: memory, bindings, watchdog, and how fast it will be.\n"
    "  nibblec compile model.gguf -o model.nbl --board rpi5 --emit-object model.o \\\n"
    "          --emit-config model_config.h --emit-kernels model_kernels.cpp\n"
    "      What a firmware image links: the model, its sizes, and only the kernels it needs.\n"
    "  nibblec inspect model.nbl --board rpi5\n"
    "      What is in a model, and what memory and kernels a Raspberry Pi 5 will use.\n"
    "  nibblec prefix model.nbl -o assistant.nbl --file system_prompt.txt\n"
    "      The model, started after a text that no device has to read again.\n"
    "  nibblec tokenize model.nbl --file texts.txt\n"
    "      The token ids of texts, as the device computes them.\n"
    "  nibblec perplexity stories260K.bin --tokenizer tok512.bin --text story.txt\n"
    "      What 4-bit weights cost in accuracy.\n";

std::map<std::string, Activations> activations_by_name() {
  return {{"f32", Activations::f32}, {"int8", Activations::int8}};
}

std::map<std::string, Quantizer> quantizers_by_name() {
  return {{"search", Quantizer::search}, {"rtn", Quantizer::rtn}};
}

void add_activations(CLI::App* app, Activations* activations) {
  app->add_option(
         "--activations", *activations,
         "What linears multiply their weights with. f32: activations as they are. int8: "
         "each row of them rounded to 255 steps first, with a scale and a zero point found "
         "on the device (8da4w); for GPUs with a packed dot product, at a small cost in "
         "accuracy that 'nibblec perplexity --activations int8' measures")
      ->transform(CLI::Transformer(activations_by_name(), CLI::ignore_case))
      ->transform(CLI::IsMember({"f32", "int8"}, CLI::ignore_case))  // runs before the other
      ->option_text("f32|int8 [f32]");
}

// "PATTERN=8".
KeepRule read_keep(const std::string& text) {
  const size_t equals = text.rfind('=');
  const std::string bits = equals == std::string::npos ? "" : text.substr(equals + 1);
  if (equals == 0 || (bits != "4" && bits != "8")) {
    throw CLI::ValidationError("--keep", fmt::format("'{}' is not PATTERN=8 or PATTERN=4", text));
  }
  return {text.substr(0, equals), bits == "8" ? 8u : 4u};
}

void add_bits(CLI::App* app, uint32_t* head_bits, std::vector<KeepRule>* keep) {
  app->add_option("--head-bits", *head_bits,
                  "Bits of the embedding and of the matrix that the logits come from, which are "
                  "one where they are tied: 4 or 8")
      ->check(CLI::IsMember({4, 8}))
      ->option_text("4|8 [4]");
  app->add_option_function<std::vector<std::string>>(
         "--keep",
         [keep](const std::vector<std::string>& texts) {
           for (const std::string& text : texts)
             keep->push_back(read_keep(text));
         },
         "Bits of the matrices that a pattern names, such as 'blk.*.ffn_down=8'; may be repeated, "
         "and the last that names a matrix holds. Weights that are whole numbers of 8 bits or "
         "fewer in the checkpoint (Q8_0, Q6_K, ...) are taken over bit for bit")
      ->type_name("PATTERN=BITS")
      ->allow_extra_args(false);
}

void add_quantizer(CLI::App* app, Quantizer* quantizer, std::filesystem::path* calibrate) {
  app->add_option("--quantizer", *quantizer,
                  "How the scale of a group is found. search: the one of several that leaves the "
                  "least error. rtn: the one that just holds the largest weight")
      ->transform(CLI::Transformer(quantizers_by_name(), CLI::ignore_case))
      ->transform(CLI::IsMember({"search", "rtn"}, CLI::ignore_case))
      ->option_text("search|rtn [search]");
  app->add_option("--calibrate", *calibrate,
                  "Text to run through the network first: an error in a weight then counts as "
                  "much as what the weight is multiplied with. A few thousand tokens of what the "
                  "model is for; a checkpoint's tokenizer is needed")
      ->check(CLI::ExistingFile)
      ->type_name("TEXT");
}

std::string board_names() {
  std::string names;
  for (const nbl::Board& board : nbl::boards())
    names += (names.empty() ? "" : ", ") + board.name;
  return names;
}

std::string pass_list() {
  std::string text = "Switch one pass off; may be repeated. Passes:";
  for (const Pass& pass : all_passes())
    text += fmt::format("\n{} ({})", pass.name, pass.does);
  return text;
}

std::map<std::string, EmbeddingLayout> embedding_layouts_by_name() {
  return {{"auto", EmbeddingLayout::automatic},
          {"linear", EmbeddingLayout::linear},
          {"embedding", EmbeddingLayout::embedding},
          {"tiled", EmbeddingLayout::tiled}};
}

std::string wrong_group_size(const std::string& text) {
  uint32_t size = 0;
  if (CLI::detail::lexical_cast(text, size) && is_group_size(size)) return {};
  return fmt::format("the group size is {}; it must be a multiple of 8 from 8 to {}", text,
                     kMaxGroupSize);
}

void add_group_size(CLI::App* app, uint32_t* size) {
  app->add_option("--group-size,--group", *size,
                  fmt::format("Weights that share a scale: a multiple of 8 from 8 to {}; powers of "
                              "two up to 256 take the fewest bytes",
                              kMaxGroupSize))
      ->check(wrong_group_size)
      ->capture_default_str();
}

// "tokens=NAME,position=NAME", either alone or in any order.
void read_inputs(const std::string& text, CompileOptions* options) {
  for (const std::string& part : CLI::detail::split(text, ',')) {
    const size_t equals = part.find('=');
    const std::string role = part.substr(0, equals);
    const std::string name = equals == std::string::npos ? "" : part.substr(equals + 1);
    if (name.empty() || (role != "tokens" && role != "position")) {
      throw CLI::ValidationError("--inputs",
                                 fmt::format("'{}' is not tokens=NAME or position=NAME", part));
    }
    (role == "tokens" ? options->tokens_input : options->position_input) = name;
  }
}

void add_image_parts(CLI::App* app, ImageParts* parts) {
  app->add_option("--emit-object", parts->object,
                  "Also write the model as an object file to link into an image")
      ->type_name("FILE.o");
  app->add_option("--emit-symbol", parts->symbol,
                  "Name of the model in the object; NAME_end and NAME_bytes come with it")
      ->needs("--emit-object")
      ->type_name("NAME")
      ->capture_default_str();
  app->add_option("--machine", parts->machine,
                  "Machine of the object: x86_64, aarch64, armv7 or riscv64; the board's, or this "
                  "one, unless given")
      ->needs("--emit-object")
      ->type_name("NAME");
  app->add_option("--emit-config", parts->config,
                  "Also write a C header with the sizes of arena and device memory on the board")
      ->type_name("FILE.h");
  app->add_option("--emit-kernels", parts->kernels,
                  "Also write a C++ source by which an image links only the kernels that the model "
                  "needs on the board")
      ->type_name("FILE.cpp");
}

void add_compile(CLI::App* app, CompileOptions* options, CompileTarget* target, ImageParts* parts,
                 CompilePrint* print, bool* no_fuse) {
  app->add_option("input", options->input,
                  "Checkpoint: model folder of Hugging Face, GGUF, .pt2 of torch.export.save, or "
                  "llama2.c")
      ->required();
  app->add_option("-o,--output", options->output, "Model file to write")->required();
  app->add_option("--tokenizer", options->tokenizer,
                  "Tokenizer file, where the checkpoint has none of its own");
  app->add_option(
         "--chat", options->chat,
         fmt::format("How the model chats, whatever its chat template looks like: {}, or none",
                     chat_family_names()))
      ->type_name("FAMILY");
  add_group_size(app, &options->group_size);
  app->add_option("--context", options->context,
                  fmt::format("Positions the model has room for; the checkpoint's, but at most {}, "
                              "unless given",
                              kDefaultContext))
      ->check(CLI::Range(1u, ~0u));
  app->add_option_function<uint32_t>(
         "--prefill-chunk",
         [options, target](uint32_t tokens) {
           options->prefill_chunk = tokens;
           target->chunk_is_given = true;
         },
         "Tokens a prefill step takes at most; with --board as many of them as its watchdog allows")
      ->check(CLI::Range(1u, ~0u))
      ->default_str(std::to_string(kDefaultPrefillChunk));
  app->add_option("--board", target->board,
                  fmt::format("Check that the model fits this board before it is written, and say "
                              "what would help where it does not: {}, or a board.json",
                              board_names()))
      ->type_name("NAME");
  app->add_option_function<std::string>(
         "--embedding-layout",
         [options](const std::string& name) {
           options->passes.embedding_layout = embedding_layouts_by_name().at(name);
         },
         "How the table of an embedding lies: auto (in tiles where a linear has the same nibbles, "
         "else in rows), linear or embedding (rows, the even column in the low or the high nibble "
         "of a byte), tiled")
      ->check(CLI::IsMember(embedding_layouts_by_name()))
      ->type_name("NAME");
  app->add_option("--cache", options->cache,
                  "Numbers that keys and values are kept in: f16, f32 or i8 (half the memory of "
                  "f16, a little less accurate)")
      ->transform(CLI::Transformer(
          std::map<std::string, nbl::DType>{
              {"f16", nbl::DType::f16}, {"f32", nbl::DType::f32}, {"i8", nbl::DType::i8}},
          CLI::ignore_case))
      ->transform(CLI::IsMember({"f16", "f32", "i8"}, CLI::ignore_case))
      ->option_text("f16|f32|i8 [f16]");
  app->add_option_function<std::string>(
         "--inputs", [options](const std::string& text) { read_inputs(text, options); },
         "Which inputs of an exported program the token ids and the position are, where it does "
         "not show: tokens=NAME,position=NAME")
      ->type_name("NAMES");
  add_image_parts(app, parts);
  add_activations(app, &options->passes.activations);
  add_bits(app, &options->passes.head_bits, &options->passes.keep);
  add_quantizer(app, &options->quantizer, &options->calibrate);
  app->add_flag("--report", print->matrices, "Print bits, group and error of every matrix");
  app->add_option("--eval", print->evaluated,
                  "Text whose perplexity is taken under the checkpoint's weights and under those "
                  "of the model, as 'nibblec perplexity' does")
      ->check(CLI::ExistingFile)
      ->type_name("TEXT");
  app->add_flag("--no-fuse", *no_fuse, "Leave every op on its own (to find faults)");
  app->add_option("--disable-pass", options->passes.disabled, pass_list())
      ->type_name("NAME")
      ->allow_extra_args(false);
}

void add_inspect(CLI::App* app, InspectOptions* options) {
  app->add_option("input", options->input, "Model file (.nbl)")->required();
  app->add_option("--board", options->board,
                  "Also plan the model for this board, as its device would, and tell whether it "
                  "fits: a name, or a board.json as 'nibble-bench --facts' writes it");
  app->add_option("--weights", options->weights,
                  "With a board: where 4-bit weights lie, as --weights of nibble-run says")
      ->check(CLI::IsMember({"auto", "texture", "buffer"}))
      ->capture_default_str();
  app->add_flag("--json", options->json, "Print JSON instead of text");
}

void add_perplexity(CLI::App* app, PerplexityOptions* options) {
  app->add_option("input", options->input, "Checkpoint")->required();
  app->add_option("--text", options->text, "Text file")->required()->check(CLI::ExistingFile);
  app->add_option("--tokenizer", options->tokenizer, "Tokenizer file");
  add_group_size(app, &options->group_size);
  add_bits(app, &options->head_bits, &options->keep);
  add_quantizer(app, &options->quantizer, &options->calibrate);
  add_activations(app, &options->activations);
  app->add_option("--window", options->window, "Tokens evaluated together")
      ->check(CLI::Range(2, 1 << 20))
      ->capture_default_str();
}

void add_tokenize(CLI::App* app, TokenizeOptions* options) {
  app->add_option("input", options->input, "Model file, GGUF file, model folder, or vocabulary")
      ->required();
  app->add_option("--file", options->texts,
                  "Texts, each ended by a line __ggml_vocab_test__; without one, a single text")
      ->required()
      ->check(CLI::ExistingFile);
  app->add_flag("--bos", options->add_bos, "Put the BOS token in front, where the model wants it");
  app->add_flag("--special", options->special,
                "Control tokens written in the text, such as <|eot_id|>, stand for themselves");
}

void add_prefix(CLI::App* app, PrefixOptions* options) {
  app->add_option("input", options->input, "Model file (.nbl)")->required();
  app->add_option("-o,--output", options->output, "Model file to write")->required();
  auto* source = app->add_option_group("prefix", "The text, one of");
  source->add_option("--text", options->text, "Text that every run starts after");
  source->add_option("--file", options->file, "File with the text")->check(CLI::ExistingFile);
  source->add_option("--tokens", options->tokens, "Token ids, as 1,2,3; nothing is put in front");
  source->require_option(1);
  app->add_flag("--special", options->special,
                "Control tokens written in the text, such as <|im_start|>, stand for themselves");
  app->add_option("--device", options->device,
                  "Vulkan device that runs it, counted from 0; default: first that fits")
      ->check(CLI::Range(0, 1 << 16));
}

int run(int argc, char** argv) {
  CLI::App app("nibblec compiles 4-bit language models for the nibble runtime.", "nibblec");
  app.footer(kExamples);
  app.require_subcommand(1);
  CompileOptions compile_options;
  CompileTarget compile_target;
  ImageParts image_parts;
  CompilePrint compile_print;
  InspectOptions inspect_options;
  PerplexityOptions perplexity_options;
  TokenizeOptions tokenize_options;
  bool no_fuse = false;
  CLI::App* compile = app.add_subcommand("compile", "Turn a checkpoint into a model file");
  CLI::App* inspect = app.add_subcommand("inspect", "Show what is in a model file");
  CLI::App* perplexity =
      app.add_subcommand("perplexity", "Compare stored and quantized weights on a text");
  CLI::App* tokenize =
      app.add_subcommand("tokenize", "Print the token ids of texts, as the device computes them");
  PrefixOptions prefix_options;
  CLI::App* prefix =
      app.add_subcommand("prefix", "Put a text in front of whatever a model will be given");
  add_prefix(prefix, &prefix_options);
  add_tokenize(tokenize, &tokenize_options);
  add_compile(compile, &compile_options, &compile_target, &image_parts, &compile_print, &no_fuse);
  add_inspect(inspect, &inspect_options);
  add_perplexity(perplexity, &perplexity_options);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return app.exit(error);  // --help
    fmt::print(stderr, "nibblec: {}\n", error.what());
    return kFailure;
  }
  compile_options.passes.fuse = !no_fuse;
  if (compile->parsed()) run_compile(compile_options, compile_target, image_parts, compile_print);
  if (inspect->parsed()) run_inspect(inspect_options);
  if (perplexity->parsed()) run_perplexity(perplexity_options);
  if (tokenize->parsed()) run_tokenize(tokenize_options);
  if (prefix->parsed()) run_prefix(prefix_options);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return run(argc, argv);
  } catch (const std::exception& error) {
    fmt::print(stderr, "nibblec: {}\n", error.what());
    return kFailure;
  }
}
