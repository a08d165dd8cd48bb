#include "titan/comm/agreement.h"

#include <nlohmann/json.hpp>
#include <ranges>
#include <set>
#include <string_view>
#include <thread>
#include <vector>

#include "titan/base/errors.h"
#include "titan/base/printable.h"
#include "titan/base/sha256.h"

namespace titan::comm {
namespace {

using Json = nlohmann::json;
using Values = std::map<std::string, std::string>;

constexpr const char* kVerdictKey = "titan/config/verdict";
constexpr const char* kHeardKey = "titan/config/heard";
constexpr const char* kSame = "same";
constexpr std::string_view kMissing = "missing: ";
constexpr std::size_t kMostLines = 20;
constexpr std::chrono::milliseconds kMargin(5'000);

std::string hash_key(std::int64_t rank) { return concat("titan/config/hash/", rank); }
std::string values_key(std::int64_t rank) { return concat("titan/config/values/", rank); }

std::string text_of(const Values& values) {
  return Json(values).dump(-1, ' ', false, Json::error_handler_t::replace);
}

/// Throws RunError where a stranger has written something else.
Values values_of(const std::string& text, std::int64_t rank) {
  try {
    return Json::parse(text).get<Values>();
  } catch (const Json::exception&) {
    throw RunError(concat("the store holds no config of rank ", rank));
  }
}

std::string shown(const Values& values, const std::string& name) {
  constexpr std::size_t kLongest = 200;
  const auto found = values.find(name);
  if (found == values.end()) return "not set";
  return found->second.size() <= kLongest ? found->second
                                          : found->second.substr(0, kLongest) + "...";
}

std::string wait_for(Store& store, const std::string& key, std::int64_t rank,
                     std::chrono::milliseconds timeout) {
  try {
    return store.wait(key, timeout);
  } catch (const RunError& error) {
    throw RunError(
        concat("rank ", rank, " did not come to compare its config with the others' within ",
               timeout.count() / 1'000.0, " s (comm.init_timeout_seconds): ", error.what()));
  }
}

/// The ranks that hold one text; most jobs have one text, a wrong one two.
struct Camp {
  std::string hash;
  std::vector<std::int64_t> ranks;
};

std::string ranks_text(const std::vector<std::int64_t>& ranks) {
  constexpr std::size_t kMostRanks = 8;
  std::string text = ranks.size() == 1 ? "rank " : "ranks ";
  text += joined(std::views::take(ranks, kMostRanks));
  if (ranks.size() > kMostRanks) text += concat(" and ", ranks.size() - kMostRanks, " more");
  return text;
}

/// The lines that tell rank 0's values from those of another camp.
std::vector<std::string> differences(const Values& mine, const Values& theirs,
                                     const std::vector<std::int64_t>& ranks) {
  std::set<std::string> names;
  for (const auto& [name, value] : mine) names.insert(name);
  for (const auto& [name, value] : theirs) names.insert(name);
  std::vector<std::string> lines;
  for (const std::string& name : names) {
    const std::string here = shown(mine, name);
    const std::string there = shown(theirs, name);
    if (mine.count(name) == theirs.count(name) &&
        (mine.count(name) == 0 || mine.at(name) == theirs.at(name))) {
      continue;
    }
    lines.push_back(
        concat(name, " is ", here, " on rank 0 and ", there, " on ", ranks_text(ranks)));
  }
  return lines;
}

/// What all ranks shall say; empty when all agree.
std::string judge(Store& store, std::int64_t world_size, const Values& mine,
                  const std::string& my_hash, std::chrono::milliseconds timeout) {
  std::vector<Camp> camps;
  for (std::int64_t rank = 1; rank < world_size; ++rank) {
    const std::string hash = wait_for(store, hash_key(rank), rank, timeout);
    if (hash == my_hash) continue;
    auto camp = camps.begin();
    while (camp != camps.end() && camp->hash != hash) ++camp;
    if (camp == camps.end()) camp = camps.insert(camp, {hash, {}});
    camp->ranks.push_back(rank);
  }
  if (camps.empty()) return {};
  std::string message = "the ranks were started with different configs or data:";
  std::size_t count = 0;
  for (const Camp& camp : camps) {
    const std::int64_t speaker = camp.ranks.front();
    const Values theirs =
        values_of(wait_for(store, values_key(speaker), speaker, timeout), speaker);
    for (const std::string& line : differences(mine, theirs, camp.ranks)) {
      if (++count <= kMostLines) message += "\n  " + line;
    }
  }
  if (count > kMostLines) message += concat("\n  and ", count - kMostLines, " more");
  return message + "\nStart every rank with the same files and arguments.";
}

/// Says how it ended badly, and waits until the others have read it: the store may end with this
/// rank.
void announce(Store& store, std::int64_t readers, const std::string& verdict) {
  store.set(kVerdictKey, verdict);
  const auto deadline = std::chrono::steady_clock::now() + kMargin;
  while (store.add(kHeardKey, 0) < readers && std::chrono::steady_clock::now() < deadline) {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
}

}  // namespace

void check_same_config(Store& store, std::int64_t rank, std::int64_t world_size,
                       const std::map<std::string, std::string>& values,
                       std::chrono::milliseconds timeout) {
  if (world_size == 1) return;
  const std::string text = text_of(values);
  const std::string hash = base::sha256_hex(text);
  store.set(hash_key(rank), hash);
  if (rank == 0) {
    std::string verdict;
    try {
      verdict = judge(store, world_size, values, hash, timeout);
    } catch (const RunError& error) {
      announce(store, world_size - 2, std::string(kMissing) + error.what());
      throw;
    }
    if (!verdict.empty()) {
      announce(store, world_size - 1, verdict);
      throw ConfigError(base::printable_lines(verdict));
    }
    store.set(kVerdictKey, kSame);
    return;
  }
  if (wait_for(store, hash_key(0), 0, timeout) != hash) store.set(values_key(rank), text);
  // Rank 0 may still be waiting for another rank, which it will name.
  const std::string verdict = wait_for(store, kVerdictKey, 0, 2 * timeout + kMargin);
  if (verdict != kSame) store.add(kHeardKey, 1);
  if (verdict.starts_with(kMissing)) {
    throw RunError(base::printable_lines(verdict.substr(kMissing.size())));
  }
  if (verdict != kSame) throw ConfigError(base::printable_lines(verdict));
}

}  // namespace titan::comm
