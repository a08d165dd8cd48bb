#include "titan/components/checkpoint/stored_box.h"

#include <ATen/ops/from_blob.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <span>

#include "titan/base/errors.h"
#include "titan/base/file_system.h"
#include "titan/components/checkpoint/dcp_state.h"
#include "titan/formats/torch_archive/crc32.h"

namespace titan::components {
namespace {

using formats::StoredTensor;

constexpr std::size_t kMostParts = 512;
constexpr std::uint64_t kPiece = 1 << 20;
/// What goes through the buffer at once. Up to so many elements ATen copies in the calling thread.
constexpr std::int64_t kBufferedElements = 32'768;
/// To a device, larger pieces are worth it.
constexpr std::int64_t kDeviceBytes = 4 << 20;
/// Rows up to this size are read whole where they are to be checked.
constexpr std::int64_t kShortRow = 64 << 10;
/// Parts of rows up to this size are read with what lies between them.
constexpr std::int64_t kShortRun = 4 << 10;

/// Whether elements with these sizes and strides lie one after the other in row-major order.
bool lie_in_order(at::IntArrayRef sizes, const std::vector<std::int64_t>& strides) {
  std::int64_t next = 1;
  for (std::size_t d = sizes.size(); d-- > 0;) {
    if (sizes[d] == 1) continue;
    if (strides[d] != next) return false;
    next *= sizes[d];
  }
  return true;
}

}  // namespace

void add_part(std::vector<ReadPart>& parts, const ReadPart& part) {
  if (!parts.empty() && parts.back().end == part.begin) {
    parts.back().crc = formats::join_crc32(parts.back().crc, part.crc, part.end - part.begin);
    parts.back().end = part.end;
  } else if (parts.size() < kMostParts) {
    parts.push_back(part);
  }
}

/// What stays the same from a box to its parts.
struct StoredBoxReader::Request {
  const base::ReadableFile& file;
  const StoredTensor& stored;
  at::ScalarType type;
  bool rows_in_order;  // the stored tensor is contiguous
  std::vector<ReadPart>* parts;

  /// Where in the storage an element is, in elements.
  std::int64_t position(const std::vector<std::int64_t>& offsets) const {
    std::int64_t at = stored.first;
    for (std::size_t d = 0; d < offsets.size(); ++d) at += offsets[d] * stored.strides[d];
    return at;
  }

  /// Reads elements of the storage from `first` on, as many as fit.
  void fetch(std::int64_t first, std::span<char> out) const {
    auto begin = static_cast<std::uint64_t>(first * stored.dtype.bytes);
    for (; !out.empty(); out = out.subspan(std::min<std::uint64_t>(kPiece, out.size()))) {
      const std::span<char> piece = out.first(std::min<std::uint64_t>(kPiece, out.size()));
      base::read_exactly(file, stored.storage_start + begin, piece);
      if (parts) add_part(*parts, {begin, begin + piece.size(), formats::crc32(piece)});
      begin += piece.size();
    }
  }
};

void StoredBoxReader::read(const base::ReadableFile& file, const StoredTensor& stored,
                           const std::vector<std::int64_t>& offsets, const at::Tensor& to,
                           std::vector<ReadPart>* parts) {
  TITAN_CHECK(offsets.size() == stored.sizes.size() && to.dim() == std::ssize(offsets),
              "a box of other dimensions than its tensor");
  for (std::size_t d = 0; d < offsets.size(); ++d) {
    TITAN_CHECK(offsets[d] >= 0 && offsets[d] + to.sizes()[d] <= stored.sizes[d],
                "a box that is not within its tensor");
  }
  const c10::NoGradGuard no_grad;
  const auto type = scalar_type_of(stored.dtype.name);
  TITAN_CHECK(type.has_value(), "no tensors of ", stored.dtype.name);
  if (to.numel() == 0) return;
  read_box({file, stored, *type, stored.is_contiguous(), parts}, offsets, to);
}

void StoredBoxReader::read_box(const Request& request, std::vector<std::int64_t> offsets,
                               const at::Tensor& to) {
  const StoredTensor& stored = request.stored;
  if (to.is_cpu() && to.scalar_type() == request.type && to.is_contiguous() &&
      lie_in_order(to.sizes(), stored.strides)) {
    return request.fetch(request.position(offsets),
                         {static_cast<char*>(to.mutable_data_ptr()), to.nbytes()});
  }
  // Along the dimension whose steps are widest.
  std::int64_t dim = -1;
  for (std::int64_t d = 0; d < to.dim(); ++d) {
    const auto stride_of = [&](std::int64_t i) {
      return stored.strides[static_cast<std::size_t>(i)];
    };
    if (to.size(d) > 1 && (dim < 0 || stride_of(d) > stride_of(dim))) dim = d;
  }
  if (dim < 0) return read_rows(request, offsets, to, 1);
  const auto at = static_cast<std::size_t>(dim);
  const std::int64_t count = to.size(dim);
  const std::int64_t row = std::max<std::int64_t>(stored.strides[at], 1);
  const std::int64_t needed = to.numel() / count;
  const std::int64_t most = to.is_cpu()
                                ? kBufferedElements
                                : kDeviceBytes / static_cast<std::int64_t>(stored.dtype.bytes);
  const bool short_rows = request.parts ? row * stored.dtype.bytes <= kShortRow
                                        : needed * stored.dtype.bytes < kShortRun;
  const bool whole_rows = short_rows || row <= 2 * needed;
  const std::int64_t at_once = whole_rows ? most / std::max(row, needed) : 0;
  const std::int64_t first = offsets[at];
  for (std::int64_t done = 0; done < count;) {
    const std::int64_t step = std::min(std::max<std::int64_t>(at_once, 1), count - done);
    offsets[at] = first + done;
    const at::Tensor part = to.narrow(dim, done, step);
    if (at_once > 0) {
      read_rows(request, offsets, part, row);
    } else {
      read_box(request, offsets, part);
    }
    done += step;
  }
}

/// Reads all that lies between the first and the last element of the box, whole rows where that is known
/// to be possible, and copies what is wanted.
void StoredBoxReader::read_rows(const Request& request, const std::vector<std::int64_t>& offsets,
                                const at::Tensor& to, std::int64_t row) {
  const StoredTensor& stored = request.stored;
  const std::int64_t first = request.position(offsets);
  std::int64_t last = first;
  for (std::size_t d = 0; d < offsets.size(); ++d) {
    last += (to.size(static_cast<std::int64_t>(d)) - 1) * stored.strides[d];
  }
  std::int64_t begin = first;
  std::int64_t end = last + 1;
  if (request.rows_in_order) {
    begin -= (first - stored.first) % row;
    end = std::min(begin + ((end - begin) + row - 1) / row * row,
                   stored.first + stored.element_count());
  }
  const auto bytes = static_cast<std::size_t>((end - begin) * stored.dtype.bytes);
  if (buffer_.size() < bytes) buffer_.resize(bytes);
  request.fetch(begin, {buffer_.data(), bytes});
  const at::Tensor from = at::from_blob(buffer_.data() + (first - begin) * stored.dtype.bytes,
                                        to.sizes(), stored.strides, at::dtype(request.type));
  to.copy_(from);
}

}  // namespace titan::components
