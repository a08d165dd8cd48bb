#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "titan/comm/store.h"
#include "watch/verdict.h"

namespace titan::watch {

/// Under which a rank's report stands in the store.
std::string report_key(std::int64_t rank);

/// The other ranks as the store and this machine's kernel show them. One thread.
class Peers {
 public:
  /// A rank that makes no new report for `patience` is silent. `own` is this rank's report.
  Peers(comm::Store& store, const RankReport& own, std::chrono::milliseconds patience);

  /// Reads a rank's report. Throws RunError when the store is gone.
  PeerView look(std::int64_t rank);
  /// The same without the store, from the last report read.
  PeerView remember(std::int64_t rank) const;
  /// Counts silence anew, for the time this process itself was stopped.
  void forgive();

 private:
  using Time = std::chrono::steady_clock::time_point;
  struct Known {
    std::optional<RankReport> report;
    Time changed;  // when a new report was last seen; the first look where there was none
  };

  comm::Store& store_;
  const std::string machine_;
  const std::int64_t pid_;
  const std::chrono::milliseconds patience_;
  std::map<std::int64_t, Known> known_;
};

/// Logs, once each, which ranks have not been heard of for long and which are back.
class SilenceLog {
 public:
  explicit SilenceLog(std::chrono::milliseconds silence) : silence_(silence) {}

  void look_at(const PeerView& peer);
  /// At the end of a look at all ranks: those of many that were not named are counted.
  void finish_round();

 private:
  std::chrono::milliseconds silence_;
  std::map<std::int64_t, std::chrono::steady_clock::time_point> silent_since_;
  std::size_t reported_ = 0;
};

}  // namespace titan::watch
