#include <algorithm>
#include <span>

#include "jsonl_line.h"
#include "titan/base/errors.h"
#include "titan/components/metrics_sink.h"

namespace titan::components {
namespace {

constexpr std::size_t kMaxPendingBytes = 1 << 20;

}  // namespace

JsonlSink::JsonlSink(base::FileSystem& files, const std::string& dump_folder, bool append)
    : files_(files), path_(dump_folder + "/metrics.jsonl") {
  files.create_directories(dump_folder);
  file_ = files.open_for_writing(path_, /*truncate=*/!append);
  const std::unique_ptr<base::ReadableFile> existing = files.open_for_reading(path_);
  recorded_bytes_ = existing->size();
  char last = '\n';
  if (recorded_bytes_ > 0) {
    existing->read_at(recorded_bytes_ - 1, std::span(&last, 1));
  }
  if (last != '\n') {
    pending_ = "\n";  // a run that was killed while it wrote: our first line is not its rest
  }
}

void JsonlSink::log(const StepReport& report) {
  if (pending_.size() < kMaxPendingBytes) {
    pending_ += jsonl_line(report);
  } else {
    ++dropped_lines_;
  }
  write_pending();
}

void JsonlSink::write_pending() {
  if (write_failed_) {
    // Part of the bytes may have arrived: only the rest is to be written.
    const std::uint64_t size = files_.open_for_reading(path_)->size();
    const std::uint64_t arrived = std::max(size, recorded_bytes_) - recorded_bytes_;
    pending_.erase(0, arrived);
    recorded_bytes_ = std::max(size, recorded_bytes_);
  }
  write_failed_ = true;
  file_->append(pending_);
  write_failed_ = false;
  recorded_bytes_ += pending_.size();
  pending_.clear();
}

void JsonlSink::close() {
  try {
    if (!pending_.empty()) {
      write_pending();
    }
    file_->close();
  } catch (const RunError& error) {
    const auto lines = dropped_lines_ + std::count(pending_.begin(), pending_.end(), '\n');
    throw RunError(concat(error.what(), ". Lost lines: ", lines));
  }
  if (dropped_lines_ > 0) {
    throw RunError(concat("'", path_, "' lacks ", dropped_lines_,
                          " lines of the time when it could not be written"));
  }
}

}  // namespace titan::components
