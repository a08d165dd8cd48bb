#pragma once

#include <ATen/core/Tensor.h>

namespace titan::kernels {

/// Rotations of tokens as the kernels take them: fp32 `[B or 1, S, D]`, (cos, sin) of each pair; of halves `[B or 1, S, 2 D]`,
/// cosines and then sines.
struct Rotations {
  at::Tensor table;
  bool halves = false;

  /// From what rotate() (layers.h) takes.
  static Rotations of(const at::Tensor& rotations);
};

/// x `[B, S, heads, D]` turned, without autograd, or turned back.
at::Tensor turn(const at::Tensor& x, const at::Tensor& table, bool halves, bool back);

}  // namespace titan::kernels
