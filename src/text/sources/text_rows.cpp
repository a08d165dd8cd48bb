#include "text/sources/text_rows.h"

#include <algorithm>
#include <utility>

#include "text/sources/make_byte_stream.h"
#include "titan/base/errors.h"
#include "titan/base/file_system.h"

namespace titan::text {

TextRows::TextRows(base::FileSystem& files, std::vector<DataFile> data)
    : TextRows(files, std::move(data), Marks()) {}

TextRows::TextRows(base::FileSystem& files, std::vector<DataFile> data, Marks marks)
    : files_(files), data_(std::move(data)), max_marks_(marks.most), rows_per_mark_(marks.rows) {
  TITAN_CHECK(!data_.empty(), "a data set has files");
  go_to({0, {}}, 0);
}

TextRows::~TextRows() = default;

bool TextRows::next(std::string_view& line) {
  for (;;) {
    last_ = reader_->position();
    if (reader_->next(line)) {
      if (is_blank(line)) continue;
      if (row_ == std::ssize(marks_) * rows_per_mark_) add_mark({file_, last_});
      ++row_;
      return true;
    }
    if (file_ + 1 == data_.size()) break;
    go_to({file_ + 1, {}}, row_);
  }
  count_ = row_;
  return false;
}

bool TextRows::seek(std::int64_t row) {
  TITAN_CHECK(row >= 0, "rows are counted from 0");
  if (row == row_) return true;
  if (count_ && row > *count_) return false;
  // From the last of the places at or before the row: here, a mark, the front of a file.
  std::int64_t from = row_ <= row ? row_ : -1;
  Mark start{};
  const auto mark = std::min<std::int64_t>(row / rows_per_mark_, std::ssize(marks_) - 1);
  if (mark >= 0 && mark * rows_per_mark_ > from) {
    from = mark * rows_per_mark_;
    start = marks_[static_cast<std::size_t>(mark)];
  }
  const auto file = std::upper_bound(first_rows_.begin(), first_rows_.end(), row) - 1;
  if (*file > from) {
    from = *file;
    start = {static_cast<std::size_t>(file - first_rows_.begin()), {}};
  }
  if (from != row_) go_to(start, from);
  std::string_view line;
  while (row_ < row) {
    if (!next(line)) return false;
  }
  return true;
}

std::int64_t TextRows::count() {
  if (!count_) {
    const std::int64_t marked = (std::ssize(marks_) - 1) * rows_per_mark_;
    seek(std::max({row_, marked, first_rows_.back()}));
    std::string_view line;
    while (next(line)) {
    }
  }
  return *count_;
}

double TextRows::fraction_read() const {
  std::uint64_t before = 0;
  std::uint64_t all = 0;
  for (std::size_t i = 0; i < data_.size(); ++i) {
    if (i < file_) before += data_[i].size;
    all += data_[i].size;
  }
  if (!is_compressed(data_[file_].path)) before += reader_->position().offset;
  return static_cast<double>(before) / static_cast<double>(std::max<std::uint64_t>(all, 1));
}

void TextRows::add_mark(const Mark& mark) {
  if (std::ssize(marks_) == max_marks_) {
    for (std::size_t i = 0; 2 * i < marks_.size(); ++i) marks_[i] = marks_[2 * i];
    marks_.resize(marks_.size() / 2);
    rows_per_mark_ *= 2;
  }
  marks_.push_back(mark);
}

void TextRows::go_to(const Mark& mark, std::int64_t row) {
  if (!reader_ || mark.file != file_) {
    reader_ =
        std::make_unique<LineReader>(make_byte_stream(open_data_file(files_, data_[mark.file])));
    file_ = mark.file;
    if (file_ == first_rows_.size()) first_rows_.push_back(row);
  }
  reader_->seek(mark.position);
  row_ = row;
}

}  // namespace titan::text
