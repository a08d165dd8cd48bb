#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "text/sources/data_file.h"
#include "text/sources/line_reader.h"

namespace titan::text {

/// The rows of a list of files of lines, one after the other; a row is a line that is not blank. No
/// more than a line is in memory: the places of the files' first rows and of every 1024th row (of
/// fewer, where those would be more than a million) are noted on the way, so that `seek` reads
/// little; in compressed files it decompresses from the front of a file or from where it is. One
/// thread.
class TextRows {
 public:
  /// How many places of rows are noted: that of every `rows`th row until they are `most`, then every
  /// second of them is given up.
  struct Marks {
    std::int64_t rows = 1024;
    std::int64_t most = 1 << 20;
  };

  /// `files` must outlive this.
  TextRows(base::FileSystem& files, std::vector<DataFile> data);
  TextRows(base::FileSystem& files, std::vector<DataFile> data, Marks marks);
  ~TextRows();

  /// The next row; valid until the next call. False at the end. Throws as LineReader::next.
  bool next(std::string_view& line);
  /// Where the row is that `next` gave last.
  const std::string& path() const { return data_[file_].path; }
  LinePosition position() const { return last_; }
  /// Makes `row`, counted from 0 over all files, the next one. False when there are fewer rows; that
  /// many is allowed.
  bool seek(std::int64_t row);
  /// Number of rows in all files: reads what has not been read yet the first time. The next row is
  /// undefined after it: seek.
  std::int64_t count();
  /// The part of all files that lies before the next row, in [0, 1]; of a compressed file all or
  /// nothing.
  double fraction_read() const;
  const std::vector<DataFile>& files() const { return data_; }

 private:
  struct Mark {
    std::size_t file;
    LinePosition position;
  };

  void add_mark(const Mark& mark);
  void go_to(const Mark& mark, std::int64_t row);

  base::FileSystem& files_;
  std::vector<DataFile> data_;
  std::unique_ptr<LineReader> reader_;  // of data_[file_]
  std::size_t file_ = 0;
  LinePosition last_;
  std::int64_t row_ = 0;  // the next one
  std::int64_t max_marks_;
  std::int64_t rows_per_mark_;
  std::vector<Mark> marks_;               // of the rows 0, rows_per_mark_, ...
  std::vector<std::int64_t> first_rows_;  // of the files that were entered so far
  std::optional<std::int64_t> count_;
};

}  // namespace titan::text
