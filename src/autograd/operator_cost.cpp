#include "titan/autograd/operator_cost.h"

#include <algorithm>
#include <map>
#include <string>
#include <string_view>

namespace titan::autograd {

namespace {

using Values = c10::ArrayRef<c10::IValue>;

double size(const Values& values, std::size_t place, std::int64_t dim) {
  return static_cast<double>(values[place].toTensor().size(dim));
}

double numel(const Values& values, std::size_t place) {
  return static_cast<double>(values[place].toTensor().numel());
}

/// (a `[..., K]`, b `[..., K, N]`)
double product(const Values& values) { return 2 * numel(values, 0) * size(values, 1, -1); }
/// (bias, a, b)
double product_and_bias(const Values& values) { return product(values.slice(1)); }
/// (x `[..., K]`, weight `[N, K]`)
double linear(const Values& values) { return 2 * numel(values, 0) * size(values, 1, 0); }
/// (to, x, weight)
double linear_into(const Values& values) { return linear(values.slice(1)); }
/// (several x `[M, K]`, weight `[N, K]`)
double linears(const Values& values) {
  double numbers = 0;
  for (const at::Tensor& x : values[0].toTensorVector()) numbers += static_cast<double>(x.numel());
  return 2 * numbers * size(values, 1, 0);
}
/// (x `[M, K]`, several weights `[N, K]`)
double linears_of_one(const Values& values) {
  double columns = 0;
  for (const at::Tensor& weight : values[1].toTensorVector()) {
    columns += static_cast<double>(weight.size(0));
  }
  return 2 * numel(values, 0) * columns;
}
/// (several x `[M, K]`, as many weights `[N, K]`)
double linears_sum(const Values& values) {
  double numbers = 0;
  for (const at::Tensor& x : values[0].toTensorVector()) numbers += static_cast<double>(x.numel());
  return 2 * numbers * static_cast<double>(values[1].toTensorVector().at(0).size(0));
}
/// (rows `[R, in]`, weights `[groups, out, in]`): every row by one of the weights.
double grouped(const Values& values) { return 2 * numel(values, 0) * size(values, 1, 1); }
/// (gradient `[R, out]`, weights `[groups, out, in]`)
double grouped_rows(const Values& values) { return 2 * numel(values, 0) * size(values, 1, 2); }
/// (gradient `[R, out]`, rows `[R, in]`)
double grouped_weights(const Values& values) { return 2 * numel(values, 0) * size(values, 1, 1); }
/// (rows `[R, K]`, weights `[groups, K, N]`)
double grouped_mm(const Values& values) { return 2 * numel(values, 0) * size(values, 1, -1); }
/// (rows `[R, dim]`, gate `[experts, hidden, dim]`, ...): three products of each row.
double experts(const Values& values) { return 3 * 2 * numel(values, 0) * size(values, 1, 1); }
/// (gradient `[R, dim]`, rows, gate `[experts, hidden, dim]`, ...): two for each of these.
double experts_backward(const Values& values) {
  return 6 * 2 * numel(values, 0) * size(values, 2, 1);
}

using Flops = double (*)(const Values& arguments);

const std::map<std::string_view, Flops>& products() {
  static const std::map<std::string_view, Flops> rules = {
      {"aten::mm", product},
      {"aten::bmm", product},
      {"aten::addmm", product_and_bias},
      {"aten::baddbmm", product_and_bias},
      {"aten::_scaled_mm", product},
      {"aten::_grouped_mm", grouped_mm},
      {"mkldnn::_linear_pointwise", linear},
      {"titan_kernels::linear_product", linear},
      {"titan_kernels::linear_product_", linear_into},
      {"titan_kernels::linear_products", linears},
      {"titan_kernels::experts", experts},
      {"titan_kernels::experts_backward", experts_backward},
      {"titan_kernels::linear_products_of_one", linears_of_one},
      {"titan_kernels::linear_products_sum", linears_sum},
      {"titan::linear_reduce_scatter", linear},
      {"titan::grouped_product", grouped},
      {"titan::grouped_product_rows_gradient", grouped_rows},
      {"titan::grouped_product_weights_gradient", grouped_weights}};
  return rules;
}

const c10::IValue* named(const c10::FunctionSchema& schema, const Values& values,
                         std::string_view name) {
  const auto& arguments = schema.arguments();
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    if (arguments[i].name() == name) return &values[i];
  }
  return nullptr;
}

/// Pairs of a query and a key that it sees.
double pairs(double queries, double keys, bool is_causal) {
  if (!is_causal) return queries * keys;
  // Query i sees keys up to i + keys - queries.
  const double hidden = keys - queries;
  return queries * std::max(hidden, 0.0) + queries * (queries + 1) / 2;
}

/// Of query `[..., H, Q, D]`, key `[..., K, D]` and value `[..., K, E]`; backward multiplies scores once more, and
/// four times for gradients.
double attention(const c10::OperatorHandle& op, const Values& values) {
  const c10::FunctionSchema& schema = op.schema();
  const c10::IValue* query = named(schema, values, "query");
  const c10::IValue* key = named(schema, values, "key");
  const c10::IValue* value = named(schema, values, "value");
  if (query == nullptr || key == nullptr || value == nullptr) return 0;
  const at::Tensor& q = query->toTensor();
  if (q.dim() < 3 || key->toTensor().dim() != q.dim()) return 0;
  const c10::IValue* causal = named(schema, values, "is_causal");
  const double heads =
      static_cast<double>(q.numel() / std::max<std::int64_t>(1, q.size(-1) * q.size(-2)));
  const double seen =
      heads * pairs(static_cast<double>(q.size(-2)), static_cast<double>(key->toTensor().size(-2)),
                    causal != nullptr && causal->isBool() && causal->toBool());
  const auto d = static_cast<double>(q.size(-1));
  const auto e = static_cast<double>(value->toTensor().size(-1));
  const bool backward = op.operator_name().name.find("backward") != std::string::npos;
  return backward ? seen * (6 * d + 4 * e) : seen * (2 * d + 2 * e);
}

std::int64_t bytes_of(const c10::IValue& value) {
  std::int64_t bytes = 0;
  for (const at::Tensor& tensor : tensors_in(value)) {
    bytes += static_cast<std::int64_t>(tensor.nbytes());
  }
  return bytes;
}

}  // namespace

std::vector<at::Tensor> tensors_in(const c10::IValue& value) {
  std::vector<at::Tensor> tensors;
  const auto add = [&](const at::Tensor& tensor) {
    if (tensor.defined()) tensors.push_back(tensor);
  };
  if (value.isTensor()) {
    add(value.toTensor());
  } else if (value.isTensorList()) {
    for (const at::Tensor& tensor : value.toTensorVector()) add(tensor);
  } else if (value.isOptionalTensorList()) {
    for (const std::optional<at::Tensor>& tensor : value.toOptionalTensorVector()) {
      if (tensor) add(*tensor);
    }
  }
  return tensors;
}

bool is_view(const c10::OperatorHandle& op) {
  // The second hides from autograd that its result is a view.
  if (op.hasTag(at::Tag::inplace_view) || op.operator_name().name == "aten::_unsafe_view")
    return true;
  const auto& results = op.schema().returns();
  return !results.empty() && std::ranges::all_of(results, [](const c10::Argument& result) {
    const c10::AliasInfo* alias = result.alias_info();
    return alias != nullptr && !alias->isWrite();
  });
}

OperatorCost cost_of(const c10::OperatorHandle& op, c10::ArrayRef<c10::IValue> arguments,
                     c10::ArrayRef<c10::IValue> results) {
  if (is_view(op)) return {};
  OperatorCost cost;
  const auto rule = products().find(op.operator_name().name);
  cost.flops = rule != products().end() ? rule->second(arguments) : attention(op, arguments);
  for (const c10::IValue& value : arguments) cost.bytes += bytes_of(value);
  for (std::size_t i = 0; i < results.size(); ++i) {
    // What is written to is among the arguments.
    if (op.schema().returns()[i].alias_info() == nullptr) cost.bytes += bytes_of(results[i]);
  }
  return cost;
}

}  // namespace titan::autograd
