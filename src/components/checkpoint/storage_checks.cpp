#include "components/checkpoint/storage_checks.h"

#include <algorithm>

#include "titan/base/errors.h"
#include "titan/formats/pickle/pickle.h"
#include "titan/formats/torch_archive/crc32.h"

namespace titan::components {
namespace {

using Value = formats::PickleValue;

/// The checksum of the whole where parts, laid end to end, make it up.
std::optional<std::uint32_t> whole_crc(const SeenStorage& storage) {
  std::vector<ReadPart> parts = storage.parts;
  std::sort(parts.begin(), parts.end(), [](const ReadPart& a, const ReadPart& b) {
    return a.begin != b.begin ? a.begin < b.begin : a.end > b.end;
  });
  std::uint64_t end = 0;
  std::uint32_t crc = 0;
  for (const ReadPart& part : parts) {
    if (part.begin != end || part.end == part.begin) continue;
    crc = formats::join_crc32(crc, part.crc, part.end - part.begin);
    end = part.end;
  }
  return end == storage.bytes ? std::optional(crc) : std::nullopt;
}

Value number(std::uint64_t value) { return Value::integer(static_cast<std::int64_t>(value)); }

std::uint64_t number_of(const Value& value) {
  const auto* integer = value.get_if<std::int64_t>();
  TITAN_CHECK(integer != nullptr, "a rank sent no number but a ", value.kind());
  return static_cast<std::uint64_t>(*integer);
}

std::string text_of(const Value& value) {
  const auto* text = value.get_if<std::string>();
  TITAN_CHECK(text != nullptr, "a rank sent no text but a ", value.kind());
  return *text;
}

const std::vector<Value>& items_of(const Value& value) {
  const auto* list = value.get_if<formats::PickleList>();
  TITAN_CHECK(list != nullptr, "a rank sent no list but a ", value.kind());
  return list->items;
}

}  // namespace

void check_and_remove_whole(const std::string& folder, SeenStorages& storages) {
  for (auto it = storages.begin(); it != storages.end();) {
    const auto& [place, storage] = *it;
    const std::optional<std::uint32_t> crc = whole_crc(storage);
    if (crc && *crc != storage.crc) {
      throw RunError(concat("'", storage.key, "': '", folder, "/", place.first, "', byte ",
                            place.second, ": the ", storage.bytes,
                            " bytes of its storage are damaged: their checksum is wrong"));
    }
    it = crc ? storages.erase(it) : std::next(it);
  }
}

void merge(SeenStorages& storages, const SeenStorages& others) {
  for (const auto& [place, storage] : others) {
    const auto [found, is_new] = storages.try_emplace(place, storage);
    if (is_new) continue;
    std::vector<ReadPart>& parts = found->second.parts;
    parts.insert(parts.end(), storage.parts.begin(), storage.parts.end());
  }
}

std::string encode(const SeenStorages& storages) {
  std::vector<Value> list;
  for (const auto& [place, storage] : storages) {
    std::vector<Value> fields = {Value::text(place.first), number(place.second),
                                 Value::text(storage.key), number(storage.bytes),
                                 number(storage.crc)};
    for (const ReadPart& part : storage.parts) {
      for (const std::uint64_t n : {part.begin, part.end, std::uint64_t{part.crc}}) {
        fields.push_back(number(n));
      }
    }
    list.push_back(Value::list(std::move(fields)));
  }
  return formats::write_pickle(Value::list(std::move(list)), 4);
}

SeenStorages decode_storages(const std::string& bytes) {
  SeenStorages storages;
  const Value value = formats::read_pickle(bytes);
  for (const Value& item : items_of(value)) {
    const std::vector<Value>& fields = items_of(item);
    TITAN_CHECK(fields.size() >= 5 && fields.size() % 3 == 2, "a rank sent ", fields.size(),
                " fields about a storage");
    SeenStorage& storage = storages[{text_of(fields[0]), number_of(fields[1])}];
    storage.key = text_of(fields[2]);
    storage.bytes = number_of(fields[3]);
    storage.crc = static_cast<std::uint32_t>(number_of(fields[4]));
    for (std::size_t i = 5; i < fields.size(); i += 3) {
      storage.parts.push_back({number_of(fields[i]), number_of(fields[i + 1]),
                               static_cast<std::uint32_t>(number_of(fields[i + 2]))});
    }
  }
  return storages;
}

}  // namespace titan::components
