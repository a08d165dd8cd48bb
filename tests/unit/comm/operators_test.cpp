// Communication is visible: to dispatch modes and to profilers.
#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/full.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>
#include <ATen/record_function.h>
#include <gmock/gmock.h>

#include <map>
#include <mutex>

#include "support/local_ranks.h"
#include "titan/autograd/dispatch_mode.h"
#include "titan/comm/autograd_collectives.h"

namespace titan::comm {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::Not;

struct Recording : autograd::DispatchMode {
  void call(const c10::OperatorHandle& op, torch::jit::Stack*,
            const std::function<void()>& compute) override {
    const std::string& name = op.operator_name().name;
    if (name.starts_with("titan::")) names.push_back(name);
    compute();
  }
  std::vector<std::string> names;
};

void on_two_ranks(const std::function<void(ProcessGroup&)>& body) {
  test::on_local_ranks({1, 2}, 2,
                       [&](const RankContext& context) { body(context.groups->world()); });
}

TEST(Operators, DispatchModesSeeWhatIsStarted) {
  on_two_ranks([](ProcessGroup& group) {
    Recording mode;
    const autograd::DispatchModeScope scope(mode);
    const at::Tensor two = at::ones({2});
    const at::Tensor four = at::ones({4});
    group.all_gather(four, two).wait();
    group.reduce_scatter(two, four).wait();
    group.all_reduce(two).wait();
    group.all_reduce_coalesced({two, four}).wait();
    group.all_to_all(four, at::ones({4}), {2, 2}, {2, 2}).wait();
    group.broadcast(two, 1).wait();
    const std::int64_t peer = 1 - group.rank();
    group
        .exchange({{two, peer, Message::Direction::kSend},
                   {at::zeros({2}), peer, Message::Direction::kReceive}})
        .wait();
    EXPECT_THAT(
        mode.names,
        ElementsAre("titan::start_all_gather", "titan::start_reduce_scatter",
                    "titan::start_all_reduce", "titan::start_all_reduce_coalesced",
                    "titan::start_all_to_all", "titan::start_broadcast", "titan::start_exchange"));
  });
}

TEST(Operators, DispatchModesSeeBothWaysOfADifferentiableOne) {
  on_two_ranks([](ProcessGroup& group) {
    Recording mode;
    const autograd::DispatchModeScope scope(mode);
    const at::Tensor x = at::ones({2, 2}).set_requires_grad(true);
    const at::Tensor whole = all_gather(sum_gradients(x, group), 1, group);
    const at::Tensor rows = all_to_all(whole, {1, 1}, {1, 1}, group);
    all_reduce(reduce_scatter(rows, 0, group), group).sum().backward();
    EXPECT_THAT(mode.names,
                ElementsAre("titan::all_gather", "titan::all_to_all", "titan::reduce_scatter",
                            "titan::all_reduce",
                            // backward, in which a sum's gradient is the same on all ranks
                            "titan::all_gather", "titan::all_to_all", "titan::reduce_scatter",
                            "titan::all_reduce"));
  });
}

TEST(Operators, AnExchangeInTwoCallsIsOneInTwoCallsInBackward) {
  on_two_ranks([](ProcessGroup& group) {
    Recording mode;
    const autograd::DispatchModeScope scope(mode);
    group.do_meanwhile([&] { mode.names.push_back("meanwhile"); });
    // Rank 0 sends 2 rows and gets 3, rank 1 sends 4 and gets 3.
    const bool first = group.rank() == 0;
    const at::Tensor x = at::full({first ? 2 : 4, 1}, first ? 1.0 : 2.0).set_requires_grad(true);
    const RowsUnderWay under_way = first ? begin_all_to_all(x * 1, {1, 2}, {1, 1}, group)
                                         : begin_all_to_all(x * 1, {1, 2}, {2, 2}, group);
    const at::Tensor total = all_reduce(x.sum(), group);
    const at::Tensor rows = end_all_to_all(under_way);
    ((rows * rows).sum() + total).backward();
    group.do_meanwhile(nullptr);
    EXPECT_THAT(
        mode.names,
        ElementsAre("titan::begin_all_to_all", "titan::all_reduce", "titan::end_all_to_all",
                    "meanwhile", "titan::begin_all_to_all", "titan::end_all_to_all", "meanwhile"));
    EXPECT_TRUE(rows.equal(at::tensor({1.0F, 2.0F, 2.0F}).view({3, 1})));
    EXPECT_TRUE(x.grad().equal(2 * x + 1));
    EXPECT_TRUE(end_all_to_all(under_way).equal(rows)) << "nothing is left to be waited for";
  });
}

TEST(Operators, AModeMayAnswerInTheGroupsPlace) {
  struct Zeros : autograd::DispatchMode {
    void call(const c10::OperatorHandle& op, torch::jit::Stack* stack,
              const std::function<void()>& compute) override {
      if (op.operator_name().name != "titan::all_reduce") return compute();
      stack->pop_back();
      stack->back() = at::zeros_like(stack->back().toTensor());
    }
  };
  on_two_ranks([](ProcessGroup& group) {
    Zeros mode;
    const autograd::DispatchModeScope scope(mode);
    if (group.rank() == 1) return;  // nobody is asked
    EXPECT_EQ(all_reduce(at::ones({1}), group).item<float>(), 0);
  });
}

TEST(Operators, ProfilersSeeNamesAndTensors) {
  static std::mutex mutex;
  static std::multimap<std::string, std::size_t> seen;  // name and number of inputs
  const at::CallbackHandle handle =
      at::addGlobalCallback(at::RecordFunctionCallback([](const at::RecordFunction& call) {
                              const std::lock_guard lock(mutex);
                              seen.emplace(call.name(), call.num_inputs());
                              return std::unique_ptr<at::ObserverContext>();
                            }).needsInputs(true));
  on_two_ranks([](ProcessGroup& group) {
    group.all_gather(at::empty({4}), at::ones({2})).wait();
    all_reduce(at::ones({2}), group);
  });
  at::removeCallback(handle);
  EXPECT_EQ(seen.count("titan::start_all_gather"), 2U);
  EXPECT_EQ(seen.find("titan::start_all_gather")->second, 3U) << "output, input, group";
  EXPECT_EQ(seen.count("titan::all_reduce"), 2U);
  EXPECT_EQ(seen.count("titan::start_all_reduce"), 2U) << "inside";
}

// What is written in place and later is no matter of autograd's: no version, no graph, no warning.
TEST(Operators, StartingOnesLeaveNoTraceInTheGraph) {
  on_two_ranks([](ProcessGroup& group) {
    const at::Tensor x = at::ones({2}).set_requires_grad(true);
    const at::Tensor y = x * 2;
    const auto made_by = y.grad_fn();
    group.all_reduce(y).wait();
    EXPECT_EQ(y.grad_fn().get(), made_by.get());
    EXPECT_EQ(y._version(), 0);
  });
}

TEST(Operators, CostLittle) {
  const RankContext context;
  ProcessGroup& alone = context.groups->world();
  const at::Tensor tensor = at::ones({1});
  constexpr int kTimes = 100'000;
  const auto begin = std::chrono::steady_clock::now();
  for (int i = 0; i < kTimes; ++i) alone.all_reduce(tensor).wait();
  const std::chrono::duration<double, std::nano> time = std::chrono::steady_clock::now() - begin;
  RecordProperty("nanoseconds_per_collective", static_cast<int>(time.count() / kTimes));
  EXPECT_LT(time.count() / kTimes, 50'000) << "far above what it takes, even on a busy machine";
}

}  // namespace
}  // namespace titan::comm
