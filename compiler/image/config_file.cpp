#include "compiler/image/config_file.h"

#include <fmt/format.h>

#include "compiler/board/memory_on.h"

namespace nbl::compiler {

std::string config_source(const nbl_memory& memory, const Fit& fit, const Board& board,
                          uint64_t model_bytes) {
  std::string flags;
  for (const ConfigFlag& flag : flags_of(board))
    flags += fmt::format("{}{}", flags.empty() ? "" : " | ", flag.name);
  return fmt::format(R"(/* Written by nibblec for board {board}: what the model takes there.
 * A device with other limits may need more: nbl_open() then says how much. */
#ifndef NIBBLE_MODEL_CONFIG_H
#define NIBBLE_MODEL_CONFIG_H

#include "rt/nibble.h"

#define NIBBLE_MODEL_BYTES {model}
#define NIBBLE_ARENA_BYTES {arena}  /* the driver's pool included */
#define NIBBLE_DRIVER_POOL_BYTES {pool}
#define NIBBLE_DEVICE_BYTES {device}
#define NIBBLE_CONTEXT {context}
#define NIBBLE_PREFILL_CHUNK {chunk}
#define NIBBLE_MAX_BURST {burst}
#define NIBBLE_FLAGS ({flags})

/* Sets the options that the sizes are for; entry point, model and arena are the caller's. */
static inline void nibble_configure(nbl_config* config) {{
  config->context = NIBBLE_CONTEXT;
  config->prefill_chunk = NIBBLE_PREFILL_CHUNK;
  config->max_burst = NIBBLE_MAX_BURST;
  config->driver_pool_bytes = NIBBLE_DRIVER_POOL_BYTES;
  config->flags |= NIBBLE_FLAGS;
}}

#endif
)",
                     fmt::arg("board", board.name), fmt::arg("model", model_bytes),
                     fmt::arg("arena", memory.host_bytes),
                     fmt::arg("pool", memory.driver_pool_bytes),
                     fmt::arg("device", memory.device_bytes), fmt::arg("context", fit.context),
                     fmt::arg("chunk", fit.prefill_chunk), fmt::arg("burst", fit.max_burst),
                     fmt::arg("flags", flags.empty() ? "0" : flags));
}

}  // namespace nbl::compiler
