#pragma once

#include <memory>
#include <string>
#include <string_view>

namespace titan::base {
class FileSystem;
}

namespace titan::components {

class RecordFile;

/// A file of lines that a run writes beside its work. What cannot be written is said once, kept (up to
/// 1 MiB) and tried again with every further line: it is never the end of the run. One thread.
class SideFile {
 public:
  /// `append` continues an existing file; else it is emptied. Throws RunError when the file cannot be
  /// opened.
  SideFile(base::FileSystem& files, std::string path, bool append);
  /// Says what could not be written at all.
  ~SideFile();

  /// `line` ends with a newline.
  void append(std::string_view line);

 private:
  std::unique_ptr<RecordFile> file_;
  bool failing_ = false;
};

}  // namespace titan::components
