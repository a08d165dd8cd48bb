#include "kernels/matrix_product.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <cstdint>

#include "kernels/split_product.h"
#include "kernels/thread_room.h"

namespace titan::kernels {

using at::Tensor;

namespace {

/// How much of the right factor is packed at a time: a megabyte, half of a core's second cache.
constexpr std::int64_t kMostColumns = 512;
constexpr std::int64_t kMostElements = 175000;

std::int64_t steps_of(std::int64_t inner) { return (inner + kInnerStep - 1) / kInnerStep; }
std::int64_t panels_of(std::int64_t lines) { return (lines + kPanelLines - 1) / kPanelLines; }

Tensor with_a_unit_stride(const Tensor& x) {
  return x.stride(0) == 1 || x.stride(1) == 1 ? x : x.contiguous();
}

/// Of a matrix, what begins at this line and this inner place. Vectors have no strides of their own.
SplitOperand part_of(const Tensor& x, std::int64_t line, std::int64_t inner) {
  SplitOperand result;
  const bool by_lines = x.stride(1) == 1;
  result.line_stride = by_lines ? x.stride(0) : 1;
  result.inner_stride = by_lines ? 1 : x.stride(1);
  result.data = x.const_data_ptr<float>() + line * result.line_stride + inner * result.inner_stride;
  return result;
}

/// Lines `[first, first + lines)` and inner places `[inner, inner + inners)` of both factors.
struct Block {
  std::int64_t first = 0;
  std::int64_t lines = 0;
  std::int64_t inner = 0;
  std::int64_t inners = 0;
};

void pack_right(const Tensor& weight, const Block& block, std::uint8_t* to) {
  const std::int64_t bytes = panel_bytes(steps_of(block.inners));
  at::parallel_for(0, panels_of(block.lines), 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t panel = begin; panel < end; ++panel) {
      const std::int64_t line = panel * kPanelLines;
      pack_panel(Factor::kRight, part_of(weight, block.first + line, block.inner),
                 std::min(kPanelLines, block.lines - line), block.inners, to + panel * bytes);
    }
  });
}

/// Adds to the columns of the block, or sets them. Who has which rows and columns changes no sum.
void multiply_block(const Tensor& x, const std::uint8_t* right, const Block& block, Tensor& to,
                    bool adds) {
  const std::int64_t steps = steps_of(block.inners);
  const std::int64_t bytes = panel_bytes(steps);
  const std::int64_t row_panels = panels_of(x.size(0));
  const std::int64_t column_panels = panels_of(block.lines);
  // With few rows, several threads share a panel's columns.
  const std::int64_t parts =
      std::clamp<std::int64_t>(2 * at::get_num_threads() / row_panels, 1, column_panels);
  float* const out = to.data_ptr<float>();
  const std::int64_t stride = to.size(1);
  at::parallel_for(0, row_panels * parts, 1, [&](std::int64_t begin, std::int64_t end) {
    std::uint8_t* const left = thread_room(Room::kLeftFactor, bytes);
    const TileRegisters registers;
    std::int64_t packed = -1;
    for (std::int64_t task = begin; task < end; ++task) {
      const std::int64_t row = task / parts * kPanelLines;
      const std::int64_t rows = std::min(kPanelLines, x.size(0) - row);
      if (row != packed) {
        pack_panel(Factor::kLeft, part_of(x, row, block.inner), rows, block.inners, left);
        packed = row;
      }
      const std::int64_t part = task % parts;
      for (std::int64_t panel = part * column_panels / parts;
           panel < (part + 1) * column_panels / parts; ++panel) {
        const std::int64_t column = panel * kPanelLines;
        multiply_panels(left, right + panel * bytes, steps, rows,
                        std::min(kPanelLines, block.lines - column),
                        out + row * stride + block.first + column, stride, adds);
      }
    }
  });
}

}  // namespace

void multiply_split(const Tensor& given_x, const Tensor& given_weight, Tensor& to, bool adds) {
  const Tensor x = with_a_unit_stride(given_x);
  const Tensor weight = with_a_unit_stride(given_weight);
  const std::int64_t columns = weight.size(0);
  const std::int64_t inner = x.size(1);
  const std::int64_t columns_at_once = std::min(kMostColumns, panels_of(columns) * kPanelLines);
  const std::int64_t inner_at_once =
      std::min(kMostElements / columns_at_once / kInnerStep, steps_of(inner)) * kInnerStep;
  std::uint8_t* const right = thread_room(
      Room::kRightFactor, panels_of(columns_at_once) * panel_bytes(steps_of(inner_at_once)));
  for (std::int64_t first = 0; first < columns; first += columns_at_once) {
    for (std::int64_t k = 0; k < inner; k += inner_at_once) {
      const Block block = {first, std::min(columns_at_once, columns - first), k,
                           std::min(inner_at_once, inner - k)};
      pack_right(weight, block, right);
      multiply_block(x, right, block, to, adds || k > 0);
    }
  }
}

}  // namespace titan::kernels
