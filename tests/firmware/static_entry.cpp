// The Vulkan entry of a static image: the fake driver as the board's own.
#include "boards/boards.h"
#include "boards/common/vulkan_entry.h"
#include "boards/fake/fake_vulkan.h"
#include "tests/support/fake_kernels.h"

extern "C" nbl_get_instance_proc_addr nbl_vulkan_entry(char*, size_t) {
  static nbl::fake::FakeVulkan vulkan(nbl::find_board("host-lavapipe")->caps);
  vulkan.stand_in(nbl::test::run_fake_kernel);
  return vulkan.entry();
}
