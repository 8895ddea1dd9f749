#include "rt/engine.h"

#include "rt/load.h"
#include "rt/plan/storage.h"
#include "rt/step/rows.h"
#include "rt/vk/host_memory.h"
#include "rt/vk/image.h"

namespace nbl {
namespace {

constexpr uint32_t kDefaultPoolBytes = 8u << 20;
constexpr uint32_t kDefaultTimeoutMs = 60000;

Status check_config(const nbl_config& config, Error* error) {
  if (config.get_instance_proc_addr == nullptr) {
    return fail(error, Code::missing_argument, 0, "get_instance_proc_addr");
  }
  if (config.model == nullptr) return fail(error, Code::missing_argument, 0, "model");
  if (config.arena == nullptr) return fail(error, Code::missing_argument, 0, "arena");
  const uintptr_t misfit = reinterpret_cast<uintptr_t>(config.arena) % kStorageAlign;
  if (misfit != 0) {
    return fail(error, Code::bad_argument, 0, "arena (its address modulo 64)", misfit, 0);
  }
  if (config.logits > NBL_LOGITS_ALL) {
    return fail(error, Code::bad_argument, 0, "logits", config.logits, NBL_LOGITS_ALL);
  }
  if (config.on_full > NBL_ON_FULL_SLIDE) {
    return fail(error, Code::bad_argument, 0, "on_full", config.on_full, NBL_ON_FULL_SLIDE);
  }
  return {};
}

WeightMemory weight_memory(uint32_t flags) {
  if ((flags & NBL_FLAG_BUFFER_WEIGHTS) != 0) return WeightMemory::buffers;
  if ((flags & NBL_FLAG_TEXTURE_WEIGHTS) != 0) return WeightMemory::images;
  return WeightMemory::automatic;
}

// Images are only tried out where weights may come to lie in them.
bool wants_images(const nbl_config& config, const Caps& caps) {
  if ((config.flags & NBL_FLAG_FLOOR_KERNELS) != 0) return false;
  const WeightMemory wanted = weight_memory(config.flags);
  return wanted == WeightMemory::images ||
         (wanted == WeightMemory::automatic && (caps.features & kTextureWeights) != 0);
}

PlanOptions plan_options(const nbl_config& config) {
  PlanOptions o;
  o.context = config.context;
  o.prefill_chunk = config.prefill_chunk;
  o.max_burst = config.max_burst;
  o.logits = static_cast<LogitsMode>(config.logits);
  o.float32 = (config.flags & NBL_FLAG_FLOAT32) != 0;
  o.floor_kernels = (config.flags & NBL_FLAG_FLOOR_KERNELS) != 0;
  o.gpu_kernels = (config.flags & NBL_FLAG_GPU_KERNELS) != 0;
  o.import_weights = (config.flags & NBL_FLAG_NO_IMPORT) == 0;
  o.stage_weights = (config.flags & NBL_FLAG_STAGE_WEIGHTS) != 0;
  o.weights = weight_memory(config.flags);
  if ((config.flags & NBL_FLAG_CHAIN) != 0) o.chains = Chains::always;
  if ((config.flags & NBL_FLAG_NO_CHAIN) != 0) o.chains = Chains::never;
  o.staging_bytes = config.staging_bytes;
  o.device_memory_limit = config.device_memory_limit;
  o.slide = config.on_full == NBL_ON_FULL_SLIDE;
  o.sinks = config.sink_tokens;
  return o;
}

RecordOptions record_options(const Engine& e) {
  RecordOptions o;
  const bool timestamps = (e.config.flags & NBL_FLAG_TIMESTAMPS) != 0;
  o.timestamps = timestamps && (e.device.caps.features & kTimestamps) != 0;
  o.cache = {e.config.cache_load, e.config.cache_store, e.config.user};
  o.timeout_ms = e.config.timeout_ms;
  return o;
}

void log(const nbl_config& config, const char* line) {
  if (config.log != nullptr) config.log(config.user, line);
}

// Bytes that come before the plan: the engine, the driver's pool, the extension list.
uint64_t start_bytes(uint64_t pool_bytes) {
  return storage_bytes<Engine>(1) + storage_bytes<std::byte>(pool_bytes) +
         storage_bytes<VkExtensionProperties>(kExtensionScratch);
}

// The engine's own place, the pool and the device.
Status start(const nbl_config& config, uint64_t pool_bytes, Engine** out, Error* error) {
  Arena arena({static_cast<std::byte*>(config.arena), config.arena_bytes});
  const uint64_t needed = start_bytes(pool_bytes);
  if (needed > config.arena_bytes) {
    return fail(error, Code::arena_full, 0, "engine and driver pool; the model comes on top",
                needed, config.arena_bytes);
  }
  Storage storage(&arena);
  std::span<Engine> engine;
  std::span<std::byte> pool;
  std::span<VkExtensionProperties> extensions;
  NBL_TRY(storage.persistent(1, &engine, error));
  NBL_TRY(storage.persistent(pool_bytes, &pool, error));
  NBL_TRY(storage.setup(kExtensionScratch, &extensions, error));
  Engine* e = engine.data();
  e->arena = arena;
  e->config = config;
  if (e->config.timeout_ms == 0) e->config.timeout_ms = kDefaultTimeoutMs;
  e->pool.init(pool);
  *out = e;
  const auto get = reinterpret_cast<PFN_vkGetInstanceProcAddr>(config.get_instance_proc_addr);
  NBL_TRY(open_device(get, pool_callbacks(&e->pool), static_cast<uint32_t>(config.device),
                      extensions, &e->device, error));
  if (!wants_images(config, e->device.caps)) return {};
  return probe_images(&e->device, error);
}

// Adds up what the engine takes in host memory. e->plan is used as scratch and left fresh.
Status count_host(Engine* e, const PlanOptions& options, uint64_t pool_bytes, uint64_t* bytes,
                  Error* error) {
  PlanCounts counts;
  NBL_TRY(count_plan(e->model, e->device.caps, options, &e->plan, &counts, error));
  *bytes = start_bytes(pool_bytes) + counts.host_bytes +
           record_host_bytes(counts, e->plan.options, record_options(*e));
  e->plan = {};
  return {};
}

void fill_memory(const Plan& plan, uint64_t host_bytes, uint64_t pool_bytes, nbl_memory* m) {
  *m = {};
  m->host_bytes = host_bytes;
  m->driver_pool_bytes = pool_bytes;
  m->weight_bytes = plan.role_bytes[static_cast<size_t>(BlockRole::weights)];
  m->kv_bytes = plan.role_bytes[static_cast<size_t>(BlockRole::state)];
  m->activation_bytes = plan.role_bytes[static_cast<size_t>(BlockRole::activations)];
  m->io_bytes = plan.role_bytes[static_cast<size_t>(BlockRole::io)];
  m->device_bytes = m->weight_bytes + m->kv_bytes + m->activation_bytes + m->io_bytes;
  m->imported_bytes = plan.imported_bytes;
  for (const Block& block : plan.blocks) {
    if (block.image_rows != 0) m->image_bytes += block.bytes;
    if (block.role == BlockRole::weights && !block.imported && !block.host_written) {
      m->staging_bytes = plan.options.staging_bytes;
    }
  }
}

uint64_t pool_bytes_of(const nbl_config& config) {
  return config.driver_pool_bytes == 0 ? kDefaultPoolBytes : config.driver_pool_bytes;
}

Status load_model(Engine* e, Error* error) {
  const nbl_config& c = e->config;
  NBL_TRY(load({static_cast<const std::byte*>(c.model), c.model_bytes}, &e->model, error));
  if ((c.flags & NBL_FLAG_VERIFY_HASHES) != 0) NBL_TRY(verify_hashes(e->model, error));
  return {};
}

// Memory is imported in whole pages, so the file has to start on one.
void settle_import(const Engine& e, PlanOptions* options) {
  const uint32_t align = e.device.caps.import_align_bytes;
  const uintptr_t address = reinterpret_cast<uintptr_t>(e.config.model);
  if (align == 0 || address % align != 0) options->import_weights = false;
}

Status plan_and_record(Engine* e, const PlanOptions& options, Error* error) {
  NBL_TRY(plan(e->model, e->device.caps, options, &e->arena, &e->plan, error));
  return record(e->model, e->plan, e->device, record_options(*e), &e->arena, &e->recording, error);
}

// Where the driver refused what the plan wanted and another plan may do: changes the options and
// returns true.
bool second_choice(const Engine& e, Status status, PlanOptions* options) {
  if (status.code() == Code::import_refused) {
    log(e.config, "the driver does not import the model's memory: copying weights");
    options->import_weights = false;
    return true;
  }
  if (status.code() == Code::image_refused && options->weights != WeightMemory::images) {
    log(e.config, "the driver's images are larger than planned: weights go into buffers");
    options->weights = WeightMemory::buffers;
    return true;
  }
  return false;
}

Status build(Engine* e, Error* error) {
  NBL_TRY(load_model(e, error));
  PlanOptions options = plan_options(e->config);
  settle_import(*e, &options);
  uint64_t host_bytes = 0;
  NBL_TRY(count_host(e, options, pool_bytes_of(e->config), &host_bytes, error));
  if (host_bytes > e->config.arena_bytes) {
    return fail(error, Code::arena_full, 0, "the model and its plan", host_bytes,
                e->config.arena_bytes);
  }
  const Arena mark = e->arena;
  Status status = plan_and_record(e, options, error);
  while (second_choice(*e, status, &options)) {
    destroy_recording(e->device, &e->recording);
    e->arena = mark;
    e->plan = {};
    status = plan_and_record(e, options, error);
  }
  NBL_TRY(status);
  fill_memory(e->plan, host_bytes, pool_bytes_of(e->config), &e->memory);
  return {};
}

}  // namespace

Status open_engine(const nbl_config& config, Engine** engine, Error* error) {
  NBL_TRY(check_config(config, error));
  Engine* e = nullptr;
  Status status = start(config, pool_bytes_of(config), &e, error);
  if (status.ok()) {
    log(e->config, e->device.caps.name);
    if ((config.flags & NBL_FLAG_TIMESTAMPS) != 0 && !record_options(*e).timestamps) {
      log(e->config, "the device has no timestamps: the engine goes on without kernel times");
    }
    status = build(e, error);
  }
  if (status.ok()) status = restart(e->stepper(), &e->sequence, error);
  if (!status.ok()) {
    if (e != nullptr) close_engine(e);
    return status;
  }
  e->arena.seal();
  e->setup_allocations = e->pool.stats().all.allocations;
  e->pool.mark_sealed((config.flags & NBL_FLAG_REFUSE_DRIVER_ALLOCATIONS) != 0);
  *engine = e;
  return {};
}

Status measure_engine(const nbl_config& config, nbl_memory* memory, Error* error) {
  NBL_TRY(check_config(config, error));
  Engine* e = nullptr;
  Status status = start(config, config.arena_bytes / 2, &e, error);
  if (status.ok()) status = load_model(e, error);
  if (status.ok()) {
    PlanOptions options = plan_options(config);
    settle_import(*e, &options);
    const uint64_t pool_bytes = pool_bytes_of(config);
    uint64_t host_bytes = 0;
    status = count_host(e, options, pool_bytes, &host_bytes, error);
    if (status.ok()) {
      status = plan(e->model, e->device.caps, options, &e->arena, &e->plan, error);
    }
    if (status.ok()) fill_memory(e->plan, host_bytes, pool_bytes, memory);
  }
  if (e != nullptr) close_engine(e);
  return status;
}

void close_engine(Engine* engine) {
  destroy_recording(engine->device, &engine->recording);
  close_device(&engine->device);
}

}  // namespace nbl
