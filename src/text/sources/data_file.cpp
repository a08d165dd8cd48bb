#include "text/sources/data_file.h"

#include <algorithm>
#include <string_view>

#include "titan/base/errors.h"
#include "titan/base/file_system.h"
#include "titan/base/sha256.h"

namespace titan::text {
namespace {

constexpr std::size_t kHashDigits = 16;

/// How many characters of all paths are the folder that all files are in, at any depth.
std::size_t folder_length(const std::vector<DataFile>& files) {
  std::string_view folder = files.front().path;
  folder = folder.substr(0, folder.rfind('/') + 1);
  for (const DataFile& file : files) {
    while (!std::string_view(file.path).starts_with(folder)) {
      folder.remove_suffix(1);
      folder = folder.substr(0, folder.rfind('/') + 1);
    }
  }
  return folder.size();
}

}  // namespace

std::string file_name(const std::string& path) { return path.substr(path.rfind('/') + 1); }

std::unique_ptr<base::ReadableFile> open_data_file(base::FileSystem& files, const DataFile& file) {
  auto opened = files.open_for_reading(file.path);
  if (opened->size() != file.size) {
    throw RunError(concat("'", file.path, "' has changed since the run began: it had ", file.size,
                          " bytes, now it has ", opened->size()));
  }
  return opened;
}

std::string describe_files(const std::vector<DataFile>& files) {
  TITAN_CHECK(!files.empty(), "a data set has files");
  const std::size_t folder = folder_length(files);
  base::Sha256 hash;
  for (const DataFile& file : files) {
    // A name holds no line end that could be mistaken: the size, digits only, ends each entry.
    hash.update(concat(std::string_view(file.path).substr(folder), '/', file.size, '/'));
  }
  // Positions go into JSON, which takes no name that is no UTF-8. The hash tells such names apart.
  const auto name = [folder](const DataFile& file) {
    std::string ascii = file.path.substr(folder);
    std::ranges::replace_if(
        ascii, [](unsigned char c) { return c >= 0x80; }, '?');
    return concat(ascii, " (", file.size, " bytes)");
  };
  std::string text = concat(files.size(), files.size() == 1 ? " file, " : " files, ");
  text += name(files.front());
  if (files.size() > 1) text += concat(" ... ", name(files.back()));
  return concat(text, ", ", hash.hex_digest().substr(0, kHashDigits));
}

}  // namespace titan::text
