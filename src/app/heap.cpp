#include "app/heap.h"

#include <stdlib.h>
#include <unistd.h>

#include <filesystem>
#include <system_error>
#include <vector>

namespace titan::app {

namespace {

/// Read by glibc when a process begins, and never again (its manual, "Memory Allocation Tunables"). No block has a mapping of
/// its own, nothing goes back, and where the system has pages of 2 MiB the heap asks for them.
constexpr const char* kTunables =
    "glibc.malloc.mmap_max=0:glibc.malloc.trim_threshold=9223372036854775807:glibc.malloc.hugetlb="
    "1";

}  // namespace

void restart_with_a_heap_for_tensors(std::span<const std::string> args) {
  constexpr const char* kVariable = "GLIBC_TUNABLES";
  if (getenv(kVariable) != nullptr) return;
  std::error_code failed;
  const std::string program = std::filesystem::read_symlink("/proc/self/exe", failed).string();
  if (failed) return;
  std::vector<std::string> words = {program};
  words.insert(words.end(), args.begin(), args.end());
  std::vector<char*> pointers;
  for (std::string& word : words) pointers.push_back(word.data());
  pointers.push_back(nullptr);
  setenv(kVariable, kTunables, /*overwrite=*/0);
  execv(program.c_str(), pointers.data());
  // It did not: this process goes on as it is, and so may those that it starts.
  unsetenv(kVariable);
}

}  // namespace titan::app
