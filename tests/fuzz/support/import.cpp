#include "tests/fuzz/support/import.h"

#include <unistd.h>
#include <zip.h>

#include <fstream>

#include "compiler/compile.h"
#include "compiler/error.h"
#include "compiler/import/checkpoint.h"
#include "rt/load.h"
#include "tests/fuzz/support/require.h"
#include "tests/support/compiled.h"

namespace nbl::fuzz {
namespace {

constexpr uint64_t kMostMemberBytes = 1 << 20;

}  // namespace

Workplace::Workplace() {
  const std::filesystem::path memory = "/dev/shm";
  const bool usable = access(memory.c_str(), W_OK) == 0;
  path_ = (usable ? memory : std::filesystem::temp_directory_path()) /
          ("nibble_fuzz_" + std::to_string(getpid()));
  std::filesystem::create_directory(path_);
}

Workplace::~Workplace() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

void Workplace::clear() const {
  for (const auto& entry : std::filesystem::directory_iterator(path_))
    std::filesystem::remove_all(entry.path());
}

std::filesystem::path Workplace::write(const std::string& name, std::string_view bytes,
                                       const std::string& folder) const {
  std::string last = name.substr(name.rfind('/') + 1).substr(0, 200);
  last = last.substr(0, last.find('\0'));
  if (last.empty() || last == "." || last == "..") last = "nameless";
  std::filesystem::create_directory(path_ / folder);
  const std::filesystem::path path = path_ / folder / last;
  std::ofstream(path, std::ios::binary).write(bytes.data(), std::ssize(bytes));
  return path;
}

const Workplace& workplace() {
  static const Workplace place;
  return place;
}

void expect_error_or_nothing(const std::function<void()>& work) {
  try {
    work();
  } catch (const compiler::ImportError& error) {
    require(error.what()[0] != '\0', "an error has a sentence");
  } catch (const compiler::CompileError& error) {
    require(error.what()[0] != '\0', "an error has a sentence");
  }
}

void compile_and_load(const std::filesystem::path& input) {
  expect_error_or_nothing([&] {
    compiler::CompileOptions options;
    options.input = input;
    options.output = workplace().path() / "compiled.nbl";
    options.quantizer = compiler::Quantizer::rtn;
    compiler::compile(options);
    const test::AlignedBytes file = test::read_file(options.output);
    Model model;
    Error error;
    const bool loads = load(file.span(), &model, &error).ok();
    char text[256];
    if (!loads && describe(error, text, sizeof text) > 0) std::fprintf(stderr, "%s\n", text);
    require(loads, "what the compiler writes loads");
  });
}

test::ZipMembers zip_members(std::string_view archive) {
  test::ZipMembers members;
  zip_error_t error;
  zip_error_init(&error);
  zip_source_t* source = zip_source_buffer_create(archive.data(), archive.size(), 0, &error);
  if (source == nullptr) return members;
  zip_t* zip = zip_open_from_source(source, ZIP_RDONLY, &error);
  if (zip == nullptr) {
    zip_source_free(source);
    return members;
  }
  const zip_int64_t count = zip_get_num_entries(zip, 0);
  for (zip_uint64_t i = 0; i < static_cast<zip_uint64_t>(count) && i < 64; ++i) {
    zip_stat_t facts;
    zip_stat_init(&facts);
    if (zip_stat_index(zip, i, 0, &facts) != 0 || facts.size > kMostMemberBytes) continue;
    zip_file_t* const file = zip_fopen_index(zip, i, 0);
    if (file == nullptr) continue;
    std::string bytes(facts.size, '\0');
    const zip_int64_t got = zip_fread(file, bytes.data(), bytes.size());
    bytes.resize(got < 0 ? 0 : static_cast<size_t>(got));
    members.emplace_back(facts.name, std::move(bytes));
    zip_fclose(file);
  }
  zip_discard(zip);
  return members;
}

}  // namespace nbl::fuzz
