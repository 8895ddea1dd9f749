// An engine with its insides open: the runtime's own calls, and what lies in device memory.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "rt/engine.h"
#include "tests/support/compiled.h"
#include "tests/support/engine.h"

namespace nbl::test {

// Errors  std::runtime_error with the runtime's sentence.
class OpenEngine {
 public:
  // Borrows  the model.
  explicit OpenEngine(const AlignedBytes& model, const EngineOptions& options = {})
      : arena_(kArenaBytes, 64) {
    nbl_config config = {};
    config.get_instance_proc_addr = vulkan_entry();
    config.model = model.span().data();
    config.model_bytes = model.size;
    config.arena = arena_.data();
    config.arena_bytes = arena_.size();
    config.flags = options.flags | NBL_FLAG_NO_IMPORT;
    config.max_burst = options.max_burst;
    config.logits = options.logits;
    check(open_engine(config, &engine_, &error_));
  }
  ~OpenEngine() {
    if (engine_ != nullptr) close_engine(engine_);
  }
  OpenEngine(const OpenEngine&) = delete;
  OpenEngine& operator=(const OpenEngine&) = delete;

  Engine& operator*() { return *engine_; }
  Engine* operator->() { return engine_; }

  void check(Status status) {
    if (status.ok()) return;
    char text[256];
    describe(error_, text, sizeof text);
    throw std::runtime_error(text);
  }
  void evaluate(std::span<const uint32_t> tokens) {
    check(nbl::evaluate(engine_->stepper(), tokens, &engine_->sequence, &error_));
  }
  std::vector<uint32_t> generate(uint32_t limit) {
    std::vector<uint32_t> tokens(limit);
    uint32_t count = 0;
    check(nbl::generate(engine_->stepper(), tokens, &count, &engine_->sequence, &error_));
    tokens.resize(count);
    return tokens;
  }
  void submit(std::span<const VkCommandBuffer> commands) {
    check(submit_and_wait(engine_->device, commands, engine_->recording.fence, 60000, "a test",
                          &error_));
  }

  // State and activations are in memory that the host can look at.
  bool sees_memory() const {
    for (const uint32_t i : looked_at()) {
      const uint32_t type = engine_->plan.blocks[i].memory_type;
      if ((engine_->device.caps.memory_types[type].flags & kHostVisible) == 0) return false;
    }
    return true;
  }

  // Overwrites all of it; messages of chains with 0, as every decode step does.
  void fill(std::byte value) {
    for (const uint32_t i : looked_at()) {
      const DeviceBlock block = mapped(i);
      std::fill_n(block.mapped, block.bytes, value);
      const Region& messages = engine_->plan.messages;
      if (messages.block == i) {
        std::fill_n(block.mapped + messages.offset, messages.bytes, std::byte{0});
      }
      check(flush_block(engine_->device, block, &error_));
      engine_->device.fn.UnmapMemory(engine_->device.device, block.memory);
    }
  }

  // All of it, block after block; without the step buffer and the results these two are zero.
  std::vector<std::byte> memory(bool with_step) {
    std::vector<std::byte> bytes;
    for (const uint32_t i : looked_at()) {
      const DeviceBlock block = mapped(i);
      check(invalidate_block(engine_->device, block, &error_));
      const auto begin = std::ssize(bytes);
      bytes.insert(bytes.end(), block.mapped, block.mapped + block.bytes);
      engine_->device.fn.UnmapMemory(engine_->device.device, block.memory);
      for (const Region& region : {engine_->plan.step, engine_->plan.results}) {
        if (with_step || region.block != i) continue;
        std::fill_n(bytes.begin() + begin + static_cast<std::ptrdiff_t>(region.offset),
                    region.bytes, std::byte{0});
      }
    }
    return bytes;
  }

 private:
  static constexpr size_t kArenaBytes = size_t{16} << 20;

  std::vector<uint32_t> looked_at() const {
    std::vector<uint32_t> blocks;
    for (uint32_t i = 0; i < engine_->plan.blocks.size(); ++i) {
      const BlockRole role = engine_->plan.blocks[i].role;
      if (role == BlockRole::state || role == BlockRole::activations) blocks.push_back(i);
    }
    return blocks;
  }
  DeviceBlock mapped(uint32_t index) {
    DeviceBlock block = engine_->recording.blocks[index];
    check(map_block(engine_->device, &block, &error_));
    return block;
  }

  AlignedBlock arena_;
  Error error_;
  Engine* engine_ = nullptr;
};

}  // namespace nbl::test
