// Breaks if a damaged or foreign GGUF file is imported, crashes the compiler, or is refused without
// naming what is wrong.
#include <gtest/gtest.h>

#include <bit>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "compiler/import/gguf.h"
#include "compiler/import/gguf_writer.h"
#include "tests/support/gguf_writer.h"
#include "tests/support/import_errors.h"
#include "tests/support/peak_memory.h"
#include "tests/support/temp_file.h"

namespace {

using namespace nbl::compiler;
using namespace nbl::test;

template <typename T>
void append(std::string* out, T value) {
  out->append(reinterpret_cast<const char*>(&value), sizeof value);
}

void append_text(std::string* out, std::string_view text) {
  append(out, uint64_t{text.size()});
  out->append(text);
}

std::string preamble(uint32_t version, uint64_t tensors, uint64_t keys) {
  std::string bytes = "GGUF";
  append(&bytes, version);
  append(&bytes, tensors);
  append(&bytes, keys);
  return bytes;
}

// A file with one tensor entry and the keys that precede its check.
std::string one_tensor(uint32_t rank, std::vector<uint64_t> dims, uint32_t type, uint64_t offset) {
  std::string bytes = preamble(3, 1, 0);
  append_text(&bytes, "token_embd.weight");
  append(&bytes, rank);
  for (const uint64_t dim : dims)
    append(&bytes, dim);
  append(&bytes, type);
  append(&bytes, offset);
  return bytes + std::string(4096, '\0');
}

size_t position_after(const std::string& bytes, std::string_view text) {
  const size_t at = bytes.find(text);
  EXPECT_NE(at, std::string::npos) << text;
  return at + text.size();
}

// The value of a 4-byte key, which follows its name and type.
std::string with_key(std::string bytes, std::string_view key, uint32_t value) {
  std::memcpy(bytes.data() + position_after(bytes, key) + 4, &value, sizeof value);
  return bytes;
}

std::string with_type(std::string bytes, std::string_view key, uint32_t type) {
  std::memcpy(bytes.data() + position_after(bytes, key), &type, sizeof type);
  return bytes;
}

std::string replaced(std::string bytes, std::string_view from, std::string_view to) {
  EXPECT_EQ(from.size(), to.size());
  const size_t at = bytes.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  return bytes.replace(at, from.size(), to);
}

TEST(GgufMalformed, refuses_every_truncation) {
  const std::string bytes = write_gguf_llama(tiny_gguf_llama(SourceType::q4_0)).bytes;
  const TempFile file(bytes);
  // The last tensor, a norm of 128 bytes, ends where the file does: no cut spares all data.
  for (size_t size = bytes.size(); size-- > 0;) {
    std::filesystem::resize_file(file.path(), size);
    ASSERT_NE(import_error(file.path()), "") << size;
  }
}

TEST(GgufMalformed, survives_every_flipped_byte_of_the_header) {
  const std::string bytes = write_gguf_llama(tiny_gguf_llama(SourceType::q4_0)).bytes;
  const TempFile file(bytes);
  const size_t header_end = position_after(bytes, "output_norm.weight") + 32;
  std::fstream stream(file.path(), std::ios::in | std::ios::out | std::ios::binary);
  size_t refused = 0;
  for (size_t at = 0; at < header_end; ++at) {
    for (const int flip : {0x01, 0x80, 0xff}) {
      stream.seekp(static_cast<std::streamoff>(at))
          .put(static_cast<char>(bytes[at] ^ flip))
          .flush();
      refused += import_error(file.path()).empty() ? 0 : 1;  // anything else than ImportError fails
    }
    stream.seekp(static_cast<std::streamoff>(at)).put(bytes[at]).flush();
  }
  EXPECT_GT(refused, header_end / 2);
  EXPECT_EQ(import_error(file.path()), "");
}

TEST(GgufMalformed, refuses_other_magics_versions_and_byte_orders) {
  const std::string bytes = write_gguf_llama(tiny_gguf_llama(SourceType::q4_0)).bytes;
  for (const uint32_t version : {0u, 1u, 4u}) {
    expect_refused(preamble(version, 0, 0), {"version " + std::to_string(version), "2 and 3"});
  }
  expect_refused(preamble(0x03000000u, 0, 0), {"big-endian"});
  expect_refused("GGUX" + bytes.substr(4), {"neither"});
  std::string second = bytes;
  second[4] = 2;
  EXPECT_EQ(import_error_of(second), "");
}

TEST(GgufMalformed, refuses_counts_the_file_has_no_room_for) {
  for (const uint64_t count : {uint64_t{1} << 20, ~uint64_t{0}, uint64_t{1} << 63}) {
    expect_refused(preamble(3, count, 0), {"tensors", std::to_string(count)});
    expect_refused(preamble(3, 0, count), {"keys", std::to_string(count)});
    std::string text = preamble(3, 0, 1);
    append(&text, count);
    expect_refused(text + std::string(64, 'k'), {"key 0", std::to_string(count)});
    for (const GgufType type : {GgufType::u8, GgufType::f64, GgufType::string, GgufType::array}) {
      std::string array = preamble(3, 0, 1);
      append_text(&array, "some.key");
      append(&array, static_cast<uint32_t>(GgufType::array));
      append(&array, static_cast<uint32_t>(type));
      append(&array, count);
      expect_refused(array + std::string(64, '\0'), {"truncated", "some.key"});
    }
  }
}

TEST(GgufMalformed, reads_nested_arrays_and_refuses_endless_ones) {
  const auto nested = [](uint32_t depth) {
    std::string bytes = preamble(3, 0, 2);
    append_text(&bytes, "general.architecture");
    append(&bytes, static_cast<uint32_t>(GgufType::string));
    append_text(&bytes, "llama");
    append_text(&bytes, "some.key");
    append(&bytes, static_cast<uint32_t>(GgufType::array));
    for (uint32_t i = 1; i < depth; ++i) {
      append(&bytes, static_cast<uint32_t>(GgufType::array));
      append(&bytes, uint64_t{1});
    }
    append(&bytes, static_cast<uint32_t>(GgufType::u8));
    append(&bytes, uint64_t{3});
    return bytes + "abc";
  };
  expect_refused(nested(1), {"llama.embedding_length is missing"});
  expect_refused(nested(3), {"llama.embedding_length is missing"});
  expect_refused(nested(100), {"some.key", "deeper than 4"});
}

TEST(GgufMalformed, refuses_repeated_keys_and_tensors_and_unknown_value_types) {
  std::string keys = preamble(3, 0, 2);
  for (int i = 0; i < 2; ++i) {
    append_text(&keys, "a.key");
    append(&keys, static_cast<uint32_t>(GgufType::u8));
    keys += 'x';
  }
  expect_refused(keys, {"a.key appears twice"});
  const std::string bytes = write_gguf_llama(tiny_gguf_llama(SourceType::q4_0)).bytes;
  expect_refused(replaced(bytes, "blk.0.attn_k.weight", "blk.0.attn_q.weight"),
                 {"blk.0.attn_q.weight appears twice"});
  expect_refused(with_type(bytes, "llama.block_count", 13), {"llama.block_count", "type 13"});
}

TEST(GgufMalformed, refuses_tensor_entries_out_of_bounds) {
  expect_refused(one_tensor(0, {}, 0, 0), {"token_embd.weight", "0 dimensions", "1..4"});
  expect_refused(one_tensor(5, {1, 1, 1, 1, 1}, 0, 0), {"5 dimensions", "1..4"});
  const uint64_t big = uint64_t{1} << 32;
  expect_refused(one_tensor(2, {big, big}, 0, 0), {"token_embd.weight", "2^63"});
  expect_refused(one_tensor(2, {big, big / 2}, 0, 0), {"token_embd.weight", "2^63"});
  expect_refused(one_tensor(2, {4, 0}, 0, 0), {"token_embd.weight is empty"});
  expect_refused(one_tensor(2, {4, 4}, 0, 33), {"offset 33", "alignment 32"});
  expect_refused(one_tensor(2, {4, 4}, 0, 1 << 20), {"offset 1048576"});
  expect_refused(one_tensor(2, {4, 4}, 0, ~uint64_t{31}), {"token_embd.weight begins at offset"});
}

TEST(GgufMalformed, refuses_tensors_that_overlap) {
  const std::string bytes = write_gguf_llama(tiny_gguf_llama(SourceType::q4_0)).bytes;
  // Behind the name lie rank, two dimensions and the type.
  const auto offset_at = [&](const char* name) {
    return bytes.data() + position_after(bytes, name) + 4 + 16 + 4;
  };
  for (const uint64_t shift : {0u, 64u}) {
    std::string moved = bytes;
    uint64_t offset = 0;
    std::memcpy(&offset, offset_at("blk.0.ffn_gate.weight"), sizeof offset);
    offset += shift;
    std::memcpy(moved.data() + (offset_at("blk.0.ffn_up.weight") - bytes.data()), &offset,
                sizeof offset);
    expect_refused(moved,
                   {"tensors blk.0.ffn_", "overlap", std::to_string(shift) + " bytes after"});
  }
}

TEST(GgufMalformed, takes_a_chat_template_of_any_bytes) {
  LlamaSpec spec = tiny_gguf_llama(SourceType::q4_0);
  spec.chat_template = "\xff\xfe {{ '<|user|>' }} \xc3";
  const std::string bytes = write_gguf_llama(spec).bytes;
  EXPECT_EQ(import_error_of(bytes), "");
  expect_refused(with_type(bytes, "tokenizer.chat_template", 99), {"chat_template", "type 99"});
}

TEST(GgufMalformed, refuses_bad_alignments) {
  for (const uint32_t alignment : {0u, 1u, 4u, 24u, 48u}) {
    std::string bytes = preamble(3, 0, 1);
    append_text(&bytes, "general.alignment");
    append(&bytes, static_cast<uint32_t>(GgufType::u32));
    append(&bytes, alignment);
    expect_refused(bytes, {"general.alignment is " + std::to_string(alignment)});
  }
}

TEST(GgufMalformed, refuses_other_architectures_and_variants) {
  const std::string bytes = write_gguf_llama(tiny_gguf_llama(SourceType::q4_0)).bytes;
  std::string other = bytes;
  other.replace(position_after(bytes, "general.architecture") + 12, 5, "bloom");
  expect_refused(other, {"general.architecture is bloom", "llama, qwen2, qwen3, gemma3, phi3"});
  expect_refused(with_key(bytes, "llama.attention.value_length", 8),
                 {"llama.attention.value_length is 8", "16"});
  expect_refused(replaced(bytes, "general.architecture", "general.brchitecture"),
                 {"general.architecture is missing"});
}

TEST(GgufMalformed, refuses_tensor_types_by_name) {
  const std::string bytes = write_gguf_llama(tiny_gguf_llama(SourceType::q4_0)).bytes;
  // Behind the name lie rank and two dimensions.
  const size_t at = position_after(bytes, "blk.0.ffn_up.weight") + 4 + 16;
  const std::pair<uint32_t, const char*> types[] = {
      {4, "Q4_2"},    {9, "Q8_1"},   {15, "Q8_K"},  {16, "IQ2_XXS"}, {21, "IQ3_S"},
      {23, "IQ4_XS"}, {29, "IQ1_M"}, {34, "TQ1_0"}, {39, "MXFP4"},   {77, "77"}};
  for (const auto& [type, name] : types) {
    std::string changed = bytes;
    std::memcpy(changed.data() + at, &type, sizeof type);
    expect_refused(changed,
                   {"blk.0.ffn_up.weight", std::string("type ") + name + ";", "Q4_0", "Q4_K"});
  }
}

TEST(GgufMalformed, refuses_tensors_that_llama_does_not_have) {
  const std::string bytes = write_gguf_llama(tiny_gguf_llama(SourceType::q4_0)).bytes;
  expect_refused(replaced(bytes, "blk.0.attn_q.weight", "blk.0.attn_q.scales"),
                 {"blk.0.attn_q.scales", "no place"});
  expect_refused(replaced(bytes, "blk.0.attn_q.weight", "blk.0.attn_z.weight"),
                 {"blk.0.attn_q is missing"});
  LlamaSpec spec = tiny_gguf_llama(SourceType::q4_0);
  spec.layers = 2;
  expect_refused(with_key(write_gguf_llama(spec).bytes, "llama.block_count", 1),
                 {"blk.1.attn_k", "no place", "1 layers"});
}

TEST(GgufMalformed, refuses_shapes_that_contradict_the_hyperparameters) {
  const std::string bytes = write_gguf_llama(tiny_gguf_llama(SourceType::q4_0)).bytes;
  expect_refused(with_key(bytes, "llama.feed_forward_length", 64),
                 {"blk.0.ffn_gate", "[32, 32]", "[64, 32]"});
  expect_refused(with_key(bytes, "llama.attention.head_count_kv", 2),
                 {"blk.0.attn_k", "[16, 32]", "[32, 32]"});
  expect_refused(with_key(bytes, "llama.vocab_size", 262), {"261", "llama.vocab_size is 262"});
  expect_refused(with_key(bytes, "llama.block_count", 0), {"layer count is 0"});
  expect_refused(with_key(bytes, "llama.rope.dimension_count", 15), {"15", "even"});
  expect_refused(with_key(bytes, "llama.rope.dimension_count", 18), {"18", "head dimension 16"});
  expect_refused(with_key(bytes, "llama.attention.head_count", 0), {"head count is 0"});
  const uint32_t nan_bits = std::bit_cast<uint32_t>(__builtin_nanf(""));
  expect_refused(with_key(bytes, "llama.rope.freq_base", nan_bits),
                 {"llama.rope.freq_base is nan"});
  expect_refused(with_key(bytes, "llama.attention.layer_norm_rms_epsilon", nan_bits), {"epsilon"});
  expect_refused(with_type(bytes, "llama.block_count", 6), {"llama.block_count", "of type f32"});
  expect_refused(with_key(with_type(bytes, "llama.block_count", 5), "llama.block_count", ~0u),
                 {"llama.block_count is -1"});
}

// A list by layer of a gemma3 with windows.
TEST(GgufMalformed, refuses_more_layers_than_there_can_be_before_it_makes_room_for_them) {
  LlamaSpec spec = tiny_gguf_llama(SourceType::q4_0);
  spec.architecture = "gemma3";
  spec.window = 8;
  const std::string bytes = write_gguf_llama(spec).bytes;
  const uint64_t before = peak_memory_bytes();
  expect_refused(with_key(bytes, "gemma3.block_count", 1u << 29),
                 {"layer count is 536870912", "1..1024"});
  EXPECT_LT(peak_memory_bytes() - before, 256u << 20);
}

TEST(GgufMalformed, refuses_quantized_rows_that_split_a_block) {
  LlamaSpec spec = tiny_gguf_llama(SourceType::q4_0);
  spec.type = SourceType::f32;
  spec.dim = 40;
  std::string bytes = write_gguf_llama(spec).bytes;
  const uint32_t q8_0 = 8;
  const size_t at = position_after(bytes, "blk.0.ffn_up.weight") + 4 + 16;
  std::memcpy(bytes.data() + at, &q8_0, sizeof q8_0);
  expect_refused(bytes, {"blk.0.ffn_up.weight", "Q8_0", "40 columns", "32"});
}

TEST(GgufMalformed, refuses_vocabularies_that_do_not_fit) {
  const std::string bytes = write_gguf_llama(tiny_gguf_llama(SourceType::q4_0)).bytes;
  expect_refused(with_key(bytes, "tokenizer.ggml.eos_token_id", 261),
                 {"tokenizer.ggml.eos_token_id is 261", "261 tokens"});
  expect_refused(replaced(bytes, "tokenizer.ggml.scores", "tokenizer.ggml.scared"),
                 {"tokenizer.ggml.scores is missing"});
  expect_refused(replaced(bytes, "<0x0A>", "<0xZZ>"), {"token 13", "<0xZZ>"});
  std::string scores = bytes;
  const float infinite = __builtin_inff();
  std::memcpy(scores.data() + position_after(bytes, "tokenizer.ggml.scores") + 16, &infinite, 4);
  expect_refused(scores, {"tokenizer.ggml.scores", "element 0", "finite"});
  std::string types = bytes;
  types[position_after(bytes, "tokenizer.ggml.token_type") + 16] = 7;
  expect_refused(types, {"tokenizer.ggml.token_type", "element 0 = 7"});
}

}  // namespace
