#include "titan/nn/rope.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
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

at::Tensor frequencies(std::int64_t head_dim, double theta, at::Device device) {
  const at::Tensor even =
      at::arange(0, head_dim, 2, at::TensorOptions().device(device).dtype(at::kLong));
  const at::Tensor exponent = even.slice(0, 0, head_dim / 2).to(at::kFloat) / head_dim;
  return 1.0 / at::pow(theta, exponent);
}

at::Tensor rotate_pairs(const at::Tensor& x_bshd, const at::Tensor& freqs_cis) {
  auto pair_sizes = x_bshd.sizes().vec();
  pair_sizes.back() = -1;
  pair_sizes.push_back(2);
  const at::Tensor pairs = at::view_as_complex(x_bshd.to(at::kFloat).reshape(pair_sizes));
  return at::view_as_real(pairs * freqs_cis).flatten(3).to(x_bshd.scalar_type());
}

at::Tensor rotate_halves(const at::Tensor& x_bshd, const at::Tensor& cos, const at::Tensor& sin) {
  const std::int64_t half = x_bshd.size(-1) / 2;
  const at::Tensor turned = at::cat({-x_bshd.slice(-1, half), x_bshd.slice(-1, 0, half)}, -1);
  return x_bshd * cos + turned * sin;
}

}  // namespace

at::Tensor precompute_freqs_cis(std::int64_t head_dim, std::int64_t length, double theta,
                                const std::optional<RopeScaling>& scaling, at::Device device) {
  at::Tensor freqs = frequencies(head_dim, theta, device);
  if (scaling) freqs = scale_frequencies(freqs, *scaling);
  const at::Tensor positions =
      at::arange(length, at::TensorOptions().device(device).dtype(at::kLong));
  const at::Tensor angles = at::outer(positions, freqs).to(at::kFloat);
  return at::polar(at::ones_like(angles), angles);
}

at::Tensor precompute_rope_cache(std::int64_t head_dim, std::int64_t length, double theta,
                                 at::Device device) {
  const at::Tensor positions =
      at::arange(length, at::TensorOptions().device(device).dtype(at::kFloat));
  const at::Tensor angles = at::outer(positions, frequencies(head_dim, theta, device));
  const at::Tensor twice = at::cat({angles, angles}, -1);
  return at::cat({twice.cos(), twice.sin()}, -1);
}

at::Tensor rotations_of(const at::Tensor& table, const at::Tensor& positions, std::int64_t first,
                        std::int64_t length) {
  const std::int64_t columns = table.size(1);
  if (!positions.defined()) {
    return table.slice(0, first, first + length).view({1, length, 1, columns});
  }
  return table.index_select(0, positions.flatten()).view({-1, length, 1, columns});
}

std::pair<at::Tensor, at::Tensor> apply_rotary_emb(const at::Tensor& query, const at::Tensor& key,
                                                   const at::Tensor& rotations) {
  if (rotations.is_complex()) return {rotate_pairs(query, rotations), rotate_pairs(key, rotations)};
  const auto parts = rotations.to(query.scalar_type()).chunk(2, -1);
  return {rotate_halves(query, parts[0], parts[1]), rotate_halves(key, parts[0], parts[1])};
}

}  // namespace titan::nn
