#include "components/checkpoint/checkpoint_folder.h"

#include <algorithm>
#include <cctype>
#include <string_view>

#include "titan/base/errors.h"
#include "titan/base/file_system.h"

namespace titan::components {
namespace {

std::string parent_of(const std::string& path) {
  const std::size_t end = path.find_last_not_of('/');
  const std::size_t slash = end == std::string::npos ? end : path.rfind('/', end);
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

/// A new folder is durable once the one that holds it is synced; so are its parents.
void make_folder(base::FileSystem& files, const std::string& folder) {
  std::string held_by = parent_of(folder);
  std::string first_to_sync = held_by;
  while (first_to_sync != "." && first_to_sync != "/" && !files.exists(first_to_sync)) {
    first_to_sync = parent_of(first_to_sync);
  }
  files.create_directories(folder);
  for (;; held_by = parent_of(held_by)) {
    files.sync_directory(held_by);
    if (held_by == first_to_sync) return;
  }
}

/// "__12_0.distcp", or a `.metadata` that was not finished.
bool is_of_a_checkpoint(std::string_view name) {
  if (name.starts_with(kMetadataFile)) return true;
  if (!name.starts_with("__") || !name.ends_with(".distcp")) return false;
  name = name.substr(2, name.size() - std::string_view("__.distcp").size());
  return std::all_of(name.begin(), name.end(),
                     [](unsigned char c) { return c == '_' || std::isdigit(c) != 0; });
}

}  // namespace

void check_writable(base::FileSystem& files, const std::string& folder) {
  files.create_directories(folder);
  const std::string probe = folder + "/.probe";
  files.open_for_writing(probe, /*truncate=*/true)->close();
  files.remove_file(probe);
}

void prepare_checkpoint_folder(base::FileSystem& files, const std::string& folder) {
  make_folder(files, folder);
  const std::string metadata = concat(folder, "/", kMetadataFile);
  if (files.exists(metadata)) {
    files.remove_file(metadata);
    files.sync_directory(folder);
  }
  for (const std::string& name : files.list_directory(folder)) {
    if (is_of_a_checkpoint(name)) files.remove_file(concat(folder, "/", name));
  }
}

void commit_checkpoint_folder(base::FileSystem& files, const std::string& folder,
                              const std::string& metadata) {
  files.sync_directory(folder);
  base::write_file_atomically(files, concat(folder, "/", kMetadataFile), metadata);
}

bool discard_checkpoint(base::FileSystem& files, const std::string& folder) {
  try {
    const std::string metadata = concat(folder, "/", kMetadataFile);
    if (files.exists(metadata)) {
      files.remove_file(metadata);
      files.sync_directory(folder);
    }
    return true;
  } catch (const std::exception&) {
    return false;
  }
}

}  // namespace titan::components
