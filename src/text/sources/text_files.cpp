#include "text/sources/text_files.h"

#include <utility>

#include "text/sources/make_byte_stream.h"
#include "titan/base/errors.h"
#include "titan/base/file_system.h"

namespace titan::text {

TextFiles::TextFiles(base::FileSystem& files, std::vector<DataFile> data) : files_(files) {
  TITAN_CHECK(!data.empty(), "a data set has files");
  const std::string first = data.front().path;
  for (DataFile& file : data) {
    if (file.size > 0) data_.push_back(std::move(file));
  }
  if (data_.empty()) throw RunError(concat("no data: '", first, "' and all others are empty"));
}

bool TextFiles::open(std::int64_t unit, std::int64_t skip, std::optional<std::uint64_t>) {
  TITAN_CHECK(unit >= 0 && skip >= 0, "files and pieces are counted from 0");
  pieces_.reset();
  if (unit >= std::ssize(data_)) return false;
  const DataFile& file = data_[static_cast<std::size_t>(unit)];
  pieces_.emplace(make_byte_stream(open_data_file(files_, file)));
  Document passed;
  for (std::int64_t piece = 0; piece < skip; ++piece) {
    if (!pieces_->next(passed)) {
      throw RunError(concat("cannot go to piece ", skip, " of '", file.path, "': there are ", piece,
                            " pieces"));
    }
  }
  return true;
}

std::string TextFiles::description() const {
  return concat("pieces of ", TextPieces::kPiece >> 20, " MiB of text in ", describe_files(data_));
}

}  // namespace titan::text
