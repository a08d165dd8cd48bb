#pragma once

namespace titan::kernels {

/// Who multiplies matrices in fp32 on the CPU. LibTorch has both inside: MKL behind at::mm, which is slow on
/// processors that are not Intel's, and oneDNN.
enum class Products { kBlas, kOneDnn };

/// oneDNN where the processor is not Intel's, else MKL: a rule and no measurement, so that a run has the same bits
/// as the last one and its ranks have those of each other. The environment's TITAN_PRODUCTS ("blas", "onednn") decides instead where it is
/// set.
Products products();

/// For the time of a test: another choice.
class ProductsScope {
 public:
  explicit ProductsScope(Products choice);
  ~ProductsScope();
  ProductsScope(const ProductsScope&) = delete;
  ProductsScope& operator=(const ProductsScope&) = delete;

 private:
  Products outer_;
};

}  // namespace titan::kernels
