#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "titan/formats/safetensors/safetensors.h"

namespace titan::formats {

/// What the header of a safetensors file says. `start` of a tensor counts from the end of the header.
struct SafetensorsHeader {
  std::vector<SafetensorsTensor> tensors;  // by where they lie
  std::map<std::string, std::string> metadata;
};

/// Reads the JSON `text`, which is followed by `data_bytes` bytes of tensors, and checks that they are
/// all of the tensors and nothing else. `path` is for messages, which count bytes from the start of the
/// file. Throws RunError.
SafetensorsHeader read_safetensors_header(const std::string& text, std::uint64_t data_bytes,
                                          const std::string& path);

}  // namespace titan::formats
