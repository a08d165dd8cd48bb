#include "titan/kernels/products.h"

#include <atomic>
#include <cstdlib>
#include <cstring>
#include <string>

#include "titan/base/errors.h"

namespace titan::kernels {

namespace {

Products chosen() {
  if (const char* wish = std::getenv("TITAN_PRODUCTS"); wish != nullptr && *wish != '\0') {
    if (std::strcmp(wish, "blas") == 0) return Products::kBlas;
    if (std::strcmp(wish, "onednn") == 0) return Products::kOneDnn;
    throw ConfigError(concat("TITAN_PRODUCTS: '", wish, "' is neither blas nor onednn"));
  }
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

ProductsScope::ProductsScope(Products choice) : outer_(current().exchange(choice)) {}
ProductsScope::~ProductsScope() { current() = outer_; }

}  // namespace titan::kernels
