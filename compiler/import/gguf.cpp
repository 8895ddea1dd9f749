#include "compiler/import/gguf.h"

#include <fmt/format.h>

#include <iterator>

#include "compiler/import/gguf_file.h"
#include "compiler/import/llama_tensors.h"
#include "compiler/import/rope_frequencies.h"
#include "rt/base/checked.h"

namespace nbl::compiler {
namespace {

constexpr std::string_view kWeightSuffix = ".weight";
constexpr const char* kRopeFactors = "rope_freqs.weight";

void check_architecture(const GgufFile& file) {
  const std::optional<std::string_view> name = file.text("general.architecture");
  if (!name) throw ImportError(fmt::format("{}: key general.architecture is missing", file.path()));
  if (*name == "llama") return;
  throw ImportError(
      fmt::format("{}: general.architecture is {}; nibble imports llama", file.path(), *name));
}

uint32_t required(const GgufFile& file, const char* key) {
  const std::optional<uint32_t> value = file.unsigned_value(key);
  if (value) return *value;
  throw ImportError(fmt::format("{}: key {} is missing", file.path(), key));
}

// Keys that change the network in ways the rest of nibble does not know.
void refuse_unknown_variants(const GgufFile& file, const Hyper& hyper) {
  const auto refuse_unless = [&](const char* key, uint32_t allowed) {
    const uint32_t value = file.unsigned_value(key).value_or(allowed);
    if (value == allowed) return;
    throw ImportError(
        fmt::format("{}: key {} is {}; nibble knows {} only", file.path(), key, value, allowed));
  };
  refuse_unless("llama.expert_count", 0);
  refuse_unless("llama.attention.value_length", hyper.head_dim);
  refuse_unless("llama.attention.sliding_window", 0);
}

double linear_factor(const GgufFile& file) {
  const std::string_view type = file.text("llama.rope.scaling.type").value_or("none");
  // Files from before rope.scaling.type carry rope.scale_linear alone.
  const std::optional<double> old_factor = file.number("llama.rope.scale_linear");
  if (type == "none") return old_factor.value_or(1);
  if (type != "linear") {
    throw ImportError(
        fmt::format("{}: key llama.rope.scaling.type is {}; nibble knows none and "
                    "linear",
                    file.path(), type));
  }
  return file.number("llama.rope.scaling.factor").value_or(old_factor.value_or(1));
}

void read_rope(const GgufFile& file, Hyper* hyper) {
  hyper->rope_theta = file.number("llama.rope.freq_base").value_or(10000);
  const double factor = linear_factor(file);
  if (!(hyper->rope_theta > 0) || !(factor > 0)) {
    throw ImportError(
        fmt::format("{}: the RoPE base is {} and its scaling factor {}; both must be "
                    "positive",
                    file.path(), hyper->rope_theta, factor));
  }
  hyper->rotary_dim = file.unsigned_value("llama.rope.dimension_count").value_or(hyper->head_dim);
  hyper->rope_half = false;
  check_llama_hyper(file.path(), *hyper);
  hyper->rope_inv_freq = rope_frequencies(hyper->rope_theta, hyper->rotary_dim);
  for (double& frequency : hyper->rope_inv_freq)
    frequency /= factor;
}

uint32_t vocabulary_size(const GgufFile& file) {
  for (const GgufTensor& tensor : file.tensors()) {
    if (tensor.name != "token_embd.weight") continue;
    const uint64_t rows = tensor.dims[1];
    const uint64_t stated = file.unsigned_value("llama.vocab_size").value_or(rows & 0xffffffffu);
    if (rows == stated) return static_cast<uint32_t>(stated);
    throw ImportError(
        fmt::format("{}: tensor token_embd.weight has {} rows; llama.vocab_size is {}", file.path(),
                    rows, stated));
  }
  throw ImportError(fmt::format("{}: tensor token_embd.weight is missing", file.path()));
}

Hyper read_hyper(const GgufFile& file) {
  Hyper hyper;
  hyper.architecture = "llama";
  hyper.name = file.text("general.name").value_or("");
  hyper.dim = required(file, "llama.embedding_length");
  hyper.layers = required(file, "llama.block_count");
  hyper.heads = required(file, "llama.attention.head_count");
  hyper.kv_heads = file.unsigned_value("llama.attention.head_count_kv").value_or(hyper.heads);
  hyper.ffn = required(file, "llama.feed_forward_length");
  hyper.context = required(file, "llama.context_length");
  hyper.vocab = vocabulary_size(file);
  const std::optional<double> eps = file.number("llama.attention.layer_norm_rms_epsilon");
  if (!eps) {
    throw ImportError(
        fmt::format("{}: key llama.attention.layer_norm_rms_epsilon is missing", file.path()));
  }
  hyper.eps = static_cast<float>(*eps);
  const uint32_t even_share = hyper.heads == 0 ? 0 : hyper.dim / hyper.heads;
  hyper.head_dim = file.unsigned_value("llama.attention.key_length").value_or(even_share);
  refuse_unknown_variants(file, hyper);
  read_rope(file, &hyper);
  return hyper;
}

SourceType source_type(const GgufFile& file, const GgufTensor& tensor) {
  for (uint32_t type = 0; type < kSourceTypeCount; ++type) {
    if (kGgmlTypeIds[type] == tensor.type) return static_cast<SourceType>(type);
  }
  const bool has_name = tensor.type < std::size(kGgmlTypeNames);
  throw ImportError(fmt::format(
      "{}: tensor {} has type {}; nibble imports {}", file.path(), tensor.name,
      has_name ? kGgmlTypeNames[tensor.type] : std::to_string(tensor.type), source_type_names()));
}

SourceTensor view(const GgufFile& file, const GgufTensor& entry) {
  SourceTensor tensor;
  tensor.name = entry.name;
  tensor.type = source_type(file, entry);
  tensor.columns = entry.dims[0];
  tensor.rows = entry.dims[1];
  if (entry.dims[2] != 1 || entry.dims[3] != 1) {
    throw ImportError(fmt::format("{}: tensor {} has {} dimensions; a llama tensor has 1 or 2",
                                  file.path(), entry.name, entry.rank));
  }
  if (tensor.columns % source_block(tensor.type) != 0) {
    throw ImportError(fmt::format(
        "{}: tensor {} of type {} has {} columns; they must be a multiple of {}", file.path(),
        entry.name, source_type_name(tensor.type), tensor.columns, source_block(tensor.type)));
  }
  // rows * columns < 2^63 was checked; four bytes an element may still overflow.
  uint64_t size = 0;
  const uint64_t room = file.bytes().size() - entry.offset;
  const bool fits = tensor.columns <= room && checked_mul(tensor.rows, tensor.row_bytes(), &size);
  if (!fits || size > room) {
    throw ImportError(
        fmt::format("{}: tensor {} of shape [{}, {}] runs past the end of the file: it "
                    "begins {} bytes before it",
                    file.path(), entry.name, tensor.rows, tensor.columns, room));
  }
  tensor.data = file.bytes().data() + entry.offset;
  return tensor;
}

// Llama 3.1's scaling: a divisor for each frequency.
void apply_rope_factors(const GgufFile& file, const SourceTensor& factors, Hyper* hyper) {
  std::vector<double>& frequencies = hyper->rope_inv_freq;
  if (factors.rows != 1 || factors.columns != frequencies.size()) {
    throw ImportError(
        fmt::format("{}: tensor {} has shape [{}, {}]; the rotary dimension asks for "
                    "[1, {}]",
                    file.path(), kRopeFactors, factors.rows, factors.columns, frequencies.size()));
  }
  std::vector<float> values(factors.columns);
  factors.read_row(0, values.data());
  for (size_t i = 0; i < values.size(); ++i) {
    if (!(values[i] > 0)) {
      throw ImportError(fmt::format("{}: tensor {} has element {} = {}; it must be positive",
                                    file.path(), kRopeFactors, i, values[i]));
    }
    frequencies[i] /= static_cast<double>(values[i]);
  }
}

void read_tensors(const GgufFile& file, Checkpoint* checkpoint) {
  for (const GgufTensor& entry : file.tensors()) {
    SourceTensor tensor = view(file, entry);
    if (entry.name == kRopeFactors) {
      apply_rope_factors(file, tensor, &checkpoint->hyper);
      continue;
    }
    // A name without the suffix is known to nobody and keeps it for the error.
    std::string name = entry.name;
    if (name.ends_with(kWeightSuffix)) {
      name.resize(name.size() - kWeightSuffix.size());
    } else {
      throw ImportError(
          fmt::format("{}: tensor {} has no place in the llama architecture that "
                      "nibble knows",
                      file.path(), name));
    }
    checkpoint->tensors.emplace(std::move(name), std::move(tensor));
  }
  check_llama_tensors(file.path(), checkpoint->hyper, checkpoint->tensors);
}

}  // namespace

Checkpoint import_gguf(const MappedFile& mapped) {
  const GgufFile file(mapped);
  check_architecture(file);
  Checkpoint checkpoint;
  checkpoint.hyper = read_hyper(file);
  read_tensors(file, &checkpoint);
  checkpoint.hyper.stop_tokens = gguf_stop_tokens(file, checkpoint.hyper.vocab);
  checkpoint.tokenizer = gguf_tokenizer(file, checkpoint.hyper.vocab, &checkpoint.warnings);
  return checkpoint;
}

}  // namespace nbl::compiler
