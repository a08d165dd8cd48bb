// What every back end with several ranks does alike, down to the bits.
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/full.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/zeros.h>
#include <gmock/gmock.h>

#include "titan/base/errors.h"
#include "unit/comm/rank_threads.h"

namespace titan::comm::test {
namespace {

using at::ScalarType;

const std::vector<ScalarType> kTypes{ScalarType::Float, ScalarType::Double, ScalarType::BFloat16,
                                     ScalarType::Half,  ScalarType::Long,   ScalarType::Byte};

/// Numbers that only this rank holds; sums of them round.
at::Tensor numbers(std::int64_t rank, std::int64_t count, ScalarType type) {
  const auto seed = static_cast<std::uint64_t>(1000 + rank);
  const auto generator = at::make_generator<at::CPUGeneratorImpl>(seed);
  const at::Tensor drawn = at::randn({count}, generator, at::kDouble);
  return c10::isIntegralType(type, true) ? drawn.mul(9).abs().to(type) : drawn.to(type);
}

at::Tensor sum_in_rank_order(std::int64_t ranks, std::int64_t count, ScalarType type) {
  at::Tensor sum = numbers(0, count, type);
  for (std::int64_t rank = 1; rank < ranks; ++rank) sum.add_(numbers(rank, count, type));
  return sum;
}

class Collectives : public testing::TestWithParam<std::tuple<Kind, std::int64_t>> {
 protected:
  void in_world(const std::function<void(ProcessGroup&)>& body) const {
    test::in_world(std::get<0>(GetParam()), ranks(), body);
  }
  std::int64_t ranks() const { return std::get<1>(GetParam()); }
};

TEST_P(Collectives, AllReduceSumsInRankOrderForEveryTypeAndSize) {
  in_world([&](ProcessGroup& group) {
    for (const ScalarType type : kTypes) {
      // Nothing, less than one element per rank, few bytes, many bytes that ranks do not divide.
      for (const std::int64_t count : {0, 1, 5, 1000, 70001}) {
        const at::Tensor tensor = numbers(group.rank(), count, type);
        group.all_reduce(tensor).wait();
        EXPECT_TRUE(tensor.equal(sum_in_rank_order(group.size(), count, type)))
            << type << " x " << count;
      }
    }
  });
}

TEST_P(Collectives, AllReduceTakesTheMaximumToo) {
  in_world([&](ProcessGroup& group) {
    for (const std::int64_t count : {3, 70001}) {
      const at::Tensor tensor = numbers(group.rank(), count, at::kFloat);
      at::Tensor expected = numbers(0, count, at::kFloat);
      for (std::int64_t rank = 1; rank < group.size(); ++rank) {
        expected = expected.maximum(numbers(rank, count, at::kFloat));
      }
      group.all_reduce(tensor, ReduceOp::kMax).wait();
      EXPECT_TRUE(tensor.equal(expected)) << count;
    }
  });
}

TEST_P(Collectives, ANaNOfOneRankReachesAll) {
  in_world([&](ProcessGroup& group) {
    const bool mine = group.rank() == group.size() - 1;
    for (const ReduceOp op : {ReduceOp::kSum, ReduceOp::kMax}) {
      const at::Tensor tensor = at::full({4}, mine ? std::nan("") : 1.0);
      group.all_reduce(tensor, op).wait();
      EXPECT_TRUE(tensor.isnan().all().item<bool>());
    }
  });
}

TEST_P(Collectives, TensorsOfAnyShapeAreReducedInOneExchange) {
  in_world([&](ProcessGroup& group) {
    const at::Tensor scalar = at::full({}, 1.5);
    const at::Tensor matrix = numbers(group.rank(), 6, at::kFloat).view({2, 3});
    const at::Tensor nothing = at::empty({0});
    group.all_reduce_coalesced({scalar, matrix, nothing}).wait();
    EXPECT_EQ(scalar.item<float>(), 1.5F * static_cast<float>(group.size()));
    EXPECT_TRUE(matrix.equal(sum_in_rank_order(group.size(), 6, at::kFloat).view({2, 3})));
  });
}

TEST_P(Collectives, ReduceScatterGivesEachRankItsPartOfTheSum) {
  in_world([&](ProcessGroup& group) {
    for (const ScalarType type : kTypes) {
      for (const std::int64_t part : {0, 1, 7, 30001}) {
        const std::int64_t count = part * group.size();
        const at::Tensor output = at::empty({part}, type);
        group.reduce_scatter(output, numbers(group.rank(), count, type)).wait();
        const at::Tensor sum = sum_in_rank_order(group.size(), count, type);
        EXPECT_TRUE(output.equal(sum.narrow(0, group.rank() * part, part)))
            << type << " x " << part;
      }
    }
  });
}

TEST_P(Collectives, AllGatherPutsTheRanksInOrder) {
  in_world([&](ProcessGroup& group) {
    for (const ScalarType type : {ScalarType::Float, ScalarType::BFloat16, ScalarType::Long,
                                  ScalarType::Bool, ScalarType::Short}) {
      for (const std::int64_t count : {0, 1, 30001}) {
        const at::Tensor output = at::empty({group.size(), count}, type);
        group.all_gather(output, numbers(group.rank(), count, type)).wait();
        for (std::int64_t rank = 0; rank < group.size(); ++rank) {
          EXPECT_TRUE(output[rank].equal(numbers(rank, count, type))) << type << " x " << count;
        }
      }
    }
  });
}

TEST_P(Collectives, AllGatherGivesThePartsOfRanksApart) {
  in_world([&](ProcessGroup& group) {
    for (const ScalarType type : {ScalarType::Float, ScalarType::BFloat16, ScalarType::Byte}) {
      for (const std::int64_t count : {0, 1, 30001}) {
        const at::TensorOptions options(type);
        const at::Tensor input = group.outgoing(count, options);
        input.copy_(numbers(group.rank(), count, type));
        // Into memory of our own, and wherever they come to lie.
        std::vector<at::Tensor> here;
        std::vector<at::Tensor> anywhere;
        for (std::int64_t rank = 0; rank < group.size(); ++rank) {
          here.push_back(at::empty({count}, options));
          anywhere.push_back(rank == group.rank() ? input : group.incoming(count, options));
        }
        Work first = group.all_gather_parts(here, input);
        group.all_gather_parts(anywhere, input).wait();
        first.wait();
        for (std::int64_t rank = 0; rank < group.size(); ++rank) {
          const at::Tensor expected = numbers(rank, count, type);
          EXPECT_TRUE(here.at(static_cast<std::size_t>(rank)).equal(expected)) << type << count;
          EXPECT_TRUE(anywhere.at(static_cast<std::size_t>(rank)).equal(expected)) << type << count;
        }
      }
    }
  });
}

TEST_P(Collectives, WhatIsMadeToBeSentIsReducedAndExchangedLikeAnythingElse) {
  in_world([&](ProcessGroup& group) {
    const std::int64_t next = (group.rank() + 1) % group.size();
    const std::int64_t previous = (group.rank() + group.size() - 1) % group.size();
    constexpr std::int64_t kCount = 7001;
    for (int round = 0; round < 3; ++round) {
      const at::Tensor input = group.outgoing(kCount * group.size(), at::kFloat);
      input.copy_(numbers(group.rank(), input.numel(), at::kFloat));
      const at::Tensor output = at::empty({kCount});
      group.reduce_scatter(output, input).wait();
      EXPECT_TRUE(output.equal(sum_in_rank_order(group.size(), input.numel(), at::kFloat)
                                   .narrow(0, group.rank() * kCount, kCount)));
      if (group.size() == 1) continue;
      // What has come is passed on, twice.
      at::Tensor passing = input;
      for (int step = 0; step < 2; ++step) {
        const at::Tensor arriving = group.incoming(input.numel(), at::kFloat);
        group
            .exchange({{passing, next, Message::Direction::kSend},
                       {arriving, previous, Message::Direction::kReceive}})
            .wait();
        passing = arriving;
      }
      const std::int64_t source = (group.rank() + 2 * group.size() - 2) % group.size();
      EXPECT_TRUE(passing.equal(numbers(source, input.numel(), at::kFloat)));
    }
  });
}

TEST_P(Collectives, AnInputMayBeItsPlaceInTheOutputOfAllGather) {
  in_world([&](ProcessGroup& group) {
    const at::Tensor output = at::zeros({group.size(), 5});
    output[group.rank()].fill_(static_cast<double>(group.rank() + 1));
    group.all_gather(output, output[group.rank()]).wait();
    EXPECT_TRUE(output.select(1, 4).equal(at::arange(1.0, group.size() + 1.0, at::kFloat)));
  });
}

// Rank s sends (s + 2 r) % 3 rows to rank r, which is often none.
TEST_P(Collectives, AllToAllTakesUnevenAndEmptySplits) {
  const auto rows = [](std::int64_t from, std::int64_t to) { return (from + 2 * to) % 3; };
  const auto message = [&](std::int64_t from, std::int64_t to, ScalarType type) {
    return at::full({rows(from, to), 4}, static_cast<double>(10 * from + to)).to(type);
  };
  in_world([&](ProcessGroup& group) {
    for (const ScalarType type : {ScalarType::Float, ScalarType::BFloat16, ScalarType::Long}) {
      std::vector<std::int64_t> sends, receives;
      std::vector<at::Tensor> sent{at::empty({0, 4}, type)}, expected{at::empty({0, 4}, type)};
      for (std::int64_t rank = 0; rank < group.size(); ++rank) {
        sends.push_back(rows(group.rank(), rank));
        receives.push_back(rows(rank, group.rank()));
        sent.push_back(message(group.rank(), rank, type));
        expected.push_back(message(rank, group.rank(), type));
      }
      const at::Tensor output = at::empty_like(at::cat(expected));
      group.all_to_all(output, at::cat(sent), receives, sends).wait();
      EXPECT_TRUE(output.equal(at::cat(expected))) << type;
    }
  });
}

TEST_P(Collectives, AllToAllOfNothingEndsOnAllRanks) {
  in_world([&](ProcessGroup& group) {
    const std::vector<std::int64_t> none(static_cast<std::size_t>(group.size()), 0);
    group.all_to_all(at::empty({0, 3}), at::empty({0, 3}), none, none).wait();
    group.barrier();
  });
}

TEST_P(Collectives, EveryRankCanBroadcast) {
  in_world([&](ProcessGroup& group) {
    for (std::int64_t root = 0; root < group.size(); ++root) {
      for (const std::int64_t count : {0, 3, 30001}) {
        const at::Tensor tensor = numbers(group.rank(), count, at::kBFloat16);
        group.broadcast(tensor, root).wait();
        EXPECT_TRUE(tensor.equal(numbers(root, count, at::kBFloat16)));
      }
    }
  });
}

TEST_P(Collectives, MessagesBetweenTwoRanksArriveInOrder) {
  if (ranks() == 1) GTEST_SKIP() << "no peer";
  in_world([](ProcessGroup& group) {
    const std::int64_t next = (group.rank() + 1) % group.size();
    const std::int64_t previous = (group.rank() + group.size() - 1) % group.size();
    std::vector<Work> under_way;
    std::vector<at::Tensor> received;
    for (std::int64_t i = 0; i < 20; ++i) {
      received.push_back(at::empty({i % 3, 2}, at::kLong));
      under_way.push_back(group.receive(received.back(), previous));
      under_way.push_back(
          group.send(at::full({i % 3, 2}, 100 * group.rank() + i, at::kLong), next));
    }
    for (Work& work : under_way) work.wait();
    for (std::int64_t i = 0; i < 20; ++i) {
      EXPECT_TRUE(received[static_cast<std::size_t>(i)].eq(100 * previous + i).all().item<bool>());
    }
  });
}

Message send_of(const at::Tensor& tensor, std::int64_t to) {
  return {tensor, to, Message::Direction::kSend};
}

Message receive_of(const at::Tensor& tensor, std::int64_t from) {
  return {tensor, from, Message::Direction::kReceive};
}

// More than the buffers of a connection take, so that a send alone would wait for its receive.
constexpr std::int64_t kLarge = 2'000'000;

TEST_P(Collectives, TwoRanksMayBothNameTheirSendFirst) {
  if (ranks() == 1) GTEST_SKIP() << "no peer";
  in_world([](ProcessGroup& group) {
    if (group.rank() < 2) {  // only the peers need to come
      const std::int64_t peer = 1 - group.rank();
      const at::Tensor received = at::empty({kLarge});
      group
          .exchange({send_of(at::full({kLarge}, static_cast<double>(group.rank())), peer),
                     receive_of(received, peer)})
          .wait();
      EXPECT_TRUE(received.eq(static_cast<double>(peer)).all().item<bool>());
    }
    group.barrier();
  });
}

TEST_P(Collectives, ARingTurnsBothWaysInOneExchange) {
  if (ranks() == 1) GTEST_SKIP() << "no peer";
  in_world([](ProcessGroup& group) {
    const std::int64_t next = (group.rank() + 1) % group.size();
    const std::int64_t previous = (group.rank() + group.size() - 1) % group.size();
    at::Tensor up = numbers(group.rank(), 1000, at::kFloat);
    at::Tensor down = up.clone();
    for (std::int64_t step = 0; step < group.size(); ++step) {
      const at::Tensor from_previous = at::empty_like(up);
      const at::Tensor from_next = at::empty_like(down);
      // In a ring of two both come from one rank, in the order of its sends.
      group
          .exchange({send_of(up, next), send_of(down, previous),
                     receive_of(from_previous, previous), receive_of(from_next, next)})
          .wait();
      up = from_previous;
      down = from_next;
    }
    EXPECT_TRUE(up.equal(numbers(group.rank(), 1000, at::kFloat))) << "it has come round";
    EXPECT_TRUE(down.equal(up));
  });
}

// Rank s sends (s + 2 r) % 3 messages to rank r, which rank r takes in several exchanges.
TEST_P(Collectives, RanksExchangeDifferentNumbersOfMessages) {
  const auto count = [](std::int64_t from, std::int64_t to) { return (from + 2 * to) % 3; };
  const auto text = [](std::int64_t from, std::int64_t to, std::int64_t i) {
    return at::full({i + 1}, 100 * from + 10 * to + i, at::kLong);
  };
  in_world([&](ProcessGroup& group) {
    const std::int64_t mine = group.rank();
    std::vector<Message> sends;
    std::vector<Work> works;
    std::vector<std::pair<at::Tensor, at::Tensor>> got_and_expected;
    for (std::int64_t peer = 0; peer < group.size(); ++peer) {
      if (peer == mine) continue;
      std::vector<Message> from_peer;
      for (std::int64_t i = 0; i < count(mine, peer); ++i) {
        sends.push_back(send_of(text(mine, peer, i), peer));
      }
      for (std::int64_t i = 0; i < count(peer, mine); ++i) {
        got_and_expected.emplace_back(at::empty({i + 1}, at::kLong), text(peer, mine, i));
        from_peer.push_back(receive_of(got_and_expected.back().first, peer));
      }
      works.push_back(group.exchange(from_peer));
    }
    works.push_back(group.exchange(sends));
    for (Work& work : works) work.wait();
    for (const auto& [got, expected] : got_and_expected) EXPECT_TRUE(got.equal(expected));
    group.barrier();
  });
}

TEST_P(Collectives, ManyExchangesAreUnderWayBesideCollectives) {
  if (ranks() == 1) GTEST_SKIP() << "no peer";
  in_world([](ProcessGroup& group) {
    const std::int64_t next = (group.rank() + 1) % group.size();
    const std::int64_t previous = (group.rank() + group.size() - 1) % group.size();
    std::vector<Work> works;
    std::vector<at::Tensor> received;
    const at::Tensor sum = at::full({30000}, 1.0);
    for (std::int64_t i = 0; i < 30; ++i) {
      received.push_back(at::empty({5000}));
      const at::Tensor sent = at::full({5000}, static_cast<double>(100 * group.rank() + i));
      works.push_back(group.exchange({send_of(sent, next), receive_of(received.back(), previous)}));
      if (i == 10) works.push_back(group.all_reduce(sum));
    }
    if (group.rank() % 2 == 1) std::ranges::reverse(works);
    for (Work& work : works) work.wait();
    for (std::int64_t i = 0; i < 30; ++i) {
      const auto expected = static_cast<double>(100 * previous + i);
      EXPECT_TRUE(received[static_cast<std::size_t>(i)].eq(expected).all().item<bool>());
    }
    EXPECT_EQ(sum[0].item<float>(), static_cast<float>(group.size()));
  });
}

TEST_P(Collectives, AnExchangeOfNothingOrWithItselfOrNobodyIsNone) {
  in_world([](ProcessGroup& group) {
    EXPECT_FALSE(group.exchange({}).pending());
    EXPECT_THROW(group.send(at::zeros({1}), group.rank()), InternalError);
    EXPECT_THROW(group.receive(at::zeros({1}), group.size()), InternalError);
    group.barrier();
  });
}

struct Calls : CollectiveObserver {
  std::uint64_t started(const CollectiveCall& call) override {
    texts.push_back(
        concat(call.operation, " #", call.sequence, ", ", call.bytes, " bytes",
               call.peers == nullptr ? "" : concat(", ", call.peers->size(), " peers")));
    return 0;
  }
  void finished(std::uint64_t) override {}
  std::string explain(std::uint64_t, const CollectiveCall&, std::string_view error) override {
    return std::string(error);
  }

  std::vector<std::string> texts;
};

TEST_P(Collectives, MessagesAreNotCountedAmongCollectives) {
  if (ranks() == 1) GTEST_SKIP() << "no peer";
  on_ranks(std::get<0>(GetParam()), 2, [](std::int64_t rank, Backend& backend) {
    Calls calls;
    const auto group = backend.make_group("pp", {0, 1}, kPatience, &calls);
    group->barrier();
    // Rank 0 sends two messages in one exchange; rank 1 receives them one by one.
    const at::Tensor a = at::zeros({2});
    const at::Tensor b = at::zeros({3});
    if (rank == 0) {
      group->exchange({send_of(a, 1), send_of(b, 1)}).wait();
    } else {
      group->receive(a, 0).wait();
      group->receive(b, 0).wait();
    }
    group->barrier();
    if (rank == 0) {
      EXPECT_THAT(calls.texts,
                  testing::ElementsAre("barrier #1, 0 bytes", "exchange #1, 20 bytes, 2 peers",
                                       "barrier #2, 0 bytes"));
    } else {
      EXPECT_THAT(calls.texts,
                  testing::ElementsAre("barrier #1, 0 bytes", "receive #1, 0 bytes, 1 peers",
                                       "receive #2, 0 bytes, 1 peers", "barrier #2, 0 bytes"));
    }
  });
}

// As FSDP, HSDP and DDP do: more is started while something is under way, and ranks need not wait in
// one order.
TEST_P(Collectives, SeveralAreUnderWayAndRanksWaitInDifferentOrders) {
  constexpr std::int64_t kPart = 20000;
  in_world([&](ProcessGroup& group) {
    const std::int64_t count = kPart * group.size();
    struct Round {
      at::Tensor gathered, part, sum, small;
      std::vector<Work> works;
    };
    std::vector<Round> rounds(6);
    for (Round& round : rounds) {
      round.gathered = at::empty({group.size(), kPart});
      round.part = at::empty({kPart});
      round.sum = numbers(group.rank(), count, at::kFloat);
      round.small = numbers(group.rank(), 3, at::kFloat);
      round.works.push_back(
          group.all_gather(round.gathered, numbers(group.rank(), kPart, at::kFloat)));
      round.works.push_back(
          group.reduce_scatter(round.part, numbers(group.rank(), count, at::kFloat)));
      round.works.push_back(group.all_reduce(round.sum));
      round.works.push_back(group.all_reduce(round.small));
    }
    if (group.rank() % 2 == 1) std::ranges::reverse(rounds);
    const at::Tensor sum = sum_in_rank_order(group.size(), count, at::kFloat);
    for (Round& round : rounds) {
      if (group.rank() % 3 == 1) std::ranges::reverse(round.works);
      for (Work& work : round.works) work.wait();
      EXPECT_TRUE(round.gathered[0].equal(numbers(0, kPart, at::kFloat)));
      EXPECT_TRUE(round.part.equal(sum.narrow(0, group.rank() * kPart, kPart)));
      EXPECT_TRUE(round.sum.equal(sum));
      EXPECT_TRUE(round.small.equal(sum_in_rank_order(group.size(), 3, at::kFloat)));
    }
  });
}

TEST_P(Collectives, WorkThatNobodyWaitsForEndsByItself) {
  in_world([](ProcessGroup& group) {
    for (int i = 0; i < 5; ++i) group.all_reduce(at::full({30000}, 1.0));
    const at::Tensor after = at::full({1}, 1.0);
    group.all_reduce(after).wait();
    EXPECT_EQ(after.item<float>(), static_cast<float>(group.size()));
  });
}

std::string name_of(const testing::TestParamInfo<Collectives::ParamType>& info) {
  const Kind kind = std::get<0>(info.param);
  const char* name = kind == Kind::kLocal ? "Local" : kind == Kind::kGloo ? "Gloo" : "GlooOverTcp";
  return name + std::to_string(std::get<1>(info.param));
}

INSTANTIATE_TEST_SUITE_P(Worlds, Collectives,
                         testing::Combine(testing::Values(Kind::kLocal, Kind::kGlooOverTcp),
                                          testing::Values(1, 2, 3, 4, 8)),
                         name_of);
INSTANTIATE_TEST_SUITE_P(WorldsOfOneMachine, Collectives,
                         testing::Combine(testing::Values(Kind::kGloo), testing::Values(2, 4)),
                         name_of);

// A mesh of 2 x 2: every rank is in a group of rows and in one of columns, and in that of all.
TEST(Groups, RanksAreInSeveralAtOnce) {
  for (const Kind kind : {Kind::kLocal, Kind::kGloo, Kind::kGlooOverTcp}) {
    on_ranks(kind, 4, [](std::int64_t rank, Backend& backend) {
      const std::int64_t row = rank / 2;
      const std::int64_t column = rank % 2;
      const auto rows = backend.make_group("row", {2 * row, 2 * row + 1}, kPatience, nullptr);
      const auto columns = backend.make_group("column", {column, column + 2}, kPatience, nullptr);
      const auto again = backend.make_group("row", {2 * row, 2 * row + 1}, kPatience, nullptr);
      const at::Tensor in_row = at::full({3}, static_cast<double>(rank));
      const at::Tensor in_column = in_row.clone();
      Work first = rows->all_reduce(in_row);
      Work second = columns->all_reduce(in_column);
      again->barrier();
      second.wait();
      first.wait();
      EXPECT_EQ(in_row[0].item<float>(), static_cast<float>(4 * row + 1));
      EXPECT_EQ(in_column[0].item<float>(), static_cast<float>(2 * column + 2));
      EXPECT_EQ(columns->rank(), row);
      columns->barrier();
      rows->barrier();
    });
  }
}

}  // namespace
}  // namespace titan::comm::test
