#include "text/sources/find_data.h"

#include <algorithm>
#include <array>
#include <optional>
#include <set>
#include <string_view>
#include <utility>

#include "text/sources/make_byte_stream.h"
#include "text/sources/sources_of_formats.h"
#include "titan/base/file_kind.h"
#include "titan/base/file_system.h"
#include "titan/config/choice.h"
#include "titan/tools/logging.h"

namespace titan::text {
namespace {

using config::DataFormat;

constexpr std::string_view kIndex = ".idx";

struct Extension {
  std::string_view name;
  DataFormat format;
  bool may_be_compressed = false;
};
// What a name says under kAuto; `.bin` says that the file itself must be asked.
constexpr std::array kExtensions{Extension{".jsonl", DataFormat::kJsonl, true},
                                 Extension{".json", DataFormat::kJsonl, true},
                                 Extension{".txt", DataFormat::kText, true},
                                 Extension{".parquet", DataFormat::kParquet},
                                 Extension{".bin", DataFormat::kAuto},
                                 Extension{".u16", DataFormat::kU16},
                                 Extension{".u32", DataFormat::kU32}};

constexpr std::string_view kKnown =
    ".jsonl, .json, .txt (these also with .gz or .zst), .parquet, .bin, .u16 or .u32";

const Extension* find_extension(std::string_view name) {
  const std::string_view stem = without_compression(name);
  for (const Extension& extension : kExtensions) {
    if (!stem.ends_with(extension.name)) continue;
    if (stem.size() == name.size() || extension.may_be_compressed) return &extension;
  }
  return nullptr;
}

// Whether a file with this name in a folder is meant when the format is given.
bool may_hold(std::string_view name, DataFormat format) {
  if (format == DataFormat::kText) return true;
  const Extension* extension = find_extension(name);
  if (!extension) return false;
  const bool is_bin = extension->format == DataFormat::kAuto;
  if (format == DataFormat::kJsonl || format == DataFormat::kParquet)
    return extension->format == format;
  return is_bin || extension->format == format;
}

DataFormat format_of_bin(base::FileSystem& files, const std::string& path) {
  if (files.exists(megatron_index_path(path))) return DataFormat::kMegatron;
  const auto file = files.open_for_reading(path);
  if (has_llm_c_header(*file)) return DataFormat::kLlmC;
  base::refuse_other_kind(*file, "", /*is_binary=*/true);
  throw RunError(concat("cannot tell what '", path,
                        "' holds: there is no .idx beside it (Megatron), and it does not begin as "
                        "the files of llm.c do. Set data.format: u16 or u32 for bare token ids"));
}

// Nothing when the name says nothing.
std::optional<DataFormat> format_of(base::FileSystem& files, const std::string& path) {
  const Extension* extension = find_extension(path);
  if (!extension) return std::nullopt;
  return extension->format == DataFormat::kAuto ? format_of_bin(files, path) : extension->format;
}

DataFile look_up(base::FileSystem& files, const std::string& path) {
  return {path, files.open_for_reading(path)->size()};
}

std::string bin_beside(std::string_view index) {
  return concat(index.substr(0, index.size() - kIndex.size()), ".bin");
}

FoundData find_file(base::FileSystem& files, const std::string& path, DataFormat format) {
  if (format == DataFormat::kAuto) {
    const std::optional<DataFormat> found = format_of(files, path);
    if (!found) {
      throw RunError(concat("cannot tell the format of '", path, "' from its name, which would be ",
                            kKnown, ": set data.format"));
    }
    format = *found;
  }
  if (format == DataFormat::kMegatron && !files.exists(megatron_index_path(path))) {
    throw RunError(concat("'", path, "' has no '", megatron_index_path(path), "' beside it"));
  }
  return {format, {look_up(files, path)}};
}

/// The files in a folder and in its folders whose names count.
class Listing {
 public:
  Listing(base::FileSystem& files, const SourceOptions& options)
      : files_(files), options_(options) {
    add(options.path, "");
  }

  /// Paths from the folder on, in order.
  const std::vector<std::string>& names() const { return names_; }
  /// Folders in it that hold any.
  std::int64_t folders() const { return folders_; }

 private:
  /// `front` is the path from the folder on, with a "/" at its end.
  void add(const std::string& folder, const std::string& front) {
    // A link may lead to a folder that is read already, or around in a circle.
    if (!seen_.insert(files_.resolve_links(folder)).second) return;
    const std::size_t before = names_.size();
    std::vector<std::string> inner;
    for (const std::string& name : files_.list_directory(folder)) {
      if (name.starts_with('.')) continue;
      if (files_.is_directory(concat(folder, "/", name))) {
        inner.push_back(name);
      } else if (name.starts_with(options_.name_prefix)) {
        names_.push_back(front + name);
      }
    }
    if (names_.size() > before && !front.empty()) ++folders_;
    for (const std::string& name : inner) {
      add(concat(folder, "/", name), concat(front, name, "/"));
    }
  }

  base::FileSystem& files_;
  const SourceOptions& options_;
  std::vector<std::string> names_;
  std::set<std::string> seen_;
  std::int64_t folders_ = 0;
};

[[noreturn]] void refuse_folder(const SourceOptions& options, std::string_view wanted) {
  const std::string prefix =
      options.name_prefix.empty() ? "" : concat(" whose name begins with ", options.name_prefix);
  throw RunError(
      concat("no data: there is no ", wanted, " file", prefix, " in '", options.path, "'"));
}

class Folder {
 public:
  Folder(base::FileSystem& files, const SourceOptions& options)
      : files_(files), options_(options) {}

  FoundData find() {
    const Listing listing(files_, options_);
    for (const std::string& name : listing.names()) {
      if (name.ends_with(kIndex) && options_.format != DataFormat::kText) {
        check_index(name);
      } else {
        look_at(name);
      }
    }
    if (found_.files.empty()) {
      refuse_folder(options_, options_.format == DataFormat::kAuto
                                  ? kKnown
                                  : config::to_string(options_.format));
    }
    if (listing.folders() > 0) {
      tools::log_info("In '", options_.path, "' and ", listing.folders(),
                      " of its folders: ", found_.files.size(),
                      found_.files.size() == 1 ? " file" : " files", " of data");
    }
    if (ignored_ > 0) {
      tools::log_info("Left out of '", options_.path, "': ", ignored_, " file",
                      ignored_ > 1 ? "s" : "", " of no known format (", first_ignored_,
                      ignored_ > 1 ? ", ...)" : ")");
    }
    return std::move(found_);
  }

 private:
  std::string path(const std::string& name) const { return concat(options_.path, "/", name); }

  void look_at(const std::string& name) {
    const bool is_auto = options_.format == DataFormat::kAuto;
    const bool counts = is_auto ? find_extension(name) != nullptr : may_hold(name, options_.format);
    if (!counts) {
      if (ignored_++ == 0) first_ignored_ = name;
      return;
    }
    FoundData one = find_file(files_, path(name), options_.format);
    if (!found_.files.empty() && one.format != found_.format) {
      throw RunError(concat("'", options_.path, "' holds data of several formats: ",
                            file_name(found_.files.front().path), " is ",
                            config::to_string(found_.format), ", ", name, " is ",
                            config::to_string(one.format), ". Set data.format, or name one file"));
    }
    found_.format = one.format;
    found_.files.push_back(std::move(one.files.front()));
  }

  void check_index(const std::string& name) {
    const bool may_be_megatron =
        options_.format == DataFormat::kAuto || options_.format == DataFormat::kMegatron;
    if (may_be_megatron && !files_.exists(bin_beside(path(name)))) {
      throw RunError(concat("'", path(name), "' has no .bin beside it"));
    }
  }

  base::FileSystem& files_;
  const SourceOptions& options_;
  FoundData found_;
  std::int64_t ignored_ = 0;
  std::string first_ignored_;
};

}  // namespace

FoundData find_data(base::FileSystem& files, const SourceOptions& options) {
  std::string path = options.path;
  // A Megatron pair may be named by its index, or by both without an extension.
  if (options.format == DataFormat::kAuto || options.format == DataFormat::kMegatron) {
    if (path.ends_with(kIndex)) path = bin_beside(path);
    if (!files.exists(path) && files.exists(path + std::string(kIndex))) path += ".bin";
  }
  if (files.is_directory(path)) return Folder(files, options).find();
  if (!files.exists(path)) throw RunError(concat("no data: '", path, "' does not exist"));
  return find_file(files, path, options.format);
}

}  // namespace titan::text
