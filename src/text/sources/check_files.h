#pragma once

#include "text/sources/find_data.h"
#include "titan/text/sources/document_source.h"

namespace titan::text {

/// Looks at the front of every file, so that one that is no data is found at the start and not when it
/// is reached; of more than 64 files at every `options.ranks`-th, from number `options.rank` on, so that
/// the ranks together open each once. Throws RunError that says what a file is instead (a Git LFS pointer, UTF-16, gzip under
/// another name, a JSON array, ...) and what to do; with `options.check_first_rows` also for a first
/// row that cannot be used.
void check_files(base::FileSystem& files, const FoundData& data, const SourceOptions& options);

}  // namespace titan::text
