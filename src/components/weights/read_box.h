#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "titan/components/weights/weights.h"

namespace titan::components {

/// Reads the bytes of a stored tensor from byte `begin` of it on.
using ReadBytes = std::function<void(std::uint64_t begin, std::span<char> out)>;

/// Fills `box`, contiguous and on the CPU, with the part of a row-major `stored` tensor that starts at
/// `offsets`; converts to its type. Takes a few MiB of memory, whatever the sizes.
void read_box(const WeightInfo& stored, const std::vector<std::int64_t>& offsets,
              const at::Tensor& box, const ReadBytes& read);

}  // namespace titan::components
