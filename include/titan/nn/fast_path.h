#pragma once

namespace titan::nn {

/// A layer that has a second way to compute the same: faster, but not in the bits of the reference. Who attaches things to
/// a model chooses (parallel/compile.h); the layer's own code is the only other place that knows.
class FastPath {
 public:
  virtual ~FastPath() = default;
  void take_fast_path() { is_fast_ = true; }

 protected:
  bool is_fast() const { return is_fast_; }

 private:
  bool is_fast_ = false;
};

}  // namespace titan::nn
