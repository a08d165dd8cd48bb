#pragma once

#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

namespace titan::test {

/// Integers as little-endian bytes, the way every token format stores them.
template <class Stored, class Number>
std::string bytes_of(const std::vector<Number>& numbers) {
  std::string bytes;
  for (const Number number : numbers) {
    const auto stored = static_cast<Stored>(number);
    char copy[sizeof(Stored)];
    std::memcpy(copy, &stored, sizeof(Stored));
    bytes.append(copy, sizeof(Stored));
  }
  return bytes;
}

template <class Stored>
std::string bytes_of(std::int64_t number) {
  return bytes_of<Stored>(std::vector<std::int64_t>{number});
}

/// A token file of llm.c with any header.
inline std::string llm_c_file(std::int32_t magic, std::int32_t version, std::int32_t tokens,
                              const std::string& bytes) {
  std::string file = bytes_of<std::int32_t>(magic) + bytes_of<std::int32_t>(version) +
                     bytes_of<std::int32_t>(tokens);
  file.resize(1024);
  return file + bytes;
}

/// What a Megatron index says.
struct MegatronParts {
  std::int64_t version = 1;
  int type = 8;
  std::vector<std::int64_t> lengths;
  std::vector<std::int64_t> offsets;
  std::vector<std::int64_t> ends{0};
};

inline std::string megatron_index(const MegatronParts& parts) {
  return std::string("MMIDIDX\0\0", 9) + bytes_of<std::int64_t>(parts.version) +
         std::string(1, static_cast<char>(parts.type)) +
         bytes_of<std::int64_t>(std::ssize(parts.lengths)) +
         bytes_of<std::int64_t>(std::ssize(parts.ends)) + bytes_of<std::int32_t>(parts.lengths) +
         bytes_of<std::int64_t>(parts.offsets) + bytes_of<std::int64_t>(parts.ends);
}

/// The index of documents of one sequence each, whose tokens lie behind each other.
inline std::string megatron_index(const std::vector<std::int64_t>& lengths, int type,
                                  std::int64_t width) {
  MegatronParts parts;
  parts.type = type;
  std::int64_t offset = 0;
  for (const std::int64_t length : lengths) {
    parts.lengths.push_back(length);
    parts.offsets.push_back(offset);
    offset += length * width;
    parts.ends.push_back(std::ssize(parts.lengths));
  }
  return megatron_index(parts);
}

}  // namespace titan::test
