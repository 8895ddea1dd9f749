// A kernel over and over, recorded by the runtime on a device of its own: for yardsticks.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "rt/mem/pool.h"
#include "rt/nibble.h"
#include "rt/record.h"

namespace nbl::tools {

// A dispatch and what it is bound to: the step buffer, then `buffers` device-local ones of
// buffer_bytes each, of which the last is written and the others are read.
struct BenchKernel {
  KernelCall call;
  std::span<const uint32_t> words = {};  // SPIR-V in place of the variant's own
  uint32_t buffers = 1;
  uint64_t buffer_bytes = 0;
  uint32_t passes = 1;  // dispatches in a submit, each after the one before
};

// Opens a Vulkan instance and a device of its own, and closes them.
//
// Units   device_index counts as vkEnumeratePhysicalDevices does; below 0 the first device that
//         fits is taken. what: for the sentence of a failure, "measuring the ...".
// Errors  Failure, naming the call.
class DeviceBench {
 public:
  DeviceBench(nbl_get_instance_proc_addr entry, int32_t device_index, const char* what);
  ~DeviceBench() { close(); }
  DeviceBench(const DeviceBench&) = delete;
  DeviceBench& operator=(const DeviceBench&) = delete;

  const Caps& caps() const { return device_.caps; }
  // "llvmpipe, Mesa 22.3.6 (LLVM 15.0.6)"; the version as a number where the driver has no name.
  std::string driver() const;

  // Throws the runtime's sentence.
  void need(Status status) const;
  Error* error() { return &error_; }

  // Once.
  void record(const BenchKernel& kernel);
  // Runs all passes with these first words of the step buffer; the wall clock's time.
  double seconds(std::span<const uint32_t> step);

 private:
  void make_plan(const BenchKernel& kernel);
  void make_pipeline_of(const BenchKernel& kernel);
  void close();

  const char* what_;
  std::vector<std::byte> pool_memory_;
  std::vector<VkExtensionProperties> extensions_;
  Pool pool_;
  Device device_;
  Error error_;
  Plan plan_;
  Recording recording_;
  std::vector<Block> blocks_;
  std::vector<Dispatch> dispatches_;
  std::vector<DeviceBlock> device_blocks_;
  std::vector<Pipeline> pipelines_;
  std::vector<VkDescriptorSet> sets_;
};

}  // namespace nbl::tools
