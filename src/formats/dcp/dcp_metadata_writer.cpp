#include <utility>

#include "formats/dcp/dcp_classes.h"
#include "titan/formats/dcp/dcp_metadata.h"
#include "titan/formats/pickle/pickle.h"

namespace titan::formats {
namespace {

using namespace dcp_classes;
using Value = PickleValue;
using Pairs = std::vector<std::pair<Value, Value>>;

constexpr int kProtocol = 4;  // Python's default

/// Everything but the entries' own values is made once and shared.
class MetadataWriter {
 public:
  std::string write(const DcpMetadata& metadata) {
    Pairs entries;
    Pairs paths;
    Pairs places;
    for (const DcpEntry& entry : metadata.entries) {
      const Value key = Value::text(entry.key);
      if (const DcpTensor* tensor = entry.tensor()) {
        entries.emplace_back(key, tensor_value(*tensor));
        for (std::size_t i = 0; i < tensor->chunks.size(); ++i) {
          const DcpChunk& chunk = tensor->chunks[i];
          places.emplace_back(chunk_index(key, i, chunk), place_value(chunk.place));
        }
      } else {
        entries.emplace_back(key, make(bytes_storage_));
        places.emplace_back(
            build(index_, Value::dict({{word("fqn"), key}, {word("index"), Value()}})),
            place_value(entry.bytes()->place));
      }
      if (entry.path) {
        paths.emplace_back(key, path_value(*entry.path));
      }
    }
    const Value root =
        build(class_of(kMetadata),
              Value::dict({{word("state_dict_metadata"), Value::dict(std::move(entries))},
                           {word("planner_data"), Value::dict(std::move(paths))},
                           {word("storage_data"), Value::dict(std::move(places))},
                           {word("storage_meta"), storage_meta(metadata)},
                           {word("version"), word(kVersion)}}));
    return write_pickle(root, kProtocol);
  }

 private:
  static Value word(std::string_view text) { return Value::text(std::string(text)); }
  static Value global(std::string_view module, std::string_view name) {
    return Value::global(std::string(module), std::string(name));
  }
  static Value class_of(std::string_view name) { return global(kMetadataModule, name); }

  static Value make(const Value& type) {
    return Value::object(
        {.made = PickleObject::Made::kNew, .type = type, .args = Value::tuple({})});
  }
  static Value build(const Value& type, Value state) {
    return Value::object({.made = PickleObject::Made::kNew,
                          .type = type,
                          .args = Value::tuple({}),
                          .has_state = true,
                          .state = std::move(state)});
  }
  static Value call(const Value& type, std::vector<Value> args) {
    return Value::object({.type = type, .args = Value::tuple(std::move(args))});
  }

  Value size_value(const std::vector<std::int64_t>& sizes) const {
    std::vector<Value> items;
    for (const std::int64_t size : sizes) {
      items.push_back(Value::integer(size));
    }
    return call(size_, {Value::tuple(std::move(items))});
  }

  Value tensor_value(const DcpTensor& tensor) const {
    std::vector<Value> chunks;
    for (const DcpChunk& chunk : tensor.chunks) {
      chunks.push_back(build(chunk_, Value::dict({{word("offsets"), size_value(chunk.offsets)},
                                                  {word("sizes"), size_value(chunk.sizes)}})));
    }
    const Value no = Value::boolean(false);
    const Value properties = Value::tuple(
        {global(kTorch, tensor.dtype), call(global(kSerialization, kLayout), {word(kStrided)}),
         /*requires_grad*/ no, call(class_of(kMemoryFormat), {Value::integer(0)}),
         /*pin_memory*/ no});
    return build(tensor_storage_,
                 Value::dict({{word("properties"), build(class_of(kTensorProperties), properties)},
                              {word("size"), size_value(tensor.sizes)},
                              {word("chunks"), Value::list(std::move(chunks))}}));
  }

  Value chunk_index(const Value& key, std::size_t number, const DcpChunk& chunk) const {
    return build(index_,
                 Value::dict({{word("fqn"), key},
                              {word("index"), Value::integer(static_cast<std::int64_t>(number))},
                              {word("offset"), size_value(chunk.offsets)}}));
  }

  Value place_value(const DcpPlace& place) const {
    return build(storage_info_, Value::dict({{word("relative_path"), word(place.file)},
                                             {word("offset"), Value::integer(place.offset)},
                                             {word("length"), Value::integer(place.length)}}));
  }

  static Value path_value(const DcpPath& path) {
    std::vector<Value> items;
    for (const auto& part : path) {
      const auto* text = std::get_if<std::string>(&part);
      items.push_back(text != nullptr ? word(*text) : Value::integer(std::get<std::int64_t>(part)));
    }
    return Value::tuple(std::move(items));
  }

  static Value storage_meta(const DcpMetadata& metadata) {
    std::vector<Value> parts;
    for (const std::string& part : metadata.folder) {
      parts.push_back(word(part));
    }
    const Value folder =
        parts.empty() ? Value() : call(global("pathlib", "PosixPath"), std::move(parts));
    return build(
        class_of(kStorageMeta),
        Value::dict({{word("checkpoint_id"), folder},
                     {word("save_id"), metadata.save_id.empty() ? Value() : word(metadata.save_id)},
                     {word("load_id"), Value()},
                     {word("modules"), Value::list({})}}));
  }

  const Value tensor_storage_ = class_of(kTensorStorage);
  const Value bytes_storage_ = class_of(kBytesStorage);
  const Value chunk_ = class_of(kChunk);
  const Value index_ = class_of(kIndex);
  const Value storage_info_ = global(kFileSystemModule, kStorageInfo);
  const Value size_ = global(kTorch, kSize);
};

}  // namespace

std::string write_dcp_metadata(const DcpMetadata& metadata) {
  check_dcp_metadata(metadata);
  return MetadataWriter().write(metadata);
}

}  // namespace titan::formats
