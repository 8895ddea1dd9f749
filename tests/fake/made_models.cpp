// The models of tests/support/fake_models.h, compiled in memory.
#include <string_view>

#include "compiler/emit/prefix.h"
#include "compiler/passes/passes.h"
#include "rt/load.h"
#include "tests/support/compiled.h"
#include "tests/support/fake_models.h"
#include "tests/support/graph_builder.h"
#include "tests/support/small_llama.h"

namespace nbl::test {
namespace {

// No llama: functions, columns that are moved about, a softmax.
AlignedBytes general_model() {
  GraphBuilder net(1, {.vocab = 400});
  int32_t x = net.embedding(70);
  const int32_t y = net.linear(net.rms_norm(x, 2), 105);
  const int32_t moved = net.cat({net.permute(y, 3), net.slice(y, 2, 33), net.slice(y, 98, 7)});
  const int32_t soft = net.softmax(net.function(Function::gelu, moved), 1.5f);
  x = net.function(Function::add, x, net.linear(soft, 70), 1);
  net.sample(net.linear(net.rms_norm(x, 1), 400, true));
  return emit_graph(net.graph);
}

// The model with a prefix whose rows in the caches are any bytes.
AlignedBytes prefixed(const AlignedBytes& file) {
  Model model;
  Error error;
  if (!load(file.span(), &model, &error).ok()) throw std::runtime_error(error.name);
  compiler::PrefixData prefix{.tokens = {7, 8, 9, 10, 11}, .rows = {}, .text = "for people"};
  for (size_t i = 0; i < prefix.tokens.size() * model.position_bytes(); ++i)
    prefix.rows.push_back(static_cast<std::byte>(i * 37 % 251));
  const TempFile out("", ".nbl");
  compiler::write_with_prefix(model, prefix, out.path());
  return read_file(out.path());
}

}  // namespace

const std::vector<FakeModel>& fake_models() {
  const LlamaSpec tiny{.dim = 64,
                       .layers = 2,
                       .heads = 4,
                       .kv_heads = 2,
                       .head_dim = 16,
                       .ffn = 96,
                       .vocab = 400,
                       .context = 64};
  LlamaSpec wide = tiny;
  wide.head_dim = 64;
  wide.heads = 2;
  wide.kv_heads = 1;
  const auto make = [](const LlamaSpec& spec, const BuildOptions& options) {
    return build_model(small_llama(spec), options);
  };
  static const std::vector<FakeModel> all = [&] {
    BuildOptions plain;
    plain.passes.fuse = false;
    BuildOptions int8;
    int8.passes.activations = compiler::Activations::int8;
    std::vector<FakeModel> files;
    files.push_back({"fused", make(tiny, {})});
    files.push_back({"unfused", make(tiny, plain)});
    files.push_back({"int8 activations", make(tiny, int8)});
    files.push_back({"int8 caches", make(tiny, {.cache = DType::i8})});
    files.push_back({"f32 caches", make(tiny, {.cache = DType::f32})});
    files.push_back({"chunks of 40", make(tiny, {.prefill_chunk = 40})});
    files.push_back({"no chunks", make(tiny, {.prefill_chunk = 1})});
    files.push_back({"heads of 64", make(wide, {.prefill_chunk = 16})});
    BuildOptions finer;
    finer.passes.head_bits = 8;
    files.push_back({"8-bit head", make(tiny, finer)});
    LlamaSpec normed = tiny;
    normed.architecture = "qwen3";
    files.push_back({"norms of heads", make(normed, {})});
    LlamaSpec windows = tiny;
    windows.architecture = "gemma3";
    windows.window = 16;
    windows.window_period = 2;
    files.push_back({"windows", make(windows, {})});
    files.push_back({"functions and moved columns", general_model()});
    files.push_back({"prefix", prefixed(files[0].file)});
    return files;
  }();
  return all;
}

const AlignedBytes& long_head_model() {
  static const AlignedBytes file = build_model(small_llama({.dim = 128,
                                                            .layers = 1,
                                                            .heads = 2,
                                                            .kv_heads = 1,
                                                            .head_dim = 64,
                                                            .ffn = 96,
                                                            .vocab = 5000,
                                                            .context = 512}),
                                               {.context = 512, .prefill_chunk = 512});
  return file;
}

}  // namespace nbl::test
