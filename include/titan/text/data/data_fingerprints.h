#pragma once

#include <map>
#include <string>

#include "titan/text/data/text_data_options.h"

namespace titan::base {
class FileSystem;
}

namespace titan::text {

/// What each source of a data set holds, by its path, for a comparison between ranks whose path may lead to
/// different disks. Why a source cannot be read stands in its place. Throws ConfigError for a data set that is not known.
std::map<std::string, std::string> data_fingerprints(const TextDataOptions& options,
                                                     base::FileSystem& files);

}  // namespace titan::text
