#pragma once

namespace titan::kernels {

/// Who multiplies matrices in fp32 on the CPU. LibTorch has two inside: MKL behind at::mm, which is slow on
/// processors that are not Intel's, and oneDNN. The third is our own: each number split into three digits, for processors with a
/// unit for tiles of 8-bit integers (src/kernels/split_product.h, which says how it errs). With it attention is made by that
/// unit, too, in fp32 and bf16.
enum class Products { kBlas, kOneDnn, kSplit };

/// Our own where the processor has the unit, else oneDNN where it is not Intel's, else MKL: a rule and no measurement, so
/// that a run has the same bits as the last one and its ranks have those of each other. The environment's TITAN_PRODUCTS
/// ("blas", "onednn", "split") decides instead where it is set.
Products products();

/// Whether this processor can.
bool can_multiply(Products choice);

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
