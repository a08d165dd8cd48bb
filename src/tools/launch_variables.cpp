#include "tools/launch_variables.h"

#include <algorithm>
#include <charconv>
#include <utility>

#include "titan/base/errors.h"
#include "titan/base/printable.h"

namespace titan::tools {
namespace {

constexpr std::int64_t kMostRanks = 1'000'000;
constexpr std::size_t kLongestValue = 65'536;  // a host list of a large job is long
constexpr std::size_t kLongestAddress = 253;   // RFC 1035

/// Variables may hold anything; a message shows what fits on a line.
std::string shown(const std::string& value) {
  constexpr std::size_t kLongest = 80;
  const bool whole = value.size() <= kLongest;
  return "'" + base::printable(value.substr(0, kLongest)) + (whole ? "'" : "'...");
}

}  // namespace

LaunchVariables::LaunchVariables(const EnvironmentLookup& lookup, std::string launcher)
    : lookup_(lookup), launcher_(std::move(launcher)) {}

void LaunchVariables::refuse(const std::string& name, const std::string& why) const {
  throw ConfigError(concat("environment variable ", name, ": ", why));
}

std::optional<std::string> LaunchVariables::find(const char* name) const {
  std::optional<std::string> value = lookup_(name);
  if (!value || value->empty()) return std::nullopt;
  if (value->size() > kLongestValue) {
    refuse(name, concat("is ", value->size(), " bytes long; at most ", kLongestValue, " are read"));
  }
  return value;
}

std::string LaunchVariables::text(const char* name) const {
  std::optional<std::string> value = find(name);
  if (!value) {
    refuse(name, concat("is not set, but others of ", launcher_,
                        "'s variables are. Start the ranks through a launcher (run_train.sh, "
                        "torchrun, srun, mpirun, titan_train --nproc), or unset the others."));
  }
  return *value;
}

std::int64_t LaunchVariables::number(const char* name, std::int64_t least, std::int64_t most,
                                     std::optional<std::int64_t> otherwise) const {
  if (otherwise && !find(name)) return *otherwise;
  const std::string word = text(name);
  std::int64_t value = 0;
  const char* end = word.data() + word.size();
  const auto [stop, error] = std::from_chars(word.data(), end, value);
  if (error != std::errc() || stop != end) {
    refuse(name, concat("must be a whole number, not ", shown(word)));
  }
  if (value < least || value > most) {
    refuse(name, concat("must be from ", least, " to ", most, ", not ", value));
  }
  return value;
}

void LaunchVariables::read_rank(const char* rank_name, const char* size_name, std::int64_t& rank,
                                std::int64_t& size) const {
  size = number(size_name, 1, kMostRanks);
  rank = number(rank_name, 0, kMostRanks);
  if (rank >= size) {
    refuse(rank_name, concat("is ", rank, ", but ranks are numbered from 0 to ", size - 1,
                             " where ", size_name, " is ", size));
  }
}

void LaunchVariables::read_master(LaunchEnvironment& environment) const {
  if (auto address = find("MASTER_ADDR")) {
    // As in a URL, "[fe80::1]": the resolver knows the address alone.
    if (address->starts_with('[') && address->ends_with(']')) {
      address = address->substr(1, address->size() - 2);
    }
    const bool printable = std::ranges::all_of(
        *address, [](unsigned char letter) { return letter > ' ' && letter <= '~'; });
    if (!printable || address->empty() || address->size() > kLongestAddress) {
      refuse("MASTER_ADDR", "is not a host name or address: " + shown(*address));
    }
    environment.master_address = *address;
  }
  if (find("MASTER_PORT")) {
    environment.master_port = static_cast<std::uint16_t>(number("MASTER_PORT", 1, 65'535));
  }
}

}  // namespace titan::tools
