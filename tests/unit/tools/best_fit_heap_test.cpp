#include "titan/tools/best_fit_heap.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>
#include <thread>
#include <vector>

namespace titan::tools {
namespace {

constexpr std::size_t kKiB = 1024;

std::size_t address_of(const void* block) { return std::bit_cast<std::size_t>(block); }

TEST(BestFitHeap, ABlockLiesInTheHoleOfOneLikeIt) {
  BestFitHeap heap;
  void* const first = heap.allocate(64 * kKiB);
  void* const second = heap.allocate(64 * kKiB);
  EXPECT_TRUE(heap.free(first));
  EXPECT_EQ(heap.allocate(64 * kKiB), first);
  EXPECT_NE(first, second);
}

TEST(BestFitHeap, NeighbouringHolesAreOne) {
  BestFitHeap heap;
  void* const blocks[] = {heap.allocate(64 * kKiB), heap.allocate(64 * kKiB),
                          heap.allocate(64 * kKiB), heap.allocate(64 * kKiB)};
  // The one between comes last, and meets a hole on both sides.
  for (const std::size_t i : {0, 2, 1}) heap.free(blocks[i]);
  EXPECT_EQ(heap.allocate(3 * 64 * kKiB + 2 * BestFitHeap::kAlignment), blocks[2]);
}

TEST(BestFitHeap, ABlockLiesInTheSmallestHoleThatTakesIt) {
  BestFitHeap heap;
  std::vector<void*> holes;
  for (const std::size_t size : {300, 100, 200}) {
    holes.push_back(heap.allocate(size * kKiB));
    heap.allocate(kKiB);  // stays between them
  }
  for (void* const hole : holes) heap.free(hole);
  EXPECT_EQ(heap.allocate(200 * kKiB), holes[2]);
  EXPECT_EQ(heap.allocate(100 * kKiB), holes[1]);
  EXPECT_EQ(heap.allocate(300 * kKiB), holes[0]);
}

TEST(BestFitHeap, WhatIsNotItsOwnIsLeftAlone) {
  BestFitHeap heap;
  int other = 0;
  EXPECT_FALSE(heap.free(&other));
  EXPECT_FALSE(heap.free(nullptr));
  void* const block = heap.allocate(kKiB);
  EXPECT_FALSE(heap.free(static_cast<char*>(block) + BestFitHeap::kAlignment));
  EXPECT_TRUE(heap.free(block));
  EXPECT_FALSE(heap.free(block));
}

TEST(BestFitHeap, MoreThanTheSystemHasIsNull) {
  BestFitHeap heap;
  EXPECT_EQ(heap.allocate(std::numeric_limits<std::size_t>::max()), nullptr);
  EXPECT_EQ(heap.allocate(std::size_t{1} << 60), nullptr);
  EXPECT_NE(heap.allocate(kKiB), nullptr);
}

TEST(BestFitHeap, ABlockMayBeLargerThanAMapping) {
  BestFitHeap heap(/*mapping_bytes=*/kKiB);
  std::vector<char*> blocks;
  for (const std::size_t size : {5000, 3, 9000}) {
    blocks.push_back(static_cast<char*>(heap.allocate(size * kKiB)));
    ASSERT_NE(blocks.back(), nullptr);
    blocks.back()[0] = 1;
    blocks.back()[size * kKiB - 1] = 1;
  }
  for (char* const block : blocks) EXPECT_TRUE(heap.free(block));
}

/// The heap under a training step: how far its blocks reach, beside the most that were alive.
class Step {
 public:
  void* take(std::size_t bytes) {
    void* const block = heap_.allocate(bytes);
    sizes_[block] = bytes;
    alive_ += bytes;
    most_ = std::max(most_, alive_);
    begin_ = std::min(begin_, address_of(block));
    end_ = std::max(end_, address_of(block) + bytes);
    return block;
  }
  void give_back(std::vector<void*>& blocks) {
    for (; !blocks.empty(); blocks.pop_back()) {
      alive_ -= sizes_.at(blocks.back());
      heap_.free(blocks.back());
    }
  }
  double reach() const { return static_cast<double>(end_ - begin_) / static_cast<double>(most_); }

 private:
  BestFitHeap heap_;
  std::unordered_map<void*, std::size_t> sizes_;
  std::size_t alive_ = 0;
  std::size_t most_ = 0;
  std::size_t begin_ = std::numeric_limits<std::size_t>::max();
  std::size_t end_ = 0;
};

TEST(BestFitHeap, StepsFitIntoWhatTheFirstOneTook) {
  constexpr int kLayers = 12;
  Step step;
  const std::vector<std::size_t> weights = {225 * kKiB, 600 * kKiB, 600 * kKiB};
  const auto all_weights = [&] {
    for (int layer = 0; layer < kLayers; ++layer) {
      for (const std::size_t size : weights) step.take(size);
    }
  };
  all_weights();
  for (int number = 0; number < 3; ++number) {
    std::vector<void*> kept[kLayers];
    for (auto& layer : kept) {
      std::vector<void*> passing = {step.take(300 * kKiB), step.take(300 * kKiB)};
      for (const std::size_t size : {300, 300, 800, 800}) layer.push_back(step.take(size * kKiB));
      step.give_back(passing);
      layer.push_back(step.take(300 * kKiB));
    }
    std::vector<void*> gradients;
    for (int layer = kLayers - 1; layer >= 0; --layer) {
      std::vector<void*> passing = {step.take(800 * kKiB), step.take(300 * kKiB)};
      for (const std::size_t size : weights) gradients.push_back(step.take(size));
      step.give_back(kept[layer]);
      step.give_back(passing);
    }
    if (number == 0) {  // the moments of AdamW
      all_weights();
      all_weights();
    }
    step.give_back(gradients);
  }
  EXPECT_LE(step.reach(), 1.03);
}

TEST(BestFitHeap, BlocksOfManyThreadsDoNotMeet) {
  BestFitHeap heap;
  std::vector<std::thread> threads;
  std::vector<int> spoiled(4);
  for (std::size_t number = 0; number < spoiled.size(); ++number) {
    threads.emplace_back([&, number] {
      std::vector<std::pair<char*, std::size_t>> mine;
      for (std::size_t i = 0; i < 500; ++i) {
        const std::size_t size = 100 + i * 37 % 900;
        mine.emplace_back(static_cast<char*>(heap.allocate(size)), size);
        spoiled[number] += address_of(mine.back().first) % BestFitHeap::kAlignment != 0;
        std::memset(mine.back().first, static_cast<int>(number), size);
        if (i % 3 == 0) continue;
        const auto [block, bytes] = mine[i % mine.size()];
        spoiled[number] += std::count(block, block + bytes, static_cast<char>(number)) !=
                           static_cast<std::ptrdiff_t>(bytes);
        heap.free(block);
        mine[i % mine.size()] = mine.back();
        mine.pop_back();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(spoiled, std::vector<int>(4));
}

}  // namespace
}  // namespace titan::tools
