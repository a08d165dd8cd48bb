#include "formats/torch_archive/file_range.h"

#include <algorithm>

#include "titan/base/errors.h"
#include "titan/base/file_kind.h"

namespace titan::formats {

FileRange::FileRange(const base::ReadableFile& file, std::uint64_t offset, std::uint64_t length)
    : file_(file), offset_(offset), length_(length) {
  if (offset > file.size() || length > file.size() - offset) {
    base::refuse_other_kind(file, "zip", /*is_binary=*/true);
    throw RunError(concat("'", file.path(), "' is too short: bytes ", offset, " to ",
                          offset + length, " are wanted, it has ", file.size()));
  }
}

void FileRange::check(std::uint64_t position, std::uint64_t count) const {
  if (position > length_ || count > length_ - position) {
    fail(std::min(position, length_),
         concat("points at ", count, " bytes that lie beyond the end of the archive"));
  }
}

std::string FileRange::read(std::uint64_t position, std::uint64_t count) const {
  check(position, count);
  std::string bytes(count, '\0');
  read_into(position, bytes);
  return bytes;
}

void FileRange::read_into(std::uint64_t position, std::span<char> out) const {
  check(position, out.size());
  if (file_.read_at(offset_ + position, out) != out.size()) {
    fail(position, "the file ends here; it became shorter while it was read");
  }
}

void FileRange::refuse_other_kind() const {
  if (offset_ == 0 && length_ == file_.size()) base::refuse_other_kind(file_, "zip");
}

void FileRange::fail(std::uint64_t position, const std::string& why) const {
  throw RunError(concat("'", file_.path(), "', byte ", offset_ + position, ": ", why));
}

}  // namespace titan::formats
