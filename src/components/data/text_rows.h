#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "components/data/line_reader.h"

namespace titan::base {
class FileSystem;
}

namespace titan::components {

/// The rows of a list of JSONL files, one after the other; a row is a line that is not blank. No
/// more than a line is in memory: the place of every 1024th row is noted on the way, so that `seek`
/// reads little. One thread.
class TextRows {
 public:
  /// `files` must outlive this.
  TextRows(base::FileSystem& files, std::vector<std::string> paths);
  TextRows(TextRows&&) noexcept;
  ~TextRows();

  /// The text of the next row. False at the end. Throws RunError "path:line: ..." for a bad row.
  bool next(std::string& text);
  /// Makes `row`, counted from 0 over all files, the next one. Throws RunError when there are fewer
  /// rows; the end is allowed.
  void seek(std::int64_t row);
  /// Number of rows in all files: reads what has not been read yet the first time. The next row is
  /// undefined after it: seek.
  std::int64_t count();

 private:
  struct Mark {
    std::size_t file;
    LinePosition position;
  };

  bool next_line(std::string_view& line);
  void go_to(Mark mark);

  base::FileSystem& files_;
  std::vector<std::string> paths_;
  std::unique_ptr<LineReader> reader_;  // of paths_[file_]
  std::size_t file_ = 0;
  std::int64_t row_ = 0;     // the next one
  std::vector<Mark> marks_;  // of the rows 0, 1024, ...
  std::optional<std::int64_t> count_;
};

}  // namespace titan::components
