#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace titan::base {
class FileSystem;
}

namespace titan::formats {

/// Where the bytes of an entry lie: a whole `torch.save` file within a file of the checkpoint.
struct DcpPlace {
  std::string file;  // a name in the checkpoint's folder: "__0_0.distcp"
  std::int64_t offset = 0;
  std::int64_t length = 0;
  bool operator==(const DcpPlace&) const = default;
};

/// A box of a tensor, saved by one rank.
struct DcpChunk {
  std::vector<std::int64_t> offsets;
  std::vector<std::int64_t> sizes;
  DcpPlace place;
  bool operator==(const DcpChunk&) const = default;
};

/// A tensor as saved. Its chunks cover it and do not overlap; some may be empty.
struct DcpTensor {
  std::string dtype;                // "float32"
  std::vector<std::int64_t> sizes;  // of the whole tensor
  std::vector<DcpChunk> chunks;
  bool operator==(const DcpTensor&) const = default;
};

/// A value that is no tensor.
struct DcpBytes {
  DcpPlace place;
  bool operator==(const DcpBytes&) const = default;
};

/// How a nested state names an entry: keys of dicts, indices of lists. ("optimizer",
/// "param_groups.w.lr") for "optimizer.param_groups.w.lr".
using DcpPath = std::vector<std::variant<std::string, std::int64_t>>;

struct DcpEntry {
  std::string key;  // "layers.0.attention.wq.weight"
  std::variant<DcpTensor, DcpBytes> value;
  std::optional<DcpPath> path;  // absent in checkpoints without planner data
  bool operator==(const DcpEntry&) const = default;

  const DcpTensor* tensor() const { return std::get_if<DcpTensor>(&value); }
  const DcpBytes* bytes() const { return std::get_if<DcpBytes>(&value); }
};

/// The `.metadata` file of a PyTorch 2.11 distributed checkpoint: what is saved, and where.
struct DcpMetadata {
  std::vector<DcpEntry> entries;    // in the order of the file; no key twice
  std::vector<std::string> folder;  // parts of the path it was saved to: {"/", "data", "step-1"}
  std::string save_id;              // a UUID; "" when there is none
  bool operator==(const DcpMetadata&) const = default;

  /// Null when there is none. Walks over all entries: callers with many keys make a map.
  const DcpEntry* find(std::string_view key) const;
};

/// Reads the pickle. Classes other than those of PyTorch's metadata are refused by name; so is what
/// `check_dcp_metadata` refuses. Throws RunError that starts with "'<name>': ", `name` being the
/// file's path.
DcpMetadata read_dcp_metadata(std::string_view bytes, const std::string& name);

/// The pickle, of protocol 4, that PyTorch 2.11 writes. Throws RunError as `check_dcp_metadata` does.
std::string write_dcp_metadata(const DcpMetadata& metadata);

/// Checks that keys are unique, dtypes known, chunks in bounds, that they cover each tensor without
/// overlap, and that places name files of the folder itself. Throws RunError naming the key.
void check_dcp_metadata(const DcpMetadata& metadata);

/// Checks that every entry's bytes are within its file in `folder`. Throws RunError naming file, key
/// and byte.
void check_dcp_files(base::FileSystem& files, const std::string& folder,
                     const DcpMetadata& metadata);

}  // namespace titan::formats
