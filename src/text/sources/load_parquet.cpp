#include "text/sources/load_parquet.h"

#include <dlfcn.h>
#include <unistd.h>

#include <filesystem>
#include <system_error>

#include "titan/base/errors.h"
#include "titan/base/file_system.h"

namespace titan::text {
namespace {

std::string loader_error() {
  const char* error = dlerror();
  return error == nullptr ? "unknown loader error" : error;
}

parquet::OpenParquetFn* load() {
  std::error_code failed;
  const auto program = std::filesystem::read_symlink("/proc/self/exe", failed);
  const std::string path = program.parent_path() / "libtitan_parquet.so";
  if (access(path.c_str(), F_OK) != 0) {
    throw RunError(concat("this build reads no Parquet: '", path,
                          "' is missing. It is built where Arrow C++ is found, which "
                          "scripts/bootstrap.sh installs"));
  }
  void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    throw RunError(concat("the reader of Parquet files cannot be loaded: ", loader_error()));
  }
  void* open = dlsym(library, parquet::kOpenParquetName);
  if (open == nullptr) {
    throw RunError(concat("the reader of Parquet files is damaged: ", loader_error()));
  }
  return reinterpret_cast<parquet::OpenParquetFn*>(open);
}

}  // namespace

std::unique_ptr<parquet::ParquetFile> open_parquet(base::FileSystem& files, const DataFile& file,
                                                   const std::vector<std::string>& columns) {
  static parquet::OpenParquetFn* const open = load();  // tried again after an exception
  std::unique_ptr<parquet::ParquetFile> opened;
  open(open_data_file(files, file), columns, opened);
  return opened;
}

}  // namespace titan::text
