#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/equal.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "support/local_ranks.h"
#include "titan/components/checkpoint/dcp_load.h"
#include "titan/components/checkpoint/dcp_save.h"
#include "titan/components/checkpoint/dcp_state.h"

namespace titan::test {

using Sizes = std::vector<std::int64_t>;

/// How the ranks share a tensor.
enum class Layout { kWhole, kRows, kColumns, kGrid };

/// What of `size` is `part`'s, as torch.chunk cuts: the last parts may be empty.
inline std::pair<std::int64_t, std::int64_t> cut(std::int64_t size, std::int64_t part,
                                                 std::int64_t parts) {
  const std::int64_t chunk = (size + parts - 1) / parts;
  const std::int64_t begin = std::min(part * chunk, size);
  return {begin, std::min(begin + chunk, size) - begin};
}

/// A rank's box of a tensor: where it begins and its sizes.
inline std::pair<Sizes, Sizes> box_of(Layout layout, const Sizes& full, std::int64_t rank,
                                      std::int64_t ranks) {
  Sizes offsets(full.size(), 0);
  Sizes sizes = full;
  const std::int64_t columns = layout == Layout::kColumns ? ranks
                               : layout == Layout::kGrid  ? std::min<std::int64_t>(ranks, 2)
                                                          : 1;
  const std::int64_t rows = layout == Layout::kWhole ? 1 : ranks / columns;
  if (!full.empty()) {
    std::tie(offsets[0], sizes[0]) = cut(full[0], rank / columns % rows, rows);
  }
  if (full.size() > 1) std::tie(offsets[1], sizes[1]) = cut(full[1], rank % columns, columns);
  return {offsets, sizes};
}

/// Values that tell elements apart; small enough for 16 bits of any type.
inline at::Tensor full_tensor(const Sizes& sizes, at::ScalarType type, std::int64_t first) {
  std::int64_t count = 1;
  for (const std::int64_t size : sizes) count *= size;
  return at::arange(first, first + count, at::kLong).remainder(251).to(type).view(sizes);
}

inline at::Tensor cut_out(at::Tensor full, const Sizes& offsets, const Sizes& sizes) {
  for (std::size_t d = 0; d < sizes.size(); ++d) {
    full = full.narrow(static_cast<std::int64_t>(d), offsets[d], sizes[d]);
  }
  return full.clone(at::MemoryFormat::Contiguous);
}

struct ExampleTensor {
  formats::DcpPath path;
  Sizes sizes;
  at::ScalarType type = at::kFloat;
  Layout layout = Layout::kRows;
};

/// Even, uneven and empty shards, several dimensions and types, tensors that all ranks hold.
inline std::vector<ExampleTensor> example_tensors(Layout layout) {
  using formats::DcpPath;
  return {{DcpPath{"uneven"}, {5, 3}, at::kFloat, layout},
          {DcpPath{"layers", "0", "wq", "weight"}, {64, 48}, at::kBFloat16, layout},
          {DcpPath{"experts"}, {4, 6, 5}, at::kHalf, layout},
          {DcpPath{"one_row"}, {1, 6}, at::kFloat, layout},
          {DcpPath{"nothing"}, {0, 4}, at::kFloat, layout},
          {DcpPath{"norm", "weight"}, {48}, at::kFloat, Layout::kWhole},
          {DcpPath{"counts"}, {7}, at::kLong, Layout::kRows},
          {DcpPath{"optimizer", "state", "uneven", "step"}, {}, at::kFloat, Layout::kWhole},
          {DcpPath{"buffers", std::int64_t{0}}, {3, 3}, at::kByte, Layout::kWhole}};
}

/// A rank's part of the example; `filled`: with its values, else as memory to load into.
inline components::FlatState example_state(Layout layout, std::int64_t rank, std::int64_t ranks,
                                           bool filled, std::int64_t version = 0) {
  components::FlatState state;
  std::int64_t first = version * 17;
  for (const ExampleTensor& example : example_tensors(layout)) {
    const auto [offsets, sizes] = box_of(example.layout, example.sizes, rank, ranks);
    const at::Tensor full = full_tensor(example.sizes, example.type, first += 7);
    components::StateTensor entry{example.path, cut_out(full, offsets, sizes)};
    if (!filled) entry.tensor.fill_(77);
    if (example.layout != Layout::kWhole) entry.box = nn::TensorBox{example.sizes, offsets};
    state.tensors.push_back(std::move(entry));
  }
  using formats::PickleValue;
  state.objects.push_back({{"train_state", "step"}, PickleValue::integer(100 + version)});
  state.objects.push_back({{"lr_scheduler", "base_lrs"},
                           PickleValue::list({PickleValue::real(0.5), PickleValue::real(1e-4)})});
  state.objects.push_back({{"dataloader", "dp_rank_" + std::to_string(rank)},
                           PickleValue::bytes(std::string(10, char('a' + rank)))});
  return state;
}

/// Whether two states hold the same bits.
inline void expect_equal(const components::FlatState& a, const components::FlatState& b) {
  ASSERT_EQ(a.tensors.size(), b.tensors.size());
  for (std::size_t i = 0; i < a.tensors.size(); ++i) {
    EXPECT_TRUE(at::equal(a.tensors[i].tensor, b.tensors[i].tensor)) << a.tensors[i].key();
  }
}

/// All ranks of a job, with the group of them; null where there is one.
inline void on_ranks(std::int64_t ranks,
                     const std::function<void(std::int64_t rank, comm::ProcessGroup*)>& body) {
  on_local_ranks({}, ranks, [&](const comm::RankContext& context) {
    body(context.rank, ranks == 1 ? nullptr : &context.groups->world());
  });
}

inline void save_example(base::FileSystem& files, const std::string& folder, Layout layout,
                         std::int64_t ranks, std::int64_t version = 0) {
  on_ranks(ranks, [&](std::int64_t rank, comm::ProcessGroup* group) {
    components::DcpSaver(files, group)
        .save(folder, example_state(layout, rank, ranks, true, version));
  });
}

/// Loads on ranks of any number and expects the values of `version`.
inline void expect_example(base::FileSystem& files, const std::string& folder, Layout layout,
                           std::int64_t ranks, std::int64_t version = 0) {
  on_ranks(ranks, [&](std::int64_t rank, comm::ProcessGroup* group) {
    const components::DcpCheckpoint checkpoint(files, folder);
    const components::FlatState loaded = example_state(layout, rank, ranks, false);
    checkpoint.read(loaded.tensors, group);
    expect_equal(loaded, example_state(layout, rank, ranks, true, version));
    EXPECT_EQ(checkpoint.object("train_state.step"), formats::PickleValue::integer(100 + version));
  });
}

}  // namespace titan::test
