#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <vector>

#include "boards/boards.h"
#include "compiler/commands.h"
#include "compiler/error.h"
#include "compiler/inspect/inspect.h"
#include "rt/load.h"

namespace nbl::compiler {
namespace {

// A file's bytes, mapped for reading.
class Mapping {
 public:
  explicit Mapping(const std::filesystem::path& path) {
    const int descriptor = open(path.c_str(), O_RDONLY | O_CLOEXEC);
    struct stat status {};
    const bool opened = descriptor >= 0 && fstat(descriptor, &status) == 0;
    size_ = opened ? static_cast<size_t>(status.st_size) : 0;
    if (size_ > 0) bytes_ = mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, descriptor, 0);
    const int reason = errno;
    if (descriptor >= 0) close(descriptor);
    if (!opened || bytes_ == MAP_FAILED) {
      throw CompileError(fmt::format("cannot read {}: {}", path.string(), std::strerror(reason)));
    }
  }
  ~Mapping() {
    if (size_ > 0) munmap(bytes_, size_);
  }
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;

  std::span<const std::byte> bytes() const {
    return {static_cast<const std::byte*>(bytes_), size_};
  }

 private:
  void* bytes_ = nullptr;
  size_t size_ = 0;
};

Model load_model(std::span<const std::byte> bytes, const std::filesystem::path& path) {
  Model model;
  Error error;
  if (load(bytes, &model, &error).ok()) return model;
  char sentence[256];
  describe(error, sentence, sizeof sentence);
  throw CompileError(fmt::format("{}: {}", path.string(), sentence));
}

const Caps& board_named(const std::string& name) {
  const Caps* caps = find_board(name);
  if (caps != nullptr) return *caps;
  std::string known;
  for (const Board& board : boards())
    known += fmt::format("{}{}", known.empty() ? "" : ", ", board.name);
  throw CompileError(fmt::format("there is no board {}; there are {}", name, known));
}

}  // namespace

void run_inspect(const InspectOptions& options) {
  const Caps* caps = options.board.empty() ? nullptr : &board_named(options.board);
  const Mapping file(options.input);
  const Model model = load_model(file.bytes(), options.input);
  if (options.json) {
    nlohmann::json json = model_json(model);
    if (caps != nullptr) json["plan"] = plan_json(model, make_plan(model, *caps).plan);
    fmt::print("{}\n", json.dump(2, ' ', false, nlohmann::json::error_handler_t::replace));
    return;
  }
  fmt::print("{}", model_text(model));
  if (caps != nullptr) fmt::print("{}", plan_text(model, make_plan(model, *caps).plan));
}

}  // namespace nbl::compiler
