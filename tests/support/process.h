// Runs a program and keeps what it says.
#pragma once

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <string>
#include <vector>

#include "tests/support/temp_file.h"

namespace nbl::test {

struct ProcessResult {
  int status = -1;  // as main() returned it
  int signal = 0;   // that ended it, 0 = none
  std::string out, err;

  long error_lines() const { return std::count(err.begin(), err.end(), '\n'); }
};

// Units   `environment` entries are NAME=value; an entry replaces the parent's.
inline ProcessResult run_process(std::vector<std::string> command,
                                 const std::vector<std::string>& environment = {},
                                 const std::string& input = {}) {
  const TempFile in(input), out(""), err("");
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, in.path().c_str(), O_RDONLY, 0);
  posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, out.path().c_str(), O_WRONLY, 0);
  posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, err.path().c_str(), O_WRONLY, 0);
  std::vector<std::string> settings = environment;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string text = *entry;
    const std::string name = text.substr(0, text.find('=') + 1);
    const auto same = [&](const std::string& s) { return s.compare(0, name.size(), name) == 0; };
    if (std::none_of(environment.begin(), environment.end(), same)) settings.push_back(text);
  }
  const auto pointers = [](std::vector<std::string>& strings) {
    std::vector<char*> result;
    for (std::string& s : strings)
      result.push_back(s.data());
    result.push_back(nullptr);
    return result;
  };
  pid_t child = 0;
  const int failed = posix_spawn(&child, command[0].c_str(), &actions, nullptr,
                                 pointers(command).data(), pointers(settings).data());
  posix_spawn_file_actions_destroy(&actions);
  if (failed != 0) throw std::runtime_error("cannot start " + command[0]);
  int status = 0;
  waitpid(child, &status, 0);
  const auto read = [](const TempFile& file) {
    std::ifstream stream(file.path(), std::ios::binary);
    return std::string(std::istreambuf_iterator<char>(stream), std::istreambuf_iterator<char>());
  };
  return {WIFEXITED(status) ? WEXITSTATUS(status) : -1, WIFSIGNALED(status) ? WTERMSIG(status) : 0,
          read(out), read(err)};
}

}  // namespace nbl::test
