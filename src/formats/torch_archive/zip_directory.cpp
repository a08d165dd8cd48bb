#include "formats/torch_archive/zip_directory.h"

#include <algorithm>

#include "formats/torch_archive/zip_format.h"
#include "titan/base/errors.h"
#include "titan/base/little_endian.h"
#include "titan/formats/torch_archive/crc32.h"

namespace titan::formats {
namespace {

/// A number of `count` bytes at `at`; the caller knows that they are there.
std::uint64_t number(std::string_view bytes, std::size_t at, std::size_t count) {
  return base::get_little(bytes.substr(at, count));
}

}  // namespace

ZipDirectory::ZipDirectory(const FileRange& range) : range_(range), extent_(find_directory()) {
  const std::string directory = range_.read(extent_.start, extent_.size);
  std::uint64_t at = 0;
  for (std::uint64_t i = 0; i < extent_.count; ++i) {
    read_record(directory, at);
  }
  if (at != directory.size()) {
    range_.fail(extent_.start + at, "the zip directory goes on after its last record");
  }
}

ZipDirectory::Extent ZipDirectory::find_directory() const {
  if (range_.size() < kEndSize) {
    range_.refuse_other_kind();
    range_.fail(0, concat("no zip file: it has ", range_.size(), " bytes"));
  }
  const std::uint64_t end = range_.size() - kEndSize;
  const std::string bytes = range_.read(end, kEndSize);
  if (number(bytes, 0, 4) != kEndSignature || number(bytes, 20, 2) != 0) {
    range_.refuse_other_kind();
    range_.fail(end, "the end of a zip file is not here");
  }
  const bool one_disk = number(bytes, 4, 4) == 0 && number(bytes, 8, 2) == number(bytes, 10, 2);
  Extent extent{
      .start = number(bytes, 16, 4), .size = number(bytes, 12, 4), .count = number(bytes, 10, 2)};
  if (!one_disk) {
    range_.fail(end, "a zip file of several parts");
  }
  std::uint64_t limit = end;
  if (extent.start == kMax32 || extent.size == kMax32 || extent.count == kMax16) {
    limit = end - std::min(end, kLocator64Size);
    extent = read_end64(limit);
  }
  if (extent.start > limit || extent.size > limit - extent.start ||
      extent.count > extent.size / kCentralHeaderSize) {
    range_.fail(end, concat("a zip directory of ", extent.count, " records, ", extent.size,
                            " bytes, at byte ", extent.start, " does not fit the file"));
  }
  return extent;
}

ZipDirectory::Extent ZipDirectory::read_end64(std::uint64_t locator) const {
  const std::string pointer = range_.read(locator, kLocator64Size);
  if (number(pointer, 0, 4) != kLocator64Signature) {
    range_.fail(locator, "the zip64 locator is not here");
  }
  const std::uint64_t end64 = number(pointer, 8, 8);
  const std::string bytes = range_.read(end64, kEnd64Size);
  if (number(bytes, 0, 4) != kEnd64Signature) {
    range_.fail(end64, "the zip64 end of the zip file is not here");
  }
  return {
      .start = number(bytes, 48, 8), .size = number(bytes, 40, 8), .count = number(bytes, 32, 8)};
}

void ZipDirectory::read_record(const std::string& directory, std::uint64_t& at) {
  const std::uint64_t start = extent_.start + at;
  if (directory.size() - at < kCentralHeaderSize || number(directory, at, 4) != kCentralSignature) {
    range_.fail(start, "a record of the zip directory does not start here");
  }
  const std::uint64_t name_size = number(directory, at + 28, 2);
  const std::uint64_t extra_size = number(directory, at + 30, 2);
  const std::uint64_t comment_size = number(directory, at + 32, 2);
  const std::uint64_t whole = kCentralHeaderSize + name_size + extra_size + comment_size;
  if (whole > directory.size() - at) {
    range_.fail(start, "a record of the zip directory is longer than the directory");
  }
  const std::string name = directory.substr(at + kCentralHeaderSize, name_size);
  const std::string_view extra =
      std::string_view(directory).substr(at + kCentralHeaderSize + name_size, extra_size);
  ZipRecord record{.header = number(directory, at + 42, 4),
                   .size = number(directory, at + 24, 4),
                   .crc = static_cast<std::uint32_t>(number(directory, at + 16, 4))};
  const std::uint64_t stored_size = number(directory, at + 20, 4);
  if (number(directory, at + 10, 2) != 0 || stored_size != record.size) {
    range_.fail(start, concat("'", name, "' is compressed; torch.save stores"));
  }
  if ((number(directory, at + 8, 2) & kEncrypted) != 0) {
    range_.fail(start, concat("'", name, "' is encrypted"));
  }
  read_zip64(extra, record, start);
  if (root_.empty()) {
    root_ = name.substr(0, name.find('/') + 1);
  }
  if (root_.empty() || !name.starts_with(root_)) {
    range_.fail(start,
                concat("'", name, "' is not in the folder '", root_, "' of the first record"));
  }
  if (!records_.emplace(name.substr(root_.size()), record).second) {
    range_.fail(start, concat("'", name, "' is there twice"));
  }
  at += whole;
}

void ZipDirectory::read_zip64(std::string_view extra, ZipRecord& record, std::uint64_t at) const {
  const bool wide_size = record.size == kMax32;
  const bool wide_header = record.header == kMax32;
  if (!wide_size && !wide_header) {
    return;
  }
  while (extra.size() >= 4) {
    const std::uint64_t size = number(extra, 2, 2);
    const std::string_view values = extra.substr(4, size);
    if (number(extra, 0, 2) == kZip64Extra &&
        values.size() == (wide_size ? 16U : 0U) + (wide_header ? 8U : 0U)) {
      if (wide_size) {
        record.size = number(values, 0, 8);
        if (number(values, 8, 8) != record.size) {
          range_.fail(at, "a compressed record");
        }
      }
      if (wide_header) {
        record.header = number(values, wide_size ? 16 : 0, 8);
      }
      return;
    }
    extra.remove_prefix(std::min<std::size_t>(extra.size(), 4 + size));
  }
  range_.fail(at, "the zip64 values of a record are missing");
}

const ZipRecord* ZipDirectory::find(std::string_view name) const {
  const auto record = records_.find(name);
  return record != records_.end() ? &record->second : nullptr;
}

std::uint64_t ZipDirectory::locate(std::string_view name, const ZipRecord& record) const {
  const std::string full_name = concat(root_, name);
  const std::string header = range_.read(record.header, kLocalHeaderSize + full_name.size());
  if (number(header, 0, 4) != kLocalHeaderSignature || number(header, 26, 2) != full_name.size() ||
      std::string_view(header).substr(kLocalHeaderSize) != full_name) {
    range_.fail(record.header, concat("the header of '", full_name, "' is not here"));
  }
  const std::uint64_t start = record.header + header.size() + number(header, 28, 2);
  if (start > extent_.start || record.size > extent_.start - start) {
    range_.fail(record.header, concat("'", full_name, "' runs into the zip directory"));
  }
  return start;
}

std::string ZipDirectory::read(std::string_view name) const {
  const ZipRecord* record = find(name);
  if (record == nullptr) {
    range_.fail(extent_.start, concat("no record '", name, "': not a torch.save file"));
  }
  const std::uint64_t start = locate(name, *record);
  std::string content = range_.read(start, record->size);
  if (crc32(content) != record->crc) {
    range_.fail(start, concat("'", name, "' is damaged: its checksum is wrong"));
  }
  return content;
}

}  // namespace titan::formats
