#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace titan::base {
class FileSystem;
class ReadableFile;
}  // namespace titan::base

namespace titan::text {

/// A file as it was when the data was looked up.
struct DataFile {
  std::string path;
  std::uint64_t size = 0;
};

/// Opens `file`. Throws RunError when it cannot be opened or its size is another now.
std::unique_ptr<base::ReadableFile> open_data_file(base::FileSystem& files, const DataFile& file);

/// Says which files these are, wherever the folder is that all of them are in: "2 files, a.jsonl (17 bytes) ... b.jsonl
/// (4 bytes), 0123456789abcdef", the number being a hash of all names and sizes.
std::string describe_files(const std::vector<DataFile>& files);

/// The last part of a path.
std::string file_name(const std::string& path);

}  // namespace titan::text
