#pragma once

namespace titan::nn {

/// A layer that has a second way to compute the same: faster, but not in the bits of the reference. Who attaches things to
/// a model chooses (parallel/compile.h); the layer's own code knows, and who computes in its place (comm/overlapped_products.h).
class FastPath {
 public:
  virtual ~FastPath() = default;
  void take_fast_path() { is_fast_ = true; }
  bool is_fast() const { return is_fast_; }

 private:
  bool is_fast_ = false;
};

}  // namespace titan::nn
