// generate_bench [MODEL/]FLAVOR [PROMPT [TOKENS [bfloat16]]]: tokens per second of greedy generation on one thread, and what is
// kept of a token, with attention's keys and values kept and with everything computed anew. MODEL is llama3 or deepseek_v3; the
// second keeps latents as well.
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Parallel.h>
#include <c10/core/GradMode.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "support/logits_only.h"
#include "titan/components/generate/generate.h"
#include "titan/models/deepseek_v3/attention.h"
#include "titan/models/deepseek_v3/model.h"
#include "titan/models/llama3/model.h"
#include "titan/nn/key_value_cache.h"

namespace titan {
namespace {

/// A model with or without caches.
class Text : public test::LogitsOnly {
 public:
  Text(nn::Module& module, bool cached) : module_(module), cached_(cached) {}
  at::Tensor logits(const at::Tensor& tokens, std::shared_ptr<nn::KeyValueCaches> caches) override {
    caches_ = std::move(caches);
    const auto sequence = std::make_shared<nn::SequenceInfo>();
    sequence->caches = caches_;
    return module_.call(tokens, sequence);
  }
  bool keeps_keys_and_values() const override { return cached_; }
  std::int64_t bytes_kept() const { return caches_ ? caches_->bytes() : 0; }

 private:
  nn::Module& module_;
  bool cached_;
  std::shared_ptr<nn::KeyValueCaches> caches_;
};

struct Length {
  std::int64_t prompt = 64;
  std::int64_t tokens = 128;
  std::int64_t all() const { return prompt + tokens; }
};

void measure(nn::Module& module, const char* what, bool cached, const Length& length) {
  components::SamplingOptions options;
  options.max_new_tokens = length.tokens;
  options.temperature = 0;
  options.context = length.all();
  Text model(module, cached);
  const std::vector<std::int64_t> ids(static_cast<std::size_t>(length.prompt), 5);
  const auto start = std::chrono::steady_clock::now();
  components::generate(model, ids, options, at::make_generator<at::CPUGeneratorImpl>(1));
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
  std::printf("  %-16s %8.1f tokens/s, %6ld bytes kept of a token\n", what,
              static_cast<double>(length.tokens) / took.count(),
              static_cast<long>(model.bytes_kept() / length.all()));
}

template <class Model, class Args>
std::unique_ptr<Model> make(const std::shared_ptr<const protocols::ModelArgs>& flavor,
                            const Length& length, at::ScalarType dtype) {
  Args args = dynamic_cast<const Args&>(*flavor);
  args.max_seq_len = length.all();
  auto model = std::make_unique<Model>(args, dtype);
  model->to_empty(at::kCPU);
  model->init_weights(at::make_generator<at::CPUGeneratorImpl>(7), at::Device(at::kCPU));
  return model;
}

void keep_keys_and_values(nn::Module& model) {
  for (const auto& [name, module] : model.named_modules()) {
    auto* attention = dynamic_cast<models::deepseek_v3::LatentAttention*>(module);
    if (attention != nullptr) attention->keep_keys_and_values();
  }
}

void run(const std::string& name, const Length& length, at::ScalarType dtype) {
  using namespace models;
  at::set_num_threads(1);
  const c10::NoGradGuard no_grad;
  const std::size_t slash = name.find('/');
  const bool is_deepseek = name.substr(0, slash) == "deepseek_v3";
  const std::string flavor = slash == std::string::npos ? name : name.substr(slash + 1);
  std::unique_ptr<nn::Module> model;
  if (is_deepseek) {
    model = make<deepseek_v3::Transformer, deepseek_v3::DeepSeekV3ModelArgs>(
        deepseek_v3::flavors().at(flavor), length, dtype);
  } else {
    model = make<llama3::Transformer, llama3::TransformerModelArgs>(llama3::flavors().at(flavor),
                                                                    length, dtype);
  }
  std::printf("%s %s, prompt %ld, %ld tokens\n", name.c_str(), c10::toString(dtype),
              static_cast<long>(length.prompt), static_cast<long>(length.tokens));
  measure(*model, "warms up", true, length);
  if (is_deepseek) {
    measure(*model, "latents", true, length);
    keep_keys_and_values(*model);
  }
  measure(*model, "keys and values", true, length);
  measure(*model, "nothing", false, length);
}

}  // namespace
}  // namespace titan

int main(int argc, char** argv) {
  if (argc < 2) {
    std::fputs("usage: generate_bench [MODEL/]FLAVOR [PROMPT [TOKENS [bfloat16]]]\n", stderr);
    return 2;
  }
  titan::Length length;
  if (argc > 2) length.prompt = std::atol(argv[2]);
  if (argc > 3) length.tokens = std::atol(argv[3]);
  titan::run(argv[1], length, argc > 4 ? at::kBFloat16 : at::kFloat);
  return 0;
}
