#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace titan::test {

/// Feeds every seed, whole and cut off in places, to the fuzz target that is linked in: what it
/// checks holds for these inputs under every compiler and sanitizer.
inline void replay_corpus(const std::string& name) {
  int seeds = 0;
  for (const auto& entry :
       std::filesystem::directory_iterator(TITAN_SOURCE_DIR "/tests/fuzz/corpus/" + name)) {
    SCOPED_TRACE(entry.path().string());
    std::ifstream file(entry.path(), std::ios::binary);
    const std::string bytes((std::istreambuf_iterator<char>(file)), {});
    for (std::size_t size = 0; size < bytes.size(); size += 17) {
      const std::string cut = bytes.substr(0, size);
      LLVMFuzzerTestOneInput(reinterpret_cast<const std::uint8_t*>(cut.data()), cut.size());
    }
    LLVMFuzzerTestOneInput(reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size());
    ++seeds;
  }
  EXPECT_GT(seeds, 5);
}

}  // namespace titan::test
