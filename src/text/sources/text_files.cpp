#include "text/sources/sources_of_formats.h"

#include <optional>
#include <utility>

#include "text/sources/make_byte_stream.h"
#include "text/sources/text_pieces.h"
#include "titan/base/errors.h"
#include "titan/base/file_system.h"

namespace titan::text {
namespace {

class TextFiles final : public DocumentSource {
 public:
  TextFiles(base::FileSystem& files, std::vector<DataFile> data) : files_(files) {
    TITAN_CHECK(!data.empty(), "a data set has files");
    const std::string first = data.front().path;
    for (DataFile& file : data) {
      if (file.size > 0) data_.push_back(std::move(file));
    }
    if (data_.empty()) throw RunError(concat("no data: '", first, "' and all others are empty"));
  }

  std::optional<std::int64_t> unit_count() override { return std::ssize(data_); }
  bool open(std::int64_t unit, std::int64_t skip, std::optional<std::uint64_t>) override {
    TITAN_CHECK(unit >= 0 && skip >= 0, "files and pieces are counted from 0");
    pieces_.reset();
    if (unit >= std::ssize(data_)) return false;
    const DataFile& file = data_[static_cast<std::size_t>(unit)];
    pieces_.emplace(make_byte_stream(open_data_file(files_, file)));
    Document passed;
    for (std::int64_t piece = 0; piece < skip; ++piece) {
      if (!pieces_->next(passed)) {
        throw RunError(concat("cannot go to piece ", skip, " of '", file.path, "': there are ",
                              piece, " pieces"));
      }
    }
    return true;
  }

  bool next(Document& document) override { return pieces_ && pieces_->next(document); }
  bool unit_is_document() const override { return true; }
  const char* units() const override { return "files"; }
  std::string description() const override {
    return concat("pieces of ", TextPieces::kPiece >> 20, " MiB of text in ",
                  describe_files(data_));
  }

 private:
  base::FileSystem& files_;
  std::vector<DataFile> data_;
  std::optional<TextPieces> pieces_;
};

}  // namespace

std::unique_ptr<DocumentSource> open_text_files(base::FileSystem& files,
                                                std::vector<DataFile> data) {
  return std::make_unique<TextFiles>(files, std::move(data));
}

}  // namespace titan::text
