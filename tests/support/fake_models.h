// Models of a few KB, one for each way that a plan takes. They lie in memory only.
#pragma once

#include <string_view>
#include <vector>

#include "compiler/passes/passes.h"
#include "tests/support/fault_rig.h"

namespace nbl::test {

struct FakeModel {
  const char* name;
  AlignedBytes file;
};

inline const std::vector<FakeModel>& fake_models() {
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
    return files;
  }();
  return all;
}

// Its head of 5000 rows is more than a CPU gets through in the time of a dispatch.
inline const AlignedBytes& long_head_model() {
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

inline const FakeModel& fake_model(std::string_view name) {
  for (const FakeModel& model : fake_models()) {
    if (name == model.name) return model;
  }
  throw std::runtime_error("no such model");
}

}  // namespace nbl::test
