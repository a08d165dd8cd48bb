#include <ATen/ops/randn.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <tuple>

#include "support/temporary_folder.h"
#include "support/throws.h"
#include "titan/base/errors.h"
#include "titan/base/file_system.h"
#include "unit/components/checkpoint/example_state.h"

namespace titan::components {
namespace {

using test::Layout;
using testing::HasSubstr;

class Resharding : public testing::Test {
 protected:
  base::FileSystem& files_ = base::posix_file_system();
  test::TemporaryFolder folder_;
};

TEST_F(Resharding, AnyLayoutIsLoadedIntoAnyOther) {
  constexpr Layout kLayouts[] = {Layout::kWhole, Layout::kRows, Layout::kColumns, Layout::kGrid};
  for (const Layout saved : kLayouts) {
    for (const std::int64_t ranks : {1, 2, 3, 4}) {
      const std::string path = folder_ / ("step-" + std::to_string(ranks));
      test::save_example(files_, path, saved, ranks);
      for (const Layout loaded : kLayouts) {
        for (const std::int64_t loaders : {1, 2, 3, 4}) {
          SCOPED_TRACE(testing::Message() << int(saved) << " on " << ranks << " to " << int(loaded)
                                          << " on " << loaders);
          test::expect_example(files_, path, loaded, loaders);
        }
      }
    }
  }
}

TEST_F(Resharding, FourToTwoToThreeToOne) {
  test::save_example(files_, folder_ / "step-0", Layout::kRows, 4);
  std::string last = "step-0";
  for (const std::int64_t ranks : {2, 3, 1}) {
    const std::string next = "step-" + std::to_string(10 - ranks);
    test::on_ranks(ranks, [&](std::int64_t rank, comm::ProcessGroup* group) {
      const FlatState state = test::example_state(Layout::kRows, rank, ranks, false);
      DcpCheckpoint(files_, folder_ / last).read(state.tensors, group);
      DcpSaver(files_, group).save(folder_ / next, state);
    });
    last = next;
  }
  test::expect_example(files_, folder_ / last, Layout::kWhole, 1);
}

TEST_F(Resharding, WhatAllHoldIsWrittenOnceAndEvenly) {
  constexpr std::int64_t kRanks = 4;
  test::on_ranks(kRanks, [&](std::int64_t, comm::ProcessGroup* group) {
    FlatState state;
    for (int i = 0; i < 40; ++i) {
      state.tensors.push_back({{"w", std::int64_t{i}}, test::full_tensor({100}, at::kFloat, i)});
      state.objects.push_back({{"o", std::int64_t{i}}, formats::PickleValue::integer(i)});
    }
    DcpSaver(files_, group).save(folder_ / "step-1", state);
  });
  std::map<std::string, int> tensors;
  const DcpCheckpoint checkpoint(files_, folder_ / "step-1");
  for (const formats::DcpEntry& entry : checkpoint.metadata().entries) {
    if (entry.tensor() == nullptr) continue;
    ASSERT_EQ(entry.tensor()->chunks.size(), 1U);
    ++tensors[entry.tensor()->chunks[0].place.file];
  }
  ASSERT_EQ(tensors.size(), 4U);
  for (const auto& [file, count] : tensors) EXPECT_EQ(count, 10) << file;
}

TEST_F(Resharding, EmptyShardsAreNoChunks) {
  test::save_example(files_, folder_ / "step-1", Layout::kRows, 4);
  const DcpCheckpoint checkpoint(files_, folder_ / "step-1");
  const formats::DcpTensor& uneven = *checkpoint.find("uneven")->tensor();
  ASSERT_EQ(uneven.chunks.size(), 3U);
  EXPECT_EQ(uneven.chunks[2].offsets, (test::Sizes{4, 0}));
  EXPECT_EQ(uneven.chunks[2].sizes, (test::Sizes{1, 3}));
  EXPECT_EQ(checkpoint.find("one_row")->tensor()->chunks.size(), 1U);
  EXPECT_EQ(checkpoint.find("nothing")->tensor()->sizes, (test::Sizes{0, 4}));
  EXPECT_EQ(checkpoint.find("nothing")->tensor()->chunks.size(), 0U);
}

/// A tensor cut along one dimension and each part once more along another, or the same.
struct TwoCuts {
  std::string name;
  test::Sizes sizes;
  std::size_t first_dim;
  std::int64_t first_parts;
  std::size_t second_dim;
  std::int64_t second_parts;

  std::int64_t ranks() const { return first_parts * second_parts; }
  std::pair<test::Sizes, test::Sizes> box_of(std::int64_t rank) const {
    test::Sizes offsets(sizes.size(), 0);
    test::Sizes part = sizes;
    const auto cut_again = [&](std::size_t dim, std::int64_t index, std::int64_t parts) {
      const auto [begin, count] = test::cut(part[dim], index, parts);
      offsets[dim] += begin;
      part[dim] = count;
    };
    cut_again(first_dim, rank / second_parts, first_parts);
    cut_again(second_dim, rank % second_parts, second_parts);
    return {offsets, part};
  }
  StateTensor state(std::int64_t rank, bool filled) const {
    const auto [offsets, part] = box_of(rank);
    StateTensor entry{
        {"w"}, test::cut_out(test::full_tensor(sizes, at::kFloat, 3), offsets, part), {}};
    if (!filled) entry.tensor.fill_(77);
    entry.box = nn::TensorBox{sizes, offsets};
    return entry;
  }
};

const TwoCuts kTwoCuts[] = {
    {"rows of rows, some ranks without", {10, 3}, 0, 2, 0, 4},
    {"rows and columns, uneven", {5, 4}, 0, 2, 1, 3},
    {"experts and rows, uneven", {3, 5, 2}, 0, 2, 1, 3},
    {"experts and rows, a rank without experts", {1, 6, 2}, 0, 2, 1, 2},
};

TEST_F(Resharding, TensorsCutTwice) {
  for (const TwoCuts& cuts : kTwoCuts) {
    const std::string path = folder_ / cuts.name;
    test::on_ranks(cuts.ranks(), [&](std::int64_t rank, comm::ProcessGroup* group) {
      DcpSaver(files_, group).save(path, {{cuts.state(rank, true)}, {}});
    });
    std::int64_t filled = 0;
    for (std::int64_t rank = 0; rank < cuts.ranks(); ++rank) {
      filled += cuts.state(rank, true).tensor.numel() > 0 ? 1 : 0;
    }
    EXPECT_EQ(std::ssize(DcpCheckpoint(files_, path).find("w")->tensor()->chunks), filled);
    const auto last = cuts.sizes.size() - 1;
    const TwoCuts loaders[] = {cuts,
                               {"whole", cuts.sizes, 0, 1, 0, 1},
                               {"rows", cuts.sizes, 0, 3, 0, 1},
                               {"rows of rows", cuts.sizes, 0, 3, 0, 2},
                               {"columns and rows", cuts.sizes, last, 2, 0, 2}};
    for (const TwoCuts& other : loaders) {
      SCOPED_TRACE(cuts.name + " to " + other.name);
      test::on_ranks(other.ranks(), [&](std::int64_t rank, comm::ProcessGroup* group) {
        const FlatState loaded{{other.state(rank, false)}, {}};
        DcpCheckpoint(files_, path).read(loaded.tensors, group);
        test::expect_equal(loaded, {{other.state(rank, true)}, {}});
      });
    }
  }
}

TEST_F(Resharding, TypesAreConverted) {
  const at::Tensor numbers = at::randn({300, 7});
  DcpSaver(files_, nullptr).save(folder_ / "step-1", {{{{"w"}, numbers}}, {}});
  const at::Tensor halves = at::empty({300, 7}, at::kBFloat16);
  const at::Tensor turned = at::empty({7, 300}, at::kDouble).t();
  const DcpCheckpoint checkpoint(files_, folder_ / "step-1");
  const std::vector<StateTensor> wanted = {{{"w"}, halves}, {{"w"}, turned}};
  checkpoint.read(wanted, nullptr);
  EXPECT_TRUE(at::equal(halves, numbers.to(at::kBFloat16)));
  EXPECT_TRUE(at::equal(turned, numbers.to(at::kDouble)));
}

TEST_F(Resharding, StridesDoNotMatter) {
  const at::Tensor turned = at::randn({40, 30}).t();
  at::Tensor parameter = at::randn({30, 40});
  parameter.set_requires_grad(true);
  DcpSaver(files_, nullptr).save(folder_ / "step-1", {{{{"a"}, turned}, {{"b"}, parameter}}, {}});
  at::Tensor into = at::empty({30, 40}).set_requires_grad(true);
  const at::Tensor part = at::empty({20, 30}).t();
  const DcpCheckpoint checkpoint(files_, folder_ / "step-1");
  const std::vector<StateTensor> wanted = {{{"b"}, into},
                                           {{"a"}, part, nn::TensorBox{{30, 40}, {0, 15}}}};
  checkpoint.read(wanted, nullptr);
  EXPECT_TRUE(at::equal(into, parameter));
  EXPECT_TRUE(at::equal(part, turned.narrow(1, 15, 20)));
}

/// Large enough for several tasks and for rows longer than what is read whole.
TEST_F(Resharding, LongRowsAndManyTasks) {
  const at::Tensor large = at::randn({520, 40'000});
  DcpSaver(files_, nullptr).save(folder_ / "step-1", {{{{"w"}, large}}, {}});
  const at::Tensor whole = at::empty({520, 40'000});
  const at::Tensor columns = at::empty({520, 1'000});
  const at::Tensor halves = at::empty({519, 39'000}, at::kHalf);
  const std::vector<StateTensor> wanted = {
      {{"w"}, whole},
      {{"w"}, columns, nn::TensorBox{{520, 40'000}, {0, 20'001}}},
      {{"w"}, halves, nn::TensorBox{{520, 40'000}, {1, 500}}}};
  DcpCheckpoint(files_, folder_ / "step-1").read(wanted, nullptr);
  EXPECT_TRUE(at::equal(whole, large));
  EXPECT_TRUE(at::equal(columns, large.narrow(1, 20'001, 1'000)));
  EXPECT_TRUE(at::equal(halves, large.narrow(0, 1, 519).narrow(1, 500, 39'000).to(at::kHalf)));
}

TEST_F(Resharding, WhatDoesNotFitIsNamedAllAtOnceOnAllRanks) {
  test::save_example(files_, folder_ / "step-1", Layout::kRows, 2);
  test::on_ranks(2, [&](std::int64_t rank, comm::ProcessGroup* group) {
    std::vector<StateTensor> wanted = {{{"norm", "weight"}, at::empty({48})}};
    if (rank == 1) {
      wanted.push_back({{"uneven"}, at::empty({4, 3})});
      wanted.push_back({{"train_state", "step"}, at::empty({})});
      for (int i = 0; i < 12; ++i) wanted.push_back({{"new", std::int64_t{i}}, at::empty({1})});
    }
    const DcpCheckpoint checkpoint(files_, folder_ / "step-1");
    EXPECT_EQ(test::message_of<RunError>([&] { checkpoint.read(wanted, group); }),
              "rank 1: the checkpoint '" + (folder_ / "step-1") +
                  "' does not fit what is to be loaded:"
                  "\n  missing: new.0, new.1, new.2, new.3, new.4, new.5, new.6, new.7, new.8, "
                  "new.9 and 2 more"
                  "\n  saved as values, not as tensors: train_state.step"
                  "\n  of other sizes: uneven (saved [5, 3], here [4, 3])"
                  "\nLoad it with the model and options that it was saved with, or exclude what it "
                  "does not have.");
  });
}

}  // namespace
}  // namespace titan::components
