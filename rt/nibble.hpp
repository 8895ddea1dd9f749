// nibble for C++: rt/nibble.h with a handle that closes itself, spans and string views.
//
//   nbl_error error{};
//   nibble::Engine engine;
//   if (engine.open(config, &error) != 0) ...
//   engine.evaluate(prompt, &error);
//   engine.generate(tokens, &count, &error);
//
// Everything is inline and forwards to the C function of the same name, whose comment says what it
// does and which errors it has. Needs no exceptions, RTTI, heap or C++ runtime.
#ifndef NBL_NIBBLE_HPP
#define NBL_NIBBLE_HPP

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <utility>

#include "rt/nibble.h"

namespace nibble {

inline nbl_status memory_needed(const nbl_config& config, nbl_memory* memory,
                                nbl_error* error = nullptr) {
  return nbl_memory_needed(&config, memory, error);
}

// The sentence for `error`. Borrows `buffer`.
inline std::string_view error_text(const nbl_error& error, std::span<char> buffer) {
  return {buffer.data(), nbl_error_text(&error, buffer.data(), buffer.size())};
}

// Watches generated text for stop texts; how, says nbl_stop in rt/nibble.h.
//
// Borrows  the texts of begin().
class StopTexts {
 public:
  nbl_status begin(std::span<const char* const> texts, nbl_error* error = nullptr) {
    return nbl_stop_begin(&stop_, texts.data(), static_cast<uint32_t>(texts.size()), error);
  }
  nbl_status put(const nbl_decoder* decoder, std::string_view text, std::span<char> out,
                 size_t* length, nbl_error* error = nullptr) {
    return nbl_stop_put(&stop_, decoder, text.data(), text.size(), out.data(), out.size(), length,
                        error);
  }
  nbl_status flush(std::span<char> out, size_t* length, nbl_error* error = nullptr) {
    return nbl_stop_flush(&stop_, out.data(), out.size(), length, error);
  }
  bool found() const { return stop_.found != 0; }
  const nbl_stop& state() const { return stop_; }

 private:
  nbl_stop stop_{};
};

// One engine, or none. Closes it when destroyed, opened anew or assigned to.
//
// Borrows  config.model and config.arena, from open() until the engine is closed.
// Errors   every method but open(), close(), is_open() and get() needs an open engine.
class Engine {
 public:
  Engine() = default;
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;
  Engine(Engine&& other) noexcept : engine_(std::exchange(other.engine_, nullptr)) {}
  Engine& operator=(Engine&& other) noexcept {
    if (this != &other) {
      close();
      engine_ = std::exchange(other.engine_, nullptr);
    }
    return *this;
  }
  ~Engine() { close(); }

  nbl_status open(const nbl_config& config, nbl_error* error = nullptr) {
    close();
    return nbl_open(&config, &engine_, error);
  }
  void close() { nbl_close(std::exchange(engine_, nullptr)); }
  bool is_open() const { return engine_ != nullptr; }
  nbl_engine* get() const { return engine_; }

  nbl_status set_sampling(const nbl_sampling& sampling, nbl_error* error = nullptr) {
    return nbl_set_sampling(engine_, &sampling, error);
  }
  nbl_status set_logit_bias(std::span<const nbl_logit_bias> biases, nbl_error* error = nullptr) {
    return nbl_set_logit_bias(engine_, biases.data(), static_cast<uint32_t>(biases.size()), error);
  }
  nbl_status evaluate(std::span<const uint32_t> tokens, nbl_error* error = nullptr) {
    return nbl_evaluate(engine_, tokens.data(), static_cast<uint32_t>(tokens.size()), error);
  }
  nbl_status next_token(uint32_t* token, nbl_error* error = nullptr) const {
    return nbl_next_token(engine_, token, error);
  }
  // At most tokens.size() of them; *count says how many came.
  nbl_status generate(std::span<uint32_t> tokens, uint32_t* count, nbl_error* error = nullptr) {
    return nbl_generate(engine_, static_cast<uint32_t>(tokens.size()), tokens.data(), count, error);
  }
  uint32_t position() const { return nbl_position(engine_); }
  nbl_status rewind(uint32_t position, nbl_error* error = nullptr) {
    return nbl_rewind(engine_, position, error);
  }
  // The tokens that the model starts after.
  std::span<const uint32_t> prefix() const {
    return {nbl_prefix_tokens(engine_), nbl_prefix_length(engine_)};
  }
  nbl_status restart(nbl_error* error = nullptr) { return nbl_restart(engine_, error); }
  uint64_t state_bytes() const { return nbl_state_bytes(engine_); }
  nbl_status save_state(std::span<std::byte> state, size_t* bytes, nbl_error* error = nullptr) {
    return nbl_save_state(engine_, state.data(), state.size(), bytes, error);
  }
  nbl_status load_state(std::span<const std::byte> state, nbl_error* error = nullptr) {
    return nbl_load_state(engine_, state.data(), state.size(), error);
  }
  nbl_status logits(std::span<float> logits, uint32_t* rows, nbl_error* error = nullptr) {
    return nbl_logits(engine_, logits.data(), logits.size(), rows, error);
  }

  nbl_info info() const {
    nbl_info info{};
    nbl_get_info(engine_, &info);
    return info;
  }
  bool is_stop_token(uint32_t token) const { return nbl_is_stop_token(engine_, token) != 0; }

  static size_t tokenize_scratch_bytes(size_t text_bytes) {
    return nbl_tokenize_scratch_bytes(text_bytes);
  }
  nbl_status tokenize(std::string_view text, uint32_t flags, std::span<std::byte> scratch,
                      std::span<uint32_t> tokens, size_t* count, nbl_error* error = nullptr) const {
    return nbl_tokenize(engine_, text.data(), text.size(), flags, scratch.data(), scratch.size(),
                        tokens.data(), tokens.size(), count, error);
  }
  size_t max_piece_bytes() const { return nbl_max_piece_bytes(engine_); }
  nbl_status detokenize(nbl_decoder* decoder, uint32_t token, std::span<char> text, size_t* length,
                        nbl_error* error = nullptr) const {
    return nbl_detokenize(engine_, decoder, token, text.data(), text.size(), length, error);
  }

  size_t chat_scratch_bytes(size_t text_bytes) const {
    return nbl_chat_scratch_bytes(engine_, text_bytes);
  }
  nbl_status chat_turn(nbl_chat* chat, uint32_t role, std::string_view text, uint32_t flags,
                       std::span<std::byte> scratch, std::span<uint32_t> tokens, size_t* count,
                       nbl_error* error = nullptr) const {
    return nbl_chat_turn(engine_, chat, role, text.data(), text.size(), flags, scratch.data(),
                         scratch.size(), tokens.data(), tokens.size(), count, error);
  }
  nbl_status timings(bool prefill, std::span<nbl_timing> timings, uint32_t* count,
                     nbl_error* error = nullptr) {
    return nbl_timings(engine_, prefill ? 1 : 0, timings.data(),
                       static_cast<uint32_t>(timings.size()), count, error);
  }

 private:
  nbl_engine* engine_ = nullptr;
};

}  // namespace nibble

#endif  // NBL_NIBBLE_HPP
