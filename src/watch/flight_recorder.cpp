#include "watch/flight_recorder.h"

#include <algorithm>
#include <limits>
#include <nlohmann/json.hpp>

namespace titan::watch {
namespace {

// A rank that keeps no trace still wants to know what it waits in.
constexpr std::int64_t kLeastRecords = 64;
constexpr std::int64_t kMostRecords = 10'000'000;
constexpr std::uint16_t kMostNames = 1'000;

double seconds_between(std::chrono::steady_clock::time_point from,
                       std::chrono::steady_clock::time_point to) {
  return std::chrono::duration<double>(to - from).count();
}

}  // namespace

std::uint16_t FlightRecorder::Names::index_of(std::string_view name) {
  const auto found = std::ranges::find(names_, name);
  if (found != names_.end()) return static_cast<std::uint16_t>(found - names_.begin());
  if (names_.size() == kMostNames) return 0;
  names_.emplace_back(name);
  return static_cast<std::uint16_t>(names_.size() - 1);
}

FlightRecorder::FlightRecorder(std::int64_t capacity)
    : shown_(static_cast<std::size_t>(std::clamp<std::int64_t>(capacity, 0, kMostRecords))),
      ring_(std::max<std::size_t>(shown_, kLeastRecords)),
      phase_began_(std::chrono::steady_clock::now()) {
  phase_ = phases_.index_of("start");
}

void FlightRecorder::enter_phase(std::string_view phase, std::int64_t step) {
  const Time now = std::chrono::steady_clock::now();
  const std::lock_guard lock(mutex_);
  phase_ = phases_.index_of(phase);
  step_ = step;
  phase_began_ = now;
}

std::uint64_t FlightRecorder::started(const comm::CollectiveCall& call) {
  const Time now = std::chrono::steady_clock::now();
  const std::lock_guard lock(mutex_);
  const std::uint16_t group = groups_.index_of(call.group);
  const std::uint16_t operation = operations_.index_of(call.operation);
  const std::uint64_t id = ++last_id_;
  const bool point_to_point = call.peers != nullptr;
  ring_[id % ring_.size()] = {
      id,        call.sequence, call.bytes,     step_,          now, {}, group,
      operation, phase_,        point_to_point, State::kStarted};
  if (point_to_point) return id;
  const auto last = std::ranges::find(last_, group, &LastOfGroup::group);
  if (last == last_.end()) {
    last_.push_back({group, operation, call.sequence});
  } else {
    *last = {group, operation, call.sequence};
  }
  return id;
}

const FlightRecorder::Record* FlightRecorder::find(std::uint64_t id) const {
  const Record& record = ring_[id % ring_.size()];
  return record.id == id && id != 0 ? &record : nullptr;
}

void FlightRecorder::end(std::uint64_t id, State state) {
  const Time now = std::chrono::steady_clock::now();
  const std::lock_guard lock(mutex_);
  if (find(id) == nullptr) return;
  Record& record = ring_[id % ring_.size()];
  record.ended = now;
  record.state = state;
}

void FlightRecorder::finished(std::uint64_t id) { end(id, State::kFinished); }

void FlightRecorder::failed(std::uint64_t id) { end(id, State::kFailed); }

PhaseNow FlightRecorder::phase() const {
  const Time now = std::chrono::steady_clock::now();
  const std::lock_guard lock(mutex_);
  return {phases_[phase_], step_, seconds_between(phase_began_, now)};
}

std::vector<GroupProgress> FlightRecorder::progress() const {
  const std::lock_guard lock(mutex_);
  std::vector<GroupProgress> all;
  for (const LastOfGroup& last : last_) {
    all.push_back({groups_[last.group], operations_[last.operation], last.sequence});
  }
  return all;
}

std::optional<PendingCollective> FlightRecorder::oldest_pending() const {
  const Time now = std::chrono::steady_clock::now();
  const std::lock_guard lock(mutex_);
  const std::uint64_t kept = std::min<std::uint64_t>(last_id_, ring_.size());
  oldest_pending_ = std::max(oldest_pending_, last_id_ - kept + 1);
  while (oldest_pending_ <= last_id_ && find(oldest_pending_)->state != State::kStarted) {
    ++oldest_pending_;
  }
  if (oldest_pending_ > last_id_) return std::nullopt;
  const Record& record = *find(oldest_pending_);
  return PendingCollective{{groups_[record.group], operations_[record.operation], record.sequence},
                           seconds_between(record.started, now)};
}

double FlightRecorder::seconds_since(std::uint64_t id) const {
  const Time now = std::chrono::steady_clock::now();
  const std::lock_guard lock(mutex_);
  const Record* record = find(id);
  return record == nullptr ? 0 : seconds_between(record->started, now);
}

std::string FlightRecorder::json(std::int64_t rank, std::int64_t world_size) const {
  using Json = nlohmann::ordered_json;
  using std::chrono::nanoseconds;
  const auto unix_now = std::chrono::system_clock::now().time_since_epoch();
  const Time now = std::chrono::steady_clock::now();
  const auto unix_ns = [&](Time time) {
    return std::chrono::duration_cast<nanoseconds>(unix_now - (now - time)).count();
  };
  const PhaseNow where = phase();
  const std::lock_guard lock(mutex_);
  Json head = {{"version", "titan 1"},           {"rank", rank},        {"world_size", world_size},
               {"time_dumped_ns", unix_ns(now)}, {"phase", where.name}, {"step", where.step},
               {"collectives_started", last_id_}};
  Json entries = Json::array();
  const std::uint64_t count = std::min<std::uint64_t>(last_id_, shown_);
  for (std::uint64_t id = last_id_ - count + 1; id <= last_id_; ++id) {
    const Record& record = *find(id);
    const bool ended = record.state != State::kStarted;
    Json entry = {{"record_id", record.id},
                  {"process_group", groups_[record.group]},
                  {"profiling_name", operations_[record.operation]},
                  {"is_p2p", record.point_to_point},
                  {record.point_to_point ? "p2p_seq_id" : "collective_seq_id", record.sequence},
                  {"input_bytes", record.bytes},
                  {"state", record.state == State::kFailed     ? "failed"
                            : record.state == State::kFinished ? "completed"
                                                               : "started"},
                  {"time_created_ns", unix_ns(record.started)}};
    entry["time_discovered_completed_ns"] = ended ? Json(unix_ns(record.ended)) : Json();
    entry["phase"] = phases_[record.phase];
    entry["step"] = record.step;
    entries.push_back(std::move(entry));
  }
  head["entries"] = std::move(entries);
  return head.dump(1, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace titan::watch
