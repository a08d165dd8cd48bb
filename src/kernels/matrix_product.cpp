#include "kernels/matrix_product.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <cstdint>
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

/// Panels `[first, first + panels)` of the right factors and inner places `[inner, inner + inners)` of both.
struct Block {
  std::int64_t first = 0;
  std::int64_t panels = 0;
  std::int64_t inner = 0;
  std::int64_t inners = 0;
};

class Product {
 public:
  Product(at::TensorList x, at::TensorList weights, at::TensorList to) : left_(x), right_(weights) {
    TITAN_CHECK(to.size() == x.size() * weights.size(), "products of ", x.size(), " by ",
                weights.size(), " matrices have ", to.size(), " places");
    for (const Tensor& tensor : to) {
      TITAN_CHECK(tensor.stride(1) == 1, "columns of a product are ", tensor.stride(1), " apart");
      places_.push_back({tensor.data_ptr<float>(), tensor.stride(0)});
    }
  }

  void compute(bool adds) {
    const std::int64_t inner = left_.tensors.at(0).size(1);
    const std::int64_t panels = std::min(kMostPanels, right_.count());
    // Where the left factor lies by lines, it is read best in long pieces; where not, what is packed of the right one
    // is used best while it is fresh.
    const std::int64_t blocks =
        lies_by_lines(left_.tensors.at(0)) ? std::max<std::int64_t>(1, kMostPanels / panels) : 1;
    right_panels_ = reinterpret_cast<Panel*>(
        thread_room(Room::kRightFactor, panels * std::min(blocks, up(inner, kInnerBlock)) *
                                            static_cast<std::int64_t>(sizeof(Panel))));
    for (std::int64_t first = 0; first < right_.count(); first += panels) {
      for (std::int64_t k = 0; k < inner; k += blocks * kInnerBlock) {
        const Block block = {first, std::min(panels, right_.count() - first), k,
                             std::min(blocks * kInnerBlock, inner - k)};
        pack_right(block);
        multiply(block, adds);
      }
    }
  }

 private:
  Panel& right_panel(const Block& block, std::int64_t k, std::int64_t panel) {
    return right_panels_[k / kInnerBlock * block.panels + panel];
  }

  void pack_right(const Block& block) {
    const std::int64_t all = up(block.inners, kInnerBlock) * block.panels;
    at::parallel_for(0, all, 1, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t task = begin; task < end; ++task) {
        const std::int64_t panel = task % block.panels;
        const std::int64_t k = task / block.panels * kInnerBlock;
        const Lines& lines = right_.panels[block.first + panel];
        pack_panel(Factor::kRight, lines.at(block.inner + k), lines.count,
                   std::min(kInnerBlock, block.inners - k), right_panel(block, k, panel));
      }
    });
  }

  /// Adds to the columns of the block, or sets them. Who has which rows and columns changes no sum.
  void multiply(const Block& block, bool adds) {
    // With few rows, several threads share a panel's columns; each packs the rows.
    const std::int64_t parts =
        std::clamp<std::int64_t>(2 * (at::get_num_threads() - 1) / left_.count(), 1, block.panels);
    at::parallel_for(0, left_.count() * parts, 1, [&](std::int64_t begin, std::int64_t end) {
      auto& left = *reinterpret_cast<Panel*>(
          thread_room(Room::kLeftFactor, static_cast<std::int64_t>(sizeof(Panel))));
      const TileRegisters registers;
      for (std::int64_t task = begin; task < end; ++task) {
        const Lines& rows = left_.panels[task / parts];
        const std::int64_t part = task % parts;
        const std::int64_t from = part * block.panels / parts;
        const std::int64_t to = (part + 1) * block.panels / parts;
        for (std::int64_t k = 0; k < block.inners; k += kInnerBlock) {
          const std::int64_t inner = std::min(kInnerBlock, block.inners - k);
          pack_panel(Factor::kLeft, rows.at(block.inner + k), rows.count, inner, left);
          for (std::int64_t panel = from; panel < to; ++panel) {
            multiply_panel(left, rows, right_panel(block, k, panel),
                           right_.panels[block.first + panel], block.inner + k, inner, adds);
          }
        }
      }
    });
  }

  void multiply_panel(const Panel& left, const Lines& rows, const Panel& right,
                      const Lines& columns, std::int64_t k, std::int64_t inner, bool adds) const {
    const Place& to = places_[rows.factor * right_.tensors.size() + columns.factor];
    float* const c = to.data + rows.first * to.stride + columns.first;
    multiply_panels(left, right, inner, rows.count, columns.count, c, to.stride, adds || k > 0);
    if ((left.broken | right.broken) != 0) {
      add_broken(left, right, rows.at(k), columns.at(k), inner, rows.count, columns.count, c,
                 to.stride);
    }
  }

  struct Place {
    float* data;
    std::int64_t stride;  // of rows
  };

  Factors left_;
  Factors right_;
  std::vector<Place> places_;
  Panel* right_panels_ = nullptr;
};

}  // namespace

void multiply_split(at::TensorList x, at::TensorList weights, at::TensorList to, bool adds) {
  Product(x, weights, to).compute(adds);
}

}  // namespace titan::kernels
