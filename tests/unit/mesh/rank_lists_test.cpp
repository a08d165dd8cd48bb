#include <gtest/gtest.h>

#include <set>

#include "titan/mesh/parallel_dims.h"

namespace titan::mesh {
namespace {

/// The ranks 0, 1, ... written into a grid of these sizes, last dimension fastest.
struct Grid {
  std::vector<std::int64_t> sizes;

  std::vector<std::int64_t> place(std::int64_t rank) const {
    std::vector<std::int64_t> result(sizes.size());
    for (std::size_t i = sizes.size(); i-- > 0;) {
      result[i] = rank % sizes[i];
      rank /= sizes[i];
    }
    return result;
  }

  /// All ranks whose place is that of `rank` but for the dimensions `free`; found by trying all.
  std::vector<std::int64_t> sharing_the_rest(std::int64_t rank, const std::set<std::size_t>& free,
                                             std::int64_t world_size) const {
    const auto wanted = place(rank);
    std::vector<std::int64_t> result;
    for (std::int64_t other = 0; other < world_size; ++other) {
      const auto there = place(other);
      bool same = true;
      for (std::size_t i = 0; i < sizes.size(); ++i) {
        same = same && (free.contains(i) || there[i] == wanted[i]);
      }
      if (same) {
        result.push_back(other);
      }
    }
    return result;
  }
};

void compare(const ParallelDims& dims) {
  const Degrees& d = dims.degrees();
  const std::int64_t fsdp = d.dp_shard * d.cp;
  const Grid loading{{d.pp, d.dp_replicate * d.dp_shard, d.cp, d.tp}};
  const Grid dense{{d.pp, d.dp_replicate, fsdp, d.tp}};
  const Grid sparse{{d.pp, d.dp_replicate, fsdp * d.tp / (d.ep * d.etp), d.ep, d.etp}};
  struct Case {
    MeshDim dim;
    const Grid& grid;
    std::set<std::size_t> free;
  };
  const Case cases[] = {{MeshDim::kPp, loading, {0}},      {MeshDim::kBatch, loading, {1}},
                        {MeshDim::kLoss, loading, {1, 2}}, {MeshDim::kDpReplicate, dense, {1}},
                        {MeshDim::kFsdp, dense, {2}},      {MeshDim::kCp, loading, {2}},
                        {MeshDim::kTp, loading, {3}},      {MeshDim::kEp, sparse, {3}},
                        {MeshDim::kEfsdp, sparse, {2}},    {MeshDim::kEtp, sparse, {4}}};
  for (const Case& c : cases) {
    for (std::int64_t rank = 0; rank < dims.world_size(); ++rank) {
      const auto expected = c.grid.sharing_the_rest(rank, c.free, dims.world_size());
      ASSERT_EQ(dims.ranks(c.dim, rank), expected)
          << to_string(c.dim) << " of rank " << rank << ", " << building_text(dims);
      ASSERT_EQ(dims.size(c.dim), static_cast<std::int64_t>(expected.size()));
      ASSERT_EQ(expected[static_cast<std::size_t>(dims.coordinate(c.dim, rank))], rank);
    }
  }
}

TEST(RankLists, EqualThoseFoundByTryingAllRanks) {
  int layouts = 0;
  for (const std::int64_t replicate : {1, 2, 3}) {
    for (const std::int64_t shard : {1, 2, 4}) {
      for (const std::int64_t cp : {1, 2}) {
        for (const std::int64_t tp : {1, 2, 3}) {
          for (const std::int64_t pp : {1, 2}) {
            for (const std::int64_t ep : {1, 2, 4, 6}) {
              for (const std::int64_t etp : {std::int64_t{1}, tp}) {
                const std::int64_t ranks = shard * cp * tp;
                if (ranks % (ep * etp) == 0 && (etp == 1 || ep > 1)) {
                  compare(ParallelDims({replicate, shard, cp, tp, pp, ep, etp},
                                       replicate * ranks * pp));
                  ++layouts;
                }
              }
            }
          }
        }
      }
    }
  }
  EXPECT_GT(layouts, 200);
}

TEST(RankLists, EveryRankIsInOneGroupOfEachDimension) {
  const ParallelDims dims(
      {.dp_replicate = 2, .dp_shard = 4, .cp = 2, .tp = 2, .pp = 2, .ep = 4, .etp = 2}, 64);
  for (std::size_t i = 0; i < kMeshDimNames.size(); ++i) {
    const auto dim = static_cast<MeshDim>(i);
    std::set<std::vector<std::int64_t>> groups;
    for (std::int64_t rank = 0; rank < 64; ++rank) {
      groups.insert(dims.ranks(dim, rank));
    }
    EXPECT_EQ(static_cast<std::int64_t>(groups.size()) * dims.size(dim), 64) << to_string(dim);
  }
}

}  // namespace
}  // namespace titan::mesh
