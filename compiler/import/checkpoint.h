// A checkpoint as every importer hands it on: hyperparameters, tensors under canonical names that
// still lie in the mapped file, and the tokenizer. Nothing is dequantized until a row is read.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "compiler/import/source_types.h"
#include "rt/model/model.h"

namespace nbl::compiler {

struct Q4Rows;

// A file that cannot be imported. The text is one sentence that names the file, the tensor or key,
// the value found and the limit it broke.
class ImportError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// One tensor of the file.
//
// Shapes   a vector has rows = 1.
// Layout   rows follow each other without gaps, encoded as source_types.h says.
// Borrows  the mapping that Checkpoint::storage holds.
struct SourceTensor {
  std::string name;
  SourceType type = SourceType::f32;
  uint64_t rows = 0;
  uint64_t columns = 0;
  const std::byte* data = nullptr;
  // Set where the file holds the tensor on nibble's own 4-bit grid (quantize/q4_rows.h); type and
  // data then say nothing.
  std::shared_ptr<const Q4Rows> quantized = {};

  // Writes `columns` dequantized elements.
  void read_row(uint64_t row, float* out) const;
  size_t row_bytes() const;
  const std::byte* row_data(uint64_t row) const { return data + row * row_bytes(); }
};

// Two tokens that byte-level BPE makes one; lower ranks come first.
struct Merge {
  uint32_t left;
  uint32_t right;
  uint32_t result;
  uint32_t rank;
};

// Sides on which a token takes the white space beside it.
enum StripSide : uint8_t { kStripsLeft = 1, kStripsRight = 2 };

// A vocabulary. In a piece of kind spm a space is U+2581; those of kind bpe are the bytes of a
// text.
struct TokenizerData {
  TokenizerKind kind = TokenizerKind::spm;
  std::vector<std::string> pieces;
  std::vector<float> scores;   // spm
  std::vector<uint8_t> types;  // 0 normal, 1 control, 2 byte, 3 unknown, 4 user, 5 unused
  int32_t bos = -1;            // -1 = none, as for the two below
  int32_t eos = -1;
  int32_t unknown = -1;
  bool add_bos = true;
  bool add_space_prefix = true;
  // bpe
  Splitter splitter = Splitter::gpt2;
  bool whole_words = false;        // a word that is a piece is that token, whatever the merges say
  std::vector<Merge> merges = {};  // of different (left, right), in any order
  // Chats. Of no effect on other texts.
  std::string chat_template = {};              // Jinja, as the file has it
  std::map<std::string, uint8_t> strips = {};  // pieces, with their StripSides
  bool space_after_control = true;             // where texts get a space in front
};

// What the gate of a feed-forward block goes through.
enum class Gate : uint8_t { silu, gelu_tanh };

// The numbers that fix a network of the llama kind. What apply_architecture() sets follows from the
// name of the architecture; an importer sets the rest. Where nothing is said, the default is
// llama's.
struct Hyper {
  std::string architecture;  // one that arch/ knows: "llama", "qwen2", ...
  std::string name;          // for people; may be empty
  uint32_t vocab = 0;
  uint32_t dim = 0;
  uint32_t layers = 0;
  uint32_t heads = 0;
  uint32_t kv_heads = 0;
  uint32_t head_dim = 0;  // of dim / heads independent
  uint32_t ffn = 0;
  uint32_t context = 0;
  float eps = 1e-5f;
  std::vector<uint32_t> stop_tokens;  // ascending, each once

  // Rotary position embedding.
  double rope_theta = 10000;
  uint32_t rotary_dim = 0;            // R: leading elements of a head that turn
  std::vector<double> rope_inv_freq;  // R/2, radians a position, with any scaling in it
  bool rope_half = false;             // pairs (i, i + R/2) instead of (2i, 2i+1)
  std::string rope_scaling;           // for people: "llama3, factor 32"; empty = none
  float rope_magnitude = 1;           // factor of every cosine and sine
  // A model compiled for more positions than this turns by rope_long_inv_freq; 0 = none does.
  uint32_t rope_short_context = 0;
  std::vector<double> rope_long_inv_freq;
  // Layers with a window turn by these; empty = as the others.
  double local_rope_theta = 0;
  std::vector<double> local_rope_inv_freq;

  // Attention.
  std::vector<uint32_t> windows;  // by layer: positions a row sees, its own included, 0 = all; or
                                  // empty: every layer sees all
  float attention_scale = 0;      // 0 = 1 / sqrt(head_dim)
  float attention_softcap = 0;    // scores s become c tanh(s / c); 0 = as they are
  float logit_softcap = 0;        // likewise

  float norm_offset = 0;  // norms multiply by weight + offset; 1 where a file holds w of (1 + w)

  // Set by apply_architecture().
  bool qkv_bias = false;    // blk.N.{attn_q,attn_k,attn_v}.bias
  bool qk_norm = false;     // blk.N.{attn_q_norm,attn_k_norm}, over each head
  bool post_norms = false;  // blk.N.{post_attention_norm,post_ffw_norm}
  Gate gate = Gate::silu;
  float embedding_scale = 1;
};

struct Checkpoint {
  Hyper hyper;
  // Canonical name -> tensor: token_embd, output (absent when tied to token_embd), output_norm,
  // blk.N.{attn_norm,attn_q,attn_k,attn_v,attn_output,ffn_norm,ffn_gate,ffn_up,ffn_down} and what
  // Hyper asks for. All are there and have the shapes of llama_tensor_shapes(). Matrices that a
  // file holds as one come apart here (split_fused_tensors()).
  std::map<std::string, SourceTensor> tensors;
  std::optional<TokenizerData> tokenizer;
  std::vector<std::string> warnings;  // one sentence each
  std::shared_ptr<void> storage;      // keeps the mapping alive
};

// Reads a checkpoint: a model folder of Hugging Face, or a file, whose content says which reader
// takes it. `tokenizer` may be empty; a llama2.c checkpoint has none of its own.
//
// Errors  ImportError.
Checkpoint import_checkpoint(const std::filesystem::path& file,
                             const std::filesystem::path& tokenizer);

// Reads a vocabulary alone: that of a model folder, a tokenizer.json, a SentencePiece
// tokenizer.model, a GGUF file with a SentencePiece or byte-level BPE one, a tiktoken file, or a
// llama2.c tokenizer. It must have `vocab` pieces (0 = as many as the file holds); those of a model
// folder are padded to them.
//
// warnings  one sentence each are added; null: they are dropped.
// Errors    ImportError.
TokenizerData import_tokenizer(const std::filesystem::path& file, uint32_t vocab,
                               std::vector<std::string>* warnings = nullptr);

}  // namespace nbl::compiler
