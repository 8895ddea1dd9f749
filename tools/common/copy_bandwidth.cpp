#include "tools/common/copy_bandwidth.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <vector>

#include "rt/kernels/elementwise.h"
#include "rt/plan/place.h"
#include "rt/record/commands.h"
#include "rt/record/pipelines.h"
#include "rt/record/upload.h"
#include "rt/vk/host_memory.h"
#include "spirv/elementwise.push.h"
#include "spirv/step_state.h"
#include "tools/common/failure.h"

namespace nbl::tools {
namespace {

constexpr uint64_t kLargestBufferBytes = 128ull << 20;  // what every device binds
constexpr uint64_t kSmallestBufferBytes = 4ull << 20;
constexpr uint32_t kColumns = 4096;
constexpr uint32_t kPasses = 10;
constexpr uint32_t kRounds = 3;  // the best one counts: nothing but noise makes a pass slower
constexpr uint32_t kTimeoutMs = 60000;
constexpr size_t kPoolBytes = 16u << 20;

void need(Status status, const Error& error) {
  if (status.ok()) return;
  char text[256];
  describe(error, text, sizeof text);
  throw Failure(std::string("measuring the memory bandwidth: ") + text);
}

// A plan of nothing but c = a + b over and over, run by the runtime's own recording.
class Bench {
 public:
  Bench(nbl_get_instance_proc_addr entry, int32_t device_index, uint64_t buffer_bytes)
      : pool_memory_(kPoolBytes), extensions_(kExtensionScratch) {
    pool_.init(pool_memory_);
    const auto get = reinterpret_cast<PFN_vkGetInstanceProcAddr>(entry);
    try {
      const uint32_t index = device_index < 0 ? 0 : static_cast<uint32_t>(device_index) + 1;
      need(open_device(get, pool_callbacks(&pool_), index, extensions_, &device_, &error_), error_);
      make_plan(static_cast<uint32_t>(buffer_bytes / 4 / kColumns));
      record_plan();
    } catch (...) {
      close();
      throw;
    }
  }
  ~Bench() { close(); }
  Bench(const Bench&) = delete;
  Bench& operator=(const Bench&) = delete;

  double seconds() {
    const VkCommandBuffer buffers[] = {recording_.begin, recording_.decode.run};
    const auto start = std::chrono::steady_clock::now();
    need(submit_and_wait(device_, buffers, recording_.fence, kTimeoutMs, "a pass", &error_),
         error_);
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  }

 private:
  void make_plan(uint32_t rows) {
    const uint64_t bytes = uint64_t{rows} * kColumns * 4;
    plan_.caps = device_.caps;
    plan_.options.max_burst = 1;
    blocks_.assign(3, {BlockRole::activations, false, false, 0, bytes, 0});
    blocks_.push_back({BlockRole::state, false, false, 0, 2 * kDeviceAlignBytes, 0});
    blocks_.push_back({BlockRole::io, false, false, 0, 2 * kDeviceAlignBytes, 0});
    plan_.blocks = blocks_;
    plan_.step = {3, 0, STEP_TOKENS * 4};
    plan_.results = {3, kDeviceAlignBytes, 4};
    plan_.io_step = {4, 0, STEP_TOKENS * 4};
    plan_.io_results = {4, kDeviceAlignBytes, 4};
    need(choose_memory(&plan_, &error_), error_);

    Dispatch dispatch{};
    const ElementwiseArgs add{
        .tokens = rows, .columns = kColumns, .function = FUNCTION_ADD, .operand = OPERAND_SAME};
    need(call_elementwise(plan_.caps, add, &dispatch.call, &error_), error_);
    dispatch.barrier_before = true;
    dispatch.binding_count = 4;
    dispatch.bindings[0] = {Operand::step, true, false, 0, 3, 0, plan_.step.bytes};
    for (uint32_t i = 0; i < 3; ++i) {
      dispatch.bindings[1 + i] = {Operand::value, i < 2, i == 2, i, i, 0, bytes};
    }
    dispatches_.assign(kPasses, dispatch);
    plan_.decode.dispatches = dispatches_;
    rows_ = rows;
  }

  void record_plan() {
    device_blocks_.resize(blocks_.size());
    pipelines_.resize(1);
    sets_.resize(kPasses);
    recording_.blocks = device_blocks_;
    recording_.pipelines = pipelines_;
    recording_.sets = sets_;
    need(make_blocks(Model(), plan_, device_, &recording_, &error_), error_);
    need(make_layouts(plan_, device_, &recording_, &error_), error_);
    need(make_pipelines(plan_, device_, {}, {}, &recording_, &error_), error_);
    need(make_sets(plan_, device_, &recording_, &error_), error_);
    need(make_commands(plan_, device_, {}, &recording_, &error_), error_);
    need(clear_memory(plan_, device_, kTimeoutMs, &recording_, &error_), error_);
    need(record_commands(plan_, device_, &recording_, &error_), error_);
    DeviceBlock& io = device_blocks_.back();
    need(map_block(device_, &io, &error_), error_);
    std::memcpy(io.mapped + STEP_TOKEN_COUNT * 4, &rows_, sizeof rows_);
    need(flush_block(device_, io, &error_), error_);
  }

  void close() {
    destroy_recording(device_, &recording_);
    close_device(&device_);
  }

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
  uint32_t rows_ = 0;
};

}  // namespace

CopyBandwidth measure_copy_bandwidth(nbl_get_instance_proc_addr get_instance_proc_addr,
                                     int32_t device_index) {
  for (uint64_t bytes = kLargestBufferBytes;; bytes /= 2) {
    try {
      Bench bench(get_instance_proc_addr, device_index, bytes);
      double best = bench.seconds();  // pages are touched before anything is timed
      for (uint32_t i = 0; i < kRounds; ++i) {
        const double seconds = bench.seconds();
        best = i == 0 ? seconds : std::min(best, seconds);
      }
      const uint64_t moved = 3 * bytes;
      return {moved, kPasses, 1e-9 * static_cast<double>(moved) * kPasses / best};
    } catch (const Failure&) {
      if (bytes <= kSmallestBufferBytes) throw;
    }
  }
}

}  // namespace nbl::tools
