#include <algorithm>
#include <map>
#include <memory>
#include <set>
#include <unordered_set>
#include <utility>

#include "titan/base/errors.h"
#include "titan/base/file_kind.h"
#include "titan/base/file_system.h"
#include "titan/formats/dcp/dcp_metadata.h"
#include "titan/formats/tensor_dtype.h"

namespace titan::formats {
namespace {

using Integers = std::vector<std::int64_t>;

std::string show(const Integers& values) {
  std::string text = "[";
  for (const std::int64_t value : values) {
    text += concat(text.size() > 1 ? ", " : "", value);
  }
  return text + "]";
}

std::string show(const DcpChunk& chunk) {
  return concat("the chunk at ", show(chunk.offsets), " of size ", show(chunk.sizes));
}

/// Elements of a box; nothing where that is no number.
std::optional<std::int64_t> volume(const Integers& sizes) {
  std::int64_t count = 1;
  bool overflow = false;
  for (const std::int64_t size : sizes) {
    overflow |= size < 0 || __builtin_mul_overflow(count, std::max<std::int64_t>(size, 1), &count);
  }
  const bool empty = std::find(sizes.begin(), sizes.end(), 0) != sizes.end();
  return overflow ? std::nullopt : std::optional<std::int64_t>(empty ? 0 : count);
}

bool overlap(const DcpChunk& a, const DcpChunk& b) {
  for (std::size_t d = 0; d < a.sizes.size(); ++d) {
    if (a.offsets[d] + a.sizes[d] <= b.offsets[d] || b.offsets[d] + b.sizes[d] <= a.offsets[d]) {
      return false;
    }
  }
  return true;
}

void check_place(const DcpPlace& place) {
  if (place.file.empty() || place.file == "." || place.file == ".." ||
      place.file.find('/') != std::string::npos || place.file.find('\0') != std::string::npos) {
    throw RunError(concat("'", place.file, "' is no name of a file in the checkpoint's folder"));
  }
  std::int64_t end = 0;
  if (place.offset < 0 || place.length < 0 ||
      __builtin_add_overflow(place.offset, place.length, &end)) {
    throw RunError(concat(place.length, " bytes at byte ", place.offset, " of '", place.file,
                          "' are no place"));
  }
}

/// The dimension that tells most chunks apart.
std::size_t busiest_dimension(const std::vector<const DcpChunk*>& chunks) {
  std::size_t best = 0;
  std::size_t most = 0;
  for (std::size_t d = 0; d < chunks[0]->offsets.size(); ++d) {
    std::unordered_set<std::int64_t> offsets;
    for (const DcpChunk* chunk : chunks) {
      offsets.insert(chunk->offsets[d]);
    }
    if (offsets.size() > most) {
      most = offsets.size();
      best = d;
    }
  }
  return best;
}

/// Walks along one dimension and compares each chunk with those that it meets there.
void check_overlap(std::vector<const DcpChunk*> chunks) {
  if (chunks.size() < 2) {
    return;
  }
  if (chunks[0]->sizes.empty()) {
    throw RunError("a tensor of one element has two chunks");
  }
  const std::size_t d = busiest_dimension(chunks);
  std::sort(chunks.begin(), chunks.end(),
            [d](const DcpChunk* a, const DcpChunk* b) { return a->offsets[d] < b->offsets[d]; });
  std::multimap<std::int64_t, const DcpChunk*> open;  // by where they end
  for (const DcpChunk* chunk : chunks) {
    open.erase(open.begin(), open.upper_bound(chunk->offsets[d]));
    for (const auto& [end, other] : open) {
      if (overlap(*chunk, *other)) {
        throw RunError(concat(show(*chunk), " overlaps ", show(*other)));
      }
    }
    open.emplace(chunk->offsets[d] + chunk->sizes[d], chunk);
  }
}

void check_inside(const DcpChunk& chunk, const Integers& whole) {
  bool inside = chunk.offsets.size() == whole.size() && chunk.sizes.size() == whole.size();
  for (std::size_t d = 0; inside && d < whole.size(); ++d) {
    inside = chunk.offsets[d] >= 0 && chunk.offsets[d] <= whole[d] && chunk.sizes[d] >= 0 &&
             chunk.sizes[d] <= whole[d] - chunk.offsets[d];
  }
  if (!inside) {
    throw RunError(concat(show(chunk), " is not within the tensor, ", show(whole)));
  }
}

void check_tensor(const DcpTensor& tensor) {
  const TensorDtype* dtype = find_dtype(tensor.dtype);
  if (dtype == nullptr) {
    throw RunError(concat("'", tensor.dtype, "' is no known dtype"));
  }
  const std::optional<std::int64_t> whole = volume(tensor.sizes);
  std::int64_t bytes = 0;
  if (!whole || __builtin_mul_overflow(*whole, dtype->bytes, &bytes)) {
    throw RunError(concat("a tensor of size ", show(tensor.sizes), " is too large"));
  }
  std::vector<const DcpChunk*> filled;
  std::set<Integers> offsets;
  std::int64_t left = *whole;
  for (const DcpChunk& chunk : tensor.chunks) {
    check_place(chunk.place);
    check_inside(chunk, tensor.sizes);
    if (!offsets.insert(chunk.offsets).second) {
      throw RunError(concat(show(chunk), " is there twice"));
    }
    const std::int64_t part = *volume(chunk.sizes);
    if (part > 0) {
      filled.push_back(&chunk);
    }
    left -= std::min(left, part);
  }
  check_overlap(filled);
  if (left > 0) {
    throw RunError(concat(left, " of its ", *whole, " elements are in no chunk"));
  }
}

void check_entry(const DcpEntry& entry) {
  if (const DcpTensor* tensor = entry.tensor()) {
    check_tensor(*tensor);
  } else {
    check_place(entry.bytes()->place);
  }
}

}  // namespace

const DcpEntry* DcpMetadata::find(std::string_view key) const {
  const auto entry = std::find_if(entries.begin(), entries.end(),
                                  [key](const DcpEntry& e) { return e.key == key; });
  return entry != entries.end() ? &*entry : nullptr;
}

void check_dcp_metadata(const DcpMetadata& metadata) {
  std::unordered_set<std::string_view> keys;
  for (const DcpEntry& entry : metadata.entries) {
    try {
      if (!keys.insert(entry.key).second) {
        throw RunError("it is there twice");
      }
      check_entry(entry);
    } catch (const RunError& error) {
      throw RunError(concat("'", entry.key, "': ", error.what()));
    }
  }
}

void check_dcp_files(base::FileSystem& files, const std::string& folder,
                     const DcpMetadata& metadata) {
  std::map<std::string, std::uint64_t> sizes;
  const auto check = [&](const std::string& key, const DcpPlace& place) {
    const std::string path = concat(folder, "/", place.file);
    auto size = sizes.find(place.file);
    if (size == sizes.end()) {
      if (!files.exists(path)) {
        throw RunError(concat("'", path, "' is missing; '", key, "' is in it"));
      }
      const auto file = files.open_for_reading(path);
      base::refuse_other_kind(*file, "zip", /*is_binary=*/true);
      size = sizes.emplace(place.file, file->size()).first;
    }
    const auto end =
        static_cast<std::uint64_t>(place.offset) + static_cast<std::uint64_t>(place.length);
    if (end > size->second) {
      throw RunError(concat("'", path, "' has ", size->second, " bytes, but '", key,
                            "' is at bytes ", place.offset, " to ", end));
    }
  };
  for (const DcpEntry& entry : metadata.entries) {
    if (const DcpTensor* tensor = entry.tensor()) {
      for (const DcpChunk& chunk : tensor->chunks) {
        check(entry.key, chunk.place);
      }
    } else {
      check(entry.key, entry.bytes()->place);
    }
  }
}

}  // namespace titan::formats
