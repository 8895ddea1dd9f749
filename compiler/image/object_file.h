// A model as a relocatable object, to be linked into an image.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace nbl::compiler {

// A machine that objects can be for.
enum class Machine : uint8_t { x86_64, aarch64, armv7, riscv64 };

// "x86_64", "aarch64", "armv7" or "riscv64"; CompileError otherwise.
Machine machine_of(std::string_view name);

// The machine of a toolchain file of cmake/toolchains, such as "aarch64-linux-gnu".
Machine machine_of_toolchain(std::string_view toolchain);

// Checks that C can declare a symbol: letters, digits and _, no digit first, no word of C itself.
//
// Errors   CompileError.
void check_symbol(std::string_view symbol);

// Writes an ELF relocatable object with the model's bytes.
//
// Layout   Section .rodata.<symbol>, read-only, aligned to 4096 bytes: the file as it is, so that a
//          driver may import it. Symbols for C:
//            extern const unsigned char <symbol>[];       the bytes
//            extern const unsigned char <symbol>_end[];   one past them
//            extern const size_t <symbol>_bytes;          how many
// Source   System V ABI, chapter 4 (object files), and the processor supplements for e_flags.
// Errors   CompileError: as check_symbol(); a file that cannot be read or written; a model over
//          2 GiB for a 32-bit machine; `path` is then as it was.
void write_object(const std::filesystem::path& model, Machine machine, const std::string& symbol,
                  const std::filesystem::path& path);

}  // namespace nbl::compiler
