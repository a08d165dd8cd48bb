// DualPipeV with experts on several ranks: while rows of one microbatch travel, another one is computed.
#include <ATen/record_function.h>
#include <gmock/gmock.h>

#include <algorithm>
#include <set>
#include <thread>

#include "titan/base/errors.h"
#include "unit/step/expert_job.h"

namespace titan::step::experts {
namespace {

/// What was seen: of a rank's collectives over `ep`, when they are under way; of products, when they are made.
struct Event {
  enum class Kind { kBegin, kEnd, kProduct };
  Kind kind;
  std::thread::id thread;
  std::uint64_t exchange = 0;  // of a rank
  std::int64_t bytes = 0;
};

class Trace {
 public:
  void add(const Event& event) {
    const std::lock_guard lock(mutex_);
    events_.push_back(event);
  }
  std::vector<Event> take() {
    const std::lock_guard lock(mutex_);
    return std::exchange(events_, {});
  }

 private:
  std::mutex mutex_;
  std::vector<Event> events_;
};

Trace& trace() {
  static Trace all;
  return all;
}

/// Of one rank, whose number is part of each exchange's.
class Exchanges : public comm::CollectiveObserver {
 public:
  explicit Exchanges(std::int64_t rank) : next_(static_cast<std::uint64_t>(rank) << 32U) {}
  std::uint64_t started(const comm::CollectiveCall& call) override {
    if (call.group != "ep" || call.operation != "all_to_all") return 0;
    trace().add({Event::Kind::kBegin, std::this_thread::get_id(), ++next_, call.bytes});
    return next_;
  }
  void finished(std::uint64_t id) override {
    if (id != 0) trace().add({Event::Kind::kEnd, std::this_thread::get_id(), id});
  }
  std::string explain(std::uint64_t, const comm::CollectiveCall&, std::string_view error) override {
    return std::string(error);
  }

 private:
  std::uint64_t next_;
};

struct Seen {
  Outcome outcome;
  int exchanges = 0;
  int beside_the_other = 0;      // under way while the rank's other thread made products
  std::size_t most_at_once = 0;  // under way on one rank
  std::size_t threads = 0;       // that exchanged rows
};

Seen look_at(const Job& job) {
  trace().take();
  const at::CallbackHandle handle =
      at::addGlobalCallback(at::RecordFunctionCallback([](const at::RecordFunction& call) {
        const std::string_view name = call.name();
        if (name == "aten::mm" || name.starts_with("titan::grouped_product")) {
          trace().add({Event::Kind::kProduct, std::this_thread::get_id()});
        }
        return std::unique_ptr<at::ObserverContext>();
      }));
  std::vector<std::unique_ptr<Exchanges>> observers;
  for (std::int64_t rank = 0; rank < job.ranks; ++rank) {
    observers.push_back(std::make_unique<Exchanges>(rank));
  }
  Seen seen;
  seen.outcome =
      run(job, [&](std::int64_t rank) { return observers[static_cast<std::size_t>(rank)].get(); });
  at::removeCallback(handle);
  const std::vector<Event> events = trace().take();
  const auto rank_of = [](const Event& event) { return event.exchange >> 32U; };
  std::map<std::uint64_t, std::set<std::thread::id>> threads;  // of each rank
  for (const Event& event : events) {
    if (event.kind != Event::Kind::kProduct) threads[rank_of(event)].insert(event.thread);
  }
  std::set<std::thread::id> all;
  for (const auto& [rank, own] : threads) all.insert(own.begin(), own.end());
  seen.threads = all.size();
  for (auto begin = events.begin(); begin != events.end(); ++begin) {
    if (begin->kind != Event::Kind::kBegin) continue;
    ++seen.exchanges;
    const auto end = std::find_if(begin, events.end(), [&](const Event& event) {
      return event.kind == Event::Kind::kEnd && event.exchange == begin->exchange;
    });
    const std::set<std::thread::id>& own = threads[rank_of(*begin)];
    seen.beside_the_other += std::any_of(begin, end, [&](const Event& event) {
      return event.kind == Event::Kind::kProduct && event.thread != begin->thread &&
             own.contains(event.thread);
    });
  }
  std::map<std::uint64_t, std::size_t> under_way;
  for (const Event& event : events) {
    if (event.kind == Event::Kind::kProduct) continue;
    std::size_t& now = under_way[rank_of(event)];
    event.kind == Event::Kind::kBegin ? ++now : --now;
    seen.most_at_once = std::max(seen.most_at_once, now);
  }
  return seen;
}

Job dual_pipe(bool overlaps) {
  return {.name = "DualPipeV",
          .degrees = {.dp_shard = 2, .pp = 2, .ep = 2},
          .ranks = 4,
          .schedule = "DualPipeV",
          .steps = 2,
          .overlaps = overlaps};
}

TEST(ExpertOverlap, RowsTravelWhileAnotherMicrobatchIsComputed) {
  const Seen apart = look_at(dual_pipe(false));
  EXPECT_EQ(apart.threads, 4U);
  EXPECT_EQ(apart.beside_the_other, 0);
  EXPECT_EQ(apart.most_at_once, 1U);
  const Seen overlapped = look_at(dual_pipe(true));
  EXPECT_EQ(overlapped.exchanges, apart.exchanges);
  EXPECT_EQ(overlapped.threads, 8U) << "each rank has one more";
  EXPECT_GT(overlapped.beside_the_other, overlapped.exchanges / 6);
  EXPECT_EQ(overlapped.most_at_once, 2U);
  expect_equal(overlapped.outcome, apart.outcome);
  RecordProperty("exchanges", overlapped.exchanges);
  RecordProperty("beside_the_other", overlapped.beside_the_other);
}

TEST(ExpertOverlap, RecomputationMakesNoDifference) {
  Job job = dual_pipe(true);
  const Outcome plain = run(job);
  job.ac = config::ActivationCheckpointMode::kFull;
  expect_equal(run(job), plain);
  job.ac = config::ActivationCheckpointMode::kSelective;
  expect_equal(run(job), plain);
}

/// Fails at an exchange in an overlap: in backward, whose thread is not the rank's own, or in the forward that comes behind it.
class Failing : public comm::CollectiveObserver {
 public:
  explicit Failing(bool in_backward) : in_backward_(in_backward) {}
  std::uint64_t started(const comm::CollectiveCall& call) override {
    const bool is_own = std::this_thread::get_id() == own_;
    const bool fails = in_backward_ ? !is_own : is_own && backward_seen_;
    backward_seen_ = backward_seen_ || !is_own;
    if (fails && call.group == "ep") throw RunError("this rank has failed");
    return 0;
  }
  void finished(std::uint64_t) override {}
  std::string explain(std::uint64_t, const comm::CollectiveCall&, std::string_view error) override {
    return std::string(error);
  }

 private:
  bool in_backward_;
  bool backward_seen_ = false;
  std::thread::id own_ = std::this_thread::get_id();
};

/// The reason by which each rank has ended.
std::vector<std::string> ends_of_ranks(bool in_backward) {
  const Job job = dual_pipe(true);
  comm::LocalWorld world(job.ranks);
  std::vector<std::string> ends(static_cast<std::size_t>(job.ranks));
  test::on_rank_threads(world, job.ranks, [&](std::int64_t rank) {
    Failing failing(in_backward);
    const auto backend = world.backend(rank);
    comm::RankContext context;
    context.rank = rank;
    context.world_size = job.ranks;
    context.dims = mesh::ParallelDims(job.degrees, job.ranks);
    context.groups = std::make_shared<comm::Groups>(
        *backend, context.dims, rank, std::chrono::seconds(60), rank == 1 ? &failing : nullptr);
    try {
      run_rank(job, context);
    } catch (const std::exception& error) {
      ends[static_cast<std::size_t>(rank)] = error.what();
      world.abort("rank 1 is gone");
    }
  });
  return ends;
}

TEST(ExpertOverlap, WhoFailsTakesBothComputationsAlong) {
  for (const bool in_backward : {true, false}) {
    const std::vector<std::string> ends = ends_of_ranks(in_backward);
    EXPECT_THAT(ends[1], testing::HasSubstr("this rank has failed"));
    for (const std::size_t other : {0, 2, 3}) {
      EXPECT_THAT(ends[other], testing::HasSubstr("rank 1 is gone"));
    }
  }
}

}  // namespace
}  // namespace titan::step::experts
