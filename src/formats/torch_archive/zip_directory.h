#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "formats/torch_archive/file_range.h"

namespace titan::formats {

/// A record of a zip file, from its central directory.
struct ZipRecord {
  std::uint64_t header = 0;  // where its local header starts
  std::uint64_t size = 0;
  std::uint32_t crc = 0;
};

/// The records of a zip file as PyTorch writes it: not compressed, no comment at its end.
class ZipDirectory {
 public:
  /// Throws RunError naming the byte where the file is damaged or another kind of zip.
  explicit ZipDirectory(const FileRange& range);

  /// The folder that everything is in, with its slash: "archive/".
  const std::string& root() const { return root_; }
  /// Null when there is none. `name` is without the root: "data.pkl".
  const ZipRecord* find(std::string_view name) const;
  /// Where the content starts. Throws RunError when the local header is another record's.
  std::uint64_t locate(std::string_view name, const ZipRecord& record) const;
  /// The content of a record, its checksum compared. Throws RunError for a missing one, too.
  std::string read(std::string_view name) const;

 private:
  struct Extent {
    std::uint64_t start = 0;
    std::uint64_t size = 0;
    std::uint64_t count = 0;  // of records
  };

  Extent find_directory() const;
  Extent read_end64(std::uint64_t locator) const;
  void read_record(const std::string& directory, std::uint64_t& at);
  void read_zip64(std::string_view extra, ZipRecord& record, std::uint64_t at) const;

  const FileRange& range_;
  Extent extent_;
  std::string root_;
  std::map<std::string, ZipRecord, std::less<>> records_;
};

}  // namespace titan::formats
