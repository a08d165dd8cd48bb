#include "titan/kernels/cross_entropy.h"

#include <ATen/Context.h>
#include <ATen/TensorOperators.h>
#include <ATen/core/Reduction.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/cross_entropy_loss.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/randint.h>
#include <ATen/ops/randn.h>
#include <c10/core/Allocator.h>
#include <c10/core/GradMode.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <barrier>
#include <limits>
#include <memory>
#include <thread>

namespace titan::kernels {
namespace {

using at::Tensor;

struct Case {
  Tensor hidden, weight, labels;

  Case() {
    at::manual_seed(1);
    hidden = at::randn({2, 25, 32});
    weight = 0.3 * at::randn({71, 32});
    labels = at::randint(0, 71, {2, 25});
    labels.flatten().slice(0, 3, 9).fill_(-100);
  }
};

struct Results {
  Tensor loss, hidden, weight;
};

Results whole(const Case& c) {
  const Tensor hidden = c.hidden.to(at::kDouble).set_requires_grad(true);
  const Tensor weight = c.weight.to(at::kDouble).set_requires_grad(true);
  const Tensor loss = at::cross_entropy_loss(at::linear(hidden, weight).flatten(0, 1),
                                             c.labels.flatten(), {}, at::Reduction::Sum, -100);
  (loss / 44).backward();
  return {loss.detach(), hidden.grad(), weight.grad()};
}

Results run(const Case& c, const CrossEntropyOptions& options) {
  const Tensor hidden = c.hidden.clone().set_requires_grad(true);
  const Tensor weight = c.weight.clone().set_requires_grad(true);
  const Tensor loss = linear_cross_entropy(hidden, weight, c.labels, options);
  (loss / 44).backward();
  return {loss.detach(), hidden.grad(), weight.grad()};
}

double distance(const Tensor& a, const Tensor& b) {
  return (a.to(at::kDouble) - b).abs().max().item<double>() / b.abs().max().item<double>();
}

TEST(LinearCrossEntropy, IsTheLossOfWholeLogits) {
  const Case c;
  const Results expected = whole(c);
  for (const std::int64_t rows : {0, 7, 50}) {
    SCOPED_TRACE(rows);
    CrossEntropyOptions options;
    options.rows = rows;
    const Results results = run(c, options);
    EXPECT_LT(distance(results.loss, expected.loss), 1e-6);
    EXPECT_LT(distance(results.hidden, expected.hidden), 2e-6);
    EXPECT_LT(distance(results.weight, expected.weight), 2e-6);
    const c10::NoGradGuard no_grad;
    EXPECT_TRUE(linear_cross_entropy(c.hidden, c.weight, c.labels, options).equal(results.loss));
  }
}

/// Three ranks, the last without a part of its own.
TEST(LinearCrossEntropy, OfPartsOfTheVocabularyIsThatOfTheWhole) {
  const Case c;
  const Results expected = whole(c);
  const std::vector<std::int64_t> bounds = {0, 40, 71, 71};
  std::vector<Results> results(3);
  std::vector<Tensor> shared(3);
  std::barrier meeting(3);
  const auto exchanged = [&](std::size_t rank, const Tensor& mine) {
    shared[rank] = mine.clone();
    meeting.arrive_and_wait();
    const Tensor all = at::stack(shared);
    meeting.arrive_and_wait();
    return all;
  };
  const auto body = [&](std::size_t rank) {
    Case part = c;
    part.weight = c.weight.slice(0, bounds[rank], bounds[rank + 1]);
    CrossEntropyOptions options;
    options.rows = 13;
    options.part.offset = bounds[rank];
    options.part.whole_lse = [&](const Tensor& lse) { return exchanged(rank, lse).logsumexp(0); };
    options.part.whole_sum = [&](const Tensor& sum) { return exchanged(rank, sum).sum(0); };
    results[rank] = run(part, options);
  };
  std::vector<std::thread> ranks;
  for (std::size_t rank = 0; rank < 3; ++rank) ranks.emplace_back(body, rank);
  for (std::thread& rank : ranks) rank.join();
  for (const Results& of_rank : results) EXPECT_LT(distance(of_rank.loss, expected.loss), 1e-6);
  EXPECT_LT(distance(results[0].hidden + results[1].hidden + results[2].hidden, expected.hidden),
            2e-6);
  EXPECT_LT(
      distance(at::cat({results[0].weight, results[1].weight, results[2].weight}), expected.weight),
      2e-6);
}

TEST(LinearCrossEntropy, OfNoRowsIsZero) {
  Case c;
  c.hidden = c.hidden.narrow(0, 0, 0);
  c.labels = c.labels.narrow(0, 0, 0);
  const Results results = run(c, {});
  EXPECT_EQ(results.loss.item<float>(), 0);
  EXPECT_EQ(results.hidden.sizes(), c.hidden.sizes());
  EXPECT_EQ(results.weight.abs().sum().item<float>(), 0);
}

TEST(LinearCrossEntropy, ShowsWhatIsNoNumber) {
  const Case c;
  c.hidden[1][3][5] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_TRUE(run(c, {}).loss.isnan().item<bool>());
}

/// The most bytes of tensors at a time, beyond those there were.
class CountedMemory : public c10::Allocator {
 public:
  CountedMemory() : below_(c10::GetAllocator(c10::kCPU)) {
    c10::SetAllocator(c10::kCPU, this, /*priority=*/1);
  }
  ~CountedMemory() override { c10::SetAllocator(c10::kCPU, below_, /*priority=*/1); }
  CountedMemory(const CountedMemory&) = delete;
  CountedMemory& operator=(const CountedMemory&) = delete;

  c10::DataPtr allocate(std::size_t bytes) override {
    auto* block = new Block{below_->allocate(bytes), bytes};
    held_ += bytes;
    most_ = std::max(most_, held_.load());
    return {block->data.get(), block, &give_back, c10::Device(c10::kCPU)};
  }
  c10::DeleterFnPtr raw_deleter() const override { return nullptr; }
  void copy_data(void* to, const void* from, std::size_t count) const override {
    default_copy_data(to, from, count);
  }
  std::size_t most() const { return most_; }

 private:
  struct Block {
    c10::DataPtr data;
    std::size_t bytes;
  };
  static void give_back(void* context) {
    const std::unique_ptr<Block> block(static_cast<Block*>(context));
    held_ -= block->bytes;
  }

  static inline std::atomic<std::size_t> held_ = 0;  // blocks may outlive the count
  c10::Allocator* below_;
  std::size_t most_ = 0;
};

/// Beside the gradients, which any loss has, a vocabulary of 128 k costs at most a quarter of its whole
/// logits.
TEST(LinearCrossEntropy, NeedsAQuarterOfWholeLogitsMemory) {
  constexpr std::int64_t kRows = 2048;
  constexpr std::int64_t kVocabulary = 131072;
  at::manual_seed(1);
  const Tensor hidden = at::randn({kRows, 8}).set_requires_grad(true);
  const Tensor weight = at::randn({kVocabulary, 8}).set_requires_grad(true);
  const Tensor labels = at::randint(0, kVocabulary, {kRows});
  CountedMemory memory;
  linear_cross_entropy(hidden, weight, labels).backward();
  const std::size_t gradients = hidden.nbytes() + weight.nbytes();
  const std::size_t logits = kRows * kVocabulary * sizeof(float);
  EXPECT_GT(memory.most(), gradients);
  EXPECT_LT(memory.most() - gradients, logits / 4);
}

}  // namespace
}  // namespace titan::kernels
