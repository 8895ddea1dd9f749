// Exported programs of tests/fixtures/pt2 as model files, with what PyTorch says that they compute.
#pragma once

#include <string>
#include <vector>

#include "compiler/compile.h"
#include "tests/support/compiled.h"
#include "tests/support/pt2_fixture.h"

namespace nbl::test {

// What the same weights compute in PyTorch's float64.
struct Pt2Golden {
  std::vector<uint32_t> prompt;
  std::vector<uint32_t> greedy;             // the tokens that follow
  std::vector<std::vector<double>> logits;  // of the first tokens of both
  uint32_t context = 0;

  // The prompt and what follows it: `count` tokens.
  std::vector<uint32_t> tokens(size_t count) const {
    std::vector<uint32_t> all = prompt;
    all.insert(all.end(), greedy.begin(), greedy.end());
    all.resize(count);
    return all;
  }
};

inline Pt2Golden pt2_golden(const std::string& name) {
  const nlohmann::json facts = pt2_facts(name);
  Pt2Golden golden{facts["prompt"], facts["greedy"], {}, facts["context"]};
  const std::vector<double> values = pt2_logits(name);
  const size_t vocab = facts["vocab"];
  for (size_t at = 0; at + vocab <= values.size(); at += vocab) {
    golden.logits.emplace_back(values.begin() + static_cast<std::ptrdiff_t>(at),
                               values.begin() + static_cast<std::ptrdiff_t>(at + vocab));
  }
  return golden;
}

struct Pt2Model {
  AlignedBytes file;
  compiler::CompileReport report;
};

// Units  group_size is of weights that do not arrive quantized.
inline Pt2Model compile_pt2(const std::filesystem::path& path, DType cache = DType::f16,
                            uint32_t group_size = 32) {
  const TempFile output("", ".nbl");
  compiler::CompileOptions options;
  options.input = path;
  options.output = output.path();
  options.cache = cache;
  options.group_size = group_size;
  Pt2Model model;
  model.report = compiler::compile(options);
  model.file = read_file(output.path());
  return model;
}

// The text of the error that compiling ends in; "" where it succeeds.
inline std::string pt2_compile_error(const std::string& name) {
  try {
    compile_pt2(pt2_path(name));
  } catch (const std::runtime_error& error) {
    return error.what();
  }
  return "";
}

}  // namespace nbl::test
