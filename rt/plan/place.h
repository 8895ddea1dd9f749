// Where things lie: weight segments and state in blocks, blocks in memory types.
#pragma once

#include "rt/plan.h"

namespace nbl {

// Bytes of a KV state tensor [kv_heads, context, head_dim] of f16 for this many positions.
uint64_t state_bytes(const Tensor& state, uint32_t context);

// Rows of a quantized weight in each part that its segments are cut into, 0 = they are whole. Both
// of its segments are cut where the larger one has to be, at the same rows. `image`: in_image() of
// its values.
uint32_t rows_in_part(const Tensor& weight, const Plan& plan, bool image);

// True where the values of a q4 weight, all that there is of the segment, are in images. Then every
// op that reads them reads an image.
bool in_image(const Model& model, const Plan& plan, uint32_t segment);

// Blocks that place_weights() and place_state() make.
Status count_blocks(const Model& model, const Plan& plan, uint32_t* count, Error* error);

// Fills plan->segments and appends the weight blocks. *count is the number of blocks so far.
Status place_weights(const Model& model, Plan* plan, uint32_t* count, Error* error);

// Appends the state blocks: the step buffer, the results and the KV state.
// *tensor_places gets the place of each state tensor.
Status place_state(const Model& model, Plan* plan, std::span<Region> tensor_places, uint32_t* count,
                   Error* error);

// Chooses a memory type for every block and checks them against heaps and the options' limit.
Status choose_memory(Plan* plan, Error* error);

}  // namespace nbl
