#include "components/data/text_rows.h"

#include <algorithm>
#include <utility>

#include "components/data/text_row.h"
#include "titan/base/errors.h"
#include "titan/base/file_system.h"

namespace titan::components {
namespace {

constexpr std::int64_t kRowsPerMark = 1024;

bool is_blank(std::string_view line) {
  return line.find_first_not_of(" \t\r\v\f") == std::string_view::npos;
}

}  // namespace

TextRows::TextRows(base::FileSystem& files, std::vector<std::string> paths)
    : files_(files), paths_(std::move(paths)) {
  TITAN_CHECK(!paths_.empty(), "a data set has files");
  go_to({0, {}});
}

TextRows::TextRows(TextRows&&) noexcept = default;
TextRows::~TextRows() = default;

bool TextRows::next(std::string& text) {
  std::string_view line;
  if (!next_line(line)) return false;
  try {
    parse_text_row(line, text);
  } catch (const RunError& error) {
    throw RunError(concat(paths_[file_], ":", reader_->position().number - 1, ": ", error.what()));
  }
  return true;
}

void TextRows::seek(std::int64_t row) {
  TITAN_CHECK(row >= 0, "rows are counted from 0");
  const bool is_ahead = row >= row_ && row - row_ < kRowsPerMark;
  if (!is_ahead) {
    const auto mark = std::min<std::int64_t>(row / kRowsPerMark, std::ssize(marks_) - 1);
    go_to(mark < 0 ? Mark{0, {}} : marks_[mark]);
    row_ = std::max<std::int64_t>(mark, 0) * kRowsPerMark;
  }
  std::string_view line;
  while (row_ < row) {
    if (!next_line(line)) {
      throw RunError(concat("cannot go to row ", row, " of '", paths_.front(), "'",
                            paths_.size() > 1 ? " and the files after it" : "", ": there are only ",
                            row_, " rows"));
    }
  }
}

std::int64_t TextRows::count() {
  if (!count_) {
    seek(std::max<std::int64_t>(std::ssize(marks_) - 1, 0) * kRowsPerMark);
    std::string_view line;
    while (next_line(line)) {
    }
  }
  return *count_;
}

bool TextRows::next_line(std::string_view& line) {
  for (;;) {
    const LinePosition position = reader_->position();
    if (reader_->next(line)) {
      if (is_blank(line)) continue;
      if (row_ == std::ssize(marks_) * kRowsPerMark) marks_.push_back({file_, position});
      ++row_;
      return true;
    }
    if (file_ + 1 == paths_.size()) break;
    go_to({file_ + 1, {}});
  }
  count_ = row_;
  return false;
}

void TextRows::go_to(Mark mark) {
  if (!reader_ || mark.file != file_) {
    reader_ = std::make_unique<LineReader>(files_.open_for_reading(paths_[mark.file]));
    file_ = mark.file;
  }
  reader_->seek(mark.position);
}

}  // namespace titan::components
