#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "titan/formats/pickle/pickle.h"

namespace titan::formats {

/// Writes a `torch.save` file around payloads that the caller holds, byte for byte as PyTorch 2.11
/// does (a stored zip, payloads at multiples of 64 bytes from its start). In order: `begin()`,
/// payload 0, `after_payload(its CRC-32)`, payload 1, ... Nothing is copied.
class TorchArchiveWriter {
 public:
  /// `pickle`: the object, storages as persistent ids; `payload_sizes[i]` bytes are storage "i".
  TorchArchiveWriter(std::string pickle, std::vector<std::uint64_t> payload_sizes);

  /// Bytes of the whole file, known before any payload is.
  std::uint64_t size() const { return size_; }

  /// What comes before payload 0: the whole file where there is none.
  std::string begin();
  /// What comes between the payload with this checksum and the next; after the last, the end.
  std::string after_payload(std::uint32_t crc);

 private:
  struct Record {
    std::string name;
    std::uint64_t offset;  // of its header
    std::uint64_t size;
    std::uint32_t crc;
  };

  void add(const std::string& name, std::string_view content);
  void start_record(const std::string& name, std::uint64_t size);
  void end_record(std::uint32_t crc);
  void start_payload_or_end();
  void end_archive();
  void add_central_header(const Record& record);
  std::string serialization_id() const;
  std::string hand_out();

  std::string pickle_;
  std::vector<std::uint64_t> payload_sizes_;
  std::size_t payload_ = 0;    // the next one
  std::uint64_t written_ = 0;  // bytes handed out, payloads included
  std::string out_;            // what comes next
  std::vector<Record> records_;
  std::uint64_t size_ = 0;
};

/// The file of one contiguous tensor (`torch.save(tensor)`), a checkpoint's entry; its payload is
/// the elements in row-major order, little endian. `dtype`: "float32". Throws InternalError for an
/// unknown one.
TorchArchiveWriter tensor_archive(std::string_view dtype, const std::vector<std::int64_t>& sizes);

/// The file of an object without tensors (`torch.save(value)`).
std::string object_archive(const PickleValue& value);

/// The elements from one index to the next of each dimension when rows lie one after the other.
std::vector<std::int64_t> contiguous_strides(const std::vector<std::int64_t>& sizes);

/// The object that stands for a tensor in the pickle of a `torch.save` file: all of storage
/// `storage` ("0"), contiguous.
PickleValue tensor_object(std::string_view dtype, const std::vector<std::int64_t>& sizes,
                          const std::string& storage);

}  // namespace titan::formats
