#include "components/metrics/record_file.h"

#include <sys/stat.h>

#include <algorithm>
#include <span>
#include <utility>

#include "titan/base/errors.h"
#include "titan/tools/logging.h"

namespace titan::components {
namespace {

constexpr std::size_t kMaxPendingBytes = 1 << 20;

/// Which file has the name now; zeros when none has.
FileIdentity identity_of(const std::string& path) {
  struct stat status;
  if (::stat(path.c_str(), &status) != 0) return {};
  return {status.st_dev, status.st_ino};
}

}  // namespace

RecordFile::RecordFile(base::FileSystem& files, std::string path, std::string noun, bool append)
    : files_(files), path_(std::move(path)), noun_(std::move(noun)) {
  open(/*truncate=*/!append);
}

void RecordFile::open(bool truncate) {
  file_ = files_.open_for_writing(path_, truncate);
  identity_ = identity_of(path_);
  recorded_bytes_ = files_.open_for_reading(path_)->size();
}

std::optional<char> RecordFile::last_byte() const {
  if (recorded_bytes_ == 0) return std::nullopt;
  char last = 0;
  files_.open_for_reading(path_)->read_at(recorded_bytes_ - 1, std::span(&last, 1));
  return last;
}

void RecordFile::append(std::string_view record) {
  if (pending_.size() < kMaxPendingBytes) {
    pending_ += record;
    lengths_.push_back(record.size());
  } else {
    ++dropped_;
  }
  write_pending();
}

void RecordFile::write_pending() {
  if (identity_of(path_) != identity_) come_back();
  if (write_failed_) count_arrived();
  write_failed_ = true;
  file_->append(pending_);
  write_failed_ = false;
  recorded_bytes_ += pending_.size();
  pending_.clear();
  lengths_.clear();
  first_has_begun_ = false;
}

/// The new file begins with a whole record: those of a failed write are written again, and one that is
/// known to have begun in the old file is lost.
void RecordFile::come_back() {
  open(/*truncate=*/false);
  write_failed_ = false;
  if (std::exchange(first_has_begun_, false)) {
    pending_.erase(0, lengths_.front());
    lengths_.pop_front();
    ++dropped_;
  }
  tools::log_warning("'", path_, "' was removed or replaced while the run writes to it: ", noun_,
                     " of before are where that file has gone, and those that follow begin anew");
}

/// Part of the bytes of a failed write may have arrived: only the rest is to be written.
void RecordFile::count_arrived() {
  const std::uint64_t size = std::max(files_.open_for_reading(path_)->size(), recorded_bytes_);
  std::uint64_t arrived = size - recorded_bytes_;
  pending_.erase(0, arrived);
  recorded_bytes_ = size;
  while (!lengths_.empty() && lengths_.front() <= arrived) {
    arrived -= lengths_.front();
    lengths_.pop_front();
    first_has_begun_ = false;
  }
  if (lengths_.empty() || arrived == 0) return;
  lengths_.front() -= arrived;
  first_has_begun_ = true;
}

void RecordFile::close() {
  try {
    if (!pending_.empty()) write_pending();
    file_->close();
  } catch (const RunError& error) {
    throw RunError(concat(error.what(), ". Lost ", noun_, ": ",
                          dropped_ + static_cast<std::int64_t>(lengths_.size())));
  }
  if (dropped_ > 0) {
    throw RunError(concat("'", path_, "' lacks ", dropped_, " ", noun_,
                          " of the time when it could not be written"));
  }
}

}  // namespace titan::components
