// What we make of whole checkpoint folders, for comparison with PyTorch's own.
//
//   dcp_states hashes FOLDER RANKS LAYOUT         loads all tensors; prints key, type, sizes, SHA-256 of each
//   dcp_states resave FOLDER RANKS LAYOUT TO      loads everything, saves it to TO
//
// RANKS threads share each tensor as LAYOUT says: whole, rows, columns, grid (two columns) or twice (rows cut
// in two, and each half once more for half of the ranks).

#include <ATen/ops/empty.h>

#include <chrono>
#include <iostream>
#include <mutex>
#include <numeric>
#include <string>
#include <thread>
#include <vector>

#include "titan/base/errors.h"
#include "titan/base/file_system.h"
#include "titan/base/sha256.h"
#include "titan/comm/local_backend.h"
#include "titan/components/checkpoint/dcp_load.h"
#include "titan/components/checkpoint/dcp_save.h"

namespace {

using namespace titan;
using namespace titan::components;
using Sizes = std::vector<std::int64_t>;

/// What of `size` is `part`'s, as torch.chunk cuts.
std::pair<std::int64_t, std::int64_t> cut(std::int64_t size, std::int64_t part,
                                          std::int64_t parts) {
  const std::int64_t chunk = (size + parts - 1) / parts;
  const std::int64_t begin = std::min(part * chunk, size);
  return {begin, std::min(begin + chunk, size) - begin};
}

/// The whole checkpoint in memory; ranks load their boxes of it.
struct Whole {
  std::vector<StateTensor> tensors;
  std::vector<StateObject> objects;
};

formats::DcpPath path_of(const formats::DcpEntry& entry) {
  return entry.path ? *entry.path : formats::DcpPath{entry.key};
}

Whole make_room(const DcpCheckpoint& checkpoint) {
  Whole whole;
  for (const formats::DcpEntry& entry : checkpoint.metadata().entries) {
    if (const formats::DcpTensor* tensor = entry.tensor()) {
      whole.tensors.push_back(
          {path_of(entry), at::empty(tensor->sizes, at::dtype(*scalar_type_of(tensor->dtype)))});
    } else {
      whole.objects.push_back({path_of(entry), checkpoint.object(entry.key)});
    }
  }
  return whole;
}

/// A rank's boxes, as views of the whole.
FlatState part_of(const Whole& whole, const std::string& layout, std::int64_t rank,
                  std::int64_t ranks) {
  FlatState state{{}, whole.objects};
  const std::int64_t columns = layout == "columns" ? ranks : layout == "grid" ? 2 : 1;
  const std::int64_t rows = ranks / columns;
  for (const StateTensor& entry : whole.tensors) {
    const at::Tensor& full = entry.tensor;
    nn::TensorBox box{full.sizes().vec(), Sizes(static_cast<std::size_t>(full.dim()), 0)};
    at::Tensor mine = full;
    const auto cut_again = [&](std::int64_t dim, std::int64_t part, std::int64_t parts) {
      if (dim >= full.dim()) return;
      const auto [begin, count] = cut(mine.size(dim), part, parts);
      box.offsets[static_cast<std::size_t>(dim)] += begin;
      mine = mine.narrow(dim, begin, count);
    };
    if (layout == "twice") {
      cut_again(0, rank / (ranks / 2), 2);
      cut_again(0, rank % (ranks / 2), ranks / 2);
    } else if (layout != "whole") {
      cut_again(0, rank / columns % rows, rows);
      cut_again(1, rank % columns, columns);
    }
    state.tensors.push_back({entry.path, mine, box});
  }
  return state;
}

void load(const std::string& folder, std::int64_t ranks, const std::string& layout,
          const std::string& to) {
  base::FileSystem& files = base::posix_file_system();
  const Whole whole = make_room(DcpCheckpoint(files, folder));
  comm::LocalWorld world(ranks);
  std::vector<std::int64_t> all(static_cast<std::size_t>(ranks));
  std::iota(all.begin(), all.end(), 0);
  std::vector<std::thread> threads;
  std::mutex mutex;
  std::string failure;
  for (std::int64_t rank = 0; rank < ranks; ++rank) {
    threads.emplace_back([&, rank] {
      try {
        const auto backend = world.backend(rank);
        const auto group = backend->make_group("all", all, std::chrono::seconds(60), nullptr);
        const FlatState state = part_of(whole, layout, rank, ranks);
        DcpCheckpoint(files, folder).read(state.tensors, group.get());
        group->barrier();
        if (!to.empty()) DcpSaver(files, group.get()).save(to, state);
      } catch (const std::exception& error) {
        const std::lock_guard lock(mutex);
        failure = error.what();
        world.abort(failure);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  if (!failure.empty()) throw RunError(failure);
  if (!to.empty()) return;
  for (const StateTensor& entry : whole.tensors) {
    const auto* bytes = static_cast<const char*>(entry.tensor.const_data_ptr());
    std::cout << entry.key() << "\t" << dtype_name(entry.tensor.scalar_type()) << "\t"
              << entry.tensor.sizes() << "\t"
              << base::sha256_hex(std::string_view(bytes, entry.tensor.nbytes())) << "\n";
  }
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<std::string> a(argv + 1, argv + argc);
  try {
    if (a.size() == 4 && a[0] == "hashes") {
      load(a[1], std::stoll(a[2]), a[3], "");
    } else if (a.size() == 5 && a[0] == "resave") {
      load(a[1], std::stoll(a[2]), a[3], a[4]);
    } else {
      throw ConfigError("dcp_states: see its first lines");
    }
  } catch (const std::exception& error) {
    std::cerr << error.what() << "\n";
    return 1;
  }
  return 0;
}
