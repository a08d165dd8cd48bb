#include "components/metrics/tensorboard_sink.h"

#include <unistd.h>

#include <array>
#include <chrono>
#include <utility>

#include "components/metrics/event_record.h"
#include "titan/base/errors.h"

namespace titan::components {
namespace {

std::string host_name() {
  std::array<char, 256> name = {};
  return ::gethostname(name.data(), name.size() - 1) == 0 ? name.data() : "localhost";
}

}  // namespace

double wall_clock_seconds() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

TensorBoardSink::TensorBoardSink(base::FileSystem& files, const std::string& folder,
                                 std::function<double()> now)
    : now_(std::move(now)) {
  files.create_directories(folder);
  const double start = now_();
  const std::string path = concat(folder, "/events.out.tfevents.", static_cast<std::int64_t>(start),
                                  ".", host_name(), ".", ::getpid(), ".0");
  file_ = std::make_unique<RecordFile>(files, path, "records", /*append=*/false);
  before_next_record_ = tfrecord(version_event(start));
}

void TensorBoardSink::log(const StepReport& report) { write(report.step.step, scalars(report)); }

void TensorBoardSink::log_validation(const ValidationReport& report) {
  write(report.validation.step, scalars(report));
}

void TensorBoardSink::write(std::int64_t step, std::span<const Scalar> scalars) {
  file_->append(std::exchange(before_next_record_, "") +
                tfrecord(scalar_event(now_(), step, scalars)));
}

void TensorBoardSink::close() { file_->close(); }

}  // namespace titan::components
