#include "components/weights/destination.h"

#include <algorithm>
#include <string_view>

#include "titan/base/errors.h"
#include "titan/base/file_system.h"
#include "titan/formats/torch_archive/crc32.h"

namespace titan::components {

std::string folder_of(const std::string& path) {
  const std::size_t end = path.find_last_not_of('/');
  const std::size_t slash = end == std::string::npos ? 0 : path.rfind('/', end);
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

void check_destination(base::FileSystem& files, const std::string& path, std::uint64_t bytes,
                       bool is_folder) {
  if (files.exists(path)) {
    if (!is_folder || !files.is_directory(path)) {
      throw RunError(concat("'", path, "' exists: it is not overwritten"));
    }
    if (!files.list_directory(path).empty()) {
      throw RunError(concat("'", path,
                            "' is not empty: name a new folder, or remove what is in it (a ",
                            "conversion that was killed leaves its half)"));
    }
  }
  std::string existing = path;
  while (!files.exists(existing)) existing = folder_of(existing);
  if (const std::uint64_t room = files.free_bytes(existing); room < bytes) {
    throw RunError(
        concat("'", path, "' needs ", bytes, " bytes, but the disk has room for ", room));
  }
}

std::uint32_t append_tensor(base::WritableFile& file, const WeightInfo& info,
                            const at::Tensor& tensor) {
  TITAN_CHECK(tensor.is_cpu() && tensor.is_contiguous() && tensor.scalar_type() == info.dtype &&
                  tensor.sizes() == at::IntArrayRef(info.sizes),
              "'", info.name, "' was announced as another tensor");
  constexpr std::size_t kPiece = 4 << 20;
  std::string_view bytes(static_cast<const char*>(tensor.const_data_ptr()), tensor.nbytes());
  std::uint32_t crc = 0;
  for (; !bytes.empty(); bytes.remove_prefix(std::min(kPiece, bytes.size()))) {
    const std::string_view piece = bytes.substr(0, kPiece);
    crc = formats::crc32(piece, crc);
    file.append(piece);
  }
  file.start_write_back();
  return crc;
}

}  // namespace titan::components
