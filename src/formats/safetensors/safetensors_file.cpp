#include <algorithm>

#include "formats/safetensors/safetensors_header.h"
#include "titan/base/errors.h"
#include "titan/base/file_system.h"
#include "titan/formats/safetensors/safetensors.h"

namespace titan::formats {
namespace {

/// The format's own limit.
constexpr std::uint64_t kMaxHeaderBytes = 100'000'000;

void read_exactly(const base::ReadableFile& file, std::uint64_t offset, std::span<char> out) {
  const std::size_t count = file.read_at(offset, out);
  if (count != out.size()) {
    throw RunError(concat("'", file.path(), "', byte ", offset + count,
                          ": the file ends here; it became shorter while it was read"));
  }
}

std::uint64_t read_header_length(const base::ReadableFile& file) {
  if (file.size() < 8) {
    throw RunError(concat("'", file.path(), "' is no safetensors file: it has ", file.size(),
                          " bytes, and at least 8 are needed"));
  }
  char bytes[8];
  read_exactly(file, 0, bytes);
  std::uint64_t length = 0;
  for (int i = 7; i >= 0; --i) length = length << 8 | static_cast<unsigned char>(bytes[i]);
  if (length > kMaxHeaderBytes) {
    throw RunError(concat("'", file.path(), "', byte 0: a header of ", length,
                          " bytes; the format allows ", kMaxHeaderBytes,
                          ". Is this a safetensors file?"));
  }
  if (length > file.size() - 8) {
    throw RunError(concat("'", file.path(), "', byte 0: a header of ", length,
                          " bytes, but the file has ", file.size(), " in all. It was cut off"));
  }
  return length;
}

}  // namespace

SafetensorsFile::SafetensorsFile(base::FileSystem& files, const std::string& path)
    : file_(files.open_for_reading(path)) {
  std::string text(read_header_length(*file_), '\0');
  read_exactly(*file_, 8, text);
  const std::uint64_t data_start = 8 + text.size();
  SafetensorsHeader header = read_safetensors_header(text, file_->size() - data_start, path);
  for (SafetensorsTensor& tensor : header.tensors) tensor.start += data_start;
  tensors_ = std::move(header.tensors);
  metadata_ = std::move(header.metadata);
}

SafetensorsFile::~SafetensorsFile() = default;

const std::string& SafetensorsFile::path() const { return file_->path(); }

void SafetensorsFile::read(const SafetensorsTensor& tensor, std::uint64_t begin,
                           std::span<char> out) const {
  TITAN_CHECK(begin <= tensor.bytes() && out.size() <= tensor.bytes() - begin,
              "bytes beyond the end of tensor '", tensor.name, "'");
  read_exactly(*file_, tensor.start + begin, out);
}

}  // namespace titan::formats
