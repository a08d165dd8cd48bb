#pragma once

#include <map>
#include <string>

#include "titan/config/action.h"
#include "titan/config/job_config.h"
#include "titan/config/origins.h"

namespace titan::config {

/// The merged config as TOML, each value with a comment that says where it came from. Loading the
/// text gives an equal config, but for job.config_file, which is printed as a comment.
std::string print_config(const JobConfig& config, const Origins& origins);

/// The config as JSON, indented by two spaces, as TorchTitan logs and saves it.
std::string config_json(const JobConfig& config);

/// Every option's full name and its value as text: what ranks compare.
std::map<std::string, std::string> values_by_option(const JobConfig& config);

/// The text of `--help`.
std::string help_text();

/// A script for the shell that completes the program's commands, options and their words.
std::string completion_script(Shell shell);

/// The text of docs/config.md.
std::string config_markdown();

}  // namespace titan::config
