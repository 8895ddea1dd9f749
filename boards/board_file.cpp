// board.json -> Board and back.
#include <array>
#include <cstring>
#include <nlohmann/json.hpp>
#include <set>

#include "boards/boards.h"

namespace nbl {
namespace {

using nlohmann::json;

template <typename Value>
struct Name {
  const char* name;
  Value value;
};

constexpr Name<Feature> kFeatures[] = {{"subgroup_arithmetic", kSubgroupArithmetic},
                                       {"subgroup_shuffle", kSubgroupShuffle},
                                       {"subgroup_vote", kSubgroupVote},
                                       {"subgroup_ballot", kSubgroupBallot},
                                       {"storage16", kStorage16},
                                       {"storage8", kStorage8},
                                       {"float16", kFloat16},
                                       {"integer_dot", kIntegerDot},
                                       {"cooperative_matrix", kCooperativeMatrix},
                                       {"cooperative_matrix_n8", kCooperativeMatrixN8},
                                       {"timestamps", kTimestamps},
                                       {"host_import", kHostImport},
                                       {"scalar_loads", kScalarLoads},
                                       {"texture_weights", kTextureWeights}};
constexpr Name<DeviceKind> kKinds[] = {{"other", DeviceKind::other},
                                       {"integrated", DeviceKind::integrated},
                                       {"discrete", DeviceKind::discrete},
                                       {"virtual", DeviceKind::virtual_gpu},
                                       {"cpu", DeviceKind::cpu}};
constexpr Name<MemoryFlag> kMemoryFlags[] = {{"device_local", kDeviceLocal},
                                             {"host_visible", kHostVisible},
                                             {"host_coherent", kHostCoherent},
                                             {"host_cached", kHostCached}};

// Members of "vulkan" that are a number of Caps by the same name.
constexpr Name<uint32_t Caps::*> kLimits32[] = {
    {"device_id", &Caps::device_id},
    {"driver_version", &Caps::driver_version},
    {"subgroup_size", &Caps::subgroup_size},
    {"max_invocations", &Caps::max_invocations},
    {"max_workgroup_x", &Caps::max_workgroup_x},
    {"max_shared_bytes", &Caps::max_shared_bytes},
    {"max_push_bytes", &Caps::max_push_bytes},
    {"max_storage_buffers", &Caps::max_storage_buffers},
    {"storage_align_bytes", &Caps::storage_align_bytes},
    {"noncoherent_atom_bytes", &Caps::noncoherent_atom_bytes},
    {"import_align_bytes", &Caps::import_align_bytes},
    {"timestamp_bits", &Caps::timestamp_bits},
    {"max_image_dim", &Caps::max_image_dim},
    {"image_rows", &Caps::image_rows},
    {"matrix_m", &Caps::matrix_m},
    {"matrix_n", &Caps::matrix_n},
    {"matrix_k", &Caps::matrix_k}};
constexpr Name<uint64_t Caps::*> kLimits64[] = {
    {"max_storage_range_bytes", &Caps::max_storage_range_bytes},
    {"max_allocation_bytes", &Caps::max_allocation_bytes},
    {"image_rows_bytes", &Caps::image_rows_bytes}};
constexpr Name<uint32_t Caps::*> kEstimates[] = {{"lanes", &Caps::lanes},
                                                 {"gigabytes_per_s", &Caps::gigabytes_per_s},
                                                 {"gigaflops", &Caps::gigaflops},
                                                 {"dispatch_limit_us", &Caps::dispatch_limit_us},
                                                 {"cores", &Caps::cores}};

// A JSON object whose members are asked for one by one; what nobody asked for is an error.
class Members {
 public:
  Members(const json& object, std::string source, std::string where)
      : object_(object), source_(std::move(source)), where_(std::move(where)) {
    if (!object_.is_object()) fail("", "has to be an object");
  }

  bool has(const char* name) const { return object_.contains(name); }

  const json& at(const char* name) {
    seen_.insert(name);
    const auto it = object_.find(name);
    if (it == object_.end()) fail(name, "is missing");
    return *it;
  }
  Members object(const char* name) { return {at(name), source_, path(name) + "."}; }

  std::string text(const char* name) {
    const json& value = at(name);
    if (!value.is_string()) fail(name, "has to be a text");
    return value.get<std::string>();
  }
  bool flag(const char* name) {
    if (!has(name)) return false;
    const json& value = at(name);
    if (!value.is_boolean()) fail(name, "has to be true or false");
    return value.get<bool>();
  }
  double real(const char* name, double least) {
    const json& value = at(name);
    if (!value.is_number() || !(value.get<double>() >= least)) {
      fail(name, "has to be a number of at least " + json(least).dump());
    }
    return value.get<double>();
  }
  uint64_t whole(const char* name, uint64_t most) { return whole_of(at(name), name, most); }
  uint64_t whole_of(const json& value, const char* name, uint64_t most) const {
    if (!value.is_number_unsigned() || value.get<uint64_t>() > most) {
      fail(name, "has to be a whole number up to " + std::to_string(most));
    }
    return value.get<uint64_t>();
  }
  std::vector<std::string> texts(const char* name) {
    const json& list = at(name);
    if (!list.is_array()) fail(name, "has to be a list of texts");
    std::vector<std::string> out;
    for (const json& value : list) {
      if (!value.is_string()) fail(name, "has to be a list of texts");
      out.push_back(value.get<std::string>());
    }
    return out;
  }

  // One of a closed list of names.
  template <typename Value, size_t kCount>
  Value named(const char* member, const std::string& text, const Name<Value> (&names)[kCount]) {
    std::string known;
    for (const auto& entry : names) {
      if (text == entry.name) return entry.value;
      known += std::string(known.empty() ? "" : ", ") + entry.name;
    }
    fail(member, "is \"" + text + "\"; there are " + known);
  }

  void expect_no_more() const {
    for (const auto& [name, value] : object_.items()) {
      if (!seen_.contains(name)) fail(name, "is no fact of a board");
    }
  }

  [[noreturn]] void fail(const std::string& name, const std::string& what) const {
    throw BoardError(source_ + ": " + path(name) + " " + what);
  }

 private:
  std::string path(const std::string& name) const {
    const std::string full = where_ + name;
    return full.empty() ? "the board" : full;
  }

  const json& object_;
  std::string source_;
  std::string where_;
  std::set<std::string> seen_;
};

// What the runtime takes a device of this kind for (rt/vk/caps.cpp): a plan made here is the
// device's own where these figures, which steer it, are the same.
void estimate(Caps* caps) {
  const struct {
    DeviceKind kind;
    uint32_t lanes, gigabytes_per_s, gigaflops;
  } classes[] = {{DeviceKind::cpu, 64, 3, 6},
                 {DeviceKind::discrete, 65536, 300, 8000},
                 {DeviceKind::virtual_gpu, 65536, 300, 8000},
                 {DeviceKind::integrated, 4096, 12, 100}};
  for (const auto& c : classes) {
    if (c.kind != caps->kind) continue;
    caps->lanes = c.lanes;
    caps->gigabytes_per_s = c.gigabytes_per_s;
    caps->gigaflops = c.gigaflops;
  }
}

uint32_t parse_hex(Members& members, const char* name) {
  const std::string text = members.text(name);
  size_t used = 0;
  unsigned long value = 0;
  try {
    value = std::stoul(text, &used, 16);
  } catch (const std::exception&) {
    used = 0;
  }
  if (used == 0 || used != text.size() || value > UINT32_MAX) {
    members.fail(name, "has to be a number such as \"0x14e4\"");
  }
  return static_cast<uint32_t>(value);
}

uint32_t parse_version(Members& members, const char* name) {
  const std::string text = members.text(name);
  unsigned major = 0, minor = 0;
  char end = 0;
  if (std::sscanf(text.c_str(), "%u.%u%c", &major, &minor, &end) != 2 || major > 127 ||
      minor > 1023) {
    members.fail(name, "has to be a version such as \"1.2\"");
  }
  return major << 22 | minor << 12;
}

void parse_vulkan(Members vulkan, Caps* caps) {
  const std::string driver = vulkan.text("driver");
  std::strncpy(caps->name, driver.c_str(), sizeof caps->name - 1);
  caps->vendor_id = parse_hex(vulkan, "vendor_id");
  caps->api_version = parse_version(vulkan, "api");
  caps->kind = vulkan.named("kind", vulkan.text("kind"), kKinds);
  estimate(caps);
  for (const std::string& name : vulkan.texts("features"))
    caps->features |= vulkan.named("features", name, kFeatures);
  for (const auto& limit : kLimits32) {
    if (vulkan.has(limit.name))
      caps->*limit.value = static_cast<uint32_t>(vulkan.whole(limit.name, UINT32_MAX));
  }
  if (!vulkan.has("max_workgroup_x")) caps->max_workgroup_x = caps->max_invocations;
  for (const auto& limit : kLimits64) {
    if (vulkan.has(limit.name)) caps->*limit.value = vulkan.whole(limit.name, INT64_MAX);
  }
  if (vulkan.has("timestamp_period_ns")) {
    caps->timestamp_period_ns = static_cast<float>(vulkan.real("timestamp_period_ns", 0));
  }
  if (((caps->features & kTimestamps) != 0) != (caps->timestamp_bits != 0)) {
    vulkan.fail("timestamp_bits", "and the feature timestamps go together");
  }
  const uint32_t m = caps->matrix_m, n = caps->matrix_n, k = caps->matrix_k;
  if ((caps->features & kCooperativeMatrix) == 0) {
    if ((m | n | k) != 0) vulkan.fail("matrix_m", "is for the feature cooperative_matrix");
  } else if (!kernels_take_matrix(m, n, k)) {
    vulkan.fail("matrix_m", "with matrix_n and matrix_k is " + std::to_string(m) + " x " +
                                std::to_string(n) + " x " + std::to_string(k) +
                                "; cooperative_matrix is 8 or 16, 8 or 16, and 8, 16 or 32");
  }
  if (vulkan.has("max_grid")) {
    const json& grid = vulkan.at("max_grid");
    if (!grid.is_array() || grid.size() != 3) vulkan.fail("max_grid", "has to be three numbers");
    for (size_t i = 0; i < 3; ++i)
      caps->max_grid[i] = static_cast<uint32_t>(vulkan.whole_of(grid[i], "max_grid", UINT32_MAX));
  }
  vulkan.expect_no_more();
}

void parse_memory(Members memory, const std::string& source, Caps* caps) {
  const json& heaps = memory.at("heaps_mib");
  if (!heaps.is_array() || heaps.empty() || heaps.size() > kMaxMemoryHeaps) {
    memory.fail("heaps_mib", "has to be a list of 1 to " + std::to_string(kMaxMemoryHeaps));
  }
  for (const json& heap : heaps) {
    caps->memory_heap_bytes[caps->memory_heap_count++] =
        memory.whole_of(heap, "heaps_mib", INT64_MAX >> 20) << 20;
  }
  const json& types = memory.at("types");
  if (!types.is_array() || types.empty() || types.size() > kMaxMemoryTypes) {
    memory.fail("types", "has to be a list of 1 to " + std::to_string(kMaxMemoryTypes));
  }
  for (const json& entry : types) {
    Members type(entry, source, "memory.types.");
    MemoryType& out = caps->memory_types[caps->memory_type_count++];
    for (const std::string& name : type.texts("flags"))
      out.flags |= type.named("flags", name, kMemoryFlags);
    out.heap = static_cast<uint32_t>(type.whole("heap", caps->memory_heap_count - 1));
    type.expect_no_more();
  }
  memory.expect_no_more();
}

std::string joined(const std::vector<std::string>& parts) {
  std::string text;
  for (const std::string& part : parts)
    text += (text.empty() ? "" : "; ") + part;
  return text;
}

}  // namespace

Board parse_board(const std::string& text, const std::string& source) {
  const json parsed = json::parse(text, nullptr, false);
  if (parsed.is_discarded()) throw BoardError(source + ": this is not JSON");
  Members all(parsed, source, "");
  Board board;
  board.name = all.text("name");
  if (all.has("aliases")) board.aliases = all.texts("aliases");
  board.device = all.text("device");
  if (all.has("toolchain")) board.toolchain = all.text("toolchain");
  board.caps = floor_caps();
  parse_vulkan(all.object("vulkan"), &board.caps);
  parse_memory(all.object("memory"), source, &board.caps);

  Members speed = all.object("speed");
  board.speed = {speed.real("dram_gb_per_s", 0.001), speed.real("decode_share", 0.001),
                 speed.real("prefill_gflops", 0.001), speed.real("dispatch_us", 0)};
  if (board.speed.decode_share > 1) speed.fail("decode_share", "has to be 1 at most");
  speed.expect_no_more();
  if (all.has("watchdog")) {
    Members watchdog = all.object("watchdog");
    constexpr Name<bool> kOf[] = {{"dispatch", false}, {"submit", true}};
    board.watchdog.ms = static_cast<uint32_t>(watchdog.whole("ms", UINT32_MAX / 1000));
    board.watchdog.of_submit = watchdog.named("of", watchdog.text("of"), kOf);
    watchdog.expect_no_more();
    // Half of it for an estimate that is wrong by two.
    const uint32_t most_us = board.watchdog.ms * 500;
    if (most_us != 0 && most_us < board.caps.dispatch_limit_us) {
      board.caps.dispatch_limit_us = most_us;
    }
  }
  Members budget = all.object("budget");
  board.budget = {budget.whole("host_arena_mib", INT64_MAX >> 20) << 20,
                  budget.whole("device_memory_mib", INT64_MAX >> 20) << 20};
  budget.expect_no_more();
  if (all.has("kernels")) {
    Members kernels = all.object("kernels");
    board.kernels.float32 = kernels.flag("float32");
    board.kernels.floor = kernels.flag("floor");
    constexpr Name<const char*> kWeights[] = {
        {"auto", "auto"}, {"texture", "texture"}, {"buffer", "buffer"}};
    if (kernels.has("weights")) {
      board.kernels.weights = kernels.named("weights", kernels.text("weights"), kWeights);
    }
    kernels.expect_no_more();
  }
  if (all.has("planning")) {
    Members planning = all.object("planning");
    for (const auto& figure : kEstimates) {
      if (planning.has(figure.name))
        board.caps.*figure.value = static_cast<uint32_t>(planning.whole(figure.name, UINT32_MAX));
    }
    planning.expect_no_more();
  }
  if (all.has("provenance")) board.provenance = all.texts("provenance");
  all.expect_no_more();
  const std::vector<std::string> reasons = below_floor(board.caps);
  if (!reasons.empty()) {
    throw BoardError(source + ": " + board.name + " is too small for nibble: " + joined(reasons));
  }
  return board;
}

std::string board_text(const Caps& caps) {
  json vulkan = {{"driver", caps.name},
                 {"vendor_id", "0x0"},
                 {"api", std::to_string(caps.api_version >> 22) + "." +
                             std::to_string(caps.api_version >> 12 & 0x3ff)},
                 {"timestamp_period_ns", caps.timestamp_period_ns},
                 {"max_grid", caps.max_grid}};
  char vendor[16];
  std::snprintf(vendor, sizeof vendor, "0x%04x", caps.vendor_id);
  vulkan["vendor_id"] = vendor;
  for (const auto& kind : kKinds) {
    if (kind.value == caps.kind) vulkan["kind"] = kind.name;
  }
  vulkan["features"] = json::array();
  for (const auto& feature : kFeatures) {
    if ((caps.features & feature.value) != 0) vulkan["features"].push_back(feature.name);
  }
  for (const auto& limit : kLimits32)
    vulkan[limit.name] = caps.*limit.value;
  for (const auto& limit : kLimits64)
    vulkan[limit.name] = caps.*limit.value;
  json memory = {{"heaps_mib", json::array()}, {"types", json::array()}};
  uint64_t largest = 0;
  for (uint32_t i = 0; i < caps.memory_heap_count; ++i) {
    memory["heaps_mib"].push_back(caps.memory_heap_bytes[i] >> 20);
    largest = std::max(largest, caps.memory_heap_bytes[i]);
  }
  for (uint32_t i = 0; i < caps.memory_type_count; ++i) {
    json flags = json::array();
    for (const auto& flag : kMemoryFlags) {
      if ((caps.memory_types[i].flags & flag.value) != 0) flags.push_back(flag.name);
    }
    memory["types"].push_back({{"flags", flags}, {"heap", caps.memory_types[i].heap}});
  }
  json planning;
  for (const auto& figure : kEstimates)
    planning[figure.name] = caps.*figure.value;
  const json board = {
      {"name", "my-board"},
      {"device", caps.name},
      {"vulkan", vulkan},
      {"memory", memory},
      {"speed",
       {{"dram_gb_per_s", caps.gigabytes_per_s},
        {"decode_share", 0.5},
        {"prefill_gflops", caps.gigaflops},
        {"dispatch_us", 30}}},
      {"budget", {{"host_arena_mib", 32}, {"device_memory_mib", largest / 4 * 3 >> 20}}},
      {"planning", planning},
      {"provenance", {"limits: as the driver reports them", "speed, budget: to be filled in"}}};
  // A driver's name may be no UTF-8.
  return board.dump(2, ' ', false, json::error_handler_t::replace) + "\n";
}

}  // namespace nbl
