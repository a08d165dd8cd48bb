#include "titan/kernels/products.h"

#include <atomic>
#include <cstdlib>
#include <cstring>
#include <string>

#include "kernels/instruction_set.h"
#include "kernels/split_product.h"
#include "titan/base/errors.h"

namespace titan::kernels {

namespace {

/// What LibTorch is kept from is not used here either.
bool can_split() {
  return std::strcmp(instruction_set().name, "avx512") == 0 && has_split_product();
}

Products chosen() {
  if (const char* wish = std::getenv("TITAN_PRODUCTS"); wish != nullptr && *wish != '\0') {
    if (std::strcmp(wish, "blas") == 0) return Products::kBlas;
    if (std::strcmp(wish, "onednn") == 0) return Products::kOneDnn;
    if (std::strcmp(wish, "split") == 0) {
      if (can_split()) return Products::kSplit;
      throw ConfigError(
          "TITAN_PRODUCTS: split is for processors with AMX for bf16 and int8, which this is not");
    }
    throw ConfigError(concat("TITAN_PRODUCTS: '", wish, "' is none of blas, onednn, split"));
  }
  if (can_split()) return Products::kSplit;
#if defined(__x86_64__)
  return __builtin_cpu_is("intel") != 0 ? Products::kBlas : Products::kOneDnn;
#else
  return Products::kBlas;
#endif
}

std::atomic<Products>& current() {
  static std::atomic<Products> products = chosen();
  return products;
}

}  // namespace

Products products() { return current(); }

bool can_multiply(Products choice) { return choice != Products::kSplit || can_split(); }

ProductsScope::ProductsScope(Products choice) : outer_(current().exchange(choice)) {}
ProductsScope::~ProductsScope() { current() = outer_; }

}  // namespace titan::kernels
