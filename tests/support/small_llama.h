// A llama checkpoint of random weights that lies in memory only.
#pragma once

#include <cmath>
#include <cstddef>
#include <deque>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "compiler/import/architectures.h"
#include "compiler/import/checkpoint.h"
#include "tests/support/synthetic_llama.h"

namespace nbl::test {

inline compiler::Checkpoint small_llama(const LlamaSpec& spec) {
  compiler::Checkpoint checkpoint;
  checkpoint.hyper = hyper_of(spec);
  compiler::Hyper& hyper = checkpoint.hyper;
  compiler::apply_architecture("the model", &hyper);
  for (uint32_t i = 0; i < hyper.rotary_dim / 2; ++i) {
    hyper.rope_inv_freq.push_back(std::pow(spec.theta, -2.0 * i / hyper.rotary_dim));
  }
  auto values = std::make_shared<std::deque<std::vector<float>>>();
  for (const NamedShape& shape : named_shapes(spec)) {
    values->push_back(random_weights(spec, shape));
    checkpoint.tensors[shape.name] = {.name = shape.name,
                                      .type = compiler::SourceType::f32,
                                      .rows = shape.rows,
                                      .columns = shape.columns,
                                      .data = std::as_bytes(std::span(values->back())).data()};
  }
  checkpoint.storage = values;
  return checkpoint;
}

}  // namespace nbl::test
