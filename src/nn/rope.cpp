#include "titan/nn/rope.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/ones_like.h>
#include <ATen/ops/outer.h>
#include <ATen/ops/polar.h>
#include <ATen/ops/pow.h>
#include <ATen/ops/view_as_complex.h>
#include <ATen/ops/view_as_real.h>
#include <ATen/ops/where.h>

#include <numbers>

namespace titan::nn {

namespace {

/// Long wavelengths are divided by the scaling factor, short ones kept, those in between blended.
at::Tensor scale_frequencies(at::Tensor freqs, const RopeScaling& scaling) {
  const auto original = static_cast<double>(scaling.original_max_position_embeddings);
  const double low_wavelength = original / scaling.low_freq_factor;
  const double high_wavelength = original / scaling.high_freq_factor;
  const at::Tensor wavelength = 2 * std::numbers::pi / freqs;
  freqs = at::where(wavelength > low_wavelength, freqs / scaling.scaling_factor, freqs);
  const at::Tensor smooth = (original / wavelength - scaling.low_freq_factor) /
                            (scaling.high_freq_factor - scaling.low_freq_factor);
  const at::Tensor blended = (1 - smooth) * freqs / scaling.scaling_factor + smooth * freqs;
  const at::Tensor is_between =
      (wavelength >= high_wavelength).logical_and(wavelength <= low_wavelength);
  return at::where(is_between, blended, freqs);
}

at::Tensor rotate(const at::Tensor& x_bshd, const at::Tensor& freqs_cis) {
  auto pair_sizes = x_bshd.sizes().vec();
  pair_sizes.back() = -1;
  pair_sizes.push_back(2);
  const at::Tensor pairs = at::view_as_complex(x_bshd.to(at::kFloat).reshape(pair_sizes));
  return at::view_as_real(pairs * freqs_cis).flatten(3).to(x_bshd.scalar_type());
}

}  // namespace

at::Tensor precompute_freqs_cis(std::int64_t head_dim, std::int64_t length, double theta,
                                const RopeScaling& scaling, at::Device device) {
  const auto on_device = at::TensorOptions().device(device);
  const at::Tensor even = at::arange(0, head_dim, 2, on_device.dtype(at::kLong));
  const at::Tensor exponent = even.slice(0, 0, head_dim / 2).to(at::kFloat) / head_dim;
  const at::Tensor freqs = scale_frequencies(1.0 / at::pow(theta, exponent), scaling);
  const at::Tensor positions = at::arange(length, on_device.dtype(at::kLong));
  const at::Tensor angles = at::outer(positions, freqs).to(at::kFloat);
  return at::polar(at::ones_like(angles), angles);
}

at::Tensor rotations_of(const at::Tensor& freqs_cis, const at::Tensor& positions,
                        std::int64_t first, std::int64_t length) {
  const std::int64_t pairs = freqs_cis.size(1);
  if (!positions.defined()) {
    return freqs_cis.slice(0, first, first + length).view({1, length, 1, pairs});
  }
  return freqs_cis.index_select(0, positions.flatten()).view({-1, length, 1, pairs});
}

std::pair<at::Tensor, at::Tensor> apply_rotary_emb(const at::Tensor& query, const at::Tensor& key,
                                                   const at::Tensor& rotations) {
  return {rotate(query, rotations), rotate(key, rotations)};
}

}  // namespace titan::nn
