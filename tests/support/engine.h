// A whole engine over the C API, with the memory it runs in. Used as an application would use it:
// the size is asked for, exactly that is allocated, and the model lies on a page boundary.
//
//   NBL_REQUIRE_VULKAN();
//   TestEngine engine(file.span(), {.prefill_chunk = 16, .logits = NBL_LOGITS_ALL});
//   engine.evaluate(prompt);
//   const std::vector<uint32_t> tokens = engine.generate(32);
//
// Environment  NIBBLE_TEST_DEVICE=index    which device
#pragma once

#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "rt/nibble.h"
#include "tests/support/sentence.h"

namespace nbl::test {

// vkGetInstanceProcAddr of the Vulkan loader, opened once a process; null where there is none.
nbl_get_instance_proc_addr vulkan_entry();

// Why no engine can run here: no loader or no device. Empty where one can.
const std::string& missing_vulkan();

#define NBL_REQUIRE_VULKAN() \
  if (!::nbl::test::missing_vulkan().empty()) GTEST_SKIP() << ::nbl::test::missing_vulkan()

// What nbl_config has beside memory; zero is its default.
struct EngineOptions {
  uint32_t flags = 0;
  uint32_t context = 0;
  uint32_t prefill_chunk = 0;
  uint32_t max_burst = 0;
  uint32_t logits = NBL_LOGITS_NONE;
  uint32_t driver_pool_bytes = 0;
  uint32_t staging_bytes = 0;
  uint64_t device_memory_limit = 0;
  nbl_cache_load_fn cache_load = nullptr;
  nbl_cache_store_fn cache_store = nullptr;
  void* user = nullptr;
  uint32_t on_full = NBL_ON_FULL_ERROR;
  uint32_t sink_tokens = 0;
  nbl_get_instance_proc_addr vulkan = nullptr;  // null: vulkan_entry()
};

// Bytes at an aligned address, followed by a guard that nobody may write.
class AlignedBlock {
 public:
  AlignedBlock(size_t bytes, size_t align);
  std::byte* data() const { return memory_.get(); }
  size_t size() const { return size_; }
  bool guard_intact() const;

 private:
  struct Free {
    void operator()(std::byte* memory) const { std::free(memory); }
  };
  size_t size_;
  std::unique_ptr<std::byte, Free> memory_;
};

// Errors  std::runtime_error with the runtime's sentence, in the constructor and every method that
//         names none.
class TestEngine {
 public:
  // Copies the model.
  explicit TestEngine(std::span<const std::byte> model, const EngineOptions& options = {});
  // Fails the test where the arena was written past its end.
  ~TestEngine();
  TestEngine(const TestEngine&) = delete;
  TestEngine& operator=(const TestEngine&) = delete;

  // For calls that are expected to fail.
  nbl_engine* get() const { return engine_; }

  // What nbl_memory_needed() said before the engine was opened.
  const nbl_memory& needed() const { return needed_; }
  nbl_info info() const;

  // Takes the engine down, or brings it up again in the same arena.
  void close();
  void open();

  void set_sampling(const nbl_sampling& sampling);
  void evaluate(std::span<const uint32_t> tokens);
  // Up to `count` tokens: fewer after a stop token or where the context is full.
  std::vector<uint32_t> generate(uint32_t count);
  uint32_t next_token() const;
  uint32_t position() const { return nbl_position(engine_); }
  void rewind(uint32_t position);
  std::vector<std::byte> save_state();
  void load_state(std::span<const std::byte> state);

  // The rows of the last evaluation.
  std::vector<std::vector<float>> logits();
  // The rows of every token, evaluated in chunks of at most `chunk`; needs NBL_LOGITS_ALL.
  std::vector<std::vector<float>> logits_of(std::span<const uint32_t> tokens, uint32_t chunk);

  std::vector<uint32_t> tokenize(std::string_view text, bool add_bos);
  std::string detokenize(std::span<const uint32_t> tokens);

 private:
  AlignedBlock model_;
  nbl_config config_ = {};
  nbl_memory needed_ = {};
  std::unique_ptr<AlignedBlock> arena_;
  nbl_engine* engine_ = nullptr;
};

// ||a - b|| / ||b||
double relative_error(std::span<const float> a, std::span<const double> b);

}  // namespace nbl::test
