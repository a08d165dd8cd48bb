#include "components/metrics/wandb_sink.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <string_view>
#include <utility>

#include "titan/base/errors.h"
#include "titan/base/float_text.h"
#include "titan/tools/logging.h"

namespace titan::components {
namespace {

/// A JSON string of text that may hold anything.
std::string quoted(std::string_view text) {
  std::string result = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') result += '\\';
    result += static_cast<unsigned char>(c) < ' ' ? ' ' : c;
  }
  return result + '"';
}

/// Python's json module reads the numbers that JSON has no words for.
std::string number(double value) {
  if (std::isnan(value)) return "NaN";
  if (std::isinf(value)) return value > 0 ? "Infinity" : "-Infinity";
  return base::shortest(value);
}

std::string first_line(const std::string& folder, std::string config_json) {
  std::replace(config_json.begin(), config_json.end(), '\n', ' ');
  return "{\"dir\": " + quoted(folder) + ", \"config\": " + config_json + "}\n";
}

}  // namespace

std::string wandb_python() {
  const char* python = std::getenv("TITAN_PYTHON");
  return python == nullptr || *python == '\0' ? "python3" : python;
}

WandbSink::WandbSink(Options options)
    : options_(std::move(options)), log_path_(options_.folder + "/wandb_sidecar.log") {
  try {
    feed_ = std::make_unique<SidecarFeed>(
        SidecarProcess::Program{options_.python, options_.script, "titan_train wandb sidecar",
                                log_path_},
        options_.queue_bytes,
        SidecarFeed::Listener{[this](const std::string& answer) { answered(answer); },
                              [this](const std::string& how) { ended(how); }});
  } catch (const RunError& error) {
    throw RunError(concat(error.what(),
                          ". Weights & Biases needs a Python with the package wandb: the one that "
                          "TITAN_PYTHON names, else python3 on PATH"));
  }
  feed_->offer(first_line(options_.folder, options_.config_json));
}

void WandbSink::log(const StepReport& report) { write(report.step.step, scalars(report)); }

void WandbSink::log_validation(const ValidationReport& report) {
  write(report.validation.step, scalars(report));
}

void WandbSink::write(std::int64_t step, std::span<const Scalar> scalars) {
  std::string line = concat("{\"step\": ", step, ", \"values\": {");
  for (const Scalar& scalar : scalars) {
    line += (line.ends_with('{') ? "" : ", ") + quoted(scalar.tag) + ": " + number(scalar.value);
  }
  if (!feed_->offer(line + "}}\n")) {
    ++dropped_;
    throw RunError("the Weights & Biases process does not keep up; see '" + log_path_ + "'");
  }
}

void WandbSink::close() {
  feed_->finish("{\"finish\": 0}\n");
  const double patience = std::min(2.0, options_.finish_seconds);
  bool finished = feed_->wait(patience);
  if (!finished) {
    tools::log_info("Waiting for Weights & Biases to finish, at most ", options_.finish_seconds,
                    " s");
    finished = feed_->wait(options_.finish_seconds - patience);
  }
  const auto lost = dropped_ + (finished ? 0 : static_cast<std::int64_t>(feed_->waiting_lines()));
  feed_.reset();
  if (lost > 0) {
    throw RunError(concat("Weights & Biases lacks ", lost,
                          " reports, which its process was too slow to take; see '", log_path_,
                          "'"));
  }
  if (!finished) {
    tools::log_warning("Weights & Biases is still busy and finishes on its own; see '", log_path_,
                       "'");
  }
}

void WandbSink::answered(const std::string& answer) {
  const std::size_t blank = answer.find(' ');
  const std::string word = answer.substr(0, blank);
  const std::string rest = blank == std::string::npos ? "" : answer.substr(blank + 1);
  if (word == "running") {
    tools::log_info("WandB logging enabled: ", rest);
  } else if (word == "failed") {
    settled_ = true;
    tools::log_error("Failed to create WandB logger: ", rest, kRunGoesOn);
  } else if (word == "finished") {
    settled_ = true;
  }
}

void WandbSink::ended(const std::string& how) {
  if (!std::exchange(settled_, true)) {
    tools::log_error("The Weights & Biases process ended unexpectedly (", how, "); see '",
                     log_path_, "'", kRunGoesOn);
  }
}

}  // namespace titan::components
