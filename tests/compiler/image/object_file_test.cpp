// Could break: an object that a linker takes but that lacks bytes, alignment or symbols; one for
// the wrong machine.
#include "compiler/image/object_file.h"

#include <elf.h>
#include <gtest/gtest.h>

#include <cstring>
#include <fstream>
#include <iterator>
#include <map>

#include "compiler/error.h"
#include "tests/support/temp_file.h"

namespace nbl::compiler {
namespace {

std::string content(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

std::string object_of(const std::string& model, Machine machine, const std::string& symbol = "m") {
  const test::TempFile in(model), out("");
  write_object(in.path(), machine, symbol, out.path());
  return content(out.path());
}

template <typename T>
T at(const std::string& file, uint64_t offset) {
  T value{};
  EXPECT_LE(offset + sizeof value, file.size());
  std::memcpy(&value, file.data() + offset, sizeof value);
  return value;
}

// Reads an object as a linker would and compares it with what it was made of.
template <typename Header, typename Section, typename Symbol, typename Size>
void expect_object(const std::string& file, const std::string& model, uint16_t machine,
                   unsigned char elf_class) {
  const auto h = at<Header>(file, 0);
  ASSERT_EQ(std::memcmp(h.e_ident, ELFMAG, SELFMAG), 0);
  EXPECT_EQ(h.e_ident[EI_CLASS], elf_class);
  EXPECT_EQ(h.e_ident[EI_DATA], ELFDATA2LSB);
  EXPECT_EQ(h.e_type, ET_REL);
  EXPECT_EQ(h.e_machine, machine);
  ASSERT_EQ(h.e_shentsize, sizeof(Section));
  std::vector<Section> sections;
  for (unsigned i = 0; i < h.e_shnum; ++i)
    sections.push_back(at<Section>(file, h.e_shoff + i * sizeof(Section)));
  const Section& names = sections.at(h.e_shstrndx);
  std::map<std::string, Section> by_name;
  for (const Section& s : sections)
    by_name[file.data() + names.sh_offset + s.sh_name] = s;
  const Section& data = by_name.at(".rodata.m");
  EXPECT_EQ(data.sh_flags, Size{SHF_ALLOC});  // neither written to nor run
  EXPECT_EQ(data.sh_addralign, Size{4096});
  EXPECT_EQ(data.sh_offset % 4096, 0u);
  EXPECT_EQ(file.substr(data.sh_offset, data.sh_size), model);
  EXPECT_EQ(by_name.at(".note.GNU-stack").sh_flags, Size{0});  // no executable stack
  const Section& table = by_name.at(".symtab");
  const Section& strings = sections.at(table.sh_link);
  std::map<std::string, Symbol> symbols;
  for (uint64_t i = table.sh_info; i < table.sh_size / sizeof(Symbol); ++i) {
    const auto s = at<Symbol>(file, table.sh_offset + i * sizeof(Symbol));
    EXPECT_EQ(ELF64_ST_BIND(s.st_info), STB_GLOBAL);
    symbols[file.data() + strings.sh_offset + s.st_name] = s;
  }
  ASSERT_EQ(symbols.size(), 3u);
  EXPECT_EQ(symbols.at("m").st_value, Size{0});
  EXPECT_EQ(symbols.at("m").st_size, model.size());
  EXPECT_EQ(symbols.at("m_end").st_value, model.size());
  EXPECT_EQ(symbols.at("m_end").st_shndx, symbols.at("m").st_shndx);
  const Symbol& bytes = symbols.at("m_bytes");
  const Section& holder = sections.at(bytes.st_shndx);
  EXPECT_EQ(at<Size>(file, holder.sh_offset + bytes.st_value), model.size());
}

TEST(ObjectFile, holds_the_model_for_every_machine) {
  for (const size_t size : {size_t{1}, size_t{4096}, size_t{70001}}) {
    std::string model(size, '\0');
    for (size_t i = 0; i < size; ++i)
      model[i] = static_cast<char>(i * 31 + 7);
    const auto expect64 = [&](Machine machine, uint16_t number) {
      expect_object<Elf64_Ehdr, Elf64_Shdr, Elf64_Sym, uint64_t>(object_of(model, machine), model,
                                                                 number, ELFCLASS64);
    };
    expect64(Machine::x86_64, EM_X86_64);
    expect64(Machine::aarch64, EM_AARCH64);
    expect64(Machine::riscv64, EM_RISCV);
    expect_object<Elf32_Ehdr, Elf32_Shdr, Elf32_Sym, uint32_t>(object_of(model, Machine::armv7),
                                                               model, EM_ARM, ELFCLASS32);
  }
}

TEST(ObjectFile, is_for_the_machine_of_a_toolchain) {
  EXPECT_EQ(machine_of_toolchain("aarch64-linux-android"), Machine::aarch64);
  EXPECT_EQ(machine_of_toolchain("armv7-linux-gnueabihf"), Machine::armv7);
  EXPECT_EQ(machine_of("riscv64"), Machine::riscv64);
  try {
    machine_of("mips");
    FAIL();
  } catch (const CompileError& error) {
    EXPECT_STREQ(
        error.what(),
        "there are no objects for machine mips; there are x86_64, aarch64, armv7, riscv64");
  }
}

TEST(ObjectFile, wants_a_symbol_that_c_can_name) {
  for (const char* symbol : {"", "1model", "my-model", "a b", "a\n", "int"})
    EXPECT_THROW(object_of("x", Machine::x86_64, symbol), CompileError) << symbol;
  EXPECT_NO_THROW(object_of("x", Machine::x86_64, "_model_2"));
}

}  // namespace
}  // namespace nbl::compiler
