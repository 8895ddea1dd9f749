#include <fmt/format.h>
#include <fmt/ranges.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <optional>

#include "boards/boards.h"
#include "compiler/board/fit.h"
#include "compiler/commands.h"
#include "compiler/emit/set_prefill_chunk.h"
#include "compiler/error.h"
#include "compiler/open_model.h"

namespace nbl::compiler {
namespace {

constexpr int kBarCells = 30;
constexpr double kMiB = 1024.0 * 1024.0;

// One line on stderr that is drawn over and over; gone when the work is done.
void draw_bar(const std::string& tensor, double done) {
  constexpr const char* kClearLine = "\r\033[K";
  if (done >= 1) {
    fmt::print(stderr, "{}", kClearLine);
    return;
  }
  const int cells = static_cast<int>(done * kBarCells);
  fmt::print(stderr, "{}[{:#<{}}{:.<{}}] {:3.0f} % {:.40}", kClearLine, "", cells, "",
             kBarCells - cells, 100 * done, tensor);
  std::fflush(stderr);
}

void print_report(const CompileOptions& options, const std::filesystem::path& output,
                  const CompileReport& report) {
  const EmitReport& file = report.emitted;
  const Hyper& h = report.hyper;
  fmt::print("{}: {} layers, {} wide, {} tokens, context {}, {} ops\n", output.string(), h.layers,
             h.dim, h.vocab, report.context, report.op_count);
  if (!report.chat.empty()) fmt::print("chats as {}\n", report.chat);
  fmt::print("{:.2f} MiB in {} segments", static_cast<double>(file.file_bytes) / kMiB,
             file.segment_count);
  if (file.shared_bytes > 0) {
    fmt::print(", {:.2f} MiB more saved by sharing", static_cast<double>(file.shared_bytes) / kMiB);
  }
  fmt::print("\n");
  for (const SharedSegment& segment : file.shared) {
    fmt::print("  {} is one segment for {}: {:.2f} MiB saved\n", segment.name,
               fmt::join(segment.readers, ", "), static_cast<double>(segment.saved_bytes) / kMiB);
  }
  if (file.quantization.lossless_rows > 0) {
    fmt::print("{} rows taken over bit for bit\n", file.quantization.lossless_rows);
  }
  if (file.quantization.quantized_rows > 0) {
    fmt::print("{} rows quantized in groups of {}, relative error {:.4f}\n",
               file.quantization.quantized_rows, options.group_size,
               file.quantization.relative_rms());
  }
}

// A line a matrix, in the order of the file.
void print_matrices(const EmitReport& file) {
  const bool calibrated = file.quantization.important_squares > 0;
  size_t width = 0;
  for (const MatrixReport& m : file.matrices)
    width = std::max(width, m.name.size());
  fmt::print("\n{:<{}} {:>15} {:>4} {:>6} {:>6} {:>9}{}\n", "matrix", width, "shape", "bits",
             "group", "scales", "error", calibrated ? fmt::format(" {:>9}", "of output") : "");
  for (const MatrixReport& m : file.matrices) {
    const bool kept = m.quantization.quantized_rows == 0;
    const std::string error =
        kept ? "as it was" : fmt::format("{:.5f}", m.quantization.relative_rms());
    fmt::print("{:<{}} {:>15} {:>4} {:>6} {:>6} {:>9}", m.name, width,
               fmt::format("{} x {}", m.rows, m.columns), m.format.eight_bits() ? 8 : 4,
               m.format.group_size, m.format.f32_scales ? "f32" : "f16", error);
    if (m.quantization.important_squares > 0) {
      fmt::print(" {:>9.5f}", m.quantization.important_rms());
    }
    fmt::print("\n");
  }
}

PerplexityOptions evaluation_of(const CompileOptions& options, const std::filesystem::path& text) {
  return {.input = options.input,
          .text = text,
          .tokenizer = options.tokenizer,
          .group_size = options.group_size,
          .quantizer = options.quantizer,
          .calibrate = options.calibrate,
          .head_bits = options.passes.head_bits,
          .keep = options.passes.keep,
          .activations = options.passes.activations};
}

// Compiles beside the output, so that a model that does not fit leaves what was there.
class ForBoard {
 public:
  ForBoard(const CompileTarget& target, CompileOptions* options) : output_(options->output) {
    if (target.board.empty()) return;
    board_ = open_board(target.board);
    if (target.chunk_is_given) chunk_ = options->prefill_chunk;
    options->output += ".unchecked";
  }
  ~ForBoard() {
    std::error_code ignored;
    if (board_) std::filesystem::remove(unchecked(), ignored);
  }
  ForBoard(const ForBoard&) = delete;
  ForBoard& operator=(const ForBoard&) = delete;

  const std::filesystem::path& output() const { return output_; }

  // Puts the model where it belongs if it fits, and tells.
  void settle() {
    if (!board_) return;
    Fit fit;
    bool smaller = false;
    {
      const MappedFile file(unchecked());
      const Model model = open_model(file);
      fit = check_fit(model, *board_, {.prefill_chunk = chunk_});
      smaller = fit.planned && fit.prefill_chunk < std::min(model.prefill_chunk(), fit.context);
    }
    fmt::print("\n{}", fit_text(fit, *board_));
    if (!fit.problems.empty()) {
      std::fflush(stdout);
      throw CompileError(fmt::format("{} does not fit board {}: {}", output_.string(), board_->name,
                                     fit.problems.front()));
    }
    if (smaller) set_prefill_chunk(unchecked(), fit.prefill_chunk);
    std::filesystem::rename(unchecked(), output_);
  }

 private:
  std::filesystem::path unchecked() const { return output_.string() + ".unchecked"; }

  std::filesystem::path output_;
  std::optional<Board> board_;
  uint32_t chunk_ = 0;
};

}  // namespace

void run_compile(CompileOptions options, const CompileTarget& target, const ImageParts& parts,
                 const CompilePrint& print) {
  check_image_parts(target, parts);
  ForBoard for_board(target, &options);
  const bool terminal = isatty(STDERR_FILENO) != 0;
  if (terminal) options.progress = draw_bar;
  try {
    const CompileReport report = compile(options);
    for (const std::string& warning : report.warnings) {
      fmt::print(stderr, "nibblec: warning: {}\n", warning);
    }
    for (const std::string& note : report.notes)
      fmt::print(stderr, "nibblec: note: {}\n", note);
    print_report(options, for_board.output(), report);
    for_board.settle();
    write_image_parts(for_board.output(), target, parts);
    if (print.matrices) print_matrices(report.emitted);
    if (print.evaluated.empty()) return;
    fmt::print("\n");
    std::fflush(stdout);
    run_perplexity(evaluation_of(options, print.evaluated));
  } catch (...) {
    if (terminal) draw_bar("", 1);
    throw;
  }
}

}  // namespace nbl::compiler
