#include "titan/components/generate.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/multinomial.h>
#include <ATen/ops/tensor.h>
#include <c10/core/GradMode.h>

#include <algorithm>

#include "titan/base/errors.h"

namespace titan::components {
namespace {

/// `logits` are those of one token, fp32 on the CPU.
std::int64_t choose_token(const at::Tensor& logits, double temperature, at::Generator generator) {
  if (temperature == 0) return logits.argmax().item<std::int64_t>();
  const at::Tensor probabilities = (logits / temperature).softmax(0);
  return at::multinomial(probabilities, 1, /*replacement=*/false, generator).item<std::int64_t>();
}

}  // namespace

std::vector<std::int64_t> generate(const LogitsFunction& logits,
                                   const std::vector<std::int64_t>& prompt,
                                   const SamplingOptions& options, at::Device device,
                                   at::Generator generator) {
  TITAN_CHECK(!prompt.empty() && options.context > 0, "a text grows from at least one token");
  const c10::NoGradGuard no_grad;
  std::vector<std::int64_t> ids = prompt;
  for (std::int64_t i = 0; i < options.max_new_tokens; ++i) {
    const auto seen = std::min(options.context, static_cast<std::int64_t>(ids.size()));
    const at::Tensor tokens =
        at::tensor(
            at::ArrayRef<std::int64_t>(ids).slice(ids.size() - static_cast<std::size_t>(seen)),
            at::kLong)
            .unsqueeze(0);
    const at::Tensor last = logits(tokens.to(device))[0][-1].to(at::kCPU, at::kFloat);
    const std::int64_t token = choose_token(last, options.temperature, generator);
    if (token == options.eos_id) break;
    ids.push_back(token);
  }
  return {ids.begin() + static_cast<std::ptrdiff_t>(prompt.size()), ids.end()};
}

}  // namespace titan::components
