#include "components/checkpoint/save_plan.h"

#include <algorithm>
#include <map>
#include <unordered_map>
#include <utility>

#include "titan/base/errors.h"
#include "titan/formats/tensor_dtype.h"

namespace titan::components {
namespace {

using formats::DcpBytes;
using formats::DcpEntry;
using formats::DcpPath;
using formats::DcpTensor;

using Integers = std::vector<std::int64_t>;

/// Bytes of a box; bytes of objects are not known yet and count as one.
std::uint64_t weight_of(const ProposedTensor& tensor) {
  std::uint64_t bytes = static_cast<std::uint64_t>(formats::find_dtype(tensor.dtype)->bytes);
  for (const std::int64_t size : tensor.sizes) bytes *= static_cast<std::uint64_t>(size);
  return bytes;
}

/// A rank that can write something, and where that is in its state.
struct Holder {
  std::size_t rank;
  std::size_t index;
};

/// One box of an entry, or its object.
struct Item {
  std::size_t entry;
  Integers sizes;
  std::uint64_t weight;
  std::vector<Holder> holders;
};

class Planner {
 public:
  SavePlan plan(const std::vector<Proposal>& proposals) {
    for (std::size_t rank = 0; rank < proposals.size(); ++rank) {
      const Proposal& proposal = proposals[rank];
      for (std::size_t i = 0; i < proposal.objects.size(); ++i) {
        add_object(proposal.objects[i], {rank, i});
      }
      for (std::size_t i = 0; i < proposal.tensors.size(); ++i) {
        add_tensor(proposal.tensors[i], {rank, i});
      }
    }
    plan_.ranks.resize(proposals.size());
    plan_.slots.resize(proposals.size());
    assign(proposals);
    formats::check_dcp_metadata(plan_.metadata);
    return std::move(plan_);
  }

 private:
  struct Known {
    std::size_t entry;
    std::size_t first_rank;
    std::map<Integers, std::size_t> items;  // by offsets: two boxes with the same overlap
  };

  [[noreturn]] static void contradict(const std::string& key, const Holder& holder,
                                      std::size_t first_rank, const std::string& what) {
    throw RunError(concat("'", key, "' ", what, " on rank ", holder.rank, " and rank ", first_rank,
                          ": the ranks do not save the same state"));
  }

  Known& entry_of(const DcpPath& path, const Holder& holder, DcpEntry entry) {
    const auto [found, is_new] =
        known_.try_emplace(dcp_key(path), Known{plan_.metadata.entries.size(), holder.rank, {}});
    if (is_new) {
      entry.key = found->first;
      entry.path = path;
      plan_.metadata.entries.push_back(std::move(entry));
    }
    return found->second;
  }

  /// `sizes`, `weight`: of the item, if it is a new one.
  void add_item(Known& known, const Integers& offsets, const Integers& sizes, std::uint64_t weight,
                const Holder& holder) {
    const std::string& key = plan_.metadata.entries[known.entry].key;
    const auto [found, is_new] = known.items.try_emplace(offsets, items_.size());
    if (is_new) items_.push_back({known.entry, sizes, weight, {}});
    Item& item = items_[found->second];
    if (item.sizes != sizes) {
      contradict(key, holder, item.holders.front().rank,
                 "has boxes of different sizes at the same place");
    }
    if (!item.holders.empty() && item.holders.back().rank == holder.rank) {
      throw RunError(concat("'", key, "' is twice in the state of rank ", holder.rank));
    }
    item.holders.push_back(holder);
  }

  void add_object(const DcpPath& path, const Holder& holder) {
    Known& known = entry_of(path, holder, {.key = {}, .value = DcpBytes{}, .path = {}});
    const DcpEntry& entry = plan_.metadata.entries[known.entry];
    if (entry.bytes() == nullptr)
      contradict(entry.key, holder, known.first_rank, "is a value and a tensor");
    add_item(known, {}, {}, 1, holder);
  }

  void add_tensor(const ProposedTensor& tensor, const Holder& holder) {
    Known& known =
        entry_of(tensor.path, holder,
                 {.key = {}, .value = DcpTensor{tensor.dtype, tensor.full_sizes, {}}, .path = {}});
    const DcpEntry& entry = plan_.metadata.entries[known.entry];
    const DcpTensor* whole = entry.tensor();
    if (whole == nullptr)
      contradict(entry.key, holder, known.first_rank, "is a tensor and a value");
    if (whole->dtype != tensor.dtype)
      contradict(entry.key, holder, known.first_rank, "has another type");
    if (whole->sizes != tensor.full_sizes)
      contradict(entry.key, holder, known.first_rank, "has other sizes");
    // Nothing to write. Cut twice, an empty part begins where another begins, which is not empty.
    const std::uint64_t weight = weight_of(tensor);
    if (weight > 0) add_item(known, tensor.offsets, tensor.sizes, weight, holder);
  }

  /// In the order in which the items were first seen.
  void assign(const std::vector<Proposal>& proposals) {
    std::vector<std::uint64_t> load(proposals.size(), 0);
    std::vector<std::vector<std::pair<std::size_t, std::size_t>>> tensors(proposals.size());
    for (const Item& item : items_) {
      const Holder& writer = *std::min_element(
          item.holders.begin(), item.holders.end(),
          [&](const Holder& a, const Holder& b) { return load[a.rank] < load[b.rank]; });
      load[writer.rank] += item.weight;
      if (plan_.metadata.entries[item.entry].bytes() != nullptr) {
        plan_.ranks[writer.rank].objects.push_back(writer.index);
        plan_.slots[writer.rank].push_back({item.entry, 0});
      } else {
        tensors[writer.rank].emplace_back(writer.index, item.entry);
      }
    }
    for (std::size_t rank = 0; rank < tensors.size(); ++rank) {
      for (const auto& [index, entry] : tensors[rank]) {
        const ProposedTensor& box = proposals[rank].tensors[index];
        auto& chunks = std::get<DcpTensor>(plan_.metadata.entries[entry].value).chunks;
        plan_.ranks[rank].tensors.push_back(index);
        plan_.slots[rank].push_back({entry, chunks.size()});
        chunks.push_back({box.offsets, box.sizes, {file_name_of(rank), 0, 0}});
      }
      // Objects have a place to be checked as well.
      for (std::size_t i = 0; i < plan_.ranks[rank].objects.size(); ++i) {
        auto& value = plan_.metadata.entries[plan_.slots[rank][i].entry].value;
        std::get<DcpBytes>(value).place.file = file_name_of(rank);
      }
    }
  }

  SavePlan plan_;
  std::vector<Item> items_;
  std::unordered_map<std::string, Known> known_;
};

}  // namespace

std::string file_name_of(std::size_t rank) { return concat("__", rank, "_0.distcp"); }

Proposal propose(const FlatState& state) {
  Proposal proposal;
  for (const StateTensor& entry : state.tensors) {
    ProposedTensor tensor{entry.path,
                          std::string(dtype_name(entry.tensor.scalar_type())),
                          {},
                          {},
                          entry.tensor.sizes().vec()};
    tensor.full_sizes = entry.box ? entry.box->full_sizes : tensor.sizes;
    tensor.offsets = entry.box ? entry.box->offsets : Integers(tensor.sizes.size(), 0);
    TITAN_CHECK(tensor.full_sizes.size() == tensor.sizes.size() &&
                    tensor.offsets.size() == tensor.sizes.size(),
                "the box of '", entry.key(), "' has another number of dimensions");
    proposal.tensors.push_back(std::move(tensor));
  }
  for (const StateObject& object : state.objects) proposal.objects.push_back(object.path);
  return proposal;
}

SavePlan make_save_plan(const std::vector<Proposal>& proposals) {
  return Planner().plan(proposals);
}

}  // namespace titan::components
