#include "components/quantization/mx_operators.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/constant_pad_nd.h>
#include <ATen/ops/searchsorted.h>
#include <ATen/ops/zeros.h>
#include <torch/library.h>

namespace titan::components {

namespace {

using TwoTensors = std::tuple<at::Tensor, at::Tensor>;

TwoTensors cast_anywhere(const at::Tensor& matrix, std::int64_t scaling) {
  const MXTensor rounded = to_mx(matrix.contiguous(), static_cast<MXScaling>(scaling));
  return {rounded.values, swizzled(rounded.exponents).view(at::kFloat8_e8m0fnu)};
}

std::int64_t tiles_of(std::int64_t count, std::int64_t of_tile) {
  return (count + of_tile - 1) / of_tile;
}

at::Tensor lengths_of(const at::Tensor& ends) {
  return ends - at::constant_pad_nd(ends.narrow(0, 0, ends.size(0) - 1), {1, 0});
}

/// Where the scales of a matrix in groups are, int64 `[rows, blocks]`; -1: nowhere.
at::Tensor places_of_scales(std::int64_t rows, std::int64_t blocks, const at::Tensor& ends,
                            const at::Tensor& tiles_before, bool of_rows) {
  const at::TensorOptions numbers = tiles_before.options();
  const at::Tensor ends_of_groups =
      of_rows ? ends.to(at::kLong) : ends.to(at::kLong).floor_divide(kMXBlock);
  const at::Tensor along = at::arange(of_rows ? rows : blocks, numbers);
  const at::Tensor found =
      at::searchsorted(ends_of_groups, along, /*out_int32=*/false, /*right=*/true);
  const at::Tensor group = found.clamp_max(ends.size(0) - 1);
  const at::Tensor lengths = lengths_of(ends_of_groups);
  const at::Tensor in_group = along - (ends_of_groups - lengths).index_select(0, group);
  const at::Tensor before = tiles_before.index_select(0, group);
  const at::Tensor row = (of_rows ? in_group : at::arange(rows, numbers)).unsqueeze(1);
  const at::Tensor block = (of_rows ? at::arange(blocks, numbers) : in_group).unsqueeze(0);
  const at::Tensor tile_row = row.floor_divide(128);
  const at::Tensor tile_column = block.floor_divide(4);
  const at::Tensor tile =
      of_rows ? (before.unsqueeze(1) + tile_row) * tiles_of(blocks, 4) + tile_column
              : before * tiles_of(rows, 128) +
                    tile_row * (lengths.index_select(0, group) + 3).floor_divide(4) + tile_column;
  const at::Tensor place = tile * 512 + row.remainder(32) * 16 +
                           row.remainder(128).floor_divide(32) * 4 + block.remainder(4);
  return place.masked_fill((found == ends.size(0)).unsqueeze(of_rows ? 1 : 0), -1);
}

TwoTensors cast_by_group_anywhere(const at::Tensor& matrix, const at::Tensor& ends,
                                  const at::Tensor& tiles_before, std::int64_t scaling,
                                  bool of_rows, at::IntArrayRef sizes_of_scales) {
  const MXTensor rounded = to_mx(matrix.contiguous(), static_cast<MXScaling>(scaling));
  const at::Tensor& exponents = rounded.exponents;
  const at::Tensor scales = at::zeros(sizes_of_scales, exponents.options());
  const at::Tensor places =
      places_of_scales(exponents.size(0), exponents.size(1), ends, tiles_before, of_rows);
  const at::Tensor there = places >= 0;
  scales.view(-1).index_copy_(0, places.masked_select(there), exponents.masked_select(there));
  return {rounded.values, scales.view(at::kFloat8_e8m0fnu)};
}

TORCH_LIBRARY_FRAGMENT(titan, library) {
  library.def("cast_to_mx(Tensor matrix, int scaling) -> (Tensor, Tensor)");
  library.impl("cast_to_mx", c10::DispatchKey::CompositeExplicitAutograd, TORCH_FN(cast_anywhere));
  library.def(
      "cast_to_mx_by_group(Tensor matrix, Tensor ends, Tensor tiles_before, int scaling, bool "
      "of_rows, int[] sizes_of_scales) -> (Tensor, Tensor)");
  library.impl("cast_to_mx_by_group", c10::DispatchKey::CompositeExplicitAutograd,
               TORCH_FN(cast_by_group_anywhere));
}

}  // namespace

at::Tensor swizzled(const at::Tensor& exponents) {
  const std::int64_t rows = (exponents.size(0) + 127) / 128;
  const std::int64_t columns = (exponents.size(1) + 3) / 4;
  return at::constant_pad_nd(
             exponents, {0, columns * 4 - exponents.size(1), 0, rows * 128 - exponents.size(0)})
      .view({rows, 4, 32, columns, 4})
      .permute({0, 3, 2, 1, 4})
      .flatten();
}

TwoTensors cast_to_mx(const at::Tensor& matrix, MXScaling scaling) {
  static const auto operation = c10::Dispatcher::singleton()
                                    .findSchemaOrThrow("titan::cast_to_mx", "")
                                    .typed<TwoTensors(const at::Tensor&, std::int64_t)>();
  return operation.call(matrix, static_cast<std::int64_t>(scaling));
}

TwoTensors cast_to_mx_by_group(const at::Tensor& matrix, const at::Tensor& ends, MXGroups groups,
                               MXScaling scaling) {
  static const auto operation =
      c10::Dispatcher::singleton()
          .findSchemaOrThrow("titan::cast_to_mx_by_group", "")
          .typed<TwoTensors(const at::Tensor&, const at::Tensor&, const at::Tensor&, std::int64_t,
                            bool, at::IntArrayRef)>();
  const bool of_rows = groups == MXGroups::kRows;
  const std::int64_t count = ends.size(0);
  const std::int64_t of_tile = of_rows ? 128 : 4 * kMXBlock;
  const at::Tensor tiles = (lengths_of(ends.to(at::kLong)) + (of_tile - 1)).floor_divide(of_tile);
  const std::int64_t blocks = matrix.size(1) / kMXBlock;
  // Of all groups but one a tile may have one row, or block, only.
  const std::int64_t tile_rows =
      of_rows ? (matrix.size(0) + 127 * count) / 128 : tiles_of(matrix.size(0), 128);
  const std::int64_t tile_columns = of_rows ? tiles_of(blocks, 4) : (blocks + 3 * count) / 4;
  return operation.call(matrix, ends, tiles.cumsum(0) - tiles, static_cast<std::int64_t>(scaling),
                        of_rows, {tile_rows * 128, tile_columns * 4});
}

}  // namespace titan::components
