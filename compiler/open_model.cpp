#include "compiler/open_model.h"

#include <fmt/format.h>

#include <cstring>

#include "compiler/error.h"
#include "rt/load.h"
#include "rt/model/file.h"

namespace nbl::compiler {

Model open_model(const MappedFile& file) {
  Model model;
  Error error;
  if (load(file.bytes(), &model, &error).ok()) return model;
  char sentence[256];
  describe(error, sentence, sizeof sentence);
  throw CompileError(fmt::format("{}: {}", file.path().string(), sentence));
}

bool is_model(const MappedFile& file) {
  return file.bytes().size() >= sizeof kFileMagic &&
         std::memcmp(file.bytes().data(), kFileMagic, sizeof kFileMagic) == 0;
}

}  // namespace nbl::compiler
