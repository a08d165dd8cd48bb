#include "titan/comm/byte_exchange.h"

#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <vector>

#include "unit/comm/rank_threads.h"

namespace titan::comm {
namespace {

/// What a rank says; rank 1 says nothing.
std::string words_of(std::int64_t rank) {
  return rank == 1 ? ""
                   : std::string(static_cast<std::size_t>(rank) * 70'000 + 1, char('a' + rank));
}

class ByteExchange : public testing::TestWithParam<test::Kind> {
 protected:
  void on_ranks(std::int64_t ranks, const std::function<void(ProcessGroup&)>& body) const {
    test::in_world(GetParam(), ranks, body);
  }
};

INSTANTIATE_TEST_SUITE_P(BackEnds, ByteExchange,
                         testing::Values(test::Kind::kLocal, test::Kind::kGloo));

TEST_P(ByteExchange, TheRootHearsAllInTheirOrder) {
  on_ranks(4, [](ProcessGroup& group) {
    const std::vector<std::string> heard = gather_bytes(group, words_of(group.rank()), 2);
    ASSERT_EQ(heard.size(), group.rank() == 2 ? 4U : 0U);
    for (std::size_t r = 0; r < heard.size(); ++r) {
      EXPECT_EQ(heard[r], words_of(static_cast<std::int64_t>(r)));
    }
  });
}

TEST_P(ByteExchange, EachRankGetsItsPart) {
  on_ranks(3, [](ProcessGroup& group) {
    std::vector<std::string> parts;
    if (group.rank() == 0) parts = {words_of(0), words_of(1), words_of(2)};
    EXPECT_EQ(scatter_bytes(group, parts), words_of(group.rank()));
  });
}

TEST_P(ByteExchange, AllGetTheRootsWords) {
  on_ranks(3, [](ProcessGroup& group) {
    for (std::int64_t root = 0; root < 3; ++root) {
      EXPECT_EQ(broadcast_bytes(group, group.rank() == root ? words_of(root) : "mine", root),
                words_of(root));
    }
  });
}

}  // namespace
}  // namespace titan::comm
