// Model files of every kind of op, table and tokenizer, and what is read beside them.
#include <cstring>

#include "compiler/emit/prefix.h"
#include "compiler/import/gguf_writer.h"
#include "rt/base/crc32.h"
#include "rt/base/sha256.h"
#include "rt/model/file.h"
#include "rt/step/state.h"
#include "tests/fuzz/seeds.h"
#include "tests/fuzz/support/state_model.h"
#include "tests/support/chat_model.h"
#include "tests/support/graph_builder.h"
#include "tests/support/quantized_llama.h"

namespace nbl::fuzz {
namespace {

using test::AlignedBytes;
using test::BuildOptions;

std::string_view text_of(const AlignedBytes& file) {
  return {reinterpret_cast<const char*>(file.lines.data()), file.size};
}

test::LlamaSpec tiny(uint32_t vocab) {
  return {.dim = 32,
          .layers = 1,
          .heads = 2,
          .kv_heads = 1,
          .head_dim = 16,
          .ffn = 32,
          .vocab = vocab,
          .context = 24};
}

AlignedBytes tiny_model(BuildOptions options, uint32_t vocab = 40) {
  options.context = 24;
  return test::build_model(test::small_llama(tiny(vocab)), options);
}

AlignedBytes spm_model() {
  compiler::Checkpoint checkpoint = test::small_llama(tiny(300));
  checkpoint.tokenizer = compiler::synthetic_vocabulary(290);
  return test::build_model(checkpoint, {.context = 24});
}

AlignedBytes prefix_model() {
  const AlignedBytes file = tiny_model({.cache = DType::i8});
  Model model;
  Error error;
  require(load(file.span(), &model, &error).ok(), "the model loads");
  const std::vector<uint32_t> tokens = {3, 1, 4};
  const std::vector<std::byte> rows(model.position_bytes() * tokens.size());
  const test::TempFile out("", ".nbl");
  compiler::write_with_prefix(model, {tokens, rows, "for people"}, out.path());
  return test::read_file(out.path());
}

// Ops of no llama.
AlignedBytes general_model() {
  test::GraphBuilder net(1, {.vocab = 40, .context = 24, .prefill_chunk = 8});
  int32_t x = net.embedding(35);
  x = net.function(Function::gelu, x);
  x = net.function(Function::mul, x, net.vector(35));
  x = net.function(Function::add, x, compiler::kAbsent, 0.5f);
  const int32_t part = net.slice(x, 3, 9);
  x = net.cat({x, part, net.softmax(part, 0.5f)});
  x = net.permute(net.rms_norm(x, 1), 1);
  x = net.function(Function::sub, x, net.slice(x, 0, 1), 2);
  net.sample(net.linear(x, 40, true));
  return test::emit_graph(net.graph);
}

void window_and_mask(compiler::Graph* graph) {
  const uint32_t context = graph->context_length;
  auto values = std::make_shared<compiler::Constant>();
  values->values.resize(size_t{context} * context);
  const int32_t mask = graph->add({.name = "mask",
                                   .role = Role::weight,
                                   .shape = {context, context},
                                   .constant = std::move(values)});
  for (compiler::GraphOp& op : graph->ops) {
    if (op.kind != OpKind::sdpa_with_kv_cache) continue;
    op.inputs.push_back(mask);
    op.window = 9;
    op.softcap = 30;
    op.full = true;
  }
}

}  // namespace

void write_model_seeds(const SeedFolder& folder) {
  const auto add = [&](const char* name, const AlignedBytes& file) {
    folder.write(std::string(name) + ".nbl", text_of(file));
  };
  add("plain", tiny_model({}));
  add("unfused", tiny_model({.passes = {.fuse = false}, .cache = DType::f32}));
  add("eight_bits", tiny_model({.passes = {.head_bits = 8}, .group_size = 8}));
  add("int8_activations", tiny_model({.passes = {.activations = compiler::Activations::int8}}));
  add("rows", tiny_model({.passes = {.embedding_layout = compiler::EmbeddingLayout::linear}}));
  add("mask", tiny_model({.edit = window_and_mask}));
  add("prefix", prefix_model());
  add("general", general_model());
  add("chat", test::chat_model(24));
  add("spm", spm_model());
}

void write_state_seeds(const SeedFolder& folder) {
  const StateModel& m = state_model();
  FileHeader file{};
  std::memcpy(&file, m.model.file().data(), sizeof file);
  Sha256Digest digest{};
  sha256(m.model.file().subspan(file.graph_offset, file.graph_bytes), &digest);
  for (const uint32_t position : {0u, 1u, 12u}) {
    StateHeader header{};
    std::memcpy(header.magic, kStateMagic, sizeof kStateMagic);
    header.version = kStateVersion;
    header.header_bytes = sizeof header;
    std::memcpy(header.model, digest.data(), digest.size());
    header.cache = static_cast<uint32_t>(DType::f16);
    header.row_bytes = m.plan.row_bytes;
    header.position = position;
    header.next = position;
    header.has_next = 1;
    header.temperature = 0x3f000000;  // 0.5, as top_p and min_p
    header.top_p = 0x3f000000;
    header.min_p = 0x3f000000;
    header.repeat_penalty = 0x3f800000;  // 1
    header.penalty_window = 64;
    const std::string behind(position * (sizeof(uint32_t) + size_t{m.plan.row_bytes}), '\1');
    std::string words = behind;
    for (uint32_t i = 0; i < position; ++i)
      std::memcpy(&words[i * sizeof i], &i, sizeof i);
    header.bytes = sizeof header + words.size();
    Crc32 crc;
    crc.update(std::as_bytes(std::span(&header, 1)).first(offsetof(StateHeader, crc32)));
    crc.update(std::as_bytes(std::span(words)));
    header.crc32 = crc.value();
    folder.write("positions" + std::to_string(position),
                 std::string(reinterpret_cast<const char*>(&header), sizeof header) + words);
  }
}

void write_text_seeds(const SeedFolder& folder) {
  // The last bytes choose the vocabulary and what is done with it.
  const std::string_view texts[] = {"Hello  the world\n\n don't 12345 <user> <s>",
                                    "\xe2\x96\x81the \xf0\x9f\x98\x80 \xc3\xa9 \xff\xe2\x96",
                                    "\xe4\xb8\xad\xe6\x96\x87 hello hell oh    aaaaaaa",
                                    "[INST] hi [/INST]</s>"};
  for (char vocabulary = 0; vocabulary < 20; ++vocabulary) {
    for (char what = 0; what < 8; what = static_cast<char>(what + 3)) {
      std::string input(texts[static_cast<size_t>(vocabulary + what) % 4]);
      folder.write("text" + std::to_string(vocabulary) + "_" + std::to_string(what),
                   input + what + '\0' + '\1' + vocabulary);
    }
  }
  // As long as inputs may become.
  std::string text;
  while (text.size() < 1500)
    text += texts[0];
  folder.write("long", text + '\6' + '\0' + '\1' + '\0');
}

}  // namespace nbl::fuzz
