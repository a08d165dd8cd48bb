#include "components/weights/read_box.h"

#include <ATen/ops/as_strided.h>
#include <ATen/ops/empty.h>
#include <c10/core/GradMode.h>

#include <algorithm>

#include "titan/base/errors.h"

namespace titan::components {
namespace {

constexpr std::int64_t kBufferBytes = 8 << 20;
/// Runs at least this long are read one by one; of shorter ones many at once with what lies in between.
constexpr std::int64_t kLongRunBytes = 4096;

std::span<char> bytes_of(const at::Tensor& tensor) {
  return {static_cast<char*>(tensor.mutable_data_ptr()), tensor.nbytes()};
}

/// Part of a matrix: `count` columns from `first` on of `rows` rows, which are `width` elements apart.
struct Columns {
  std::int64_t start;  // element at which the first row begins
  std::int64_t rows;
  std::int64_t width;
  std::int64_t first;
  std::int64_t count;
};

class BoxReader {
 public:
  BoxReader(at::ScalarType stored, const ReadBytes& read)
      : type_(stored),
        element_bytes_(static_cast<std::int64_t>(c10::elementSize(stored))),
        read_(read) {}

  /// `out`: one dimension.
  void read_columns(const Columns& from, const at::Tensor& out) {
    const std::int64_t run_bytes = from.count * element_bytes_;
    const std::int64_t row_bytes = from.width * element_bytes_;
    const bool wants_little = from.count < from.width / 2;
    if (from.rows == 1 || row_bytes > kBufferBytes ||
        (run_bytes >= kLongRunBytes && wants_little)) {
      for (std::int64_t row = 0; row < from.rows; ++row) {
        read_run(from.start + row * from.width + from.first,
                 out.narrow(0, row * from.count, from.count));
      }
    } else {
      read_with_gaps(from, out);
    }
  }

 private:
  void read_run(std::int64_t first, const at::Tensor& out) {
    if (out.scalar_type() == type_) return read_elements(first, out);
    const std::int64_t piece = kBufferBytes / element_bytes_;
    for (std::int64_t done = 0; done < out.size(0); done += piece) {
      const at::Tensor part = out.narrow(0, done, std::min(piece, out.size(0) - done));
      const at::Tensor raw = buffer(part.size(0));
      read_elements(first + done, raw);
      part.copy_(raw);
    }
  }

  void read_with_gaps(const Columns& from, const at::Tensor& out) {
    const std::int64_t group =
        std::max<std::int64_t>(kBufferBytes / (from.width * element_bytes_), 1);
    for (std::int64_t row = 0; row < from.rows; row += group) {
      const std::int64_t rows = std::min(group, from.rows - row);
      const at::Tensor raw = buffer((rows - 1) * from.width + from.count);
      read_elements(from.start + row * from.width + from.first, raw);
      out.narrow(0, row * from.count, rows * from.count)
          .view({rows, from.count})
          .copy_(at::as_strided(raw, {rows, from.count}, {from.width, 1}));
    }
  }

  void read_elements(std::int64_t first, const at::Tensor& out) const {
    read_(static_cast<std::uint64_t>(first * element_bytes_), bytes_of(out));
  }

  at::Tensor buffer(std::int64_t elements) {
    if (!buffer_.defined() || buffer_.size(0) < elements) buffer_ = at::empty({elements}, type_);
    return buffer_.narrow(0, 0, elements);
  }

  at::ScalarType type_;
  std::int64_t element_bytes_;
  const ReadBytes& read_;
  at::Tensor buffer_;
};

void check_box(const WeightInfo& stored, const std::vector<std::int64_t>& offsets,
               const at::Tensor& box) {
  TITAN_CHECK(box.device().is_cpu() && box.is_contiguous(), "a box of '", stored.name,
              "' is filled on the CPU, and contiguous");
  TITAN_CHECK(offsets.size() == stored.sizes.size() && box.dim() == std::ssize(stored.sizes),
              "a box of '", stored.name, "' with other dimensions");
  for (std::size_t i = 0; i < offsets.size(); ++i) {
    TITAN_CHECK(
        offsets[i] >= 0 && offsets[i] + box.size(static_cast<std::int64_t>(i)) <= stored.sizes[i],
        "a box of '", stored.name, "' that is not within it");
  }
}

}  // namespace

void read_box(const WeightInfo& stored, const std::vector<std::int64_t>& offsets,
              const at::Tensor& box, const ReadBytes& read) {
  check_box(stored, offsets, box);
  if (box.numel() == 0) return;
  const c10::NoGradGuard no_grad;
  BoxReader reader(stored.dtype, read);
  const at::Tensor out = box.detach().view({-1});
  const std::vector<std::int64_t>& sizes = stored.sizes;

  // Behind the last dimension of which only a part is wanted, everything is: one run of elements.
  std::size_t last = 0;
  for (std::size_t i = 0; i < sizes.size(); ++i) {
    if (box.sizes()[i] != sizes[i]) last = i;
  }
  std::int64_t inner = 1;
  for (std::size_t i = last + 1; i < sizes.size(); ++i) inner *= sizes[i];
  Columns columns{0, 1, inner, 0, inner};
  if (!sizes.empty()) {
    columns = {0, last == 0 ? 1 : box.sizes()[last - 1], sizes[last] * inner, offsets[last] * inner,
               box.sizes()[last] * inner};
  }

  // The dimensions in front of the matrix's rows are counted through like the digits of a number.
  const std::size_t outer = last == 0 ? 0 : last - 1;
  std::vector<std::int64_t> index(outer, 0);
  const std::int64_t per_matrix = columns.rows * columns.count;
  for (std::int64_t done = 0; done < out.size(0); done += per_matrix) {
    std::int64_t row = 0;
    for (std::size_t i = 0; i < outer; ++i) row = row * sizes[i] + offsets[i] + index[i];
    if (last > 0) row = row * sizes[last - 1] + offsets[last - 1];
    columns.start = row * columns.width;
    reader.read_columns(columns, out.narrow(0, done, per_matrix));
    for (std::size_t i = outer; i-- > 0;) {
      if (++index[i] < box.sizes()[i]) break;
      index[i] = 0;
    }
  }
}

}  // namespace titan::components
