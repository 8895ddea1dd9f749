#include "compiler/import/llama2c.h"

#include <fmt/format.h>

#include <cmath>
#include <cstring>

#include "compiler/import/byte_reader.h"
#include "compiler/import/llama_tensors.h"
#include "compiler/import/rope_frequencies.h"
#include "rt/base/checked.h"

namespace nbl::compiler {
namespace {

constexpr uint32_t kUnknownId = 0;
constexpr uint32_t kBosId = 1;
constexpr uint32_t kEosId = 2;
constexpr uint32_t kFirstByteId = 3;
constexpr uint32_t kLastByteId = 258;

// The reader takes whatever is not GGUF, so its errors say what it took the file for.
std::string as_llama2c(const std::string& file) {
  return file + ": is neither a GGUF file nor a llama2.c checkpoint: as the latter";
}

uint32_t read_positive(ByteReader& reader, const char* name) {
  const int32_t value = reader.read<int32_t>(name);
  if (value > 0) return static_cast<uint32_t>(value);
  throw ImportError(fmt::format("{}, its {} would be {}; it must be positive",
                                as_llama2c(reader.file()), name, value));
}

struct Header {
  Hyper hyper;
  bool tied;
};

Header read_header(ByteReader& reader) {
  Header header{};
  Hyper& hyper = header.hyper;
  hyper.architecture = "llama";
  hyper.dim = read_positive(reader, "dim");
  hyper.ffn = read_positive(reader, "hidden_dim");
  hyper.layers = read_positive(reader, "n_layers");
  hyper.heads = read_positive(reader, "n_heads");
  hyper.kv_heads = read_positive(reader, "n_kv_heads");
  const int64_t vocab = reader.read<int32_t>("vocab_size");
  header.tied = vocab > 0;
  hyper.vocab = static_cast<uint32_t>(std::abs(vocab));
  hyper.context = read_positive(reader, "seq_len");
  if (hyper.dim % hyper.heads != 0) {
    throw ImportError(fmt::format("{}, its dim {} is no multiple of its n_heads {}",
                                  as_llama2c(reader.file()), hyper.dim, hyper.heads));
  }
  hyper.head_dim = hyper.dim / hyper.heads;
  hyper.eps = 1e-5f;
  hyper.rope_theta = 10000;
  hyper.rotary_dim = hyper.head_dim;
  hyper.rope_half = false;
  check_llama_hyper(as_llama2c(reader.file()), hyper);
  hyper.rope_inv_freq = rope_frequencies(hyper.rope_theta, hyper.rotary_dim);
  for (const uint32_t id : {kBosId, kEosId}) {  // BOS too: it stands between two texts
    if (id < hyper.vocab) hyper.stop_tokens.push_back(id);
  }
  return header;
}

// Walks the float region twice: once to sum sizes without trusting them, once to place tensors.
class Walk {
 public:
  // data = nullptr only sums.
  Walk(const std::byte* data, Checkpoint* checkpoint) : data_(data), checkpoint_(checkpoint) {}

  void skip(uint64_t rows, uint64_t columns) {
    uint64_t floats = 0;
    overflow_ |= !checked_mul(rows, columns, &floats);
    uint64_t size = 0;
    overflow_ |= !checked_mul(floats, 4, &size);
    overflow_ |= !checked_add(size_bytes_, size, &size_bytes_);
  }

  void place(const std::string& name, uint64_t rows, uint64_t columns) {
    if (data_ != nullptr) {
      checkpoint_->tensors[name] = {name, SourceType::f32, rows, columns, data_ + size_bytes_};
    }
    skip(rows, columns);
  }

  void place_layers(const Hyper& hyper, const char* name, uint64_t rows, uint64_t columns) {
    for (uint32_t layer = 0; layer < hyper.layers; ++layer) {
      place(fmt::format("blk.{}.{}", layer, name), rows, columns);
    }
  }

  bool overflow() const { return overflow_; }
  uint64_t size_bytes() const { return size_bytes_; }

 private:
  const std::byte* data_;
  Checkpoint* checkpoint_;
  uint64_t size_bytes_ = 0;
  bool overflow_ = false;
};

void walk_tensors(const Header& header, Walk* walk) {
  const Hyper& hyper = header.hyper;
  const uint64_t kv_rows = uint64_t{hyper.kv_heads} * hyper.head_dim;
  walk->place("token_embd", hyper.vocab, hyper.dim);
  walk->place_layers(hyper, "attn_norm", 1, hyper.dim);
  walk->place_layers(hyper, "attn_q", hyper.dim, hyper.dim);
  walk->place_layers(hyper, "attn_k", kv_rows, hyper.dim);
  walk->place_layers(hyper, "attn_v", kv_rows, hyper.dim);
  walk->place_layers(hyper, "attn_output", hyper.dim, hyper.dim);
  walk->place_layers(hyper, "ffn_norm", 1, hyper.dim);
  walk->place_layers(hyper, "ffn_gate", hyper.ffn, hyper.dim);
  walk->place_layers(hyper, "ffn_down", hyper.dim, hyper.ffn);
  walk->place_layers(hyper, "ffn_up", hyper.ffn, hyper.dim);
  walk->place("output_norm", 1, hyper.dim);
  walk->skip(hyper.context, hyper.head_dim / 2);
  walk->skip(hyper.context, hyper.head_dim / 2);
  if (!header.tied) walk->place("output", hyper.vocab, hyper.dim);
}

uint8_t type_of(uint32_t id, std::string_view piece) {
  if (id == kUnknownId) return 3;
  if (id == kBosId || id == kEosId) return 1;
  if (id >= kFirstByteId && id <= kLastByteId && is_byte_piece(piece)) return 2;
  return piece.empty() ? 5 : 0;
}

}  // namespace

Checkpoint import_llama2c(const MappedFile& file) {
  ByteReader reader(file.path().string(), file.bytes());
  const Header header = read_header(reader);
  Walk sizes(nullptr, nullptr);
  walk_tensors(header, &sizes);
  if (sizes.overflow() || sizes.size_bytes() != reader.remaining()) {
    const std::string wanted =
        sizes.overflow() ? "more than 2^64" : std::to_string(sizes.size_bytes());
    throw ImportError(fmt::format(
        "{}: is neither a GGUF file nor a whole llama2.c checkpoint: {} bytes follow the header, "
        "which asks for {}",
        file.path().string(), reader.remaining(), wanted));
  }
  Checkpoint checkpoint;
  checkpoint.hyper = header.hyper;
  Walk places(reader.take(sizes.size_bytes(), "weights"), &checkpoint);
  walk_tensors(header, &places);
  check_llama_tensors(file.path().string(), checkpoint.hyper, checkpoint.tensors);
  return checkpoint;
}

TokenizerData import_llama2c_tokenizer(const MappedFile& file, uint32_t vocab) {
  ByteReader reader(file.path().string(), file.bytes());
  const int32_t longest = reader.read<int32_t>("the longest piece's length");
  TokenizerData data;
  while (vocab == 0 ? reader.remaining() > 0 : data.pieces.size() < vocab) {
    const uint32_t id = static_cast<uint32_t>(data.pieces.size());
    const float score = reader.read<float>(fmt::format("the score of token {}", id));
    const int32_t length = reader.read<int32_t>(fmt::format("the length of token {}", id));
    if (length < 0 || length > longest || !std::isfinite(score)) {
      throw ImportError(
          fmt::format("{}: is not a llama2.c tokenizer: token {} has {} bytes and score {}; pieces "
                      "have at most "
                      "{} bytes and finite scores",
                      reader.file(), id, length, score, longest));
    }
    const std::string_view text =
        reader.take_text(static_cast<uint64_t>(length), fmt::format("the text of token {}", id));
    data.types.push_back(type_of(id, text));
    data.pieces.push_back(with_visible_spaces(text));
    data.scores.push_back(score);
  }
  if (reader.remaining() != 0 || data.pieces.size() <= kEosId) {
    throw ImportError(
        fmt::format("{}: is not the llama2.c tokenizer of this model: {} bytes follow its {} "
                    "pieces; there must "
                    "be none and at least 3 pieces",
                    reader.file(), reader.remaining(), data.pieces.size()));
  }
  data.bos = kBosId;
  data.eos = kEosId;
  data.unknown = kUnknownId;
  return data;
}

}  // namespace nbl::compiler
