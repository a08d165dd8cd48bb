#include "titan/formats/torch_archive/torch_archive_writer.h"

#include <algorithm>
#include <functional>
#include <unordered_set>
#include <utility>

#include "formats/torch_archive/zip_format.h"
#include "titan/base/errors.h"
#include "titan/base/little_endian.h"
#include "titan/formats/torch_archive/crc32.h"

namespace titan::formats {
namespace {

constexpr std::string_view kRoot = "archive/";
constexpr std::uint64_t kAlignment = 64;

/// boost::hash_combine, which PyTorch makes its serialization id with.
std::uint64_t hash_combine(std::uint64_t seed, std::uint64_t value) {
  return seed ^ (value + 0x9e3779b9 + (seed << 6) + (seed >> 2));
}

std::string twenty_digits(std::uint64_t number) {
  const std::string digits = std::to_string(number);
  return std::string(20 - digits.size(), '0') + digits;
}

std::string storage_record(std::size_t storage) { return concat("data/", storage); }

}  // namespace

std::string zip64_extra(std::uint64_t size, std::uint64_t stored_size, std::uint64_t offset) {
  std::string values;
  if (size >= kMax32) {
    base::put_little(values, size, 8);
    base::put_little(values, stored_size, 8);
  }
  if (offset >= kMax32) {
    base::put_little(values, offset, 8);
  }
  std::string extra;
  if (!values.empty()) {
    base::put_little(extra, kZip64Extra, 2);
    base::put_little(extra, values.size(), 2);
  }
  return extra + values;
}

TorchArchiveWriter::TorchArchiveWriter(std::string pickle, std::vector<std::uint64_t> payload_sizes)
    : pickle_(std::move(pickle)), payload_sizes_(std::move(payload_sizes)) {
  begin();  // no length depends on a checksum
  while (payload_ < payload_sizes_.size()) {
    after_payload(0);
  }
  size_ = written_;
}

std::string TorchArchiveWriter::begin() {
  payload_ = 0;
  written_ = 0;
  records_.clear();
  add("data.pkl", pickle_);
  add(".format_version", "1");
  add(".storage_alignment", std::to_string(kAlignment));
  add("byteorder", "little");
  start_payload_or_end();
  return hand_out();
}

std::string TorchArchiveWriter::after_payload(std::uint32_t crc) {
  TITAN_CHECK(payload_ < payload_sizes_.size(), "there are only ", payload_, " payloads");
  written_ += payload_sizes_[payload_++];
  end_record(crc);
  start_payload_or_end();
  return hand_out();
}

void TorchArchiveWriter::start_payload_or_end() {
  if (payload_ < payload_sizes_.size()) {
    return start_record(storage_record(payload_), payload_sizes_[payload_]);
  }
  add("version", "3\n");
  add(".data/serialization_id", serialization_id());
  end_archive();
}

std::string TorchArchiveWriter::hand_out() {
  written_ += out_.size();
  return std::exchange(out_, {});
}

void TorchArchiveWriter::add(const std::string& name, std::string_view content) {
  start_record(name, content.size());
  out_ += content;
  end_record(crc32(content));
}

void TorchArchiveWriter::start_record(const std::string& name, std::uint64_t size) {
  const std::uint64_t offset = written_ + out_.size();
  records_.push_back({concat(kRoot, name), offset, size, 0});
  const std::string& full_name = records_.back().name;
  // As in PyTorch's, the stored size is not there yet.
  std::string extra = zip64_extra(size, 0, offset);
  const std::uint64_t unpadded = offset + kLocalHeaderSize + full_name.size() + extra.size() + 4;
  const std::uint64_t padding = (kAlignment - unpadded % kAlignment) % kAlignment;
  extra += "FB";
  base::put_little(extra, padding, 2);
  extra.append(padding, 'Z');

  base::put_little(out_, kLocalHeaderSignature, 4);
  base::put_little(out_, 0, 2);  // version needed
  base::put_little(out_, size > 0 ? kUtf8Names | kHasDescriptor : kUtf8Names, 2);
  base::put_little(out_, 0, 2);  // stored
  base::put_little(out_, 0, 4);  // time and date
  base::put_little(out_, 0, 4);  // checksum: in the descriptor
  base::put_little(out_, 0, 8);  // sizes: likewise
  base::put_little(out_, full_name.size(), 2);
  base::put_little(out_, extra.size(), 2);
  out_ += full_name + extra;
}

void TorchArchiveWriter::end_record(std::uint32_t crc) {
  Record& record = records_.back();
  record.crc = crc;
  if (record.size == 0) {
    return;
  }
  const std::size_t width = zip64_extra(record.size, record.size, record.offset).empty() ? 4 : 8;
  base::put_little(out_, kDescriptorSignature, 4);
  base::put_little(out_, crc, 4);
  base::put_little(out_, record.size, width);
  base::put_little(out_, record.size, width);
}

void TorchArchiveWriter::add_central_header(const Record& record) {
  const std::string extra = zip64_extra(record.size, record.size, record.offset);
  base::put_little(out_, kCentralSignature, 4);
  base::put_little(out_, 0, 2 * 2);  // versions made by and needed
  base::put_little(out_, record.size > 0 ? kUtf8Names | kHasDescriptor : kUtf8Names, 2);
  base::put_little(out_, 0, 2);  // stored
  base::put_little(out_, 0, 4);  // time and date
  base::put_little(out_, record.crc, 4);
  base::put_little(out_, std::min(record.size, kMax32), 4);
  base::put_little(out_, std::min(record.size, kMax32), 4);
  base::put_little(out_, record.name.size(), 2);
  base::put_little(out_, extra.size(), 2);
  base::put_little(out_, 0, 2);      // comment
  base::put_little(out_, 0, 2 + 2);  // disk, internal attributes
  base::put_little(out_, 0, 4);      // external attributes
  base::put_little(out_, std::min(record.offset, kMax32), 4);
  out_ += record.name + extra;
}

void TorchArchiveWriter::end_archive() {
  const std::uint64_t directory = written_ + out_.size();
  for (const Record& record : records_) {
    add_central_header(record);
  }
  const std::uint64_t end64 = written_ + out_.size();
  const std::uint64_t count = records_.size();
  base::put_little(out_, kEnd64Signature, 4);
  base::put_little(out_, kEnd64Size - 12, 8);  // of what follows
  base::put_little(out_, 0x031e, 2);           // made by: Unix, 3.0
  base::put_little(out_, 0x002d, 2);           // needed: 4.5
  base::put_little(out_, 0, 4 + 4);            // disks
  base::put_little(out_, count, 8);
  base::put_little(out_, count, 8);
  base::put_little(out_, end64 - directory, 8);
  base::put_little(out_, directory, 8);

  base::put_little(out_, kLocator64Signature, 4);
  base::put_little(out_, 0, 4);  // disk
  base::put_little(out_, end64, 8);
  base::put_little(out_, 1, 4);  // disks

  base::put_little(out_, kEndSignature, 4);
  base::put_little(out_, 0, 2 + 2);  // disks
  base::put_little(out_, std::min(count, kMax16), 2);
  base::put_little(out_, std::min(count, kMax16), 2);
  base::put_little(out_, std::min(end64 - directory, kMax32), 4);
  base::put_little(out_, std::min(directory, kMax32), 4);
  base::put_little(out_, 0, 2);  // comment
}

/// A hash of the names and one of the checksums, 20 digits each. The names are hashed in the order
/// of an unordered set, which is libstdc++'s in PyTorch as here; readers only compare ids.
std::string TorchArchiveWriter::serialization_id() const {
  std::unordered_set<std::string> names;
  std::uint64_t checksums = 0;
  for (const Record& record : records_) {
    names.insert(record.name.substr(kRoot.size()));
    if (record.size > 0) {
      checksums = hash_combine(checksums, record.crc);
    }
  }
  std::uint64_t all_names = 0;
  for (const std::string& name : names) {
    all_names = hash_combine(all_names, std::hash<std::string>()(name));
  }
  return twenty_digits(all_names) + twenty_digits(checksums);
}

}  // namespace titan::formats
