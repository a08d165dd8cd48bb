#include "titan/text/sources/data_fingerprint.h"

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "text/sources/find_data.h"
#include "text/sources/sources_of_formats.h"
#include "titan/base/errors.h"
#include "titan/base/file_system.h"
#include "titan/base/sha256.h"

namespace titan::text {
namespace {

constexpr std::uint64_t kReadWhole = 4 << 20;
constexpr std::uint64_t kPieces = 64;
constexpr std::uint64_t kPiece = 16 << 10;  // bytes

void add(base::Sha256& hash, base::FileSystem& files, const DataFile& data, std::uint64_t begin,
         std::uint64_t end) {
  const auto file = open_data_file(files, data);
  std::string bytes(kPiece, '\0');
  for (std::uint64_t at = begin; at < end; at += kPiece) {
    bytes.resize(std::min(kPiece, end - at));
    base::read_exactly(*file, at, bytes);
    hash.update(bytes);
  }
}

std::string hash_of(base::FileSystem& files, const std::vector<DataFile>& data) {
  std::uint64_t total = 0;
  for (const DataFile& file : data) total += file.size;
  base::Sha256 hash;
  std::uint64_t before = 0;  // bytes of the files in front
  std::uint64_t piece = 0;
  for (const DataFile& file : data) {
    if (total <= kReadWhole) add(hash, files, file, 0, file.size);
    const std::uint64_t end = before + file.size;
    // The last piece ends with the data; one that a file's end cuts goes on in the next file.
    const auto place = [&] { return (total - kPiece) * piece / (kPieces - 1); };
    while (total > kReadWhole && piece < kPieces && place() < end) {
      add(hash, files, file, std::max(place(), before) - before,
          std::min(place() + kPiece, end) - before);
      if (place() + kPiece > end) break;
      ++piece;
    }
    before += file.size;
  }
  return hash.hex_digest();
}

}  // namespace

std::string data_fingerprint(base::FileSystem& files, const SourceOptions& options) {
  FoundData found = find_data(files, options);
  if (found.format == config::DataFormat::kMegatron) {
    for (std::size_t i = 0, count = found.files.size(); i < count; ++i) {
      const std::string index = megatron_index_path(found.files[i].path);
      found.files.push_back({index, files.open_for_reading(index)->size()});
    }
  }
  return concat("contents ", hash_of(files, found.files).substr(0, 16), " of ",
                describe_files(found.files));
}

}  // namespace titan::text
