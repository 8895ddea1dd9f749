#include "tests/support/engine.h"

#include <dlfcn.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <new>
#include <stdexcept>

#include "rt/vk/functions.h"

namespace nbl::test {
namespace {

constexpr size_t kArenaAlignBytes = 64;
constexpr size_t kPageBytes = 4096;
// nbl_memory_needed() opens an instance in it; a desktop's loader opens every installed driver.
constexpr size_t kProbeBytes = 16 << 20;
constexpr size_t kGuardBytes = 64;
constexpr std::byte kGuard{0xa5};

void check(nbl_status status, const nbl_error& error) {
  if (status != 0) throw std::runtime_error(sentence(error));
}

size_t round_up(size_t bytes, size_t align) {
  return (bytes + align - 1) / align * align;
}

// Empty where the loader finds at least one device.
std::string why_no_device(PFN_vkGetInstanceProcAddr get) {
  Functions vk{};
  Error error;
  if (!load_loader(get, &vk, &error).ok()) return "no Vulkan: the loader is not complete";
  VkApplicationInfo application{};
  application.sType = VK_STRUCTURE_TYPE_APPLICATION_INFO;
  application.apiVersion = VK_API_VERSION_1_1;
  VkInstanceCreateInfo info{};
  info.sType = VK_STRUCTURE_TYPE_INSTANCE_CREATE_INFO;
  info.pApplicationInfo = &application;
  // Never destroyed: it keeps the drivers loaded, so that engines open faster and the leak checker
  // can name the driver that it finds leaking.
  static VkInstance instance = nullptr;
  if (vk.CreateInstance(&info, nullptr, &instance) != VK_SUCCESS) {
    return "no Vulkan: vkCreateInstance failed; install a driver";
  }
  uint32_t count = 0;
  if (load_instance(instance, &vk, &error).ok()) {
    (void)vk.EnumeratePhysicalDevices(instance, &count, nullptr);
  }
  return count > 0 ? "" : "no Vulkan device: install a driver, or lavapipe";
}

}  // namespace

nbl_get_instance_proc_addr vulkan_entry() {
  static const auto entry = []() -> nbl_get_instance_proc_addr {
    void* library = dlopen("libvulkan.so.1", RTLD_NOW | RTLD_LOCAL);
    if (library == nullptr) return nullptr;
    return reinterpret_cast<nbl_get_instance_proc_addr>(dlsym(library, "vkGetInstanceProcAddr"));
  }();
  return entry;
}

const std::string& missing_vulkan() {
  static const std::string reason = []() -> std::string {
    if (vulkan_entry() == nullptr) return "no Vulkan: libvulkan.so.1 cannot be opened";
    return why_no_device(reinterpret_cast<PFN_vkGetInstanceProcAddr>(vulkan_entry()));
  }();
  return reason;
}

AlignedBlock::AlignedBlock(size_t bytes, size_t align)
    : size_(bytes),
      memory_(static_cast<std::byte*>(
          std::aligned_alloc(align, round_up(bytes + kGuardBytes, align)))) {
  if (memory_ == nullptr) throw std::bad_alloc();
  std::fill_n(data() + size_, kGuardBytes, kGuard);
}

bool AlignedBlock::guard_intact() const {
  const std::byte* guard = data() + size_;
  return std::all_of(guard, guard + kGuardBytes, [](std::byte b) { return b == kGuard; });
}

TestEngine::TestEngine(std::span<const std::byte> model, const EngineOptions& options)
    : model_(model.size(), kPageBytes) {
  if (!model.empty()) std::memcpy(model_.data(), model.data(), model.size());
  config_.get_instance_proc_addr = options.vulkan != nullptr ? options.vulkan : vulkan_entry();
  config_.model = model_.data();
  config_.model_bytes = model_.size();
  const char* device = std::getenv("NIBBLE_TEST_DEVICE");
  if (device != nullptr) config_.device = 1 + std::atoi(device);
  config_.flags = options.flags;
  config_.context = options.context;
  config_.prefill_chunk = options.prefill_chunk;
  config_.max_burst = options.max_burst;
  config_.logits = options.logits;
  config_.driver_pool_bytes = options.driver_pool_bytes;
  config_.staging_bytes = options.staging_bytes;
  config_.device_memory_limit = options.device_memory_limit;
  config_.cache_load = options.cache_load;
  config_.cache_store = options.cache_store;
  config_.user = options.user;
  config_.on_full = options.on_full;
  config_.sink_tokens = options.sink_tokens;
  nbl_error error = {};
  {
    const AlignedBlock probe(kProbeBytes, kArenaAlignBytes);
    config_.arena = probe.data();
    config_.arena_bytes = probe.size();
    check(nbl_memory_needed(&config_, &needed_, &error), error);
  }
  arena_ = std::make_unique<AlignedBlock>(needed_.host_bytes, kArenaAlignBytes);
  config_.arena = arena_->data();
  config_.arena_bytes = arena_->size();
  open();
}

TestEngine::~TestEngine() {
  close();
  EXPECT_TRUE(arena_->guard_intact()) << "the engine wrote past the end of its arena";
  EXPECT_TRUE(model_.guard_intact()) << "the engine wrote past the end of its model";
}

void TestEngine::close() {
  nbl_close(engine_);
  engine_ = nullptr;
}

void TestEngine::open() {
  close();
  nbl_error error = {};
  check(nbl_open(&config_, &engine_, &error), error);
}

nbl_info TestEngine::info() const {
  nbl_info info = {};
  nbl_get_info(engine_, &info);
  return info;
}

void TestEngine::set_sampling(const nbl_sampling& sampling) {
  nbl_error error = {};
  check(nbl_set_sampling(engine_, &sampling, &error), error);
}

void TestEngine::evaluate(std::span<const uint32_t> tokens) {
  nbl_error error = {};
  check(nbl_evaluate(engine_, tokens.data(), static_cast<uint32_t>(tokens.size()), &error), error);
}

std::vector<uint32_t> TestEngine::generate(uint32_t count) {
  std::vector<uint32_t> tokens(count);
  uint32_t got = 0;
  nbl_error error = {};
  check(nbl_generate(engine_, count, tokens.data(), &got, &error), error);
  tokens.resize(got);
  return tokens;
}

uint32_t TestEngine::next_token() const {
  uint32_t token = 0;
  nbl_error error = {};
  check(nbl_next_token(engine_, &token, &error), error);
  return token;
}

void TestEngine::rewind(uint32_t position) {
  nbl_error error = {};
  check(nbl_rewind(engine_, position, &error), error);
}

std::vector<std::byte> TestEngine::save_state() {
  std::vector<std::byte> state(nbl_state_bytes(engine_));
  size_t bytes = 0;
  nbl_error error = {};
  check(nbl_save_state(engine_, state.data(), state.size(), &bytes, &error), error);
  if (bytes != state.size()) throw std::runtime_error("the state has another size than announced");
  return state;
}

void TestEngine::load_state(std::span<const std::byte> state) {
  nbl_error error = {};
  check(nbl_load_state(engine_, state.data(), state.size(), &error), error);
}

std::vector<std::vector<float>> TestEngine::logits() {
  const nbl_info facts = info();
  std::vector<float> values(size_t{facts.vocab_size} * facts.prefill_chunk);
  uint32_t rows = 0;
  nbl_error error = {};
  check(nbl_logits(engine_, values.data(), values.size(), &rows, &error), error);
  std::vector<std::vector<float>> out;
  for (auto row = values.begin(); out.size() < rows; row += facts.vocab_size) {
    out.emplace_back(row, row + facts.vocab_size);
  }
  return out;
}

std::vector<std::vector<float>> TestEngine::logits_of(std::span<const uint32_t> tokens,
                                                      uint32_t chunk) {
  std::vector<std::vector<float>> out;
  while (!tokens.empty()) {
    const size_t count = std::min<size_t>(chunk, tokens.size());
    evaluate(tokens.first(count));
    const std::vector<std::vector<float>> rows = logits();
    if (rows.size() != count) throw std::runtime_error("a chunk gave another number of rows");
    out.insert(out.end(), rows.begin(), rows.end());
    tokens = tokens.subspan(count);
  }
  return out;
}

std::vector<uint32_t> TestEngine::tokenize(std::string_view text, bool add_bos) {
  // A byte is at most one token; BOS and the space put in front are two more.
  std::vector<uint32_t> tokens(text.size() + 2);
  std::vector<uint64_t> scratch(nbl_tokenize_scratch_bytes(text.size()) / 8 + 1);
  size_t count = 0;
  nbl_error error = {};
  check(nbl_tokenize(engine_, text.data(), text.size(), add_bos ? uint32_t{NBL_TOKENIZE_BOS} : 0u,
                     scratch.data(), scratch.size() * 8, tokens.data(), tokens.size(), &count,
                     &error),
        error);
  tokens.resize(count);
  return tokens;
}

std::string TestEngine::detokenize(std::span<const uint32_t> tokens) {
  std::vector<char> piece(nbl_max_piece_bytes(engine_) + 4);
  nbl_decoder decoder = {};
  nbl_error error = {};
  std::string text;
  size_t length = 0;
  for (const uint32_t token : tokens) {
    check(nbl_detokenize(engine_, &decoder, token, piece.data(), piece.size(), &length, &error),
          error);
    text.append(piece.data(), length);
  }
  check(nbl_detokenize_flush(&decoder, piece.data(), piece.size(), &length, &error), error);
  return text.append(piece.data(), length);
}

double relative_error(std::span<const float> a, std::span<const double> b) {
  double difference = 0, size = 0;
  for (size_t i = 0; i < b.size(); ++i) {
    const double d = static_cast<double>(a[i]) - b[i];
    difference += d * d;
    size += b[i] * b[i];
  }
  // Written so that NaN is an error too.
  const double error = std::sqrt(difference / size);
  return error >= 0 ? error : HUGE_VAL;
}

}  // namespace nbl::test
