// Small models and Hugging Face folders, for comparison with `transformers`.
//
//   hf_model MODEL FLAVOR logits FOLDER TOKENS OUT    loads, runs `TOKENS` ("1,2,3"); OUT: fp32 logits [tokens, vocab]
//   hf_model MODEL FLAVOR greedy FOLDER TOKENS COUNT  prints COUNT tokens, each the likeliest after those before it,
//                                                     whose keys and values are kept
//   hf_model MODEL FLAVOR export FOLDER DTYPE SEED    writes a model with random weights

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/ops/tensor.h>
#include <c10/core/GradMode.h>

#include <iostream>
#include <map>
#include <sstream>
#include <string>
#include <vector>

#include "titan/base/errors.h"
#include "titan/base/file_system.h"
#include "titan/comm/rank_context.h"
#include "titan/components/weights/dequantized_weights.h"
#include "titan/components/weights/model_weights.h"
#include "titan/components/weights/open_weights.h"
#include "titan/models/deepseek_v3/train_spec.h"
#include "titan/models/llama3/train_spec.h"
#include "titan/models/llama4/train_spec.h"
#include "titan/models/qwen3/train_spec.h"
#include "titan/nn/key_value_cache.h"

namespace {

using namespace titan;
using Arguments = std::vector<std::string>;
using Model = std::unique_ptr<protocols::ModelProtocol>;

constexpr std::int64_t kContext = 128;

base::FileSystem& disk() { return base::posix_file_system(); }

/// A flavor of a model, and what translates its weights.
struct Family {
  explicit Family(const Arguments& a) : spec(specs().at(a[0])), args(*spec.model_args.at(a[1])) {}

  static std::map<std::string, protocols::TrainSpec> specs() {
    return {{"deepseek_v3", models::deepseek_v3::train_spec({})},
            {"llama3", models::llama3::train_spec({})},
            {"llama4", models::llama4::train_spec({})},
            {"qwen3", models::qwen3::train_spec({})}};
  }

  Model random_model(std::uint64_t seed) const {
    Model model = spec.build_model(args, at::kFloat);
    model->to_empty(at::kCPU);
    model->init_weights(at::make_generator<at::CPUGeneratorImpl>(seed), std::nullopt);
    return model;
  }

  Model loaded_model(const std::string& folder) const {
    Model model = random_model(1);
    const auto translator = adapter();
    components::check_hf_config(disk(), folder, *translator);
    const auto weights = components::open_weights(disk(), components::WeightsFormat::kHf, folder);
    const auto dequantized = components::first_in_float8(*weights)
                                 ? components::as_dequantized_weights(*weights)
                                 : nullptr;
    components::load_model_weights(*model, dequantized ? *dequantized : *weights, translator.get());
    return model;
  }

  std::unique_ptr<protocols::StateDictAdapter> adapter() const {
    return spec.build_state_dict_adapter(args, "");
  }

  protocols::TrainSpec spec;
  const protocols::ModelArgs& args;
};

std::vector<std::int64_t> parse_tokens(const std::string& text) {
  std::vector<std::int64_t> tokens;
  std::istringstream words(text);
  for (std::string word; std::getline(words, word, ',');) tokens.push_back(std::stoll(word));
  return tokens;
}

at::Tensor row(const std::vector<std::int64_t>& tokens) {
  return at::tensor(tokens, at::kLong).unsqueeze(0);
}

void write_logits(const Family& family, const Arguments& a) {
  const at::Tensor result =
      family.loaded_model(a[3])->call(row(parse_tokens(a[4])))[0].contiguous();
  base::write_file_atomically(disk(), a[5],
                              {static_cast<const char*>(result.const_data_ptr()), result.nbytes()});
}

void print_greedy(const Family& family, const Arguments& a) {
  const Model model = family.loaded_model(a[3]);
  const auto sequence = std::make_shared<nn::SequenceInfo>();
  sequence->caches = std::make_shared<nn::KeyValueCaches>(kContext);
  std::vector<std::int64_t> tokens = parse_tokens(a[4]);
  for (int i = 0; i < std::stoi(a[5]); ++i) {
    tokens = {model->call(row(tokens), sequence)[0][-1].argmax().item<std::int64_t>()};
    std::cout << tokens.back() << "\n";
  }
}

void write_model(const Family& family, const Arguments& a) {
  const auto dtype = a[4] == "bfloat16"  ? at::kBFloat16
                     : a[4] == "float16" ? at::kHalf
                                         : at::kFloat;
  protocols::ModelParts parts;
  parts.push_back({family.random_model(std::stoull(a[5])), nullptr});
  components::save_hf_weights(disk(), a[3], parts, *family.adapter(), dtype, comm::RankContext{});
}

void run(const Arguments& a) {
  if (a.size() != 6) throw ConfigError("hf_model: see its first lines");
  const Family family(a);
  if (a[2] == "logits") {
    write_logits(family, a);
  } else if (a[2] == "greedy") {
    print_greedy(family, a);
  } else if (a[2] == "export") {
    write_model(family, a);
  } else {
    throw ConfigError("hf_model: see its first lines");
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
