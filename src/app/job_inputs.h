#pragma once

#include <map>
#include <string>

namespace titan::config {
struct JobConfig;
}

namespace titan::app {

/// What a job reads, by what it is and where ("the data at /data/c4"), told from what may be at the same place of another
/// machine: training data, validation data, tokenizer. What cannot be read is said as the value: who
/// needs it will complain.
std::map<std::string, std::string> job_inputs(const config::JobConfig& config);

}  // namespace titan::app
