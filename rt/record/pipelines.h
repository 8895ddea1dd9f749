// Layouts, pipelines and descriptor sets of a recording.
#pragma once

#include "rt/record.h"

namespace nbl {

// A set layout and a pipeline layout for each number of bindings, with or without images among
// them, that the plan uses.
Status make_layouts(const Plan& plan, const Device& device, Recording* out, Error* error);

// A pipeline for each distinct (variant, specialisation) in the plan, through the pipeline cache.
//
// Borrows  cache_blob during the call: room for the cache that the hooks load and store.
Status make_pipelines(const Plan& plan, const Device& device, const CacheHooks& hooks,
                      std::span<std::byte> cache_blob, Recording* out, Error* error);

// A descriptor set for each dispatch, decode's first.
Status make_sets(const Plan& plan, const Device& device, Recording* out, Error* error);

// The layouts of a dispatch's bindings; null until they are made.
const BindingLayout* find_layout(const Recording& recording, const Dispatch& dispatch);

// The pipeline that a call runs. The recording has it.
VkPipeline find_pipeline(const Recording& recording, const KernelCall& call);

}  // namespace nbl
