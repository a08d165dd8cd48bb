#pragma once

#include <vector>

#include "text/sources/data_file.h"
#include "titan/text/sources/document_source.h"

namespace titan::text {

/// Files that are read alike.
struct FoundData {
  /// Not kAuto.
  config::DataFormat format = config::DataFormat::kJsonl;
  /// In order; of Megatron's pairs the `.bin` files.
  std::vector<DataFile> files;
};

/// Looks up the files at `options.path`, those in it and in its folders when it is one, and how to read
/// them. Files in a folder whose names say nothing are left out, which is logged. Throws RunError
/// when there is nothing, or files of several formats.
FoundData find_data(base::FileSystem& files, const SourceOptions& options);

}  // namespace titan::text
