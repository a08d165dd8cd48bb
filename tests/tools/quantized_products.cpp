// What linear layers and experts in low precision compute, for comparison with PyTorch.
//
//   quantized_products IN OUT
//
// IN: cases, each a line "RECIPE DTYPE M K N" and the bytes of x [M, K], W [N, K], dy [M, N] and b [N]; OUT: of each the bytes of
// y = x Wᵀ + b, dx, dW and db. RECIPE: tensorwise, rowwise, rowwise_with_gw_hp, blockwise, floor or rceil; or, with as many groups and their
// numbers of rows in the line ("... N GROUPS ROWS ROWS ..."), grouped_float8 or grouped_mx: W is [GROUPS, N, K] then, y is in bfloat16, and there is no
// b; or scales_by_group: of each how many bytes, int64, and the scales, as a GPU is given them for grouped products in MXFP8, of x, of W, and, behind
// the transposed matrix, of x.
// DTYPE: float32 or bfloat16.

#include <ATen/ops/arange.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/scalar_tensor.h>
#include <ATen/ops/tensor.h>

#include <array>
#include <fstream>
#include <iostream>
#include <map>
#include <string>
#include <vector>

#include "components/quantization/aligned_groups.h"
#include "components/quantization/mx_operators.h"
#include "titan/components/quantization/float8_linear.h"
#include "titan/components/quantization/grouped_products.h"
#include "titan/components/quantization/linear_bias.h"
#include "titan/components/quantization/mx_linear.h"

namespace {

using namespace titan;
using components::MXScaling;
using config::Float8Recipe;

at::Tensor product(const std::string& recipe, const at::Tensor& x, const at::Tensor& weight) {
  static const std::map<std::string, Float8Recipe> float8 = {
      {"tensorwise", Float8Recipe::kTensorwise},
      {"rowwise", Float8Recipe::kRowwise},
      {"rowwise_with_gw_hp", Float8Recipe::kRowwiseWithGwHp},
      {"blockwise", Float8Recipe::kBlockwise}};
  if (const auto found = float8.find(recipe); found != float8.end()) {
    return components::float8_linear(x, weight, {found->second});
  }
  return components::mx_linear(x, weight,
                               recipe == "floor" ? MXScaling::kFloor : MXScaling::kRceil);
}

at::Tensor grouped(const std::string& recipe, const at::Tensor& rows, const at::Tensor& weights,
                   const at::Tensor& counts) {
  if (recipe == "grouped_mx") return components::mx_grouped_product(rows, weights, counts);
  return components::float8_grouped_product(rows, weights, counts,
                                            components::Float8Products::kEmulated);
}

at::Tensor read(std::istream& in, at::IntArrayRef sizes, at::ScalarType type) {
  at::Tensor result = at::empty(sizes, type);
  in.read(static_cast<char*>(result.data_ptr()), static_cast<std::streamsize>(result.nbytes()));
  return result;
}

/// The end of a line of experts.
at::Tensor read_counts(std::istream& in) {
  std::int64_t groups = 0;
  in >> groups;
  std::vector<std::int64_t> counts(static_cast<std::size_t>(groups));
  for (std::int64_t& count : counts) in >> count;
  return at::tensor(counts, at::kLong);
}

void write(std::ostream& out, const at::Tensor& tensor);

void write_scales_by_group(std::ostream& out, const at::Tensor& rows, const at::Tensor& weights,
                           const at::Tensor& counts) {
  using components::MXGroups;
  const components::AlignedGroups groups(counts, rows.size(0), components::kMXBlock, at::kCPU);
  const at::Tensor aligned = groups.aligned(rows);
  const std::int64_t size = weights.size(1);
  const at::Tensor ends =
      at::arange(size, size * weights.size(0) + 1, size, groups.ends().options());
  const auto write_scales = [&out](const at::Tensor& matrix, const at::Tensor& of_groups,
                                   MXGroups kind) {
    const at::Tensor scales =
        std::get<1>(components::cast_to_mx_by_group(matrix, of_groups, kind, MXScaling::kRceil));
    write(out, at::scalar_tensor(scales.numel(), at::kLong));
    write(out, scales.view(at::kByte));
  };
  write_scales(aligned, groups.ends(), MXGroups::kRows);
  write_scales(weights.reshape({-1, weights.size(2)}), ends, MXGroups::kRows);
  write_scales(aligned.t(), groups.ends(), MXGroups::kColumns);
}

void write(std::ostream& out, const at::Tensor& tensor) {
  const at::Tensor row_major = tensor.contiguous();
  out.write(static_cast<const char*>(row_major.const_data_ptr()),
            static_cast<std::streamsize>(row_major.nbytes()));
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) {
    std::cerr << "usage: quantized_products IN OUT\n";
    return 2;
  }
  std::ifstream in(argv[1], std::ios::binary);
  std::ofstream out(argv[2], std::ios::binary);
  std::string recipe;
  std::string dtype;
  std::int64_t m = 0;
  std::int64_t k = 0;
  std::int64_t n = 0;
  while (in >> recipe >> dtype >> m >> k >> n) {
    const bool is_layout = recipe == "scales_by_group";
    const bool is_grouped = is_layout || recipe.starts_with("grouped_");
    const at::Tensor counts = is_grouped ? read_counts(in) : at::Tensor();
    in.get();  // the end of the line
    const at::ScalarType type = dtype == "bfloat16" ? at::kBFloat16 : at::kFloat;
    const at::Tensor x = read(in, {m, k}, type).requires_grad_();
    const auto sizes = is_grouped ? std::vector<std::int64_t>{counts.numel(), n, k}
                                  : std::vector<std::int64_t>{n, k};
    const at::Tensor weight = read(in, sizes, type).requires_grad_();
    const at::Tensor gradient = read(in, {m, n}, is_grouped ? at::kBFloat16 : type);
    if (is_layout) {
      write_scales_by_group(out, x.detach(), weight.detach(), counts);
      continue;
    }
    const at::Tensor bias = is_grouped ? at::Tensor() : read(in, {n}, type).requires_grad_();
    const at::Tensor y = is_grouped ? grouped(recipe, x, weight, counts)
                                    : components::with_bias(product(recipe, x, weight), bias);
    y.backward(gradient);
    for (const at::Tensor& result : {y.detach(), x.grad(), weight.grad()}) write(out, result);
    if (bias.defined()) write(out, bias.grad());
  }
  return out.flush() ? 0 : 1;
}
