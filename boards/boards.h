// Boards whose facts are known without having them at hand, so that a model can be planned and
// checked for a device on any machine. Their facts are data: boards/<name>/board.json, which
// nibblec has inside, or a file of the user's own.
#pragma once

#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "rt/kernels/caps.h"

namespace nbl {

// After what a kernel driver takes a GPU for hung. Times are of one dispatch or of one submit.
struct Watchdog {
  uint32_t ms = 0;  // 0 = none is known
  bool of_submit = false;
};

// What a board gives to a model, for estimates and checks: never part of a plan.
struct Speed {
  double dram_gb_per_s = 0;   // the memory's peak
  double decode_share = 0;    // of it that a decode step is expected to get
  double prefill_gflops = 0;  // float32 operations a second that prefill is expected to get
  double dispatch_us = 0;     // what each dispatch takes beside its work
};
struct Budget {
  uint64_t host_arena_bytes = 0;
  uint64_t device_memory_bytes = 0;
};

// What to ask of the runtime on this board, besides what it finds out by itself.
struct KernelChoice {
  bool float32 = false;          // no matrix kernels, whose operands are rounded to f16
  bool floor = false;            // only kernels that need no feature
  std::string weights = "auto";  // "auto", "texture" or "buffer"
};

struct Board {
  std::string name;  // for --board
  std::vector<std::string> aliases;
  std::string device;     // for people
  std::string toolchain;  // a file of cmake/toolchains, without its ending
  Caps caps = {};
  Speed speed;
  Watchdog watchdog;
  Budget budget;
  KernelChoice kernels;
  std::vector<std::string> provenance;  // where the facts are from, a sentence each
};

// The boards that nibble knows, the floor first, then by name.
std::span<const Board> boards();

// By name or alias; nullptr where there is none.
const Board* find_board(std::string_view name);

// Reads the text of a board.json. `source` names it in errors.
//
// Errors  BoardError: not JSON, a member that is missing, unknown or of the wrong kind, a board
//         below the floor (all reasons in one sentence).
Board parse_board(const std::string& text, const std::string& source);

// The board of this name, or of the file where `name` is a path. Errors  as above; no such board.
Board open_board(const std::string& name);

// The JSON of a device's Caps as a board.json, its speed and budget taken from them.
std::string board_text(const Caps& caps);

// What a device lacks for the floor that every kernel set begins with, a reason each.
std::vector<std::string> below_floor(const Caps& caps);

struct BoardError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

}  // namespace nbl
