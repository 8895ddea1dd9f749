// What a sliding context does to the interpreter's caches.
#include <cmath>
#include <stdexcept>

#include "schema_generated.h"
#include "tests/support/interpreter.h"

namespace nbl::test {
namespace {

constexpr uint32_t kFineRows = 64;

}  // namespace

// With a rope, rows are keys that it has turned.
void Interpreter::drop_rows(int32_t cache, uint32_t sinks, uint32_t shift, const fb::Op* rope) {
  const auto& shape = *model_->tensors()->Get(static_cast<uint32_t>(cache))->shape();
  const size_t dim = shape.Get(2);
  std::vector<double>& entries = values_.at(static_cast<size_t>(cache));
  for (size_t head = 0; head < shape.Get(0); ++head) {
    for (size_t p = sinks; p + shift < position_; ++p) {
      double* to = &entries[(head * shape.Get(1) + p) * dim];
      const double* from = to + shift * dim;
      for (size_t d = 0; d < dim; ++d)
        to[d] = from[d];
      if (rope == nullptr) continue;
      const Matrix& table = matrix(*rope, 1);
      const uint32_t pairs = rope->rotary_dim() / 2;
      for (uint32_t i = 0; i < pairs; ++i) {
        const float* fine = &table.values[size_t{shift % kFineRows} * table.columns + 2 * i];
        const float* coarse =
            &table.values[size_t{kFineRows + shift / kFineRows} * table.columns + 2 * i];
        // The table's factor, if it has one, is none of the angle's.
        const double angle =
            std::atan2(static_cast<double>(fine[1]), static_cast<double>(fine[0])) +
            std::atan2(static_cast<double>(coarse[1]), static_cast<double>(coarse[0]));
        double& a = to[rope->rope_half() ? i : 2 * i];
        double& b = to[rope->rope_half() ? i + pairs : 2 * i + 1];
        const double turned = a * std::cos(angle) + b * std::sin(angle);
        b = b * std::cos(angle) - a * std::sin(angle);
        a = turned;
      }
    }
  }
}

void Interpreter::slide(uint32_t sinks, uint32_t shift) {
  if (sinks + shift > position_) throw std::runtime_error("there is less to drop");
  for (const fb::Op* op : *model_->ops()) {
    const std::string_view kind = op->kind()->string_view();
    if (kind == "rope_update_cache") {
      drop_rows(op->outputs()->Get(1), sinks, shift, op);
      drop_rows(op->outputs()->Get(2), sinks, shift, nullptr);
    }
    if (kind != "update_cache") continue;
    const fb::Op* rope = nullptr;
    for (const fb::Op* before : *model_->ops()) {
      if (before->kind()->string_view() == "rope" &&
          before->outputs()->Get(0) == op->inputs()->Get(0)) {
        rope = before;
      }
    }
    drop_rows(op->outputs()->Get(0), sinks, shift, rope);
  }
  position_ -= shift;
}

}  // namespace nbl::test
