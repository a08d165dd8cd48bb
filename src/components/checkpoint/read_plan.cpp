#include "components/checkpoint/read_plan.h"

#include <algorithm>
#include <tuple>
#include <utility>

#include "titan/base/errors.h"

namespace titan::components {
namespace {

using formats::DcpEntry;
using formats::DcpTensor;

using Integers = std::vector<std::int64_t>;

std::string show(const Integers& values) { return "[" + joined(values) + "]"; }

/// What does not fit, up to ten of a kind by name.
class Misfits {
 public:
  explicit Misfits(std::string what) : what_(std::move(what)) {}
  void add(const std::string& text) {
    constexpr std::size_t kMostNamed = 10;
    if (count_++ < kMostNamed) named_ += concat(named_.empty() ? "" : ", ", text);
  }
  std::string text() const {
    if (count_ == 0) return {};
    const std::string all = concat("\n  ", what_, ": ", named_);
    return count_ <= 10 ? all : concat(all, " and ", count_ - 10, " more");
  }

 private:
  std::string what_;
  std::string named_;
  std::size_t count_ = 0;
};

Integers wanted_sizes(const StateTensor& tensor) {
  return tensor.box ? tensor.box->full_sizes : tensor.tensor.sizes().vec();
}

void check_box(const StateTensor& tensor) {
  if (!tensor.box) return;
  const std::size_t dims = tensor.box->full_sizes.size();
  bool inside = tensor.box->offsets.size() == dims && tensor.tensor.sizes().size() == dims;
  for (std::size_t d = 0; inside && d < dims; ++d) {
    const std::int64_t offset = tensor.box->offsets[d];
    inside = offset >= 0 && offset + tensor.tensor.sizes()[d] <= tensor.box->full_sizes[d];
  }
  TITAN_CHECK(inside, "the box of '", tensor.key(), "' is not within the tensor");
}

void add_pieces(const StateTensor& wanted, const std::string& key, const DcpTensor& saved,
                std::vector<ReadPiece>& pieces) {
  const Integers sizes = wanted.tensor.sizes().vec();
  const Integers offsets = wanted.box ? wanted.box->offsets : Integers(sizes.size(), 0);
  for (const formats::DcpChunk& chunk : saved.chunks) {
    ReadPiece piece{&wanted, key, &saved, &chunk, {}, {}, {}};
    bool overlap = true;
    for (std::size_t d = 0; d < sizes.size(); ++d) {
      const std::int64_t begin = std::max(offsets[d], chunk.offsets[d]);
      const std::int64_t end = std::min(offsets[d] + sizes[d], chunk.offsets[d] + chunk.sizes[d]);
      overlap &= begin < end;
      piece.from.push_back(begin - chunk.offsets[d]);
      piece.to.push_back(begin - offsets[d]);
      piece.sizes.push_back(end - begin);
    }
    if (overlap) pieces.push_back(std::move(piece));
  }
}

}  // namespace

std::vector<ReadPiece> make_read_plan(
    std::span<const StateTensor> tensors,
    const std::function<const DcpEntry*(const std::string& key)>& find, const std::string& folder) {
  Misfits missing("missing");
  Misfits objects("saved as values, not as tensors");
  Misfits misshapen("of other sizes");
  Misfits unreadable("of a type that is not read");
  std::vector<ReadPiece> pieces;
  for (const StateTensor& wanted : tensors) {
    check_box(wanted);
    const std::string key = wanted.key();
    const DcpEntry* entry = find(key);
    const DcpTensor* saved = entry != nullptr ? entry->tensor() : nullptr;
    if (entry == nullptr) {
      missing.add(key);
    } else if (saved == nullptr) {
      objects.add(key);
    } else if (saved->sizes != wanted_sizes(wanted)) {
      misshapen.add(
          concat(key, " (saved ", show(saved->sizes), ", here ", show(wanted_sizes(wanted)), ")"));
    } else if (!scalar_type_of(saved->dtype)) {
      unreadable.add(concat(key, " (", saved->dtype, ")"));
    } else {
      add_pieces(wanted, key, *saved, pieces);
    }
  }
  const std::string problems =
      missing.text() + objects.text() + misshapen.text() + unreadable.text();
  if (!problems.empty()) {
    throw RunError(concat("the checkpoint '", folder,
                          "' does not fit what is to be loaded:", problems,
                          "\nLoad it with the model and options that it was saved with, or exclude "
                          "what it does not have."));
  }
  std::stable_sort(pieces.begin(), pieces.end(), [](const ReadPiece& a, const ReadPiece& b) {
    return std::tie(a.chunk->place.file, a.chunk->place.offset) <
           std::tie(b.chunk->place.file, b.chunk->place.offset);
  });
  return pieces;
}

}  // namespace titan::components
