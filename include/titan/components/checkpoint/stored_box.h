#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <vector>

#include "titan/formats/torch_archive/torch_archive.h"

namespace titan::base {
class ReadableFile;
}

namespace titan::components {

/// Bytes `begin` to `end` of a storage, and their checksum.
struct ReadPart {
  std::uint64_t begin;
  std::uint64_t end;
  std::uint32_t crc;
};

/// Adds a part, joined with the one before it where that ends where it begins. Beyond some hundred
/// parts none is added: no whole will come of them.
void add_part(std::vector<ReadPart>& parts, const ReadPart& part);

/// Reads boxes out of stored tensors. One thread.
class StoredBoxReader {
 public:
  /// Fills `to`, any strides and device, with the box of its sizes at `offsets` of `stored`, a tensor in
  /// `file`; converts to its type. Where the type is the same and both lie row after row, the bytes
  /// go from the file to where they belong; else a few MiB of memory are taken, whatever the sizes.
  /// Adds what was read of the storage to `parts`, unless that is null. With `parts`, of rows of up to
  /// 64 KiB all is read even if a part is needed: the disk would as well, and whole rows can be
  /// checked. Without, only runs of less than 4 KiB are read with what lies between them. Throws RunError.
  void read(const base::ReadableFile& file, const formats::StoredTensor& stored,
            const std::vector<std::int64_t>& offsets, const at::Tensor& to,
            std::vector<ReadPart>* parts);

 private:
  struct Request;
  void read_box(const Request& request, std::vector<std::int64_t> offsets, const at::Tensor& to);
  void read_rows(const Request& request, const std::vector<std::int64_t>& offsets,
                 const at::Tensor& to, std::int64_t row);

  std::vector<char> buffer_;
};

}  // namespace titan::components
