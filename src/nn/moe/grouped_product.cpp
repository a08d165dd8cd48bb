#include "titan/nn/moe/grouped_product.h"

#include <ATen/autocast_mode.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/ops/_grouped_mm.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/mm.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include "titan/base/errors.h"

namespace titan::nn {

using at::Tensor;

namespace {

using torch::autograd::AutogradContext;
using torch::autograd::Function;
using torch::autograd::variable_list;
using Operator = Tensor(const Tensor&, const Tensor&, const Tensor&);

/// Calls `product(group, first row, rows)` for every group, empty ones too. On a GPU it waits for the counts.
template <class Product>
void for_each_group(const Tensor& counts, std::int64_t rows, const Product& product) {
  const Tensor on_host = counts.to(at::kCPU).contiguous();
  const std::int64_t* count = on_host.const_data_ptr<std::int64_t>();
  std::int64_t begin = 0;
  for (std::int64_t group = 0; group < on_host.numel(); ++group) {
    product(group, begin, count[group]);
    begin += count[group];
  }
  TITAN_CHECK(begin == rows, "groups of ", begin, " rows in all were given ", rows);
}

// The kernels write each product into its place: nothing is put together afterwards.

Tensor product(const Tensor& rows, const Tensor& weights, const Tensor& counts) {
  const Tensor input = rows.contiguous();
  Tensor output = at::empty({rows.size(0), weights.size(1)}, rows.options());
  for_each_group(counts, rows.size(0), [&](std::int64_t group, std::int64_t begin, std::int64_t n) {
    if (n == 0) return;
    Tensor place = output.narrow(0, begin, n);
    at::mm_out(place, input.narrow(0, begin, n), weights.select(0, group).t());
  });
  return output;
}

Tensor rows_gradient(const Tensor& gradient, const Tensor& weights, const Tensor& counts) {
  const Tensor input = gradient.contiguous();
  Tensor output = at::empty({gradient.size(0), weights.size(2)}, gradient.options());
  for_each_group(counts, gradient.size(0),
                 [&](std::int64_t group, std::int64_t begin, std::int64_t n) {
                   if (n == 0) return;
                   Tensor place = output.narrow(0, begin, n);
                   at::mm_out(place, input.narrow(0, begin, n), weights.select(0, group));
                 });
  return output;
}

Tensor weights_gradient(const Tensor& gradient, const Tensor& rows, const Tensor& counts) {
  const Tensor left = gradient.contiguous();
  const Tensor right = rows.contiguous();
  Tensor output = at::empty({counts.size(0), gradient.size(1), rows.size(1)}, gradient.options());
  for_each_group(counts, rows.size(0), [&](std::int64_t group, std::int64_t begin, std::int64_t n) {
    Tensor place = output.select(0, group);
    if (n == 0) {
      place.zero_();
      return;
    }
    at::mm_out(place, left.narrow(0, begin, n).t(), right.narrow(0, begin, n));
  });
  return output;
}

// On a GPU one kernel takes all groups, and reads where they end there: nobody waits for the counts.

/// Rows of what the kernel reads begin at multiples of 16 bytes.
bool takes_groups(const Tensor& a, const Tensor& b) {
  constexpr std::int64_t kAligned = 8;
  return a.scalar_type() == at::kBFloat16 && b.scalar_type() == at::kBFloat16 &&
         a.size(-1) % kAligned == 0 && b.size(-1) % kAligned == 0 && a.numel() > 0;
}

/// Counts of expert parallelism are on the host, which had to know them.
Tensor ends_of(const Tensor& counts, at::Device device) {
  return counts.to(device, /*non_blocking=*/true).cumsum(0).to(at::kInt);
}

Tensor product_on_gpu(const Tensor& rows, const Tensor& weights, const Tensor& counts) {
  if (!takes_groups(rows, weights)) return product(rows, weights, counts);
  return at::_grouped_mm(rows.contiguous(), weights.transpose(1, 2),
                         ends_of(counts, weights.device()));
}

Tensor rows_gradient_on_gpu(const Tensor& gradient, const Tensor& weights, const Tensor& counts) {
  if (!takes_groups(gradient, weights)) return rows_gradient(gradient, weights, counts);
  return at::_grouped_mm(gradient.contiguous(), weights, ends_of(counts, weights.device()));
}

Tensor weights_gradient_on_gpu(const Tensor& gradient, const Tensor& rows, const Tensor& counts) {
  if (!takes_groups(gradient, rows)) return weights_gradient(gradient, rows, counts);
  Tensor output =
      at::_grouped_mm(gradient.contiguous().t(), rows.contiguous(), ends_of(counts, rows.device()));
  // What the kernel leaves in place of a group without rows is anything.
  return output.masked_fill_((counts == 0).view({-1, 1, 1}).to(output.device()), 0.0);
}

c10::TypedOperatorHandle<Operator> find(const char* name) {
  return c10::Dispatcher::singleton().findSchemaOrThrow(name, "").typed<Operator>();
}

const auto& product_operator() {
  static const auto op = find("titan::grouped_product");
  return op;
}
const auto& rows_gradient_operator() {
  static const auto op = find("titan::grouped_product_rows_gradient");
  return op;
}
const auto& weights_gradient_operator() {
  static const auto op = find("titan::grouped_product_weights_gradient");
  return op;
}

struct GroupedProduct : public Function<GroupedProduct> {
  static Tensor forward(AutogradContext* context, c10::DispatchKeySet keys, const Tensor& rows,
                        const Tensor& weights, const Tensor& counts) {
    context->save_for_backward({rows, weights, counts});
    return product_operator().redispatch(keys & c10::after_ADInplaceOrView_keyset, rows, weights,
                                         counts);
  }
  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const variable_list saved = context->get_saved_variables();
    variable_list result(4);
    if (context->needs_input_grad(0)) {
      result[1] = rows_gradient_operator().call(gradients[0], saved[1], saved[2]);
    }
    if (context->needs_input_grad(1)) {
      result[2] = weights_gradient_operator().call(gradients[0], saved[0], saved[2]);
    }
    return result;
  }
};

Tensor with_derivative(c10::DispatchKeySet keys, const Tensor& rows, const Tensor& weights,
                       const Tensor& counts) {
  return GroupedProduct::apply(keys, rows, weights, counts);
}

/// As autocast does with a linear layer.
template <c10::DispatchKey key>
Tensor in_autocast_type(const Tensor& rows, const Tensor& weights, const Tensor& counts) {
  const c10::impl::ExcludeDispatchKeyGuard inside(key);
  const at::DeviceType device = rows.device().type();
  const at::ScalarType type = at::autocast::get_autocast_dtype(device);
  return product_operator().call(at::autocast::cached_cast(type, rows, device),
                                 at::autocast::cached_cast(type, weights, device), counts);
}

void define(torch::Library& library, const char* schema, Operator* kernel) {
  library.def(schema, torch::dispatch(c10::DispatchKey::CompositeExplicitAutograd, kernel));
}

}  // namespace

TORCH_LIBRARY_FRAGMENT(titan, library) {
  define(library, "grouped_product(Tensor rows, Tensor weights, Tensor counts) -> Tensor", product);
  define(library,
         "grouped_product_rows_gradient(Tensor gradient, Tensor weights, Tensor counts) -> Tensor",
         rows_gradient);
  define(library,
         "grouped_product_weights_gradient(Tensor gradient, Tensor rows, Tensor counts) -> Tensor",
         weights_gradient);
  library.impl("grouped_product", torch::dispatch(c10::DispatchKey::CUDA, product_on_gpu));
  library.impl("grouped_product_rows_gradient",
               torch::dispatch(c10::DispatchKey::CUDA, rows_gradient_on_gpu));
  library.impl("grouped_product_weights_gradient",
               torch::dispatch(c10::DispatchKey::CUDA, weights_gradient_on_gpu));
  library.impl("grouped_product", torch::dispatch(c10::DispatchKey::Autograd, with_derivative));
  library.impl("grouped_product", torch::dispatch(c10::DispatchKey::AutocastCPU,
                                                  in_autocast_type<c10::DispatchKey::AutocastCPU>));
  library.impl("grouped_product",
               torch::dispatch(c10::DispatchKey::AutocastCUDA,
                               in_autocast_type<c10::DispatchKey::AutocastCUDA>));
}

Tensor grouped_product(const Tensor& rows, const Tensor& weights, const Tensor& counts) {
  return product_operator().call(rows, weights, counts);
}

Tensor grouped_product_weights_gradient(const Tensor& gradient, const Tensor& rows,
                                        const Tensor& counts) {
  return weights_gradient_operator().call(gradient, rows, counts);
}

}  // namespace titan::nn
