// What linear layers and experts in low precision compute, for comparison with PyTorch.
//
//   quantized_products IN OUT
//
// IN: cases, each a line "RECIPE DTYPE M K N" and the bytes of x [M, K], W [N, K] and dy [M, N]; OUT: of each the bytes of
// y, dx and dW. RECIPE: tensorwise, rowwise, rowwise_with_gw_hp, blockwise, floor or rceil; or, with as many groups and their
// numbers of rows in the line ("... N GROUPS ROWS ROWS ..."), grouped_float8 or grouped_mx: W is [GROUPS, N, K] then, and y is in bfloat16.
// DTYPE: float32 or bfloat16.

#include <ATen/ops/empty.h>
#include <ATen/ops/tensor.h>

#include <array>
#include <fstream>
#include <iostream>
#include <map>
#include <string>
#include <vector>

#include "titan/components/quantization/float8_linear.h"
#include "titan/components/quantization/grouped_products.h"
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
    const bool is_grouped = recipe.starts_with("grouped_");
    const at::Tensor counts = is_grouped ? read_counts(in) : at::Tensor();
    in.get();  // the end of the line
    const at::ScalarType type = dtype == "bfloat16" ? at::kBFloat16 : at::kFloat;
    const at::Tensor x = read(in, {m, k}, type).requires_grad_();
    const auto sizes = is_grouped ? std::vector<std::int64_t>{counts.numel(), n, k}
                                  : std::vector<std::int64_t>{n, k};
    const at::Tensor weight = read(in, sizes, type).requires_grad_();
    const at::Tensor gradient = read(in, {m, n}, is_grouped ? at::kBFloat16 : type);
    const at::Tensor y =
        is_grouped ? grouped(recipe, x, weight, counts) : product(recipe, x, weight);
    y.backward(gradient);
    for (const at::Tensor& result : {y.detach(), x.grad(), weight.grad()}) write(out, result);
  }
  return out.flush() ? 0 : 1;
}
