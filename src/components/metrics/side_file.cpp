#include "titan/components/metrics/side_file.h"

#include <utility>

#include "components/metrics/record_file.h"
#include "titan/base/errors.h"
#include "titan/tools/logging.h"

namespace titan::components {

SideFile::SideFile(base::FileSystem& files, std::string path, bool append)
    : file_(std::make_unique<RecordFile>(files, std::move(path), "lines", append)) {}

SideFile::~SideFile() {
  try {
    file_->close();
  } catch (const std::exception& error) {
    tools::log_error("A file beside the run is incomplete: ", error.what());
  }
}

void SideFile::append(std::string_view line) {
  try {
    file_->append(line);
    if (std::exchange(failing_, false)) tools::log_info(file_->path(), ": recording again");
  } catch (const RunError& error) {
    if (std::exchange(failing_, true)) return;
    tools::log_error(error.what(), ". Training continues; every further line tries again.");
  }
}

}  // namespace titan::components
