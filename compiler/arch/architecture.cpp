#include "compiler/arch/architecture.h"

#include <algorithm>
#include <iterator>

#include "compiler/arch/network.h"
#include "compiler/error.h"

namespace nbl::compiler {
namespace {

struct Architecture {
  std::string_view name;
  int32_t (*layer)(Network& net, const Layer& at, int32_t x);
};

constexpr Architecture kArchitectures[] = {{"llama", llama_layer},
                                           {"qwen2", qwen2_layer},
                                           {"qwen3", qwen3_layer},
                                           {"gemma3", gemma3_layer},
                                           {"phi3", phi3_layer}};

}  // namespace

Graph build_graph(const Checkpoint& checkpoint, const ArchitectureOptions& options) {
  const Hyper& hyper = checkpoint.hyper;
  check_hyper(hyper, options);
  const auto* found = std::ranges::find(kArchitectures, hyper.architecture, &Architecture::name);
  if (found == std::end(kArchitectures)) {
    throw CompileError("the architecture " + hyper.architecture + " has no builder");
  }
  Network net(checkpoint, options);
  int32_t x = net.embedding("token_embd", net.tokens());
  for (uint32_t i = 0; i < hyper.layers; ++i)
    x = found->layer(net, Layer{i}, x);
  net.predict(net.rms_norm("output_norm", x));
  Graph graph = net.take();
  tidy(&graph);
  return graph;
}

}  // namespace nbl::compiler
