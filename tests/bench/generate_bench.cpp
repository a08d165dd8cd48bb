// generate_bench FLAVOR [PROMPT [TOKENS [bfloat16]]]: tokens per second of greedy generation on one
// thread, with attention's keys and values kept and with everything computed anew.
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Parallel.h>
#include <c10/core/GradMode.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "support/logits_only.h"
#include "titan/components/generate/generate.h"
#include "titan/models/llama3/model.h"

namespace titan {
namespace {

/// A model with or without caches.
class Text : public test::LogitsOnly {
 public:
  Text(nn::Module& module, bool cached) : module_(module), cached_(cached) {}
  at::Tensor logits(const at::Tensor& tokens, std::shared_ptr<nn::KeyValueCaches> caches) override {
    return module_.call(tokens, std::make_shared<const nn::SequenceInfo>(
                                    nn::SequenceInfo{{}, {}, std::move(caches)}));
  }
  bool keeps_keys_and_values() const override { return cached_; }

 private:
  nn::Module& module_;
  bool cached_;
};

double tokens_per_second(nn::Module& module, bool cached, std::int64_t prompt,
                         const components::SamplingOptions& options) {
  Text model(module, cached);
  const std::vector<std::int64_t> ids(static_cast<std::size_t>(prompt), 5);
  const auto start = std::chrono::steady_clock::now();
  components::generate(model, ids, options, at::make_generator<at::CPUGeneratorImpl>(1));
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
  return static_cast<double>(options.max_new_tokens) / took.count();
}

void run(const std::string& flavor, std::int64_t prompt, std::int64_t tokens,
         at::ScalarType dtype) {
  at::set_num_threads(1);
  auto args = dynamic_cast<const models::llama3::TransformerModelArgs&>(
      *models::llama3::flavors().at(flavor));
  args.max_seq_len = prompt + tokens;
  models::llama3::Transformer model(args, dtype);
  model.to_empty(at::kCPU);
  const c10::NoGradGuard no_grad;
  model.init_weights(at::make_generator<at::CPUGeneratorImpl>(7), at::Device(at::kCPU));
  components::SamplingOptions options;
  options.max_new_tokens = tokens;
  options.temperature = 0;
  options.context = prompt + tokens;
  tokens_per_second(model, true, prompt, options);  // warms up
  const double with = tokens_per_second(model, true, prompt, options);
  const double without = tokens_per_second(model, false, prompt, options);
  std::printf("%s %s, prompt %ld, %ld tokens: %.1f tokens/s with the cache, %.1f without\n",
              flavor.c_str(), c10::toString(dtype), static_cast<long>(prompt),
              static_cast<long>(tokens), with, without);
}

}  // namespace
}  // namespace titan

int main(int argc, char** argv) {
  if (argc < 2) {
    std::fputs("usage: generate_bench FLAVOR [PROMPT [TOKENS [bfloat16]]]\n", stderr);
    return 2;
  }
  titan::run(argv[1], argc > 2 ? std::atol(argv[2]) : 64, argc > 3 ? std::atol(argv[3]) : 128,
             argc > 4 ? at::kBFloat16 : at::kFloat);
  return 0;
}
