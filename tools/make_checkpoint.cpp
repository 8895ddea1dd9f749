// nibble-make-checkpoint: checkpoints with random weights at the shapes of real models, for
// benchmarks and for tests that need a model of some size but not its words.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <bit>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <map>
#include <stdexcept>
#include <string>
#include <vector>

#include "compiler/import/architectures.h"
#include "compiler/import/gguf_writer.h"
#include "compiler/import/half.h"
#include "compiler/import/llama_tensors.h"
#include "compiler/import/rope_frequencies.h"

namespace {

using namespace nbl::compiler;

constexpr const char* kAbout =
    "Writes a checkpoint with random weights as a GGUF file.\n\n"
    "  nibble-make-checkpoint --shape stories15m -o 15m.gguf\n"
    "  nibble-make-checkpoint --shape llama-3.2-1b --context 2048 -o 1b.gguf\n"
    "  nibble-make-checkpoint --shape gemma-3-1b --context 2048 -o gemma.gguf\n"
    "  nibble-make-checkpoint --dim 128 --layers 4 --heads 4 --kv-heads 2 --ffn 384 \\\n"
    "      --vocab 4096 --context 512 --type f16 -o small.gguf\n\n"
    "Options after --shape override it. The vocabulary is synthetic:\n"
    "it can write any text, and the model's output is noise.";

struct Shape {
  Hyper hyper;
  bool llama3_rope = false;
  uint32_t window = 0;  // of attention; Gemma's every sixth layer has none
};

Shape shape_of(const std::string& name, uint32_t dim, uint32_t layers, uint32_t heads,
               uint32_t kv_heads, uint32_t ffn, uint32_t vocab, uint32_t context, double theta) {
  Shape shape;
  Hyper& hyper = shape.hyper;
  hyper.architecture = "llama";
  hyper.name = name + " with random weights";
  hyper.dim = dim;
  hyper.layers = layers;
  hyper.heads = heads;
  hyper.kv_heads = kv_heads;
  hyper.ffn = ffn;
  hyper.vocab = vocab;
  hyper.context = context;
  hyper.rope_theta = theta;
  shape.llama3_rope = name == "llama-3.2-1b";
  return shape;
}

// A shape of another architecture, with heads of another size than dim / heads.
Shape kin_of_llama(const char* architecture, uint32_t head_dim, uint32_t window, Shape shape) {
  shape.hyper.architecture = architecture;
  shape.hyper.head_dim = head_dim;
  shape.hyper.eps = 1e-6f;
  shape.window = window;
  return shape;
}

// Source  the config.json of each model on huggingface.co; stories15M from karpathy/tinyllamas.
const std::map<std::string, Shape>& known_shapes() {
  static const std::map<std::string, Shape> shapes = {
      {"stories15m", shape_of("stories15m", 288, 6, 6, 6, 768, 32000, 256, 10000)},
      {"smollm2-135m", shape_of("smollm2-135m", 576, 30, 9, 3, 1536, 49152, 8192, 100000)},
      {"llama-3.2-1b", shape_of("llama-3.2-1b", 2048, 16, 32, 8, 8192, 128256, 131072, 500000)},
      {"qwen2.5-0.5b",
       kin_of_llama("qwen2", 64, 0,
                    shape_of("qwen2.5-0.5b", 896, 24, 14, 2, 4864, 151936, 32768, 1e6))},
      {"qwen3-0.6b",
       kin_of_llama("qwen3", 128, 0,
                    shape_of("qwen3-0.6b", 1024, 28, 16, 8, 3072, 151936, 40960, 1e6))},
      {"gemma-3-270m",
       kin_of_llama("gemma3", 256, 512,
                    shape_of("gemma-3-270m", 640, 18, 4, 1, 2048, 262144, 32768, 1e6))},
      {"gemma-3-1b",
       kin_of_llama("gemma3", 256, 512,
                    shape_of("gemma-3-1b", 1152, 26, 4, 1, 6912, 262144, 32768, 1e6))},
      {"phi-3-mini",
       kin_of_llama("phi3", 96, 2047,
                    shape_of("phi-3-mini", 3072, 32, 32, 32, 8192, 32064, 4096, 10000))},
      {"custom", shape_of("custom", 64, 2, 4, 2, 192, 512, 256, 10000)}};
  return shapes;
}

// The divisors of Llama 3.2.
std::vector<float> llama3_rope_factors(const Hyper& hyper) {
  const std::vector<double> factors =
      llama3_factors({.factor = 32}, rope_frequencies(hyper.rope_theta, hyper.rotary_dim));
  return {factors.begin(), factors.end()};
}

// SplitMix64: one addition and a mix, fast enough to fill a gigabyte in a second.
struct RandomBits {
  uint64_t state;
  uint64_t next() {
    uint64_t z = state += 0x9e3779b97f4a7c15ull;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    return z ^ (z >> 31);
  }
};

template <typename T>
void append(std::string* out, T value) {
  out->append(reinterpret_cast<const char*>(&value), sizeof value);
}

// Four 16-bit uniforms summed: near enough to a normal distribution, of variance 1.
float near_normal(RandomBits* random) {
  const uint64_t bits = random->next();
  const uint32_t sum = static_cast<uint32_t>((bits & 0xffff) + (bits >> 16 & 0xffff) +
                                             (bits >> 32 & 0xffff) + (bits >> 48));
  constexpr float kMean = 4 * 32767.5f;
  constexpr float kInverseDeviation = 1.0f / 37837.2f;  // sqrt(4 / 12) * 65536
  return (static_cast<float>(sum) - kMean) * kInverseDeviation;
}

void append_q4_0_row(uint64_t columns, float deviation, RandomBits* random, std::string* out) {
  // Uniform nibbles deviate by sqrt(255 / 12) and have mean -1/2; a random sign of the scale keeps
  // the weights' mean at 0.
  const uint16_t scale = f32_to_f16(deviation / 4.61f);
  for (uint64_t block = 0; block < columns / kSourceBlock; ++block) {
    const uint64_t low = random->next();
    const uint64_t high = random->next();
    append(out, static_cast<uint16_t>(scale | (std::popcount(low) & 1) << 15));
    append(out, low);
    append(out, high);
  }
}

void append_row(SourceType type, uint64_t columns, float mean, float deviation, RandomBits* random,
                std::string* out) {
  if (type == SourceType::q4_0) return append_q4_0_row(columns, deviation, random, out);
  for (uint64_t i = 0; i < columns; ++i) {
    const float value = mean + deviation * near_normal(random);
    if (type == SourceType::f16) {
      append(out, f32_to_f16(value));
    } else {
      append(out, value);
    }
  }
}

struct Options {
  std::string shape = "custom";
  std::string type = "q4_0";
  std::filesystem::path output;
  uint64_t seed = 1;
  bool untied = false;
  uint32_t dim = 0, layers = 0, heads = 0, kv_heads = 0, ffn = 0, vocab = 0, context = 0;
  double theta = 0;
};

Shape chosen_shape(const Options& options) {
  Shape shape = known_shapes().at(options.shape);
  Hyper& hyper = shape.hyper;
  const auto override_with = [](auto value, auto* target) {
    if (value != 0) *target = value;
  };
  override_with(options.dim, &hyper.dim);
  override_with(options.layers, &hyper.layers);
  override_with(options.heads, &hyper.heads);
  override_with(options.kv_heads, &hyper.kv_heads);
  override_with(options.ffn, &hyper.ffn);
  override_with(options.vocab, &hyper.vocab);
  override_with(options.context, &hyper.context);
  override_with(options.theta, &hyper.rope_theta);
  if (hyper.head_dim == 0 && hyper.dim % hyper.heads != 0) {
    throw std::runtime_error(
        fmt::format("--dim is {}; it must be a multiple of --heads {}", hyper.dim, hyper.heads));
  }
  if (hyper.head_dim == 0) hyper.head_dim = hyper.dim / hyper.heads;
  apply_architecture("the shape", &hyper);
  hyper.rotary_dim = hyper.head_dim;
  check_llama_hyper("the shape", hyper);
  if (options.type == "q4_0" && (hyper.dim % kSourceBlock != 0 || hyper.ffn % kSourceBlock != 0)) {
    throw std::runtime_error(
        fmt::format("--dim is {} and --ffn {}; for --type q4_0 both must be multiples of {}",
                    hyper.dim, hyper.ffn, kSourceBlock));
  }
  return shape;
}

SourceType matrix_type(const Options& options) {
  if (options.type == "q4_0") return SourceType::q4_0;
  return options.type == "f16" ? SourceType::f16 : SourceType::f32;
}

// Weights that keep activations near 1 at any width; embeddings are small beside what the layers
// add, so that greedy decoding does not echo its input through a tied head.
float deviation_of(const TensorShape& shape) {
  if (shape.rows == 1) return 0.1f;
  if (shape.name == "token_embd") return 0.02f;
  return 1.0f / std::sqrt(static_cast<float>(shape.columns));
}

// Where GGUF files of phi3 have one matrix for several, its rows stand in place of the first.
std::vector<TensorShape> file_shapes(const Hyper& hyper, bool untied) {
  std::vector<TensorShape> shapes = llama_tensor_shapes(hyper);
  std::erase_if(shapes, [&](const TensorShape& t) { return !t.required && !untied; });
  if (hyper.architecture != "phi3") return shapes;
  const uint64_t kv_rows = uint64_t{hyper.kv_heads} * hyper.head_dim;
  std::erase_if(shapes, [](const TensorShape& t) {
    return t.name.ends_with("attn_k") || t.name.ends_with("attn_v") || t.name.ends_with("ffn_up");
  });
  for (TensorShape& t : shapes) {
    const std::string at = t.name.substr(0, t.name.rfind('.') + 1);
    if (t.name.ends_with("attn_q")) t = {at + "attn_qkv", t.rows + 2 * kv_rows, t.columns, true};
    if (t.name.ends_with("ffn_gate")) t = {at + "ffn_up", 2 * t.rows, t.columns, true};
  }
  return shapes;
}

void write_checkpoint(const Options& options, const Shape& shape, std::ofstream* file) {
  GgufWriter writer;
  writer.add_hyper(shape.hyper);
  writer.add_tokenizer(synthetic_vocabulary(shape.hyper.vocab));
  if (shape.window != 0) {
    writer.add_u32(shape.hyper.architecture + ".attention.sliding_window", shape.window);
  }
  const std::vector<TensorShape> tensors = file_shapes(shape.hyper, options.untied);
  const auto type_of = [&](const TensorShape& t) {
    return t.rows == 1 ? SourceType::f32 : matrix_type(options);
  };
  std::vector<float> factors;
  if (shape.llama3_rope) factors = llama3_rope_factors(shape.hyper);
  if (!factors.empty()) {
    writer.add_tensor("rope_freqs.weight", SourceType::f32, 1, factors.size());
  }
  for (const TensorShape& t : tensors) {
    const char* suffix = t.name.ends_with(".bias") ? "" : ".weight";
    writer.add_tensor(t.name + suffix, type_of(t), t.rows, t.columns);
  }
  std::string buffer = writer.header();
  for (const float factor : factors)
    append(&buffer, factor);
  buffer.append(GgufWriter::padding_after(buffer.size()), '\0');
  RandomBits random{options.seed};
  constexpr size_t kFlushBytes = 1 << 20;
  for (const TensorShape& t : tensors) {
    const bool is_norm = t.name.ends_with("norm");
    for (uint64_t row = 0; row < t.rows; ++row) {
      append_row(type_of(t), t.columns, is_norm ? 1.0f : 0.0f, deviation_of(t), &random, &buffer);
      if (buffer.size() < kFlushBytes) continue;
      // Whole multiples of the alignment, so that padding can be told from the rest alone.
      const size_t whole = buffer.size() / kGgufDefaultAlignment * kGgufDefaultAlignment;
      file->write(buffer.data(), static_cast<std::streamsize>(whole));
      buffer.erase(0, whole);
    }
    buffer.append(GgufWriter::padding_after(buffer.size()), '\0');
  }
  file->write(buffer.data(), static_cast<std::streamsize>(buffer.size()));
}

int run(const Options& options) {
  const auto start = std::chrono::steady_clock::now();
  const Shape shape = chosen_shape(options);
  std::ofstream file(options.output, std::ios::binary | std::ios::trunc);
  if (!file) throw std::runtime_error(fmt::format("{}: cannot write", options.output.string()));
  write_checkpoint(options, shape, &file);
  file.close();
  if (!file) {
    throw std::runtime_error(
        fmt::format("{}: writing failed; is the disk full?", options.output.string()));
  }
  const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;
  fmt::print("{}: {} shape, {}, {:.1f} MB in {:.1f} s\n", options.output.string(), options.shape,
             options.type, static_cast<double>(std::filesystem::file_size(options.output)) / 1e6,
             elapsed.count());
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  CLI::App app(kAbout, "nibble-make-checkpoint");
  std::vector<std::string> names;
  for (const auto& [name, shape] : known_shapes())
    names.push_back(name);
  app.add_option("--shape", options.shape, "the model whose shape to take")
      ->check(CLI::IsMember(names))
      ->capture_default_str();
  app.add_option("--type", options.type, "type of the matrices; norms are f32")
      ->check(CLI::IsMember({"q4_0", "f16", "f32"}))
      ->capture_default_str();
  app.add_option("--seed", options.seed, "the same seed gives the same file")
      ->capture_default_str();
  app.add_option("-o,--output", options.output, "the file to write")->required();
  app.add_flag("--untied", options.untied, "give the output head its own weights");
  app.add_option("--dim", options.dim, "embedding length");
  app.add_option("--layers", options.layers, "layer count");
  app.add_option("--heads", options.heads, "attention heads");
  app.add_option("--kv-heads", options.kv_heads, "key/value heads");
  app.add_option("--ffn", options.ffn, "feed-forward length");
  app.add_option("--vocab", options.vocab, "vocabulary size");
  app.add_option("--context", options.context, "context length");
  app.add_option("--theta", options.theta, "RoPE base");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return app.exit(error);  // --help
    std::fprintf(stderr, "nibble-make-checkpoint: %s\n", error.what());
    return 1;
  }
  try {
    return run(options);
  } catch (const std::exception& error) {
    fmt::print(stderr, "nibble-make-checkpoint: {}\n", error.what());
    return 1;
  }
}
