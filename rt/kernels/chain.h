// Chains: dispatches of a decode step that depend on one another, walked through by one dispatch.
//
// A dependent dispatch costs a wide device 2 to 4 us, more than a small matrix takes. Work-groups
// that are known to run side by side (Caps::cores) can wait for one another instead, and load the
// next weights meanwhile.
#pragma once

#include <cstdint>
#include <span>

#include "rt/base/status.h"
#include "rt/kernels/call.h"
#include "rt/kernels/caps.h"
#include "spirv/chain.push.h"

namespace nbl {

inline constexpr uint32_t kMaxChainGroups = 255;

// What the records of a chain have in common; zero before the first.
struct ChainShape {
  uint32_t head_dim = 0;  // 0 = no attention
  uint32_t queries = 0;   // a kv head
  uint32_t kv_heads = 0;
  uint32_t scales = 0;        // LINEAR_F32_SCALES or LINEAR_F16_SCALES
  bool linear = false;        // there is one
  bool small_groups = false;  // one of fewer than 32 columns a scale
  uint32_t x_quads = 0;       // vec4s of the longest x
  // Set by settle_chain():
  uint32_t lanes = 0;     // of a work-group
  bool matrices = false;  // weights are multiplied on matrix units
};

// True where a chain of *shape can take the call as one more record: one row times a q4 weight in a
// buffer, or the attention of one token over caches of f16. *shape is then widened.
bool join_chain(const Caps& caps, const KernelCall& call, ChainShape* shape);

// Chooses how many lanes share the work of a chain that reads so many bytes of weights a record.
void settle_chain(const Caps& caps, uint64_t record_bytes, ChainShape* shape);

// Where a binding of a record begins: bytes into its block, or into the messages.
struct ChainPlace {
  uint64_t bytes = 0;
  bool message = false;
};

// The bindings of a call that it reads its row from and writes its row to.
inline constexpr uint32_t kChainInput = 1;
uint32_t chain_output(const KernelCall& call);

// Bytes of the messages that the parts of a call's splits take, and the binding whose place says
// where they lie.
uint64_t chain_part_bytes(const Caps& caps, const KernelCall& call);
inline constexpr uint32_t kChainParts = 6;

// A record of CHAIN_WORDS.
//
// Shapes  places: of each binding of the call.
void write_chain_record(const Caps& caps, const ChainShape& shape, const KernelCall& call,
                        std::span<const ChainPlace> places, std::span<uint32_t> record);

// Bindings  step, weights, caches, activations, program, the buffer with CHAIN_STALLED, messages: 0
//           before the dispatch.
KernelCall call_chain(const Caps& caps, const ChainShape& shape, const ChainPush& push);

}  // namespace nbl
