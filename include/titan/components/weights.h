#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace titan::base {
class FileSystem;
}

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

/// How a model's weights lie on disk.
enum class WeightsFormat {
  kDcp,  // a folder of torch.distributed.checkpoint: .metadata and __R_N.distcp
  kHf,   // a folder of safetensors files, with an index where there are several
  kPt,   // one file that torch.save wrote: a dict of tensors
};

/// What lies at `path`, by what is there: a folder with `.metadata`, one with safetensors, or a file
/// (`.safetensors`, else of torch.save).
/// Throws RunError for anything else.
WeightsFormat weights_format_of(base::FileSystem& files, const std::string& path);

/// Opens the weights at `path`. Of a DCP folder with more than a model only the model's tensors are
/// listed. Throws RunError when there are none of that format.
std::unique_ptr<WeightsReader> open_weights(base::FileSystem& files, WeightsFormat format,
                                            const std::string& path);

/// Starts to write `tensors` to `path`, which does not exist or is an empty folder. Throws RunError.
std::unique_ptr<WeightsWriter> create_weights(base::FileSystem& files, WeightsFormat format,
                                              const std::string& path,
                                              std::vector<WeightInfo> tensors);

}  // namespace titan::components
