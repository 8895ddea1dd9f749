// Could break: something in the runtime allocates. Every allocator of the process is replaced here
// and its calls are counted by the module they come from: this program's own code, in which the
// runtime is linked, or the Vulkan loader and driver.
#include <dlfcn.h>
#include <gtest/gtest.h>
#include <link.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdarg>
#include <cstdio>
#include <new>

#include "tests/support/fault_rig.h"
#include "tests/support/figure.h"
#include "tests/support/sampling_options.h"

namespace {

// A module's code, and its calls of allocators while they are watched.
struct Module {
  uintptr_t begin = 0, end = 0;
  const char* name = nullptr;
  std::atomic<uint64_t> calls{0};
};

// In the order of the dynamic linker, which lists the executable first. The last one is for code
// that belongs to none, such as what a driver compiles.
constexpr size_t kModules = 128;
Module modules[kModules];
std::atomic<bool> watching{false};

void count(void* caller) {
  if (!watching) return;
  const uintptr_t at = reinterpret_cast<uintptr_t>(caller);
  for (Module& module : modules) {
    if ((at < module.begin || at >= module.end) && &module != &modules[kModules - 1]) continue;
    module.calls += 1;
    return;
  }
}

void find_modules() {
  for (Module& module : modules)
    module.begin = module.end = 0;
  size_t count = 0;
  dl_iterate_phdr(
      [](dl_phdr_info* info, size_t, void* out) {
        size_t& at = *static_cast<size_t*>(out);
        for (int i = 0; i < info->dlpi_phnum && at + 1 < kModules; ++i) {
          const auto& header = info->dlpi_phdr[i];
          if (header.p_type != PT_LOAD || (header.p_flags & PF_X) == 0) continue;
          modules[at].begin = info->dlpi_addr + header.p_vaddr;
          modules[at].end = modules[at].begin + header.p_memsz;
          modules[at].name = info->dlpi_name[0] != 0 ? info->dlpi_name : "libnibble and this test";
          ++at;
        }
        return 0;
      },
      &count);
  modules[kModules - 1].name = "code outside any module";
}

uint64_t other_calls() {
  uint64_t calls = 0;
  for (const Module& module : modules)
    calls += &module == modules ? 0 : module.calls.load();
  return calls;
}

void print_calls(const char* when) {
  for (const Module& module : modules) {
    if (&module != modules && module.calls == 0) continue;
    std::printf("%s: %8llu calls of allocators by %s\n", when,
                static_cast<unsigned long long>(module.calls), module.name);
  }
}

}  // namespace

extern "C" {
void* __libc_malloc(size_t);
void* __libc_calloc(size_t, size_t);
void* __libc_realloc(void*, size_t);
void* __libc_memalign(size_t, size_t);
void __libc_free(void*);

#define NBL_COUNT_CALLER() count(__builtin_return_address(0))

void* malloc(size_t bytes) {
  NBL_COUNT_CALLER();
  return __libc_malloc(bytes);
}
void* calloc(size_t items, size_t bytes) {
  NBL_COUNT_CALLER();
  return __libc_calloc(items, bytes);
}
void* realloc(void* memory, size_t bytes) {
  NBL_COUNT_CALLER();
  return __libc_realloc(memory, bytes);
}
void free(void* memory) {
  NBL_COUNT_CALLER();
  __libc_free(memory);
}
void* aligned_alloc(size_t align, size_t bytes) {
  NBL_COUNT_CALLER();
  return __libc_memalign(align, bytes);
}
void* memalign(size_t align, size_t bytes) {
  NBL_COUNT_CALLER();
  return __libc_memalign(align, bytes);
}
int posix_memalign(void** out, size_t align, size_t bytes) {
  NBL_COUNT_CALLER();
  void* memory = __libc_memalign(align, bytes);
  if (memory == nullptr) return ENOMEM;
  *out = memory;
  return 0;
}
void* mmap(void* at, size_t bytes, int protection, int flags, int file, off_t offset) {
  NBL_COUNT_CALLER();
  const long result = syscall(SYS_mmap, at, bytes, protection, flags, file, offset);
  return reinterpret_cast<void*>(result);
}
int munmap(void* at, size_t bytes) {
  NBL_COUNT_CALLER();
  return static_cast<int>(syscall(SYS_munmap, at, bytes));
}
void* mremap(void* at, size_t bytes, size_t new_bytes, int flags, ...) {
  NBL_COUNT_CALLER();
  va_list more;
  va_start(more, flags);
  void* const to = (flags & MREMAP_FIXED) != 0 ? va_arg(more, void*) : nullptr;
  va_end(more);
  return reinterpret_cast<void*>(syscall(SYS_mremap, at, bytes, new_bytes, flags, to));
}
int brk(void* end) {
  NBL_COUNT_CALLER();
  return reinterpret_cast<int (*)(void*)>(dlsym(RTLD_NEXT, "brk"))(end);
}
void* sbrk(intptr_t bytes) {
  NBL_COUNT_CALLER();
  return reinterpret_cast<void* (*)(intptr_t)>(dlsym(RTLD_NEXT, "sbrk"))(bytes);
}
}  // extern "C"

// The library's operator new calls malloc from another module.
void* operator new(size_t bytes) {
  NBL_COUNT_CALLER();
  void* memory = __libc_malloc(bytes);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}
void operator delete(void* memory) noexcept {
  NBL_COUNT_CALLER();
  __libc_free(memory);
}
void operator delete(void* memory, size_t) noexcept {
  NBL_COUNT_CALLER();
  __libc_free(memory);
}

namespace nbl {
namespace {

// Calls of this program's code while `work` runs.
template <typename Work>
uint64_t own_calls_of(const Work& work) {
  find_modules();
  for (Module& module : modules)
    module.calls = 0;
  watching = true;
  work();
  watching = false;
  return modules[0].calls;
}

constexpr uint32_t kSteps = 1000;
constexpr uint32_t kRequestsOfAStep = 4;  // of the driver: for a submit, and what it tracks by it

// What the compiler must not see through.
void* volatile kept;

TEST(NoHeap, planted_calls_are_counted) {
  EXPECT_EQ(own_calls_of([] {}), 0u);
  EXPECT_EQ(own_calls_of([] { kept = malloc(8); }), 1u);
  EXPECT_EQ(own_calls_of([] { free(kept); }), 1u);
  EXPECT_EQ(own_calls_of([] { kept = calloc(1, 8); }), 1u);
  EXPECT_EQ(own_calls_of([] { kept = realloc(kept, 80); }), 1u);
  free(kept);
  EXPECT_EQ(own_calls_of([] { kept = new int; }), 1u);
  EXPECT_EQ(own_calls_of([] { delete static_cast<int*>(kept); }), 1u);
  EXPECT_EQ(own_calls_of([] { kept = aligned_alloc(64, 64); }), 1u);
  free(kept);
  EXPECT_EQ(own_calls_of(
                [] { kept = mmap(nullptr, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0); }),
            1u);
  EXPECT_EQ(own_calls_of([] { kept = mremap(kept, 4096, 8192, MREMAP_MAYMOVE); }), 1u);
  EXPECT_EQ(own_calls_of([] { munmap(kept, 8192); }), 1u);
  EXPECT_EQ(own_calls_of([] { kept = sbrk(0); }), 1u);
  EXPECT_EQ(own_calls_of([] { EXPECT_EQ(brk(sbrk(0)), 0); }), 2u);
}

TEST(NoHeap, the_runtime_allocates_nothing) {
  NBL_REQUIRE_VULKAN();
  const test::AlignedBytes model = test::tiny_model(true);
  nbl_config config = test::fault_config(model);
  config.flags = NBL_FLAG_TIMESTAMPS;
  config.logits = NBL_LOGITS_ALL;
  test::ExactBytes arena(0);
  nbl_memory memory = {};
  nbl_error error = {};
  ASSERT_EQ(test::give_arena(&config, &arena, &memory, &error), 0u) << test::sentence(error);

  nbl_engine* engine = nullptr;
  nbl_status status = 0;
  EXPECT_EQ(own_calls_of([&] { status = nbl_open(&config, &engine, &error); }), 0u);
  print_calls("open");
  ASSERT_EQ(status, 0u) << test::sentence(error);
  EXPECT_GT(other_calls(), 0u) << "drivers do allocate: are their calls seen at all?";

  const nbl_sampling sampling = test::SamplingOptions{.temperature = 0.8f,
                                                      .top_k = 40,
                                                      .top_p = 0.9f,
                                                      .seed = 7,
                                                      .min_p = 0.01f,
                                                      .repeat_penalty = 1.1f};
  const nbl_logit_bias bias = {3, -1};
  uint32_t prompt[11] = {1, 300, 17, 5, 220, 9, 31, 44, 2, 399, 12};
  uint32_t steps = 0;
  alignas(8) char scratch[4096];
  static float logits[400 * 64];
  static nbl_timing timings[256];
  static char state[65536];
  nbl_info early = {}, late = {};
  EXPECT_EQ(own_calls_of([&] {
              status |= nbl_set_sampling(engine, &sampling, &error);
              status |= nbl_set_logit_bias(engine, &bias, 1, &error);
              while (steps < kSteps) {
                uint32_t tokens[40] = {};
                uint32_t count = 0, rows = 0, timed = 0;
                size_t length = 0;
                status |= nbl_rewind(engine, 0, &error);
                status |= nbl_evaluate(engine, prompt, 11, &error);
                status |= nbl_logits(engine, logits, std::size(logits), &rows, &error);
                status |= nbl_generate(engine, 40, tokens, &count, &error);
                status |= nbl_save_state(engine, state, sizeof state, &length, &error);
                status |= nbl_load_state(engine, state, length, &error);
                status |= nbl_timings(engine, 0, timings, 256, &timed, &error);
                status |= nbl_tokenize(engine, "once more", 9, 1, scratch, sizeof scratch, tokens,
                                       40, &length, &error);
                steps += 1 + count;
                if (early.driver_pool_peak == 0) nbl_get_info(engine, &early);
              }
            }),
            0u);
  print_calls("1,000 steps");
  nbl_get_info(engine, &late);
  EXPECT_EQ(status, 0u) << test::sentence(error);
  EXPECT_GE(steps, kSteps);
  // What a driver asks for after the seal it gives back: the pool is no fuller than after the first
  // round, however many steps there are.
  test::figure("0 calls by the runtime in " + test::with_commas(steps) + " steps, " +
               test::with_commas(other_calls()) +
               " by the driver; its pool: " + test::with_commas(late.driver_allocations_setup) +
               " requests in open, " + test::with_commas(late.driver_allocations_after) + " after");
  EXPECT_EQ(late.driver_pool_peak, early.driver_pool_peak);
  EXPECT_LE(late.driver_allocations_after, kRequestsOfAStep * steps);
  EXPECT_EQ(own_calls_of([&] { nbl_close(engine); }), 0u);
}

}  // namespace
}  // namespace nbl
