#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "titan/formats/pickle/pickle.h"
#include "titan/formats/tensor_dtype.h"

namespace titan::base {
class ReadableFile;
}

namespace titan::formats {

/// A tensor in a `torch.save` file: a view of a storage, in elements.
struct StoredTensor {
  TensorDtype dtype;
  std::vector<std::int64_t> sizes;
  std::vector<std::int64_t> strides;
  std::int64_t first = 0;  // where in the storage its first element is

  std::string storage = {};         // "0"
  std::uint64_t storage_start = 0;  // byte of the file
  std::uint64_t storage_bytes = 0;
  std::uint32_t storage_crc = 0;  // CRC-32 of all of them

  std::int64_t element_count() const;
  /// Whether its elements lie one after the other in row-major order: then the tensor is the bytes
  /// from `data_start()` on.
  bool is_contiguous() const;
  std::uint64_t data_start() const {
    return storage_start + static_cast<std::uint64_t>(first * dtype.bytes);
  }
  std::uint64_t data_bytes() const {
    return static_cast<std::uint64_t>(element_count() * dtype.bytes);
  }
};

/// A `torch.save` file, alone or as an entry of a checkpoint's file. No length in it is trusted and
/// nothing in it is executed. Safe to read from several threads.
class TorchArchive {
 public:
  /// Reads the object in bytes `offset` to `offset + length` of `file`, which must live as long.
  /// Throws RunError naming file and byte.
  TorchArchive(const base::ReadableFile& file, std::uint64_t offset, std::uint64_t length,
               const PickleLimits& limits = {});
  ~TorchArchive();

  /// The object; tensors in it are objects that `tensor()` understands.
  const PickleValue& object() const;

  /// The tensor that `value` stands for; nothing when it is no tensor. Throws RunError for one that
  /// does not fit its storage or is of a kind that is not read (sparse, quantized, ...).
  std::optional<StoredTensor> tensor(const PickleValue& value) const;

  /// Compares the checksum of the tensor's storage with its bytes, read in pieces. Throws RunError.
  void check_storage(const StoredTensor& tensor) const;

 private:
  struct Inside;
  std::unique_ptr<Inside> inside_;
};

}  // namespace titan::formats
