#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "text/data/document_stream.h"
#include "titan/text/data/text_data_options.h"

namespace titan::text {

/// One source of a data set.
struct DataPart {
  /// For messages: the data set's where its place is known by it, else the path.
  std::string name;
  std::string path;
  std::string file_prefix;
  config::DataFormat format = config::DataFormat::kAuto;
  double weight = 1;
};

/// The parts of the mixture, or the one place that the name and path of the data set mean; logs
/// them. Throws ConfigError for a name that is not known or needs a path.
std::vector<DataPart> find_parts(const TextDataOptions& options, base::FileSystem& files);

/// What this rank reads of part number `index`. `files` must outlive the stream. Throws RunError
/// when there is nothing to read.
DocumentStream open_stream(const DataPart& part, std::size_t index, const TextDataOptions& options,
                           base::FileSystem& files);

}  // namespace titan::text
