#include "titan/components/generate/generate.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/multinomial.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/topk.h>
#include <c10/core/GradMode.h>

#include <algorithm>

#include "titan/base/errors.h"
#include "titan/nn/key_value_cache.h"

namespace titan::components {
namespace {

/// A long prompt goes through a model with a cache in parts of so many tokens, so that the logits of
/// all of its tokens never exist together.
constexpr std::int64_t kMostAtOnce = 512;

/// `logits` are those of one token, fp32 on the CPU.
std::int64_t choose_token(const at::Tensor& logits, const SamplingOptions& options,
                          at::Generator generator) {
  if (!logits.isfinite().all().item<bool>()) {
    throw RunError("the model's logits are not finite: no token can be chosen");
  }
  if (options.temperature == 0) return logits.argmax().item<std::int64_t>();
  const bool narrows = options.top_k > 0 && options.top_k < logits.size(0);
  const auto [values, ids] = narrows ? at::topk(logits, options.top_k)
                                     : std::tuple<at::Tensor, at::Tensor>(logits, at::Tensor());
  // Small temperatures overflow unless the largest is 0.
  const at::Tensor probabilities =
      ((values.to(at::kDouble) - values.max()) / options.temperature).softmax(0);
  const auto drawn =
      at::multinomial(probabilities, 1, /*replacement=*/false, generator).item<std::int64_t>();
  return narrows ? ids[drawn].item<std::int64_t>() : drawn;
}

/// The logits of the token after a text that grows.
class NextLogits {
 public:
  NextLogits(protocols::StepRunner& model, std::int64_t context, std::int64_t longest)
      : model_(model), context_(context) {
    if (!model.keeps_keys_and_values()) return;
    caches_ = std::make_shared<nn::KeyValueCaches>(std::min(context, longest));
  }

  at::Tensor after(const std::vector<std::int64_t>& ids) {
    const auto length = static_cast<std::int64_t>(ids.size());
    if (length > context_) caches_.reset();  // the window slides, and all positions with it
    if (!caches_) return run(ids, std::max<std::int64_t>(0, length - context_), length);
    at::Tensor logits;
    while (seen_ < length) {
      const std::int64_t end = std::min(length, seen_ + kMostAtOnce);
      logits = run(ids, seen_, end);
      seen_ = end;
    }
    return logits;
  }

 private:
  at::Tensor run(const std::vector<std::int64_t>& ids, std::int64_t begin, std::int64_t end) const {
    const at::ArrayRef<std::int64_t> part(ids.data() + begin, ids.data() + end);
    const at::Tensor tokens = at::tensor(part, at::kLong).unsqueeze(0);
    return model_.logits(tokens, caches_)[0][-1].to(at::kCPU, at::kFloat);
  }

  protocols::StepRunner& model_;
  std::int64_t context_;
  std::shared_ptr<nn::KeyValueCaches> caches_;
  std::int64_t seen_ = 0;  // tokens in the caches
};

}  // namespace

std::vector<std::int64_t> generate(protocols::StepRunner& model,
                                   const std::vector<std::int64_t>& prompt,
                                   const SamplingOptions& options, at::Generator generator) {
  TITAN_CHECK(!prompt.empty() && options.context > 0, "a text grows from at least one token");
  const c10::NoGradGuard no_grad;
  std::vector<std::int64_t> ids = prompt;
  const auto start = static_cast<std::int64_t>(prompt.size());
  NextLogits next_logits(model, options.context, start + options.max_new_tokens);
  for (std::int64_t i = 0; i < options.max_new_tokens; ++i) {
    const std::int64_t token = choose_token(next_logits.after(ids), options, generator);
    if (token == options.eos_id) break;
    ids.push_back(token);
  }
  return {ids.begin() + start, ids.end()};
}

}  // namespace titan::components
