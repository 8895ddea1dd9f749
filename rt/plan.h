// plan: (Model, Caps, Options) -> Plan. The second of the four stages.
//
// A Plan says everything that the device will do: which SPIR-V variant runs each op and over what
// grid, where every tensor lies, where barriers stand, how large everything is. It is a pure
// function: no Vulkan call, no heap. The device and `nibblec inspect` run the same one.
#pragma once

#include <cstdint>
#include <span>

#include "rt/base/limits.h"
#include "rt/base/status.h"
#include "rt/kernels/call.h"
#include "rt/kernels/caps.h"
#include "rt/mem/arena.h"
#include "rt/model/model.h"

namespace nbl {

enum class LogitsMode : uint8_t { none, last, all };

// What 4-bit weights are put into: images where Caps says that this is fast, wherever an image can
// hold them, or never.
enum class WeightMemory : uint8_t { automatic, images, buffers };

// Whether the dispatches of a decode step become chains (rt/kernels/chain.h): where Caps says that
// work-groups run side by side, everywhere (one work-group where Caps knows of none), or nowhere.
enum class Chains : uint8_t { automatic, always, never };

inline constexpr uint32_t kNoSinks = ~0u;

// Zero is the default everywhere.
struct PlanOptions {
  uint32_t context = 0;        // positions; the model's context length at most
  uint32_t prefill_chunk = 0;  // tokens of a prefill step; the model's where 0
  uint32_t max_burst = 0;      // decode steps a submit may hold; 32 where 0
  LogitsMode logits = LogitsMode::none;
  bool floor_kernels = false;   // only kernels that need no feature
  bool float32 = false;         // no cooperative matrices, whose operands are f16
  bool gpu_kernels = false;     // a CPU implementation gets the kernels of a GPU
  bool import_weights = false;  // the model's bytes may be imported (page-aligned, mapped whole)
  bool stage_weights = false;   // copy through the window even where memory is host-visible
  WeightMemory weights = WeightMemory::automatic;  // floor_kernels: buffers
  Chains chains = Chains::automatic;               // floor_kernels: never
  bool slide = false;                              // a full context drops its oldest positions
  uint32_t sinks = 0;                // but not so many at its start; 4 where 0, kNoSinks: none
  uint32_t staging_bytes = 0;        // 4 MiB where 0
  uint64_t device_memory_limit = 0;  // bytes in all blocks; 0 = the heaps' sizes alone
};

// What a block of device memory holds. One allocation each.
enum class BlockRole : uint8_t { weights, state, activations, io };
inline constexpr uint32_t kBlockRoleCount = 4;

struct Block {
  BlockRole role;
  bool imported;         // its memory is the model file's
  bool host_written;     // weights: the host writes straight into it
  uint32_t memory_type;  // not for imported blocks
  uint64_t bytes;
  uint64_t file_offset;     // imported: where in the file it begins
  uint32_t image_rows = 0;  // weights in an image so high (spirv/texture.h); 0 = a buffer
};

// Bytes [offset, offset + bytes) of a block; of an image, in the order of its texels.
struct Region {
  uint32_t block;
  uint64_t offset;
  uint64_t bytes;
};

// Where a weight segment goes. A segment larger than a block is cut into parts of part_bytes, each
// at the start of a block of its own, first.block onwards.
struct SegmentPlace {
  Region first;
  uint64_t part_bytes;  // 0 = whole
};

// What a binding names before offsets are known, and for people afterwards.
enum class Operand : uint8_t { step, results, value, state, segment, memory, window };

struct Binding {
  Operand operand;
  bool read;
  bool write;
  uint32_t id;  // value, tensor or segment; 0 for the others
  uint32_t block;
  uint64_t offset;
  uint64_t bytes;
};

struct Dispatch {
  KernelCall call;
  uint32_t op;  // index in the model
  bool barrier_before;
  uint8_t binding_count;
  Binding bindings[kMaxBindings];
  uint64_t bytes;               // read and written by a full step, caches not counted
  uint64_t bytes_per_position;  // of the caches, for each live position
  uint32_t most_positions;      // of the caches that a step reads, however many are live
};

// An activation or a kernel's scratch, alive from the dispatch that writes it to the last that
// reads it.
struct Value {
  int32_t tensor;  // -1 = scratch
  uint32_t first_use;
  uint32_t last_use;
  uint64_t bytes;
  uint64_t offset;   // in the activation block
  uint64_t message;  // in those of chains; behind it the parts of an attention's splits
};

// One command buffer's worth: a decode step, or a prefill step of up to `tokens` tokens.
struct Phase {
  uint32_t tokens = 0;
  std::span<Dispatch> dispatches;
  uint32_t most_dispatches = 0;  // before any became a chain: what arrays are sized by
  std::span<Value> values;       // setup lifetime
  uint32_t barrier_count = 0;
  uint64_t activation_bytes = 0;
  uint64_t lower_bound_bytes = 0;  // of activation_bytes: the largest live set
  uint64_t weight_bytes = 0;       // read by one step
  uint32_t logits_value = 0;
  Region logits{};
  uint32_t logits_rows = 0;
};

inline constexpr uint32_t kPhaseCount = 4;

struct Plan {
  Caps caps;            // as used: features that the options forbid are gone
  PlanOptions options;  // defaults filled in
  std::span<Block> blocks;
  std::span<SegmentPlace> segments;  // setup lifetime
  Region step{};                     // device copy of the step buffer
  Region results{};                  // sampled tokens, then the meeting words of chains
  Region program{};                  // records of chains
  Region messages{};                 // what passes between them; 0 before a decode step
  std::span<uint32_t> records;       // what is written there; setup lifetime
  Region io_step{};                  // the same two where the host sees them, and the logits
  Region io_results{};
  Region io_logits{};
  Region io_window{};      // rows of all caches: [window.tokens][row_bytes]
  uint32_t row_bytes = 0;  // of all caches at one position
  uint32_t shift = 0;      // positions that a slide drops; 0 = the context does not slide
  uint32_t vocab_size = 0;
  Phase decode;
  Phase prefill;  // no dispatches where prefill_chunk is 1: decode does it
  Phase window;   // rows between caches and io_window
  Phase slide;    // rows that are `shift` positions further on
  uint64_t role_bytes[kBlockRoleCount] = {};  // allocated device memory
  uint64_t kv_bytes = 0;                      // the KV part of the state blocks
  uint64_t imported_bytes = 0;
};

// Fills *out, which must be fresh. Storage comes from `arena`: dispatches and blocks persistent,
// values, segments and working memory until seal().
//
// Borrows  the model, while the plan is in use.
// Errors   arena_full, bad_argument (an option past its limit), device_limit, no_memory_type,
//          device_memory_full.
Status plan(const Model& model, const Caps& caps, const PlanOptions& options, Arena* arena,
            Plan* out, Error* error);

// What a plan will hold, and the bytes that plan() takes from a 64-byte aligned arena.
struct PlanCounts {
  uint32_t tensors = 0;
  uint32_t segments = 0;
  uint32_t blocks = 0;
  uint32_t dispatches[kPhaseCount] = {};  // decode, prefill, window, slide
  uint32_t values[2] = {};
  uint64_t host_bytes = 0;  // persistent and setup together
};

// Counts without planning. *scratch is a fresh Plan for the function's own use; its options come
// out with their defaults filled in.
Status count_plan(const Model& model, const Caps& caps, const PlanOptions& options, Plan* scratch,
                  PlanCounts* counts, Error* error);

// Elements of the step buffer for chunks of this many tokens.
uint32_t step_words(uint32_t prefill_chunk);

}  // namespace nbl
