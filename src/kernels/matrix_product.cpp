#include "kernels/matrix_product.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <cstdint>
#include <utility>
#include <vector>

#include "kernels/split_product.h"
#include "kernels/thread_room.h"
#include "titan/base/errors.h"

namespace titan::kernels {

using at::Tensor;

namespace {

/// How much of the right factor is packed at a time: a megabyte, half of a core's second cache.
constexpr std::int64_t kMostPanels = 42;

std::int64_t up(std::int64_t count, std::int64_t of) { return (count + of - 1) / of; }

Tensor with_a_unit_stride(const Tensor& x) {
  return x.stride(0) == 1 || x.stride(1) == 1 ? x : x.contiguous();
}

bool lies_by_lines(const Tensor& x) { return x.stride(1) == 1; }

/// Lines of one factor that become a panel.
struct Lines {
  SplitOperand whole;
  std::size_t factor = 0;  // which of them
  std::int64_t first = 0;
  std::int64_t count = 0;

  /// Of those lines, what begins at this inner place.
  SplitOperand at(std::int64_t inner) const {
    SplitOperand part = whole;
    part.data += first * part.line_stride + inner * part.inner_stride;
    return part;
  }
};

/// Factors, and their lines panel by panel.
struct Factors {
  std::vector<Tensor> tensors;
  std::vector<Lines> panels;

  explicit Factors(at::TensorList given) {
    for (const Tensor& tensor : given) add(with_a_unit_stride(tensor));
  }

  void add(const Tensor& x) {
    SplitOperand whole;
    whole.data = x.const_data_ptr<float>();
    // Vectors have no strides of their own.
    whole.line_stride = lies_by_lines(x) ? x.stride(0) : 1;
    whole.inner_stride = lies_by_lines(x) ? 1 : x.stride(1);
    const std::size_t factor = tensors.size();
    for (std::int64_t first = 0; first < x.size(0); first += kPanelLines) {
      panels.push_back({whole, factor, first, std::min(kPanelLines, x.size(0) - first)});
    }
    tensors.push_back(x);
  }

  std::int64_t count() const { return static_cast<std::int64_t>(panels.size()); }
};

/// Adds what lines with infinities and the like make with those of the other panel.
void add_broken(const Panel& left, const Panel& right, const SplitOperand& x,
                const SplitOperand& weight, std::int64_t inner, std::int64_t rows,
                std::int64_t columns, float* c, std::int64_t ldc) {
  for (std::int64_t i = 0; i < rows; ++i) {
    for (std::int64_t j = 0; j < columns; ++j) {
      if (((left.broken >> i | right.broken >> j) & 1U) == 0) continue;
      for (std::int64_t k = 0; k < inner; ++k) {
        c[i * ldc + j] += x.data[i * x.line_stride + k * x.inner_stride] *
                          weight.data[j * weight.line_stride + k * weight.inner_stride];
      }
    }
  }
}

/// Factors that are as deep; the sum runs along all parts.
struct Part {
  Factors left;
  Factors right;

  Part(at::TensorList x, at::TensorList weights) : left(x), right(weights) {}
  std::int64_t inner() const { return left.tensors.at(0).size(1); }
};

/// Inner places that are packed together.
struct Piece {
  const Part* part = nullptr;
  std::int64_t first = 0;
  std::int64_t count = 0;
};

/// Panels `[first, first + panels)` of the right factors and some pieces of the inner dimension.
struct Block {
  std::int64_t first = 0;
  std::int64_t panels = 0;
  std::int64_t piece = 0;
  std::int64_t pieces = 0;
};

class Product {
 public:
  Product(std::vector<Part> parts, at::TensorList to) : parts_(std::move(parts)) {
    const Part& some = parts_.at(0);
    TITAN_CHECK(to.size() == some.left.tensors.size() * some.right.tensors.size(), "products of ",
                some.left.tensors.size(), " by ", some.right.tensors.size(), " matrices have ",
                to.size(), " places");
    for (const Tensor& tensor : to) {
      TITAN_CHECK(tensor.stride(1) == 1, "columns of a product are ", tensor.stride(1), " apart");
      places_.push_back({tensor.data_ptr<float>(), tensor.stride(0)});
    }
    for (const Part& part : parts_) {
      for (std::int64_t k = 0; k < part.inner(); k += kInnerBlock) {
        pieces_.push_back({&part, k, std::min(kInnerBlock, part.inner() - k)});
      }
    }
    rows_ = some.left.count();
    columns_ = some.right.count();
  }

  void compute(bool adds) {
    const std::int64_t panels = std::min(kMostPanels, columns_);
    const auto all = static_cast<std::int64_t>(pieces_.size());
    // Where the left factor lies by lines, it is read best in long pieces; where not, what is packed of the right one
    // is used best while it is fresh.
    const bool in_long_pieces = lies_by_lines(parts_.at(0).left.tensors.at(0));
    const std::int64_t most = in_long_pieces ? std::max<std::int64_t>(1, kMostPanels / panels) : 1;
    const std::int64_t pieces = up(all, up(all, most));
    right_panels_ = reinterpret_cast<Panel*>(thread_room(
        Room::kRightFactor, panels * pieces * static_cast<std::int64_t>(sizeof(Panel))));
    for (std::int64_t first = 0; first < columns_; first += panels) {
      for (std::int64_t piece = 0; piece < all; piece += pieces) {
        const Block block = {first, std::min(panels, columns_ - first), piece,
                             std::min(pieces, all - piece)};
        pack_right(block);
        multiply(block, adds);
      }
    }
  }

 private:
  const Piece& piece_of(const Block& block, std::int64_t place) const {
    return pieces_[static_cast<std::size_t>(block.piece + place)];
  }
  const Lines& left_lines(const Piece& piece, std::int64_t panel) const {
    return piece.part->left.panels[static_cast<std::size_t>(panel)];
  }
  const Lines& right_lines(const Piece& piece, std::int64_t panel) const {
    return piece.part->right.panels[static_cast<std::size_t>(panel)];
  }

  void pack_right(const Block& block) {
    at::parallel_for(0, block.pieces * block.panels, 1, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t task = begin; task < end; ++task) {
        const Piece& piece = piece_of(block, task / block.panels);
        const Lines& lines = right_lines(piece, block.first + task % block.panels);
        pack_panel(Factor::kRight, lines.at(piece.first), lines.count, piece.count,
                   right_panels_[task]);
      }
    });
  }

  /// Adds to the columns of the block, or sets them. Who has which rows and columns changes no sum.
  void multiply(const Block& block, bool adds) {
    // With few rows, several threads share a panel's columns; each packs the rows.
    const std::int64_t parts =
        std::clamp<std::int64_t>(2 * (at::get_num_threads() - 1) / rows_, 1, block.panels);
    at::parallel_for(0, rows_ * parts, 1, [&](std::int64_t begin, std::int64_t end) {
      auto& left = *reinterpret_cast<Panel*>(
          thread_room(Room::kLeftFactor, static_cast<std::int64_t>(sizeof(Panel))));
      const TileRegisters registers;
      for (std::int64_t task = begin; task < end; ++task) {
        const std::int64_t part = task % parts;
        const std::int64_t from = part * block.panels / parts;
        const std::int64_t to = (part + 1) * block.panels / parts;
        for (std::int64_t k = 0; k < block.pieces; ++k) {
          const Piece& piece = piece_of(block, k);
          const Lines& rows = left_lines(piece, task / parts);
          pack_panel(Factor::kLeft, rows.at(piece.first), rows.count, piece.count, left);
          for (std::int64_t panel = from; panel < to; ++panel) {
            multiply_panel(left, rows, right_panels_[k * block.panels + panel],
                           right_lines(piece, block.first + panel), piece,
                           adds || block.piece + k > 0);
          }
        }
      }
    });
  }

  void multiply_panel(const Panel& left, const Lines& rows, const Panel& right,
                      const Lines& columns, const Piece& piece, bool adds) const {
    const Place& to = places_[rows.factor * piece.part->right.tensors.size() + columns.factor];
    float* const c = to.data + rows.first * to.stride + columns.first;
    multiply_panels(left, right, piece.count, rows.count, columns.count, c, to.stride, adds);
    if ((left.broken | right.broken) != 0) {
      add_broken(left, right, rows.at(piece.first), columns.at(piece.first), piece.count,
                 rows.count, columns.count, c, to.stride);
    }
  }

  struct Place {
    float* data;
    std::int64_t stride;  // of rows
  };

  std::vector<Part> parts_;
  std::vector<Piece> pieces_;
  std::int64_t rows_ = 0;     // panels of each part's left factors
  std::int64_t columns_ = 0;  // and of its right ones
  std::vector<Place> places_;
  Panel* right_panels_ = nullptr;
};

}  // namespace

void multiply_split(at::TensorList x, at::TensorList weights, at::TensorList to, bool adds) {
  Product({Part(x, weights)}, to).compute(adds);
}

void multiply_split_sum(at::TensorList x, at::TensorList weights, const Tensor& to) {
  std::vector<Part> parts;
  for (std::size_t i = 0; i < x.size(); ++i) parts.emplace_back(x[i], weights[i]);
  Product(std::move(parts), to).compute(/*adds=*/false);
}

}  // namespace titan::kernels
