#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "titan/components/checkpoint/stored_box.h"

namespace titan::components {

/// A storage of which parts have been read, by this rank or by several.
struct SeenStorage {
  std::string key;  // of the entry, for messages
  std::uint64_t bytes = 0;
  std::uint32_t crc = 0;  // as stored
  std::vector<ReadPart> parts;
};

/// Storages by file and by the byte where they begin.
using SeenStorages = std::map<std::pair<std::string, std::uint64_t>, SeenStorage>;

/// Compares checksums of all storages whose parts make up the whole, and removes these. Throws
/// RunError naming key, file (in `folder`) and byte.
void check_and_remove_whole(const std::string& folder, SeenStorages& storages);

/// Adds what another rank has seen.
void merge(SeenStorages& storages, const SeenStorages& others);

std::string encode(const SeenStorages& storages);
SeenStorages decode_storages(const std::string& bytes);

}  // namespace titan::components
