#include "compiler/image/object_file.h"

#include <elf.h>
#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <span>

#include "compiler/emit/segments.h"
#include "compiler/error.h"
#include "compiler/import/mapped_file.h"

namespace nbl::compiler {
namespace {

constexpr uint64_t kPage = 4096;

struct Target {
  const char* name;
  Machine machine;
  uint16_t number;  // e_machine
  uint32_t flags;   // e_flags: the ABI that Linux distributions use
  bool wide;        // 64 bits
};
constexpr Target kTargets[] = {
    {"x86_64", Machine::x86_64, EM_X86_64, 0, true},
    {"aarch64", Machine::aarch64, EM_AARCH64, 0, true},
    {"armv7", Machine::armv7, EM_ARM, 0x05000000 /* EABI version 5 */, false},
    {"riscv64", Machine::riscv64, EM_RISCV, 0x5 /* compressed code, doubles in registers */, true}};

struct Elf32 {
  using Header = Elf32_Ehdr;
  using Section = Elf32_Shdr;
  using Symbol = Elf32_Sym;
  using Size = uint32_t;
  static constexpr unsigned char kClass = ELFCLASS32;
};
struct Elf64 {
  using Header = Elf64_Ehdr;
  using Section = Elf64_Shdr;
  using Symbol = Elf64_Sym;
  using Size = uint64_t;
  static constexpr unsigned char kClass = ELFCLASS64;
};

bool is_letter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

bool is_identifier(std::string_view text) {
  return !text.empty() && is_letter(text[0]) && std::all_of(text.begin(), text.end(), [](char c) {
    return is_letter(c) || (c >= '0' && c <= '9');
  });
}

// Words of C11 that look like one.
constexpr std::string_view kKeywords[] = {
    "auto",    "break",  "case",     "char",   "const",    "continue", "default",
    "do",      "double", "else",     "enum",   "extern",   "float",    "for",
    "goto",    "if",     "inline",   "int",    "long",     "register", "restrict",
    "return",  "short",  "signed",   "sizeof", "static",   "struct",   "switch",
    "typedef", "union",  "unsigned", "void",   "volatile", "while"};

// Strings behind each other, each found by its offset.
class Strings {
 public:
  template <typename Offset>
  void add(const std::string& text, Offset* offset) {
    *offset = static_cast<Offset>(bytes_.size());
    bytes_.append(text).push_back('\0');
  }
  const std::string& bytes() const { return bytes_; }

 private:
  std::string bytes_ = std::string(1, '\0');
};

template <typename T>
std::span<const std::byte> bytes_of(const std::vector<T>& items) {
  return std::as_bytes(std::span(items));
}

// Sections in the order in which they lie in the file.
enum SectionIndex : uint16_t { kNone, kModel, kBytes, kStackNote, kSymbols, kStrings, kCount };

template <typename Elf>
class ObjectWriter {
 public:
  ObjectWriter(const Target& target, const std::string& symbol, uint64_t model_bytes)
      : target_(target), symbol_(symbol), model_bytes_(model_bytes) {}

  void write(std::span<const std::byte> model, const std::filesystem::path& path) {
    const std::vector<typename Elf::Symbol> symbols = make_symbols();
    const typename Elf::Size count = static_cast<typename Elf::Size>(model_bytes_);
    OutputFile file(path);
    uint64_t end = kPage;  // the header's page
    const auto put = [&](SectionIndex index, std::span<const std::byte> bytes, uint64_t align) {
      end = (end + align - 1) / align * align;
      sections_[index].sh_offset = static_cast<typename Elf::Size>(end);
      sections_[index].sh_size = static_cast<typename Elf::Size>(bytes.size());
      sections_[index].sh_addralign = static_cast<typename Elf::Size>(align);
      file.write_at(end, bytes);
      end += bytes.size();
    };
    name_sections();
    put(kModel, model, kPage);
    put(kBytes, std::as_bytes(std::span(&count, 1)), sizeof count);
    put(kStackNote, {}, 1);
    put(kSymbols, bytes_of(symbols), alignof(typename Elf::Symbol));
    put(kStrings, std::as_bytes(std::span(strings_.bytes())), 1);
    end = (end + 7) / 8 * 8;
    file.write_at(end, std::as_bytes(std::span(sections_)));
    const typename Elf::Header header = make_header(end);
    file.write_at(0, std::as_bytes(std::span(&header, 1)));
    file.commit();
  }

 private:
  std::vector<typename Elf::Symbol> make_symbols() {
    std::vector<typename Elf::Symbol> symbols(1);
    const auto add = [&](const std::string& name, uint16_t section, uint64_t at, uint64_t size) {
      typename Elf::Symbol s{};
      strings_.add(name, &s.st_name);
      s.st_info = ELF64_ST_INFO(STB_GLOBAL, STT_OBJECT);
      s.st_shndx = section;
      s.st_value = static_cast<typename Elf::Size>(at);
      s.st_size = static_cast<typename Elf::Size>(size);
      symbols.push_back(s);
    };
    add(symbol_, kModel, 0, model_bytes_);
    add(symbol_ + "_end", kModel, model_bytes_, 0);
    add(symbol_ + "_bytes", kBytes, 0, sizeof(typename Elf::Size));
    return symbols;
  }

  void name_sections() {
    strings_.add(".rodata." + symbol_, &sections_[kModel].sh_name);
    strings_.add(".rodata." + symbol_ + "_bytes", &sections_[kBytes].sh_name);
    strings_.add(".note.GNU-stack", &sections_[kStackNote].sh_name);
    strings_.add(".symtab", &sections_[kSymbols].sh_name);
    strings_.add(".strtab", &sections_[kStrings].sh_name);
    for (const SectionIndex index : {kModel, kBytes, kStackNote})
      sections_[index].sh_type = SHT_PROGBITS;
    for (const SectionIndex index : {kModel, kBytes})
      sections_[index].sh_flags = SHF_ALLOC;
    sections_[kSymbols].sh_type = SHT_SYMTAB;
    sections_[kSymbols].sh_link = kStrings;
    sections_[kSymbols].sh_info = 1;  // the first global one
    sections_[kSymbols].sh_entsize = sizeof(typename Elf::Symbol);
    sections_[kStrings].sh_type = SHT_STRTAB;
  }

  typename Elf::Header make_header(uint64_t section_table) const {
    typename Elf::Header h{};
    std::memcpy(h.e_ident, ELFMAG, SELFMAG);
    h.e_ident[EI_CLASS] = Elf::kClass;
    h.e_ident[EI_DATA] = ELFDATA2LSB;
    h.e_ident[EI_VERSION] = EV_CURRENT;
    h.e_type = ET_REL;
    h.e_machine = target_.number;
    h.e_version = EV_CURRENT;
    h.e_flags = target_.flags;
    h.e_ehsize = sizeof h;
    h.e_shoff = static_cast<typename Elf::Size>(section_table);
    h.e_shentsize = sizeof(typename Elf::Section);
    h.e_shnum = kCount;
    h.e_shstrndx = kStrings;
    return h;
  }

  const Target& target_;
  const std::string& symbol_;
  uint64_t model_bytes_;
  Strings strings_;
  typename Elf::Section sections_[kCount] = {};
};

}  // namespace

Machine machine_of(std::string_view name) {
  std::string known;
  for (const Target& target : kTargets) {
    if (name == target.name) return target.machine;
    known += fmt::format("{}{}", known.empty() ? "" : ", ", target.name);
  }
  throw CompileError(fmt::format("there are no objects for machine {}; there are {}", name, known));
}

Machine machine_of_toolchain(std::string_view toolchain) {
  return machine_of(toolchain.substr(0, toolchain.find('-')));
}

void check_symbol(std::string_view symbol) {
  if (!is_identifier(symbol)) {
    throw CompileError(fmt::format(
        "the symbol '{}' is no C identifier: letters, digits and _, no digit first", symbol));
  }
  if (std::ranges::find(kKeywords, symbol) != std::end(kKeywords)) {
    throw CompileError(fmt::format("the symbol '{}' is a word of C itself", symbol));
  }
}

void write_object(const std::filesystem::path& model, Machine machine, const std::string& symbol,
                  const std::filesystem::path& path) {
  check_symbol(symbol);
  const Target& target = kTargets[static_cast<size_t>(machine)];
  const MappedFile file(model);
  const std::span<const std::byte> bytes = file.bytes();
  if (!target.wide && bytes.size() > INT32_MAX) {
    throw CompileError(fmt::format("the model has {} bytes; an object for {} has room for {}",
                                   bytes.size(), target.name, INT32_MAX));
  }
  if (target.wide) {
    ObjectWriter<Elf64>(target, symbol, bytes.size()).write(bytes, path);
  } else {
    ObjectWriter<Elf32>(target, symbol, bytes.size()).write(bytes, path);
  }
}

}  // namespace nbl::compiler
