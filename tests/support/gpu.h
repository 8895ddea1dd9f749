// Runs one kernel on the machine's first Vulkan device and watches what it touches.
//
//   NBL_REQUIRE_GPU(gpu);
//   std::vector<uint32_t> out(count, kPoison);
//   ASSERT_EQ(gpu->run(call, {{reads(step), reads(x), writes(out)}}), "");
//
// Environment  NIBBLE_TEST_DEVICE=index    which device
//              NIBBLE_VALIDATION=1         the validation layer with synchronisation checks; any
//                                          message fails the run
//              NIBBLE_VALIDATION=gpu       with GPU-assisted checks instead: no access of a kernel
//                                          lies outside its binding, not even one whose value is
//                                          thrown away
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <span>
#include <string>

#include "rt/kernels/call.h"
#include "rt/kernels/caps.h"

namespace nbl::test {

// A quiet NaN that no kernel computes: what outputs hold before a run, and what guards hold.
inline constexpr uint32_t kPoison = 0x7fc0dead;

struct Binding {
  std::span<uint32_t> words;
  bool written;
  bool image = false;
};

// An input: a run fails where the kernel changed it.
inline Binding reads(std::span<const uint32_t> words) {
  return {{const_cast<uint32_t*>(words.data()), words.size()}, false};
}
// An output (or state): uploaded as it is, downloaded after the run.
inline Binding writes(std::span<uint32_t> words) {
  return {words, true};
}

// A window of weights in a sampled image, where the call's first texel says (set_first_texel). All
// other texels are poison.
inline Binding texels(std::span<const uint32_t> words) {
  return {{const_cast<uint32_t*>(words.data()), words.size()}, false, true};
}

class Gpu {
 public:
  // One device a process; null where there is none, missing() then says why.
  static Gpu* instance();
  static const std::string& missing();

  const Caps& caps() const;
  // True where kernels of kIntegerDot run, accelerated or not.
  bool has_integer_dot() const;

  // The device's limits cut to the floor: no features, 128 invocations, 16 KiB of shared memory.
  Caps floor_of_caps() const;

  // Runs the call `repeat` times in one submit. Every binding lies at a multiple of 256 bytes
  // between guard words. Returns "" or what went wrong: a guard or an input that changed, a
  // validation message, a Vulkan error.
  std::string run(const KernelCall& call, std::span<const Binding> bindings, uint32_t repeat = 1);
  std::string run(const KernelCall& call, std::initializer_list<Binding> bindings,
                  uint32_t repeat = 1) {
    return run(call, std::span(bindings.begin(), bindings.size()), repeat);
  }

  // From now on other words run where a call names this variant: kernels that do the same on a
  // device that lacks what the variant needs. They have its bindings and constants. No words: its
  // own again, but for pipelines that there are.
  void stand_in(uint16_t variant, std::span<const uint32_t> words);

  // NIBBLE_VALIDATION=gpu.
  bool has_assisted_checks() const;

  // Host time of the last run from submit to fence.
  double last_run_ns() const;

  ~Gpu();

 private:
  Gpu();
  struct State;
  std::unique_ptr<State> state_;
};

#define NBL_REQUIRE_GPU(gpu)                                  \
  ::nbl::test::Gpu* const gpu = ::nbl::test::Gpu::instance(); \
  if (gpu == nullptr) GTEST_SKIP() << ::nbl::test::Gpu::missing()

}  // namespace nbl::test
