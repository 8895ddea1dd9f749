// Could break: anything between the checkpoint of a trained model and what its .nbl computes. The
// reference is a forward pass written here, in float64, from the checkpoint's own weights.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "compiler/eval/tokenize.h"
#include "tests/support/compiled.h"
#include "tests/support/import_errors.h"
#include "tests/support/interpreter.h"
#include "tests/support/small_llama.h"

namespace nbl::compiler {
namespace {

using Vector = std::vector<double>;

class Forward {
 public:
  explicit Forward(const Checkpoint& checkpoint) : c_(checkpoint), h_(checkpoint.hyper) {}

  Vector step(uint32_t token) {
    Vector x = row("token_embd", token);
    for (uint32_t l = 0; l < h_.layers; ++l)
      layer("blk." + std::to_string(l) + ".", l, &x);
    ++position_;
    const bool tied = c_.tensors.count("output") == 0;
    return times(norm(x, "output_norm"), tied ? "token_embd" : "output");
  }

 private:
  const Checkpoint& c_;
  const Hyper& h_;
  uint32_t position_ = 0;
  std::vector<std::vector<Vector>> keys_, values_;  // [layer][position]

  Vector row(const std::string& name, uint64_t n) const {
    const SourceTensor& tensor = c_.tensors.at(name);
    std::vector<float> out(tensor.columns);
    tensor.read_row(n, out.data());
    return {out.begin(), out.end()};
  }
  Vector times(const Vector& x, const std::string& name) const {
    Vector out(c_.tensors.at(name).rows);
    for (size_t n = 0; n < out.size(); ++n) {
      const Vector w = row(name, n);
      for (size_t k = 0; k < x.size(); ++k)
        out[n] += w[k] * x[k];
    }
    return out;
  }
  Vector norm(const Vector& x, const std::string& name) const {
    Vector out = row(name, 0);
    double mean = 0;
    for (const double v : x)
      mean += v * v / static_cast<double>(x.size());
    for (size_t i = 0; i < x.size(); ++i) {
      out[i] *= x[i] / std::sqrt(mean + static_cast<double>(h_.eps));
    }
    return out;
  }
  void turn(Vector* x) const {
    const size_t half = h_.rotary_dim / 2;
    for (size_t head = 0; head < x->size(); head += h_.head_dim) {
      for (size_t i = 0; i < half; ++i) {
        const size_t a = head + (h_.rope_half ? i : 2 * i);
        const size_t b = head + (h_.rope_half ? i + half : 2 * i + 1);
        const double angle = position_ * h_.rope_inv_freq[i];
        const double first = (*x)[a] * std::cos(angle) - (*x)[b] * std::sin(angle);
        (*x)[b] = (*x)[a] * std::sin(angle) + (*x)[b] * std::cos(angle);
        (*x)[a] = first;
      }
    }
  }
  Vector attend(const Vector& q, uint32_t layer) const {
    const size_t d = h_.head_dim;
    Vector out(q.size());
    for (size_t head = 0; head < h_.heads; ++head) {
      const size_t kv = head / (h_.heads / h_.kv_heads) * d;
      Vector p;
      double total = 0;
      for (const Vector& key : keys_[layer]) {
        double dot = 0;
        for (size_t i = 0; i < d; ++i)
          dot += q[head * d + i] * key[kv + i];
        p.push_back(std::exp(dot / std::sqrt(static_cast<double>(d))));
        total += p.back();
      }
      for (size_t at = 0; at < p.size(); ++at) {
        for (size_t i = 0; i < d; ++i) {
          out[head * d + i] += p[at] / total * values_[layer][at][kv + i];
        }
      }
    }
    return out;
  }
  void layer(const std::string& at, uint32_t l, Vector* x) {
    keys_.resize(h_.layers);
    values_.resize(h_.layers);
    const auto add = [&](const Vector& y) {
      for (size_t i = 0; i < y.size(); ++i)
        (*x)[i] += y[i];
    };
    const Vector a = norm(*x, at + "attn_norm");
    Vector q = times(a, at + "attn_q");
    Vector k = times(a, at + "attn_k");
    turn(&q);
    turn(&k);
    keys_[l].push_back(k);
    values_[l].push_back(times(a, at + "attn_v"));
    add(times(attend(q, l), at + "attn_output"));
    const Vector f = norm(*x, at + "ffn_norm");
    Vector gate = times(f, at + "ffn_gate");
    const Vector up = times(f, at + "ffn_up");
    for (size_t i = 0; i < gate.size(); ++i)
      gate[i] *= up[i] / (1 + std::exp(-gate[i]));
    add(times(gate, at + "ffn_down"));
  }
};

double relative_error(const Vector& a, const Vector& b) {
  double difference = 0, size = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    difference += (a[i] - b[i]) * (a[i] - b[i]);
    size += b[i] * b[i];
  }
  return std::sqrt(difference / size);
}

std::string text_of(const TokenizerData& tokenizer, const std::vector<uint32_t>& tokens) {
  std::string text;
  for (const uint32_t token : tokens)
    text += tokenizer.pieces[token];
  const std::string space = "\xe2\x96\x81";
  for (size_t at; (at = text.find(space)) != std::string::npos;)
    text.replace(at, 3, " ");
  return text;
}

template <typename Model>
std::vector<uint32_t> greedy(Model* model, uint32_t first, size_t count) {
  std::vector<uint32_t> tokens;
  for (uint32_t token = first; tokens.size() < count;) {
    token = test::argmax(model->step(token));
    tokens.push_back(token);
  }
  return tokens;
}

// The checkpoint's weights replaced by those of a file: what remains is everything but
// quantization.
Checkpoint with_file_weights(const Checkpoint& source, const test::Interpreter& file,
                             std::vector<std::vector<float>>* storage) {
  Checkpoint copy = source;
  storage->reserve(copy.tensors.size());
  for (auto& [name, tensor] : copy.tensors) {
    std::vector<float>& values = storage->emplace_back();
    for (uint32_t n = 0; n < tensor.rows; ++n) {
      for (uint32_t k = 0; k < tensor.columns; ++k) {
        values.push_back(static_cast<float>(file.weight(name + ".weight", n, k)));
      }
    }
    tensor.type = SourceType::f32;
    tensor.data = std::as_bytes(std::span(values)).data();
  }
  return copy;
}

class Stories : public testing::Test {
 protected:
  void SetUp() override {
    const std::filesystem::path folder = test::shared_folder() / "models" / "stories260K";
    if (!std::filesystem::exists(folder)) GTEST_SKIP() << folder << " is not there";
    checkpoint_ = import_checkpoint(folder / "stories260K.bin", folder / "tok512.bin");
  }
  Checkpoint checkpoint_;
};

TEST_F(Stories, are_told_by_the_float64_forward_pass) {
  Forward model(checkpoint_);
  const std::vector<uint32_t> tokens = greedy(&model, 1, 60);
  EXPECT_EQ(text_of(*checkpoint_.tokenizer, tokens)
                .find(" Once upon a time, there was a little girl named Lily. She loved to play "
                      "outside in the park."),
            0u)
      << text_of(*checkpoint_.tokenizer, tokens);
}

TEST_F(Stories, are_told_by_the_compiled_file) {
  const test::AlignedBytes file = test::build_model(checkpoint_, {.context = 512});
  test::Interpreter model(file.span());
  const std::string text = text_of(*checkpoint_.tokenizer, greedy(&model, 1, 120));
  EXPECT_EQ(text.find(" Once upon a time, there was a"), 0u) << text;
}

TEST_F(Stories, lose_little_to_four_bits) {
  const std::vector<uint32_t> tokens =
      tokenize(*checkpoint_.tokenizer,
               "Once upon a time, there was a little girl named Lily. She "
               "loved to play outside in the park.");
  const test::AlignedBytes file = test::build_model(checkpoint_, {.context = 512});
  test::Interpreter packed(file.span());
  Forward exact(checkpoint_);
  std::vector<Vector> rows;
  for (const uint32_t token : tokens)
    rows.push_back(exact.step(token));
  const double stored = test::perplexity(rows, tokens);
  const double quantized = test::perplexity(packed.evaluate(tokens), tokens);
  EXPECT_LT(quantized, 1.5 * stored);
  EXPECT_LT(stored, 8);
}

// With the file's own weights in the straight forward pass, only the f16 cache is left to differ.
TEST_F(Stories, are_computed_as_the_paper_says) {
  const test::AlignedBytes file =
      test::build_model(checkpoint_, {.passes = {.fuse = false}, .context = 512});
  test::Interpreter model(file.span());
  std::vector<std::vector<float>> storage;
  const Checkpoint same = with_file_weights(checkpoint_, model, &storage);
  Forward straight(same);
  uint32_t token = 1;
  for (int i = 0; i < 100; ++i) {
    const Vector expected = straight.step(token);
    EXPECT_LT(relative_error(model.step(token), expected), 2e-3) << "position " << i;
    token = test::argmax(expected);
  }
}

TEST_F(Stories, do_not_depend_on_fusion) {
  const test::AlignedBytes fused = test::build_model(checkpoint_, {.context = 512});
  const test::AlignedBytes plain =
      test::build_model(checkpoint_, {.passes = {.fuse = false}, .context = 512});
  test::Interpreter a(fused.span());
  test::Interpreter b(plain.span());
  for (uint32_t token = 1; a.position() < 300;) {
    const Vector logits = a.step(token);
    const Vector others = b.step(token);
    for (size_t i = 0; i < logits.size(); ++i)
      ASSERT_NEAR(logits[i], others[i], 1e-9);
    token = test::argmax(logits);
  }
}

// Every pass alone, on odd shapes with grouped heads, partial rotation and halves.
TEST(Fusion, changes_no_result_whatever_passes_are_on) {
  Checkpoint checkpoint = test::small_llama({.dim = 100,
                                             .heads = 6,
                                             .kv_heads = 2,
                                             .head_dim = 20,
                                             .ffn = 172,
                                             .vocab = 131,
                                             .rotary_dim = 12});
  checkpoint.hyper.rope_half = true;
  const test::AlignedBytes plain = test::build_model(checkpoint, {.passes = {.fuse = false}});
  std::vector<std::vector<std::string>> disabled = {{}};
  for (const Pass& pass : all_passes())
    disabled.push_back({pass.name});
  for (const auto& names : disabled) {
    const test::AlignedBytes fused = test::build_model(checkpoint, {.passes = {.disabled = names}});
    test::Interpreter a(fused.span());
    test::Interpreter b(plain.span());
    for (uint32_t i = 0; i < 64; ++i) {
      const Vector x = a.step(i * 7 % 131);
      ASSERT_LT(relative_error(x, b.step(i * 7 % 131)), 1e-12);
    }
  }
}

}  // namespace
}  // namespace nbl::compiler
