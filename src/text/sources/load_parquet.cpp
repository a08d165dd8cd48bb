#include "text/sources/load_parquet.h"

#include "titan/base/extension.h"
#include "titan/base/file_system.h"

namespace titan::text {

std::unique_ptr<parquet::ParquetFile> open_parquet(base::FileSystem& files, const DataFile& file,
                                                   const std::vector<std::string>& columns) {
  // Tried again after an exception.
  static auto* const open = reinterpret_cast<parquet::OpenParquetFn*>(
      base::load_extension({.library = "libtitan_parquet.so",
                            .function = parquet::kOpenParquetName,
                            .reads = "Parquet files",
                            .needs = "Arrow C++"}));
  std::unique_ptr<parquet::ParquetFile> opened;
  open(open_data_file(files, file), columns, opened);
  return opened;
}

}  // namespace titan::text
