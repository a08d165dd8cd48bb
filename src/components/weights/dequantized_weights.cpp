#include "titan/components/weights/dequantized_weights.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>
#include <c10/core/GradMode.h>

#include <map>
#include <set>
#include <utility>

#include "components/weights/name_list.h"
#include "titan/base/errors.h"

namespace titan::components {
namespace {

constexpr std::int64_t kBlock = 128;
constexpr std::string_view kSuffix = "_scale_inv";

std::int64_t blocks_of(std::int64_t size) { return (size + kBlock - 1) / kBlock; }

bool is_float8(at::ScalarType type) {
  return type == at::kFloat8_e4m3fn || type == at::kFloat8_e5m2;
}

/// Of a matrix and the tensor beside it: what is wrong; empty: they go together.
std::string problem_of(const WeightInfo& matrix, const WeightInfo& scales) {
  if (!is_float8(matrix.dtype)) {
    return concat(matrix.name, " has scales, but is ", at::toString(matrix.dtype),
                  " and not float8");
  }
  if (!at::isFloatingType(scales.dtype) || is_float8(scales.dtype)) {
    return concat(scales.name, " is ", at::toString(scales.dtype));
  }
  const bool fits = matrix.sizes.size() == 2 && scales.sizes.size() == 2 &&
                    scales.sizes[0] == blocks_of(matrix.sizes[0]) &&
                    scales.sizes[1] == blocks_of(matrix.sizes[1]);
  if (fits) return {};
  return concat(scales.name, " has sizes ", c10::IntArrayRef(scales.sizes),
                ": no scales for blocks of ", kBlock, " x ", kBlock, " of a matrix ",
                c10::IntArrayRef(matrix.sizes));
}

class DequantizedWeights final : public WeightsReader {
 public:
  explicit DequantizedWeights(const WeightsReader& quantized) : quantized_(quantized) {
    std::map<std::string, const WeightInfo*> there;
    for (const WeightInfo& info : quantized.tensors()) there[info.name] = &info;
    std::vector<std::string> problems;
    for (const WeightInfo& info : quantized.tensors()) {
      if (info.name.ends_with(kSuffix)) {
        const std::string matrix = info.name.substr(0, info.name.size() - kSuffix.size());
        if (!there.contains(matrix)) problems.push_back(info.name + " belongs to nothing");
        continue;
      }
      const auto scales = there.find(info.name + std::string(kSuffix));
      if (scales != there.end()) {
        if (std::string problem = problem_of(info, *scales->second); !problem.empty()) {
          problems.push_back(std::move(problem));
        }
        scaled_.insert(info.name);
        tensors_.push_back({info.name, at::kFloat, info.sizes});
      } else {
        if (is_float8(info.dtype)) {
          problems.push_back(concat(info.name, " is float8, and there is no ", info.name, kSuffix));
        }
        tensors_.push_back(info);
      }
    }
    if (problems.empty()) return;
    throw RunError(concat("The quantized weights cannot be read: ", list_names(problems)));
  }

  const std::vector<WeightInfo>& tensors() const override { return tensors_; }

  void read(const std::string& name, const std::vector<std::int64_t>& offsets,
            const at::Tensor& box) const override {
    if (!scaled_.contains(name)) return quantized_.read(name, offsets, box);
    const c10::NoGradGuard no_grad;
    const at::Tensor values =
        box.scalar_type() == at::kFloat ? box : at::empty(box.sizes(), at::TensorOptions());
    quantized_.read(name, offsets, values);
    values.mul_(scales_of(name, offsets, box.sizes()));
    if (!values.is_same(box)) box.copy_(values);
  }

 private:
  /// One for each element of a box.
  at::Tensor scales_of(const std::string& name, const std::vector<std::int64_t>& offsets,
                       at::IntArrayRef sizes) const {
    std::vector<std::int64_t> first;
    std::vector<std::int64_t> count;
    for (std::size_t d = 0; d < 2; ++d) {
      first.push_back(offsets[d] / kBlock);
      count.push_back(blocks_of(offsets[d] + sizes[d]) - first.back());
    }
    at::Tensor scales = at::empty(count, at::TensorOptions());
    quantized_.read(name + std::string(kSuffix), first, scales);
    for (std::int64_t d = 0; d < 2; ++d) {
      const std::int64_t offset = offsets[static_cast<std::size_t>(d)];
      scales = scales.repeat_interleave(kBlock, d).narrow(d, offset % kBlock,
                                                          sizes[static_cast<std::size_t>(d)]);
    }
    return scales;
  }

  const WeightsReader& quantized_;
  std::vector<WeightInfo> tensors_;
  std::set<std::string> scaled_;
};

}  // namespace

std::optional<std::string> first_in_float8(const WeightsReader& weights) {
  for (const WeightInfo& info : weights.tensors()) {
    if (is_float8(info.dtype)) return info.name;
  }
  return std::nullopt;
}

std::unique_ptr<WeightsReader> as_dequantized_weights(const WeightsReader& quantized) {
  return std::make_unique<DequantizedWeights>(quantized);
}

}  // namespace titan::components
