#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "components/metrics/scalars.h"
#include "components/metrics/sidecar_feed.h"
#include "titan/components/metrics/metrics_sink.h"

namespace titan::components {

/// What a message about a missing dashboard ends with.
inline constexpr std::string_view kRunGoesOn =
    ". Training continues; metrics.jsonl has every number.";

/// The source text of scripts/wandb_sidecar.py.
const char* wandb_sidecar_script();

/// A Weights & Biases run. Its client is Python, so it runs in a sidecar process, with the Python
/// that TITAN_PYTHON names, else python3 on PATH. The script travels in this program.
///
/// Nothing here waits for the network or for Python, except `close`, for a limited time.
/// A sidecar that cannot work, or ends, is one error in the log; the run goes on without it.
class WandbSink : public MetricsSink {
 public:
  struct Options {
    std::string folder;       // of the run's own files; exists
    std::string config_json;  // the whole job config
    std::string python;
    std::string script;
    std::size_t queue_bytes = 8 << 20;
    double finish_seconds = 60;  // how long `close` waits for the upload
  };

  /// Starts the sidecar. Throws RunError when that is impossible, as without a Python.
  explicit WandbSink(Options options);

  const std::string& name() const override { return name_; }
  /// Throws RunError while the sidecar does not keep up and the queue is full.
  void log(const StepReport& report) override;
  void log_validation(const ValidationReport& report) override;
  /// Lets the sidecar finish its run. One that is still busy after `finish_seconds` goes on alone.
  void close() override;

 private:
  void write(std::int64_t step, std::span<const Scalar> scalars);
  void answered(const std::string& answer);
  void ended(const std::string& how);

  Options options_;
  std::string name_ = "Weights & Biases";
  std::string log_path_;
  std::int64_t dropped_ = 0;
  bool settled_ = false;  // of the feed's thread: it failed or finished, and that was said
  std::unique_ptr<SidecarFeed> feed_;
};

/// TITAN_PYTHON where it is set, else "python3".
std::string wandb_python();

}  // namespace titan::components
