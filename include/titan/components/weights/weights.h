#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <vector>

namespace titan::components {

/// A named tensor of a file.
struct WeightInfo {
  std::string name;
  at::ScalarType dtype = at::kFloat;
  std::vector<std::int64_t> sizes;
};

/// The tensors of a model on disk, in whichever format. Safe to use from several threads.
class WeightsReader {
 public:
  virtual ~WeightsReader() = default;
  /// In the order of the files; no name twice.
  virtual const std::vector<WeightInfo>& tensors() const = 0;
  /// Fills `box`, a contiguous CPU tensor, with the part of tensor `name` that starts at `offsets` and has
  /// the sizes of `box`; converts to its type. Reads no more than it needs to. Throws RunError naming
  /// file, tensor and byte.
  virtual void read(const std::string& name, const std::vector<std::int64_t>& offsets,
                    const at::Tensor& box) const = 0;
};

/// Writes the tensors of a model, one after the other: memory is needed for one.
class WeightsWriter {
 public:
  virtual ~WeightsWriter() = default;
  /// `tensor` is the next of the list that the writer was made for: same type and sizes, contiguous,
  /// on the CPU. Throws RunError.
  virtual void append(const at::Tensor& tensor) = 0;
  /// Makes everything durable; before, nothing exists under its final name.
  virtual void finish() = 0;
};

}  // namespace titan::components
