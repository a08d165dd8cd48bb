#include <utility>

#include "components/metrics/jsonl_line.h"
#include "components/metrics/record_file.h"
#include "titan/components/metrics/metrics_sink.h"

namespace titan::components {

JsonlSink::JsonlSink(base::FileSystem& files, const std::string& dump_folder, bool append)
    : path_(dump_folder + "/metrics.jsonl") {
  files.create_directories(dump_folder);
  file_ = std::make_unique<RecordFile>(files, path_, "lines", append);
  if (file_->last_byte().value_or('\n') != '\n') {
    before_next_line_ = "\n";  // a run that was killed while it wrote: our first is not its rest
  }
}

JsonlSink::~JsonlSink() = default;

void JsonlSink::log(const StepReport& report) { write(jsonl_line(report)); }

void JsonlSink::log_validation(const ValidationReport& report) { write(jsonl_line(report)); }

void JsonlSink::write(const std::string& line) {
  file_->append(std::exchange(before_next_line_, "") + line);
}

void JsonlSink::close() { file_->close(); }

}  // namespace titan::components
