#pragma once

#include <string>

#include "titan/text/sources/document_source.h"

namespace titan::text {

/// What tells the data of `options` from other data that may be at the same place of another machine: names and sizes of
/// the files, and a hash of what they hold. Up to 4 MiB are read whole, of more 64 pieces of 16 KiB, evenly
/// spread. Throws RunError when there is no usable data.
std::string data_fingerprint(base::FileSystem& files, const SourceOptions& options);

}  // namespace titan::text
