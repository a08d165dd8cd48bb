// What ranks really do, seen from outside: stages' modules, gradients that arrive, parameters gathered, messages. The back end
// keeps nothing on the way, so that a send that nobody receives yet would block.
#include "titan/pipeline/runtime.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/full.h>
#include <ATen/ops/ones.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <exception>
#include <span>
#include <thread>

#include "titan/autograd/split_backward.h"
#include "titan/base/errors.h"
#include "titan/nn/linear.h"
#include "titan/nn/rms_norm.h"
#include "titan/schedule/lowering.h"
#include "titan/schedule/simulation.h"
#include "titan/watch/watch.h"
#include "unit/pipeline/rendezvous_backend.h"

namespace titan::pipeline {
namespace {

using schedule::Action;
using schedule::Kind;
using schedule::Op;

constexpr std::int64_t kWidth = 4;

/// What one rank was seen doing, in order.
using Seen = std::vector<std::string>;

class Block : public nn::Module {
 public:
  Block()
      : norm_(add_child("norm", std::make_unique<nn::RMSNorm>(kWidth, 1e-5, at::kFloat))),
        linear_(add_child("linear", std::make_unique<nn::Linear>(kWidth, kWidth, at::kFloat))) {
    to_empty(at::kCPU);
    for (const nn::NamedParameter& parameter : named_parameters()) {
      parameter.tensor().detach().fill_(0.5);
    }
  }
  const at::Tensor& weight() const { return linear_->weight().tensor; }
  const at::Tensor& scale() const { return norm_->weight().tensor; }

 protected:
  nn::Tensors forward(const nn::Inputs& inputs) override {
    return {inputs.at(0) + linear_->call(norm_->call(inputs.at(0)))};
  }

 private:
  nn::RMSNorm* norm_;
  nn::Linear* linear_;
};

class SeenSharding : public parallel::Sharding {
 public:
  SeenSharding(std::int64_t stage, Seen& seen) : stage_(stage), seen_(seen) {}
  // What is gathered already is not gathered again.
  void unshard() override {
    if (!std::exchange(is_gathered_, true)) seen_.push_back(concat(stage_, " gathered"));
  }
  void reshard() override {
    is_gathered_ = false;
    seen_.push_back(concat(stage_, " given back"));
  }
  void reduce_gradients() override { seen_.push_back(concat(stage_, " summed")); }

 private:
  std::int64_t stage_;
  Seen& seen_;
  bool is_gathered_ = false;
};

class SeenMessages : public comm::CollectiveObserver {
 public:
  explicit SeenMessages(Seen& seen) : seen_(seen) {}
  std::uint64_t started(const comm::CollectiveCall& call) override {
    seen_.push_back(concat(call.operation, " with ", joined(*call.peers)));
    return 0;
  }
  void finished(std::uint64_t) override {}
  std::string explain(std::uint64_t, const comm::CollectiveCall&, std::string_view error) override {
    return std::string(error);
  }

 private:
  Seen& seen_;
};

/// What a rank says it is in, for messages about hangs.
class SeenPhases : public watch::Watch {
 public:
  void enter_phase(std::string_view phase, std::int64_t step) override {
    phases_.push_back(concat(phase, " of step ", step));
  }
  void leave(std::string_view) override {}
  std::uint64_t started(const comm::CollectiveCall&) override { return 0; }
  void finished(std::uint64_t) override {}
  std::string explain(std::uint64_t, const comm::CollectiveCall&, std::string_view error) override {
    return std::string(error);
  }
  Seen phases_;
};

/// What must be seen of an action that is no message.
void add_expected(const Action& action, Seen& seen) {
  const std::string pass = concat(" of microbatch ", action.microbatch);
  switch (action.op) {
    case Op::kForward:
      return seen.push_back(concat(action.stage, " forward", pass));
    case Op::kBackward:
      seen.push_back(concat(action.stage, " backward", pass));
      return seen.push_back(concat(action.stage, " weights"));
    case Op::kInputGradient:
      return seen.push_back(concat(action.stage, " backward", pass));
    case Op::kWeightGradient:
      return seen.push_back(concat(action.stage, " weights"));
    case Op::kUnshard:
      return seen.push_back(concat(action.stage, " gathered"));
    case Op::kReshard:
      return seen.push_back(concat(action.stage, " given back"));
    case Op::kReduceGradients:
      return seen.push_back(concat(action.stage, " summed"));
    default:
      for (const Action& part : action.parts) add_expected(part, seen);
  }
}

/// What must be seen of messages that are one exchange: whom it sends to, then whom it receives from.
std::string exchange_of(std::span<const Action> messages, const schedule::Placement& placement) {
  std::vector<std::int64_t> receivers, senders;
  for (const Action& message : messages) {
    const bool forward = message.op == Op::kSendForward || message.op == Op::kReceiveBackward;
    const bool sends = message.op == Op::kSendForward || message.op == Op::kSendBackward;
    (sends ? receivers : senders).push_back(placement.rank_of(message.stage + (forward ? 1 : -1)));
  }
  const char* operation = messages.size() > 1 ? "exchange" : senders.empty() ? "send" : "receive";
  receivers.insert(receivers.end(), senders.begin(), senders.end());
  return concat(operation, " with ", joined(receivers));
}

Seen expected_of(const std::vector<Action>& actions, const schedule::Placement& placement) {
  Seen seen;
  for (std::size_t i = 0; i < actions.size();) {
    const std::size_t messages = schedule::exchange_length(actions, i);
    if (messages == 0) {
      add_expected(actions[i++], seen);
    } else {
      seen.push_back(exchange_of(std::span(actions).subspan(i, messages), placement));
      i += messages;
    }
  }
  return seen;
}

/// One rank with its stages.
class Rank {
 public:
  Rank(const schedule::Schedule& schedule, std::shared_ptr<test::Rendezvous> rendezvous,
       std::int64_t number)
      : schedule_(schedule),
        messages_(seen_),
        rendezvous_(std::move(rendezvous)),
        backend_(*rendezvous_, number) {
    const std::int64_t ranks = schedule.placement.ranks;
    context_.rank = number;
    context_.watch = &watch_;
    context_.world_size = ranks;
    context_.dims = mesh::ParallelDims({.dp_shard = 1, .pp = ranks}, ranks);
    context_.groups = std::make_shared<comm::Groups>(backend_, context_.dims, number,
                                                     std::chrono::seconds(20), &messages_);
    for (const std::int64_t stage : schedule.placement.stages_of(number)) {
      blocks_.push_back(std::make_unique<Block>());
      autograd::let_weights_wait(*blocks_.back());
      blocks_.back()->weight().register_hook(
          [this, stage](const at::Tensor&) { seen_.push_back(concat(stage, " weights")); });
      shardings_.push_back(std::make_unique<SeenSharding>(stage, seen_));
      stages_.push_back({stage, blocks_.back().get(), shardings_.back().get()});
    }
    runtime_ =
        std::make_unique<Runtime>(schedule, stages_, Boundary{{1, kWidth}, at::kFloat}, context_);
  }

  void run() {
    runtime_->run([this](const Stage& stage, std::int64_t microbatch,
                         const at::Tensor& input) { return forward(stage, microbatch, input); },
                  /*reduces=*/true, /*step=*/1);
  }

  void run_forward() {
    runtime_->run_forward(
        [this](const Stage& stage, std::int64_t microbatch, const at::Tensor& input) {
          return forward(stage, microbatch, input);
        },
        schedule_.microbatches, Boundary{{1, kWidth}, at::kFloat}, "validation");
  }

  Seen seen_;
  SeenPhases watch_;
  const Runtime& runtime() const { return *runtime_; }
  /// Gradients of the weights, by stage of this rank.
  std::vector<at::Tensor> gradients() const {
    std::vector<at::Tensor> result;
    for (const auto& block : blocks_) {
      result.push_back(block->weight().grad());
      result.push_back(block->scale().grad());
    }
    return result;
  }

 private:
  at::Tensor forward(const Stage& stage, std::int64_t microbatch, const at::Tensor& input) {
    const std::string pass = concat(" of microbatch ", microbatch);
    seen_.push_back(concat(stage.index, " forward", pass));
    const bool is_first = stage.index == 0;
    EXPECT_EQ(input.defined(), !is_first);
    at::Tensor output = stage.model->call(
        is_first ? at::full({1, kWidth}, static_cast<double>(microbatch + 1)) : input);
    if (stage.index + 1 == schedule_.placement.stages()) output = output.pow(2).sum();
    if (output.requires_grad()) {
      output.register_hook([this, index = stage.index, pass](const at::Tensor&) {
        seen_.push_back(concat(index, " backward", pass));
      });
    }
    return output;
  }

  const schedule::Schedule& schedule_;
  SeenMessages messages_;
  std::shared_ptr<test::Rendezvous> rendezvous_;
  test::RendezvousBackend backend_;
  comm::RankContext context_;
  std::vector<std::unique_ptr<Block>> blocks_;
  std::vector<std::unique_ptr<SeenSharding>> shardings_;
  std::vector<Stage> stages_;
  std::unique_ptr<Runtime> runtime_;
};

/// All ranks of a schedule, each in a thread, after `work`.
std::vector<std::unique_ptr<Rank>> run_ranks(const schedule::Schedule& schedule,
                                             const std::function<void(Rank&)>& work) {
  const auto rendezvous = std::make_shared<test::Rendezvous>();
  std::vector<std::unique_ptr<Rank>> ranks;
  for (std::int64_t rank = 0; rank < schedule.placement.ranks; ++rank) {
    ranks.push_back(std::make_unique<Rank>(schedule, rendezvous, rank));
  }
  std::vector<std::thread> threads;
  for (const auto& rank : ranks) {
    threads.emplace_back([&] {
      try {
        work(*rank);
      } catch (const std::exception& error) {
        ADD_FAILURE() << error.what();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  return ranks;
}

struct Job {
  Kind kind;
  std::int64_t ranks;
  std::int64_t stages_per_rank;
  std::int64_t microbatches;
};

std::string name_of(const Job& job) {
  return concat(schedule::to_string(job.kind), "_", job.ranks, "_", job.stages_per_rank, "_",
                job.microbatches);
}

class Schedules : public testing::TestWithParam<Job> {
 protected:
  schedule::Schedule schedule_ = schedule::make_schedule(
      GetParam().kind, GetParam().ranks, GetParam().stages_per_rank, GetParam().microbatches);
};

TEST_P(Schedules, AreDoneInTheirOrderOnEveryRank) {
  const schedule::Schedule plan = schedule::lower(schedule_);
  const auto ranks = run_ranks(schedule_, [](Rank& rank) {
    rank.run();
    rank.run();  // and so is every step
  });
  for (std::size_t i = 0; i < ranks.size(); ++i) {
    Seen expected = expected_of(plan.ranks[i], plan.placement);
    const Seen once = expected;
    expected.insert(expected.end(), once.begin(), once.end());
    EXPECT_EQ(ranks[i]->seen_, expected) << "rank " << i;
    EXPECT_EQ(ranks[i]->runtime().done(), plan.ranks[i]);
  }
}

TEST_P(Schedules, HoldAsManyMicrobatchesAsSimulated) {
  const schedule::Timeline simulated = schedule::simulate(schedule_);
  const auto ranks = run_ranks(schedule_, [](Rank& rank) { rank.run(); });
  for (std::size_t i = 0; i < ranks.size(); ++i) {
    std::int64_t held = 0, peak = 0;
    for (const std::string& event : ranks[i]->seen_) {
      if (event.find(" forward") != std::string::npos) peak = std::max(peak, ++held);
      if (event.ends_with(" weights")) --held;
    }
    EXPECT_EQ(held, 0);
    EXPECT_EQ(peak, simulated.ranks[i].peak_in_flight) << "rank " << i;
  }
}

TEST_P(Schedules, PassForwardOnlyWithoutBlocking) {
  const auto ranks = run_ranks(schedule_, [](Rank& rank) { rank.run_forward(); });
  for (std::int64_t rank = 0; rank < schedule_.placement.ranks; ++rank) {
    const Seen& seen = ranks[static_cast<std::size_t>(rank)]->seen_;
    for (const std::int64_t stage : schedule_.placement.stages_of(rank)) {
      for (std::int64_t m = 0; m < schedule_.microbatches; ++m) {
        EXPECT_EQ(std::ranges::count(seen, concat(stage, " forward of microbatch ", m)), 1);
      }
    }
    EXPECT_THAT(seen, testing::Not(testing::Contains(testing::HasSubstr("backward"))));
  }
}

TEST_P(Schedules, SumTheGradientsOfOneRank) {
  const Job& job = GetParam();
  const auto ranks = run_ranks(schedule_, [](Rank& rank) { rank.run(); });
  // All stages by one rank, one microbatch after the other.
  std::vector<Block> blocks(static_cast<std::size_t>(schedule_.placement.stages()));
  for (std::int64_t m = 0; m < job.microbatches; ++m) {
    at::Tensor x = at::full({1, kWidth}, static_cast<double>(m + 1));
    for (Block& block : blocks) x = block.call(x);
    x.pow(2).sum().backward();
  }
  for (std::int64_t rank = 0; rank < job.ranks; ++rank) {
    std::vector<at::Tensor> gradients = ranks[static_cast<std::size_t>(rank)]->gradients();
    std::size_t i = 0;
    for (const std::int64_t stage : schedule_.placement.stages_of(rank)) {
      const Block& block = blocks[static_cast<std::size_t>(stage)];
      EXPECT_TRUE(gradients[i++].allclose(block.weight().grad(), 1e-5)) << "stage " << stage;
      EXPECT_TRUE(gradients[i++].allclose(block.scale().grad(), 1e-5)) << "stage " << stage;
    }
  }
}

TEST(Runtime, SaysWhatARankIsInAndWhatFor) {
  const auto ranks = run_ranks(schedule::make_schedule(Kind::k1F1B, 2, 1, 2), [](Rank& rank) {
    rank.run();
    rank.run_forward();
  });
  for (const char* phase :
       {"forward of microbatch 1 in stage 0 of step 1",
        "waiting for gradients of microbatch 1 for stage 0 from rank 1 of step 1",
        "backward of microbatch 0 in stage 0 of step 1",
        "forward of microbatch 1 in stage 0 for validation of step 1",
        "sending what other stages need for validation of step 1"}) {
    EXPECT_THAT(ranks[0]->watch_.phases_, testing::Contains(phase));
  }
}

INSTANTIATE_TEST_SUITE_P(
    All, Schedules,
    testing::Values(Job{Kind::kGPipe, 2, 1, 1}, Job{Kind::kGPipe, 4, 1, 8},
                    Job{Kind::k1F1B, 2, 1, 2}, Job{Kind::k1F1B, 2, 1, 8}, Job{Kind::k1F1B, 4, 1, 8},
                    Job{Kind::k1F1B, 8, 1, 16}, Job{Kind::kInterleaved1F1B, 2, 2, 4},
                    Job{Kind::kInterleaved1F1B, 4, 2, 8}, Job{Kind::kInterleaved1F1B, 2, 4, 4},
                    Job{Kind::kLoopedBfs, 2, 2, 4}, Job{Kind::kLoopedBfs, 4, 3, 8},
                    Job{Kind::kInterleavedZeroBubble, 2, 2, 4},
                    Job{Kind::kInterleavedZeroBubble, 4, 2, 8}, Job{Kind::kZbvZeroBubble, 2, 2, 2},
                    Job{Kind::kZbvZeroBubble, 2, 2, 8}, Job{Kind::kZbvZeroBubble, 4, 2, 8},
                    Job{Kind::kDualPipeV, 2, 2, 4}, Job{Kind::kDualPipeV, 4, 2, 8},
                    Job{Kind::kDualPipeV, 4, 2, 10}),
    [](const auto& job) { return name_of(job.param); });

TEST(RendezvousBackend, BlocksTwoRanksThatBothSendFirstByThemselves) {
  // The check that the tests above can fail: without a receive, a send does not return.
  test::Rendezvous rendezvous;
  test::RendezvousGroup group(rendezvous, "pp", {0, 1}, 0, nullptr);
  std::atomic<bool> sent = false;
  std::thread sender([&] {
    group.send(at::ones({2}), 1).wait();
    sent = true;
  });
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  EXPECT_FALSE(sent);
  test::RendezvousGroup peer(rendezvous, "pp", {0, 1}, 1, nullptr);
  const at::Tensor received = at::full({2}, 0.0);
  peer.receive(received, 0).wait();
  sender.join();
  EXPECT_TRUE(received.equal(at::ones({2})));
}

}  // namespace
}  // namespace titan::pipeline
