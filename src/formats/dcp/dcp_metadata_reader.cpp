#include <algorithm>
#include <map>
#include <set>
#include <unordered_map>
#include <utility>

#include "formats/dcp/dcp_classes.h"
#include "formats/dcp/pickle_place.h"
#include "titan/base/errors.h"
#include "titan/base/file_kind.h"
#include "titan/formats/dcp/dcp_metadata.h"
#include "titan/formats/pickle/pickle.h"
#include "titan/formats/tensor_dtype.h"

namespace titan::formats {
namespace {

using namespace dcp_classes;
using Pairs = std::vector<std::pair<PickleValue, PickleValue>>;

// No real metadata unfolds to as much: a chunk takes 60 bytes or more and has about 50 parts.
constexpr std::uint64_t kFewParts = 1 << 16;
constexpr std::uint64_t kPartsPerByte = 64;

bool is_path_class(const PickleGlobal& global) {
  constexpr std::string_view kPaths[] = {"PosixPath", "PurePosixPath", "WindowsPath",
                                         "PureWindowsPath"};
  return (global.module == "pathlib" || global.module == "pathlib._local") &&
         std::find(std::begin(kPaths), std::end(kPaths), global.name) != std::end(kPaths);
}

bool is_known_class(const PickleGlobal& global) {
  constexpr std::string_view kOfMetadata[] = {
      kMetadata,     kTensorStorage, kBytesStorage, kTensorProperties,
      kMemoryFormat, kChunk,         kIndex,        kStorageMeta};
  if (global.module == kMetadataModule) {
    return std::find(std::begin(kOfMetadata), std::end(kOfMetadata), global.name) !=
           std::end(kOfMetadata);
  }
  return (global.module == kFileSystemModule && global.name == kStorageInfo) ||
         (global.module == kTorch &&
          (global.name == kSize || find_dtype(global.name) != nullptr)) ||
         (global.module == kSerialization && global.name == kLayout) || is_path_class(global);
}

/// Refuses, wherever it is, a class that no metadata of PyTorch has.
void check_classes(const PickleValue& value) {
  const auto check_all = [](const std::vector<PickleValue>& values) {
    std::for_each(values.begin(), values.end(), check_classes);
  };
  const auto check_pairs = [](const Pairs& pairs) {
    for (const auto& [key, item] : pairs) {
      check_classes(key);
      check_classes(item);
    }
  };
  if (const auto* global = value.get_if<PickleGlobal>()) {
    if (!is_known_class(*global)) {
      throw RunError(concat("it asks for ", global->module, ".", global->name,
                            ", which no metadata of PyTorch 2.11 has; it is refused"));
    }
  } else if (const auto* object = value.get_if<PickleObject>()) {
    check_classes(object->type);
    check_classes(object->args);
    check_classes(object->state);
    check_all(object->list_items);
    check_pairs(object->dict_items);
  } else if (const auto* list = value.get_if<PickleList>()) {
    check_all(list->items);
  } else if (const auto* tuple = value.get_if<PickleTuple>()) {
    check_all(tuple->items);
  } else if (const auto* dict = value.get_if<PickleDict>()) {
    check_pairs(dict->items);
  } else if (value.get_if<PicklePersistentId>() != nullptr) {
    throw RunError("it refers to something outside of it; no metadata does");
  }
}

class MetadataReader {
 public:
  DcpMetadata read(const PickleValue& root) {
    const PicklePlace place = PicklePlace(root, "Metadata").state_of(kMetadataModule, kMetadata);
    const PicklePlace storage = place.at("storage_data");
    read_storage(storage);
    DcpMetadata metadata;
    read_entries(place.at("state_dict_metadata"), metadata);
    if (used_ != places_.size()) {
      storage.fail(concat(places_.size() - used_, " places of nothing that is saved, as of '",
                          unused_key(), "'"));
    }
    if (const PickleValue* paths = place.value().find("planner_data")) {
      read_paths(PicklePlace(*paths, "planner_data", place), metadata);
    }
    if (const PickleValue* meta = place.value().find("storage_meta")) {
      read_storage_meta(PicklePlace(*meta, "storage_meta", place), metadata);
    }
    return metadata;
  }

 private:
  /// A key, and the offsets of a chunk; none for bytes.
  using Index = std::pair<std::string, std::optional<std::vector<std::int64_t>>>;
  struct Stored {
    DcpPlace place;
    bool used = false;
  };

  void read_storage(const PicklePlace& storage) {
    for (const auto& [key, value] : storage.dict().items) {
      const PicklePlace index =
          PicklePlace(key, "a key", storage).state_of(kMetadataModule, kIndex);
      const std::string& fqn = index.at("fqn").text();
      Index where(fqn, std::nullopt);
      const PickleValue* offset = index.value().find("offset");
      if (offset != nullptr && !offset->is_none()) {
        where.second = PicklePlace(*offset, "offset", index).torch_size();
      }
      const PicklePlace info =
          PicklePlace(value, fqn, storage).state_of(kFileSystemModule, kStorageInfo);
      const PickleValue* transforms = info.value().find("transform_descriptors");
      if (transforms != nullptr && !transforms->is_none()) {
        info.fail("saved with a transform (compression, say), which is not read");
      }
      Stored stored{{.file = info.at("relative_path").text(),
                     .offset = info.at("offset").count(),
                     .length = info.at("length").count()}};
      if (!places_.emplace(std::move(where), std::move(stored)).second) {
        info.fail("it has two places");
      }
    }
  }

  void read_entries(const PicklePlace& all, DcpMetadata& metadata) {
    metadata.entries.reserve(all.dict().items.size());
    for (const auto& [key, value] : all.dict().items) {
      const std::string& name = PicklePlace(key, "a key", all).text();
      const PicklePlace place(value, name, all);
      const auto* object = value.get_if<PickleObject>();
      DcpEntry entry{.key = name, .value = DcpBytes(), .path = std::nullopt};
      if (object != nullptr && object->is(kMetadataModule, kBytesStorage)) {
        entry.value = DcpBytes{take_place({name, std::nullopt}, place)};
      } else {
        entry.value = read_tensor(name, place.state_of(kMetadataModule, kTensorStorage));
      }
      metadata.entries.push_back(std::move(entry));
    }
  }

  DcpTensor read_tensor(const std::string& name, const PicklePlace& place) {
    DcpTensor tensor;
    tensor.dtype = read_dtype(place.at("properties"));
    tensor.sizes = place.at("size").torch_size();
    const PicklePlace chunks = place.at("chunks");
    for (const PickleValue& item : chunks.need<PickleList>("a list").items) {
      const PicklePlace chunk =
          PicklePlace(item, "a chunk", chunks).state_of(kMetadataModule, kChunk);
      std::vector<std::int64_t> offsets = chunk.at("offsets").torch_size();
      DcpPlace stored = take_place({name, offsets}, chunk);
      tensor.chunks.push_back(
          {std::move(offsets), chunk.at("sizes").torch_size(), std::move(stored)});
    }
    return tensor;
  }

  /// Of the five properties only these two say anything: the others are deprecated.
  static std::string read_dtype(const PicklePlace& place) {
    const PicklePlace state = place.state_of(kMetadataModule, kTensorProperties);
    const auto& items = state.need<PickleTuple>("a tuple").items;
    const auto* dtype = items.size() == 5 ? items[0].get_if<PickleGlobal>() : nullptr;
    if (dtype == nullptr || dtype->module != kTorch || find_dtype(dtype->name) == nullptr) {
      state.fail("expected a dtype and four more properties");
    }
    const auto& layout = PicklePlace(items[1], "layout", state).call_of(kSerialization, kLayout);
    const auto* word = layout.size() == 1 ? layout[0].get_if<std::string>() : nullptr;
    if (word == nullptr || *word != kStrided) {
      state.fail(concat("tensors of another layout than ", kStrided, " are not read"));
    }
    return dtype->name;
  }

  DcpPlace take_place(Index index, const PicklePlace& place) {
    const auto stored = places_.find(index);
    if (stored == places_.end() || stored->second.used) {
      place.fail(stored == places_.end() ? "storage_data has no place for it"
                                         : "another chunk has the same offsets");
    }
    stored->second.used = true;
    ++used_;
    return stored->second.place;
  }

  std::string unused_key() const {
    const auto unused = std::find_if(places_.begin(), places_.end(),
                                     [](const auto& stored) { return !stored.second.used; });
    return unused->first.first;
  }

  static void read_paths(const PicklePlace& all, DcpMetadata& metadata) {
    if (all.value().is_none()) {
      return;
    }
    std::unordered_map<std::string_view, DcpEntry*> entries;
    for (DcpEntry& entry : metadata.entries) {
      entries[entry.key] = &entry;
    }
    for (const auto& [key, value] : all.dict().items) {
      const std::string& name = PicklePlace(key, "a key", all).text();
      const PicklePlace place(value, name, all);
      const auto entry = entries.find(name);
      if (entry == entries.end()) {
        place.fail("nothing of this name is saved");
      }
      DcpPath path;
      for (const PickleValue& item : place.need<PickleTuple>("a tuple").items) {
        if (const auto* text = item.get_if<std::string>()) {
          path.emplace_back(*text);
        } else {
          path.emplace_back(PicklePlace(item, "an index", place).count());
        }
      }
      entry->second->path = std::move(path);
    }
  }

  static void read_storage_meta(const PicklePlace& place, DcpMetadata& metadata) {
    if (place.value().is_none()) {
      return;
    }
    const PicklePlace meta = place.state_of(kMetadataModule, kStorageMeta);
    if (const PickleValue* id = meta.value().find("save_id"); id != nullptr && !id->is_none()) {
      metadata.save_id = PicklePlace(*id, "save_id", meta).text();
    }
    const PickleValue* folder = meta.value().find("checkpoint_id");
    if (folder == nullptr) {
      return;
    }
    if (const auto* text = folder->get_if<std::string>()) {
      metadata.folder = {*text};
    } else if (const auto* path = folder->get_if<PickleObject>()) {
      for (const PickleValue& part : path->arguments()) {
        metadata.folder.push_back(PicklePlace(part, "checkpoint_id", meta).text());
      }
    }
  }

  std::map<Index, Stored> places_;
  std::size_t used_ = 0;
};

}  // namespace

DcpMetadata read_dcp_metadata(std::string_view bytes, const std::string& name) {
  base::refuse_other_kind(name, bytes);
  try {
    const PickleValue root =
        read_pickle(bytes, {.max_parts = kFewParts + kPartsPerByte * bytes.size()});
    check_classes(root);
    DcpMetadata metadata = MetadataReader().read(root);
    check_dcp_metadata(metadata);
    return metadata;
  } catch (const RunError& error) {
    throw RunError(concat("'", name, "': ", error.what()));
  }
}

}  // namespace titan::formats
