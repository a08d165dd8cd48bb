#pragma once

#include <memory>
#include <string>
#include <vector>

#include "text/sources/data_file.h"
#include "titan/parquet/parquet_file.h"

namespace titan::text {

/// Opens a Parquet file; the first time in a process this loads `libtitan_parquet.so`, which lies
/// beside the program, and Arrow with it. Throws RunError when that cannot be, saying why, or when
/// the file cannot be read.
std::unique_ptr<parquet::ParquetFile> open_parquet(base::FileSystem& files, const DataFile& file,
                                                   const std::vector<std::string>& columns);

}  // namespace titan::text
