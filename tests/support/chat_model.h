// A llama of a few KB that chats: a vocabulary of a few bytes and the tokens of ChatML, so small
// that answers of a hot sampler end by themselves.
#pragma once

#include <string>

#include "rt/text/check.h"
#include "tests/support/compiled.h"
#include "tests/support/small_llama.h"

namespace nbl::test {

inline constexpr const char* kChatSystem = "be brief";  // of the template

inline compiler::TokenizerData chat_vocabulary() {
  compiler::TokenizerData data;
  data.kind = TokenizerKind::bpe;
  data.splitter = Splitter::gpt2;
  data.add_bos = false;
  data.add_space_prefix = false;
  const auto add = [&](std::string piece, uint8_t type) {
    data.pieces.push_back(std::move(piece));
    data.types.push_back(type);
    return static_cast<uint32_t>(data.pieces.size() - 1);
  };
  for (const char c : std::string("\n <|>_./?!0123456789abcdefghijklmnopqrstuvwxyz"))
    add(std::string(1, c), kPieceNormal);
  const auto id_of = [&](char c) {
    uint32_t id = 0;
    while (data.pieces[id] != std::string(1, c))
      ++id;
    return id;
  };
  data.merges.push_back({id_of('s'), id_of('s'), add("ss", kPieceNormal), 0});
  data.merges.push_back({id_of('\n'), id_of('\n'), add("\n\n", kPieceNormal), 1});
  add("<|im_start|>", kPieceControl);
  data.eos = static_cast<int32_t>(add("<|im_end|>", kPieceControl));
  data.chat_template =
      "{% for message in messages %}{% if loop.first and message['role'] != 'system' %}"
      "{{ '<|im_start|>system\\nbe brief<|im_end|>\\n' }}{% endif %}"
      "{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}"
      "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}";
  return data;
}

inline AlignedBytes chat_model(uint32_t context) {
  compiler::TokenizerData data = chat_vocabulary();
  compiler::Checkpoint checkpoint = small_llama({.dim = 64,
                                                 .layers = 1,
                                                 .heads = 4,
                                                 .kv_heads = 2,
                                                 .head_dim = 16,
                                                 .ffn = 96,
                                                 .vocab = static_cast<uint32_t>(data.pieces.size()),
                                                 .context = context});
  checkpoint.tokenizer = std::move(data);
  return build_model(checkpoint, {.context = context});
}

}  // namespace nbl::test
