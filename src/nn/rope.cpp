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

#include <algorithm>
#include <cmath>
#include <numbers>

#include "titan/kernels/layers.h"

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

/// e^(i·position·frequency).
at::Tensor table_of(const at::Tensor& freqs, std::int64_t length) {
  const at::Tensor positions = at::arange(length, freqs.options().dtype(at::kLong));
  const at::Tensor angles = at::outer(positions, freqs).to(at::kFloat);
  return at::polar(at::ones_like(angles), angles);
}

/// The pair of features, counted from 0, that turns so often in `length` positions.
double pair_that_turns(double times, std::int64_t head_dim, std::int64_t length, double theta) {
  return static_cast<double>(head_dim) *
         std::log(static_cast<double>(length) / (times * 2 * std::numbers::pi)) /
         (2 * std::log(theta));
}

/// 1 for frequencies that are kept, 0 for those that are divided.
at::Tensor kept_share(std::int64_t head_dim, double theta, const YarnScaling& scaling,
                      at::Device device) {
  const auto pair = [&](double times) {
    return pair_that_turns(times, head_dim, scaling.original_seq_len, theta);
  };
  const double low = std::max(std::floor(pair(scaling.beta_fast)), 0.0);
  double high = std::min(std::ceil(pair(scaling.beta_slow)), static_cast<double>(head_dim - 1));
  if (low == high) high += 0.001;
  const at::Tensor pairs =
      at::arange(head_dim / 2, at::TensorOptions().device(device).dtype(at::kFloat));
  return 1 - ((pairs - low) / (high - low)).clamp(0, 1);
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
  return table_of(freqs, length);
}

at::Tensor precompute_yarn_freqs_cis(std::int64_t head_dim, std::int64_t length, double theta,
                                     const YarnScaling& scaling, at::Device device) {
  const auto fp32 = at::TensorOptions().device(device).dtype(at::kFloat);
  at::Tensor freqs = 1.0 / at::pow(theta, at::arange(0, head_dim, 2, fp32) / head_dim);
  if (length > scaling.original_seq_len) {
    const at::Tensor kept = kept_share(head_dim, theta, scaling, device);
    freqs = freqs / scaling.factor * (1 - kept) + freqs * kept;
  }
  return table_of(freqs, length);
}

at::Tensor rotate_pairs(const at::Tensor& x, const at::Tensor& rotations, bool is_fast) {
  if (is_fast && kernels::takes_rotation(x)) return kernels::rotate(x, rotations);
  auto pair_sizes = x.sizes().vec();
  pair_sizes.back() = -1;
  pair_sizes.push_back(2);
  const at::Tensor pairs = at::view_as_complex(x.to(at::kFloat).reshape(pair_sizes));
  return at::view_as_real(pairs * rotations).flatten(3).to(x.scalar_type());
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
                                                   const at::Tensor& rotations, bool is_fast) {
  if (is_fast && kernels::takes_rotation(query) && kernels::takes_rotation(key)) {
    return {kernels::rotate(query, rotations), kernels::rotate(key, rotations)};
  }
  if (rotations.is_complex()) {
    return {rotate_pairs(query, rotations, is_fast), rotate_pairs(key, rotations, is_fast)};
  }
  const auto parts = rotations.to(query.scalar_type()).chunk(2, -1);
  return {rotate_halves(query, parts[0], parts[1]), rotate_halves(key, parts[0], parts[1])};
}

}  // namespace titan::nn
