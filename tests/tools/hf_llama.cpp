// Llama 3 of flavor `tiny` and Hugging Face folders, for comparison with `transformers`.
//
//   hf_llama logits FOLDER TOKENS OUT    loads, runs `TOKENS` ("1,2,3"); OUT: fp32 logits [tokens, vocab]
//   hf_llama greedy FOLDER TOKENS COUNT  prints COUNT tokens, each the likeliest after those before it
//   hf_llama export FOLDER DTYPE SEED    writes a model with random weights

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/ops/tensor.h>
#include <c10/core/GradMode.h>

#include <iostream>
#include <sstream>
#include <string>
#include <vector>

#include "titan/base/errors.h"
#include "titan/base/file_system.h"
#include "titan/comm/rank_context.h"
#include "titan/components/weights/model_weights.h"
#include "titan/components/weights/open_weights.h"
#include "titan/models/llama3/model.h"
#include "titan/models/llama3/state_dict_adapter.h"

namespace {

using namespace titan;
using models::llama3::LlamaStateDictAdapter;
using models::llama3::Transformer;
using models::llama3::TransformerModelArgs;
using Arguments = std::vector<std::string>;

base::FileSystem& disk() { return base::posix_file_system(); }

TransformerModelArgs tiny() {
  return dynamic_cast<const TransformerModelArgs&>(*models::llama3::flavors().at("tiny"));
}

std::unique_ptr<Transformer> random_model(std::uint64_t seed) {
  auto model = std::make_unique<Transformer>(tiny(), at::kFloat);
  model->to_empty(at::kCPU);
  model->init_weights(at::make_generator<at::CPUGeneratorImpl>(seed), std::nullopt);
  return model;
}

std::unique_ptr<Transformer> loaded_model(const std::string& folder) {
  auto model = random_model(1);
  const LlamaStateDictAdapter adapter(tiny());
  components::check_hf_config(disk(), folder, adapter);
  const auto weights = components::open_weights(disk(), components::WeightsFormat::kHf, folder);
  components::load_model_weights(*model, *weights, &adapter);
  return model;
}

std::vector<std::int64_t> parse_tokens(const std::string& text) {
  std::vector<std::int64_t> tokens;
  std::istringstream words(text);
  for (std::string word; std::getline(words, word, ',');) tokens.push_back(std::stoll(word));
  return tokens;
}

at::Tensor logits(Transformer& model, const std::vector<std::int64_t>& tokens) {
  return model.call(at::tensor(tokens, at::kLong).unsqueeze(0))[0].contiguous();
}

void write_logits(const Arguments& a) {
  const at::Tensor result = logits(*loaded_model(a[1]), parse_tokens(a[2]));
  base::write_file_atomically(disk(), a[3],
                              {static_cast<const char*>(result.const_data_ptr()), result.nbytes()});
}

void print_greedy(const Arguments& a) {
  const auto model = loaded_model(a[1]);
  std::vector<std::int64_t> tokens = parse_tokens(a[2]);
  for (int i = 0; i < std::stoi(a[3]); ++i) {
    tokens.push_back(logits(*model, tokens)[-1].argmax().item<std::int64_t>());
    std::cout << tokens.back() << "\n";
  }
}

void write_model(const Arguments& a) {
  const auto dtype = a[2] == "bfloat16"  ? at::kBFloat16
                     : a[2] == "float16" ? at::kHalf
                                         : at::kFloat;
  protocols::ModelParts parts;
  parts.push_back({random_model(std::stoull(a[3])), nullptr});
  components::save_hf_weights(disk(), a[1], parts, LlamaStateDictAdapter(tiny()), dtype,
                              comm::RankContext{});
}

void run(const Arguments& a) {
  if (a.size() != 4) throw ConfigError("hf_llama: see its first lines");
  if (a[0] == "logits") {
    write_logits(a);
  } else if (a[0] == "greedy") {
    print_greedy(a);
  } else if (a[0] == "export") {
    write_model(a);
  } else {
    throw ConfigError("hf_llama: see its first lines");
  }
}

}  // namespace

int main(int argc, char** argv) {
  const c10::NoGradGuard no_grad;
  try {
    run(Arguments(argv + 1, argv + argc));
  } catch (const std::exception& error) {
    std::cerr << error.what() << "\n";
    return 1;
  }
  return 0;
}
