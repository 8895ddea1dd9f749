#include "rt/plan/place.h"

#include "rt/base/checked.h"
#include "rt/model/cache.h"
#include "spirv/chain.push.h"
#include "spirv/texture.h"

namespace nbl {
namespace {

constexpr uint32_t kPartRowAlign = 128;  // windows of weights begin at multiples of it

constexpr uint32_t kImageRowBytes = TEXTURE_TEXEL_BYTES << TEXTURE_WIDTH_LOG2;

// The ops with kernels that read weights from an image.
constexpr uint32_t kImageReaders = 1u << static_cast<uint32_t>(OpKind::embedding_q4gsw) |
                                   1u << static_cast<uint32_t>(OpKind::linear_q4gsw);

// A chain finds all weights in one block.
uint64_t ceiling(const Plan& plan) {
  const Caps& caps = plan.caps;
  if (caps.cores == 0) return min_of<uint64_t>(kMaxBlockBytes, caps.max_allocation_bytes);
  return min_of(caps.max_storage_range_bytes, caps.max_allocation_bytes) & ~(kDeviceAlignBytes - 1);
}

// Bytes of texels in the largest image; 0 = the device makes none.
uint64_t image_ceiling(const Plan& plan) {
  const Caps& caps = plan.caps;
  if (caps.image_rows == 0 || caps.image_rows_bytes == 0) return 0;
  if (caps.max_image_dim < 1u << TEXTURE_WIDTH_LOG2) return 0;
  const uint64_t steps =
      min_of(ceiling(plan) / caps.image_rows_bytes, uint64_t{caps.max_image_dim / caps.image_rows});
  return steps * caps.image_rows * kImageRowBytes;
}

// The first q4 weight whose values the segment holds.
bool find_weight(const Model& model, uint32_t segment, Tensor* weight) {
  for (uint32_t i = 0; i < model.tensor_count(); ++i) {
    const Tensor t = model.tensor(i);
    if (t.role != Role::weight || t.dtype != DType::q4) continue;
    if (t.data != static_cast<int32_t>(segment)) continue;
    *weight = t;
    return true;
  }
  return false;
}

uint64_t step_bytes(const Tensor& weight) {
  return q4_format(weight).data_bytes(kPartRowAlign, weight.columns());
}

// Appends blocks, or only counts them where the plan has no room for any.
class BlockList {
 public:
  BlockList(Plan* plan, uint32_t* count) : plan_(plan), count_(count) {}

  uint32_t add(const Block& block) {
    if (*count_ < plan_->blocks.size()) plan_->blocks[*count_] = block;
    return (*count_)++;
  }
  void resize(uint32_t index, uint64_t bytes) {
    if (index < plan_->blocks.size()) plan_->blocks[index].bytes = bytes;
  }
  // Makes the block an image with room for so many bytes of texels.
  void resize_image(uint32_t index, uint64_t bytes) {
    const Caps& caps = plan_->caps;
    const uint64_t steps = div_up(bytes, uint64_t{caps.image_rows} * kImageRowBytes);
    resize(index, steps * caps.image_rows_bytes);
    if (index < plan_->blocks.size()) {
      plan_->blocks[index].image_rows = static_cast<uint32_t>(steps * caps.image_rows);
    }
  }

 private:
  Plan* plan_;
  uint32_t* count_;
};

// Packs things one after the other into blocks of one role, buffers or images, none larger than the
// ceiling.
class Packer {
 public:
  Packer(BlockList* blocks, BlockRole role, uint64_t ceiling_bytes, bool images = false)
      : blocks_(blocks), role_(role), ceiling_(ceiling_bytes), images_(images) {}

  Region add(uint64_t bytes) {
    if (block_ == kNone || used_ + bytes > ceiling_) open();
    const Region place{block_, used_, bytes};
    used_ = align_up(used_ + bytes, kDeviceAlignBytes);
    if (images_) {
      blocks_->resize_image(block_, used_);
    } else {
      blocks_->resize(block_, used_);
    }
    return place;
  }

  // What follows starts in a block of its own.
  void end_block() { block_ = kNone; }

 private:
  static constexpr uint32_t kNone = ~0u;

  void open() {
    block_ = blocks_->add({role_, false, false, 0, 0, 0});
    used_ = 0;
  }

  BlockList* blocks_;
  BlockRole role_;
  uint64_t ceiling_;
  bool images_;
  uint32_t block_ = kNone;
  uint64_t used_ = 0;
};

void set_place(Plan* plan, uint32_t segment, const SegmentPlace& place) {
  if (segment < plan->segments.size()) plan->segments[segment] = place;
}

// Bytes of each part that a segment is cut into, found through a quantized weight that it belongs
// to.
Status part_bytes(const Model& model, const Plan& plan, uint32_t segment, uint64_t* bytes,
                  Error* error) {
  for (uint32_t i = 0; i < model.tensor_count(); ++i) {
    const Tensor t = model.tensor(i);
    if (t.role != Role::weight || !is_quantized(t.dtype)) continue;
    const bool is_data = t.data == static_cast<int32_t>(segment);
    if (!is_data && t.scales != static_cast<int32_t>(segment)) continue;
    const bool image = in_image(model, plan, static_cast<uint32_t>(t.data));
    const uint32_t rows = rows_in_part(t, plan, image);
    const Q4Format format = q4_format(t);
    *bytes = is_data ? format.data_bytes(rows, t.columns()) : format.scale_bytes(rows, t.columns());
    if (*bytes != 0) return {};
  }
  return fail(error, Code::device_limit, segment, "a weight segment", model.segment(segment).size,
              ceiling(plan));
}

Status place_copied(const Model& model, Plan* plan, uint32_t* count, Error* error) {
  BlockList blocks(plan, count);
  Packer buffers(&blocks, BlockRole::weights, ceiling(*plan));
  Packer images(&blocks, BlockRole::weights, image_ceiling(*plan), true);
  for (uint32_t i = 0; i < model.segment_count(); ++i) {
    const uint64_t size = model.segment(i).size;
    const bool image = in_image(model, *plan, i);
    Packer& packer = image ? images : buffers;
    if (size <= (image ? image_ceiling(*plan) : ceiling(*plan))) {
      set_place(plan, i, {packer.add(size), 0});
      continue;
    }
    uint64_t part = 0;
    NBL_TRY(part_bytes(model, *plan, i, &part, error));
    SegmentPlace place{};
    for (uint64_t done = 0; done < size; done += part) {
      packer.end_block();
      const Region piece = packer.add(min_of(part, size - done));
      if (done == 0) place = {piece, part};
    }
    packer.end_block();
    set_place(plan, i, place);
  }
  return {};
}

// Mirrors the file: a block is a run of segments with the pages around them.
Status place_imported(const Model& model, Plan* plan, uint32_t* count) {
  BlockList blocks(plan, count);
  const uint64_t page = plan->caps.import_align_bytes;
  uint64_t begin = 0;
  uint64_t end = 0;
  uint32_t block = 0;
  for (uint32_t i = 0; i < model.segment_count(); ++i) {
    const Segment s = model.segment(i);
    const uint64_t segment_end = align_up(s.offset + s.size, page);
    if (i == 0 || segment_end - begin > ceiling(*plan)) {
      begin = s.offset & ~(page - 1);
      block = blocks.add({BlockRole::weights, true, false, 0, 0, begin});
    }
    end = segment_end;
    blocks.resize(block, end - begin);
    set_place(plan, i, {{block, s.offset - begin, s.size}, 0});
  }
  return {};
}

// The type that has all of `required` and the best balance of wanted and unwanted flags.
bool find_type(const Caps& caps, uint32_t required, uint32_t wanted, uint32_t unwanted,
               uint32_t* type, bool image = false) {
  const uint32_t bits = image ? caps.image_memory_bits : caps.buffer_memory_bits;
  const uint32_t usable = bits == 0 ? ~0u : bits;
  int best = -100;
  for (uint32_t i = 0; i < caps.memory_type_count; ++i) {
    const uint32_t flags = caps.memory_types[i].flags;
    if ((usable >> i & 1u) == 0 || (flags & required) != required) continue;
    const int score = 4 * __builtin_popcount(flags & wanted) - __builtin_popcount(flags & unwanted);
    if (score > best) {
      best = score;
      *type = i;
    }
  }
  return best > -100;
}

Status choose_type(const Plan& plan, Block* block, Error* error) {
  const Caps& caps = plan.caps;
  const bool direct = caps.kind != DeviceKind::discrete && !plan.options.stage_weights;
  bool found = false;
  const char* name = "device-local buffers";
  if (block->image_rows != 0) {
    found = find_type(caps, 0, kDeviceLocal, kHostVisible | kHostCached, &block->memory_type, true);
    return found ? Status() : fail(error, Code::no_memory_type, 0, "images of weights");
  }
  switch (block->role) {
    case BlockRole::weights:
      if (direct && find_type(caps, kHostVisible | kDeviceLocal, kHostCoherent, kHostCached,
                              &block->memory_type)) {
        block->host_written = true;
        return {};
      }
      found = find_type(caps, 0, kDeviceLocal, kHostVisible | kHostCached, &block->memory_type);
      break;
    case BlockRole::state:
    case BlockRole::activations:
      found = find_type(caps, 0, kDeviceLocal, kHostVisible | kHostCached, &block->memory_type);
      break;
    case BlockRole::io:
      name = "host-visible buffers";
      found = find_type(caps, kHostVisible, kHostCoherent | kHostCached, kDeviceLocal,
                        &block->memory_type);
      break;
  }
  return found ? Status() : fail(error, Code::no_memory_type, 0, name);
}

}  // namespace

uint64_t state_bytes(const Tensor& state, uint32_t context) {
  const uint64_t rows = uint64_t{state.shape[0]} * context;
  return rows * cache_row_bytes(state.dtype, state.shape[2]);
}

bool in_image(const Model& model, const Plan& plan, uint32_t segment) {
  if ((plan.caps.features & kTextureWeights) == 0) return false;
  const uint64_t most = image_ceiling(plan);
  Tensor weight{};
  if (most == 0 || !model.serves_only(segment, kImageReaders)) return false;
  if (!find_weight(model, segment, &weight) || !q4_format(weight).tiled()) return false;
  return model.segment(segment).size <= most || step_bytes(weight) <= most;
}

uint32_t rows_in_part(const Tensor& weight, const Plan& plan, bool image) {
  if (plan.options.import_weights) return 0;
  const uint64_t most = image ? image_ceiling(plan) : ceiling(plan);
  // Scales take no more bytes than the values that they belong to.
  if (q4_format(weight).data_bytes(weight.shape[0], weight.columns()) <= most) return 0;
  return static_cast<uint32_t>(most / step_bytes(weight) * kPartRowAlign);
}

Status place_weights(const Model& model, Plan* plan, uint32_t* count, Error* error) {
  return plan->options.import_weights ? place_imported(model, plan, count)
                                      : place_copied(model, plan, count, error);
}

Status place_state(const Model& model, Plan* plan, std::span<Region> tensor_places, uint32_t* count,
                   Error* error) {
  BlockList blocks(plan, count);
  Packer packer(&blocks, BlockRole::state, ceiling(*plan));
  plan->step = packer.add(uint64_t{step_words(plan->options.prefill_chunk)} * 4);
  plan->results = packer.add((uint64_t{plan->options.max_burst} + CHAIN_SYNC_WORDS) * 4);
  plan->kv_bytes = 0;
  for (uint32_t i = 0; i < model.tensor_count(); ++i) {
    const Tensor t = model.tensor(i);
    if (t.role != Role::state) continue;
    const uint64_t bytes = state_bytes(t, plan->options.context);
    const uint64_t most = min_of(plan->caps.max_storage_range_bytes, ceiling(*plan));
    if (bytes > most) return fail(error, Code::device_limit, i, t.name, bytes, most);
    const Region place = packer.add(bytes);
    plan->kv_bytes += bytes;
    if (i < tensor_places.size()) tensor_places[i] = place;
  }
  return {};
}

Status choose_memory(Plan* plan, Error* error) {
  uint64_t heaps[kMaxMemoryHeaps] = {};
  uint64_t total = 0;
  for (uint64_t& bytes : plan->role_bytes)
    bytes = 0;
  plan->imported_bytes = 0;
  for (Block& block : plan->blocks) {
    if (block.imported) {
      plan->imported_bytes += block.bytes;
      continue;
    }
    NBL_TRY(choose_type(*plan, &block, error));
    const uint32_t heap = plan->caps.memory_types[block.memory_type].heap;
    heaps[heap] += block.bytes;
    total += block.bytes;
    plan->role_bytes[static_cast<size_t>(block.role)] += block.bytes;
  }
  // After all of them, so that the error says what would be enough.
  for (uint32_t heap = 0; heap < plan->caps.memory_heap_count; ++heap) {
    if (heaps[heap] > plan->caps.memory_heap_bytes[heap]) {
      return fail(error, Code::device_memory_full, heap, "the model", heaps[heap],
                  plan->caps.memory_heap_bytes[heap]);
    }
  }
  const uint64_t limit = plan->options.device_memory_limit;
  if (limit != 0 && total > limit) {
    return fail(error, Code::device_memory_full, 0, "the model", total, limit);
  }
  return {};
}

}  // namespace nbl
