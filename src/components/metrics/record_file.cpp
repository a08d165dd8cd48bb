#include "components/metrics/record_file.h"

#include <algorithm>
#include <span>
#include <utility>

#include "titan/base/errors.h"

namespace titan::components {
namespace {

constexpr std::size_t kMaxPendingBytes = 1 << 20;

}  // namespace

RecordFile::RecordFile(base::FileSystem& files, std::string path, std::string noun, bool append)
    : files_(files),
      path_(std::move(path)),
      noun_(std::move(noun)),
      file_(files.open_for_writing(path_, /*truncate=*/!append)),
      recorded_bytes_(files.open_for_reading(path_)->size()) {}

std::optional<char> RecordFile::last_byte() const {
  if (recorded_bytes_ == 0) return std::nullopt;
  char last = 0;
  files_.open_for_reading(path_)->read_at(recorded_bytes_ - 1, std::span(&last, 1));
  return last;
}

void RecordFile::append(std::string_view record) {
  if (pending_.size() < kMaxPendingBytes) {
    pending_ += record;
    ends_.push_back(recorded_bytes_ + pending_.size());
  } else {
    ++dropped_;
  }
  write_pending();
}

void RecordFile::write_pending() {
  if (write_failed_) count_arrived();
  write_failed_ = true;
  file_->append(pending_);
  write_failed_ = false;
  recorded_bytes_ += pending_.size();
  pending_.clear();
  ends_.clear();
}

/// Part of the bytes of a failed write may have arrived: only the rest is to be written.
void RecordFile::count_arrived() {
  const std::uint64_t size = std::max(files_.open_for_reading(path_)->size(), recorded_bytes_);
  pending_.erase(0, size - recorded_bytes_);
  recorded_bytes_ = size;
  while (!ends_.empty() && ends_.front() <= recorded_bytes_) ends_.pop_front();
}

void RecordFile::close() {
  try {
    if (!pending_.empty()) write_pending();
    file_->close();
  } catch (const RunError& error) {
    throw RunError(concat(error.what(), ". Lost ", noun_, ": ",
                          dropped_ + static_cast<std::int64_t>(ends_.size())));
  }
  if (dropped_ > 0) {
    throw RunError(concat("'", path_, "' lacks ", dropped_, " ", noun_,
                          " of the time when it could not be written"));
  }
}

}  // namespace titan::components
