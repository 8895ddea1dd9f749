#include "rt/plan/storage.h"

namespace nbl {

Status Storage::take(uint64_t bytes, bool setup, std::byte** out, Error* error) {
  bytes_ += bytes;
  if (arena_ == nullptr) return {};
  std::span<std::byte> raw;
  if (setup) {
    NBL_TRY(arena_->take_setup(bytes, kStorageAlign, &raw, error, "planning"));
  } else {
    NBL_TRY(arena_->take(bytes, kStorageAlign, &raw, error, "the plan"));
  }
  *out = raw.data();
  return {};
}

}  // namespace nbl
