#include "compiler/import/gguf_hyper.h"

#include <fmt/format.h>

#include <cmath>

#include "compiler/import/architectures.h"
#include "compiler/import/llama_tensors.h"

namespace nbl::compiler {
namespace {

// The keys of one architecture: "{architecture}.{name}".
class Keys {
 public:
  Keys(const GgufFile& file, std::string architecture)
      : file_(file), architecture_(std::move(architecture)) {}

  std::string key(std::string_view name) const { return fmt::format("{}.{}", architecture_, name); }

  std::optional<uint32_t> count(std::string_view name) const {
    return file_.unsigned_value(key(name));
  }
  std::optional<double> number(std::string_view name) const { return file_.number(key(name)); }

  template <typename T>
  T required(std::string_view name, std::optional<T> value) const {
    if (value) return *value;
    throw ImportError(fmt::format("{}: key {} is missing", file_.path(), key(name)));
  }
  uint32_t required_count(std::string_view name) const { return required(name, count(name)); }

  void refuse_unless(std::string_view name, uint32_t allowed) const {
    const uint32_t value = count(name).value_or(allowed);
    if (value == allowed) return;
    throw ImportError(fmt::format("{}: key {} is {}; nibble knows {} only", file_.path(), key(name),
                                  value, allowed));
  }

  const GgufFile& file() const { return file_; }

 private:
  const GgufFile& file_;
  std::string architecture_;
};

std::string read_architecture(const GgufFile& file) {
  const std::optional<std::string_view> name = file.text("general.architecture");
  if (!name) throw ImportError(fmt::format("{}: key general.architecture is missing", file.path()));
  if (is_architecture(*name)) return std::string(*name);
  throw ImportError(fmt::format("{}: general.architecture is {}; nibble imports {}", file.path(),
                                *name, architecture_names()));
}

uint32_t vocabulary_size(const Keys& keys, const GgufTensor* embedding) {
  if (embedding == nullptr) {
    throw ImportError(fmt::format("{}: tensor token_embd.weight is missing", keys.file().path()));
  }
  const uint64_t rows = embedding->dims[1];
  const uint64_t stated = keys.count("vocab_size").value_or(rows & 0xffffffffu);
  if (rows == stated) return static_cast<uint32_t>(stated);
  throw ImportError(fmt::format("{}: tensor token_embd.weight has {} rows; {} is {}",
                                keys.file().path(), rows, keys.key("vocab_size"), stated));
}

// Every sixth layer of Gemma 3 sees all positions, unless the file has another rule: a period, or
// for each layer whether it has the window.
std::vector<uint32_t> patterned_windows(const Keys& keys, const Hyper& hyper, uint32_t window) {
  const std::string key = keys.key("attention.sliding_window_pattern");
  const std::optional<std::vector<bool>> by_layer = keys.file().booleans(key);
  if (!by_layer) {
    const uint32_t period = keys.file().unsigned_value(key).value_or(6);
    if (period == 0) {
      throw ImportError(
          fmt::format("{}: key {} is 0; it must be positive", keys.file().path(), key));
    }
    return alternating_windows(hyper.layers, window, period);
  }
  std::vector<uint32_t> windows;
  for (const bool has_window : *by_layer)
    windows.push_back(has_window ? window : 0);
  return windows;
}

void read_windows(const Keys& keys, Hyper* hyper) {
  const uint32_t window = keys.count("attention.sliding_window").value_or(0);
  // Qwen's files name a window that its models leave unused.
  if (window == 0 || hyper->architecture.starts_with("qwen")) return;
  if (hyper->architecture == "gemma3") {
    hyper->windows = patterned_windows(keys, *hyper, window);
  } else if (window < hyper->context) {
    hyper->windows.assign(hyper->layers, window);
  }
}

// Gemma 3 has one size whose queries are scaled by dim / heads instead of the head dimension; its
// files do not say so.
void read_attention_scale(const Keys& keys, Hyper* hyper) {
  constexpr uint32_t kLayersOfGemma27B = 62;
  hyper->attention_scale = static_cast<float>(keys.number("attention.scale").value_or(0));
  if (hyper->architecture != "gemma3" || hyper->layers != kLayersOfGemma27B) return;
  if (hyper->attention_scale != 0 || hyper->heads == 0) return;
  const double query_dim = static_cast<double>(hyper->dim) / hyper->heads;
  hyper->attention_scale = static_cast<float>(1 / std::sqrt(query_dim));
}

}  // namespace

Hyper read_gguf_hyper(const GgufFile& file, const GgufTensor* embedding) {
  Hyper hyper;
  hyper.architecture = read_architecture(file);
  hyper.name = file.text("general.name").value_or("");
  const Keys keys(file, hyper.architecture);
  hyper.dim = keys.required_count("embedding_length");
  hyper.layers = keys.required_count("block_count");
  check_layer_count(file.path(), hyper.layers);
  hyper.heads = keys.required_count("attention.head_count");
  hyper.kv_heads = keys.count("attention.head_count_kv").value_or(hyper.heads);
  hyper.ffn = keys.required_count("feed_forward_length");
  hyper.context = keys.required_count("context_length");
  hyper.vocab = vocabulary_size(keys, embedding);
  const char* eps = "attention.layer_norm_rms_epsilon";
  hyper.eps = static_cast<float>(keys.required(eps, keys.number(eps)));
  const uint32_t even_share = hyper.heads == 0 ? 0 : hyper.dim / hyper.heads;
  hyper.head_dim = keys.count("attention.key_length").value_or(even_share);
  keys.refuse_unless("expert_count", 0);
  keys.refuse_unless("attention.value_length", hyper.head_dim);
  apply_architecture(file.path(), &hyper);  // norm_offset stays 0: files hold Gemma's 1 + w
  read_windows(keys, &hyper);
  read_attention_scale(keys, &hyper);
  const auto cap = [&](const char* name) {
    return static_cast<float>(keys.number(name).value_or(0));
  };
  hyper.attention_softcap = cap("attn_logit_softcapping");
  hyper.logit_softcap = cap("final_logit_softcapping");
  return hyper;
}

}  // namespace nbl::compiler
