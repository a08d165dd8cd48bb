#include "trainer/samples.h"

#include <ATen/CPUGeneratorImpl.h>

#include <nlohmann/json.hpp>
#include <utility>

#include "titan/base/errors.h"
#include "titan/base/mix_bits.h"
#include "titan/components/generate/decode_continuation.h"
#include "titan/components/metrics/step_lines.h"
#include "titan/protocols/encode_text.h"
#include "titan/tools/logging.h"

namespace titan::trainer {

Samples::Samples(base::FileSystem& files, const std::string& dump_folder,
                 const protocols::Tokenizer& tokenizer, protocols::StepRunner& model,
                 Options options)
    : tokenizer_(tokenizer), model_(model), options_(std::move(options)) {
  for (const std::string& prompt : options_.prompts) {
    std::vector<std::int64_t> ids =
        protocols::encode_text(tokenizer_, prompt, /*begins=*/true, /*ends=*/false);
    if (ids.empty()) {
      throw ConfigError(concat("validation.sample_prompts: '", prompt, "' has no tokens"));
    }
    prompt_ids_.push_back(std::move(ids));
  }
  if (!options_.writes) return;
  files.create_directories(dump_folder);
  const std::string path = dump_folder + "/samples.jsonl";
  components::set_aside_steps_from(files, path, options_.first_step);
  file_ = std::make_unique<components::SideFile>(files, path, /*append=*/options_.first_step != 0);
}

void Samples::write(std::int64_t step) {
  at::Generator generator = at::make_generator<at::CPUGeneratorImpl>(
      base::mix_bits(options_.seed + base::mix_bits(static_cast<std::uint64_t>(step))));
  for (std::size_t i = 0; i < prompt_ids_.size(); ++i) {
    const std::vector<std::int64_t> ids =
        components::generate(model_, prompt_ids_[i], options_.sampling, generator);
    if (!options_.writes) continue;
    const std::string& prompt = options_.prompts[i];
    const std::string text = components::decode_continuation(tokenizer_, prompt_ids_[i], ids);
    tools::log_info("Sample at step ", step, ": ",
                    nlohmann::json(prompt + text)
                        .dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
    const nlohmann::ordered_json line = {{"step", step}, {"prompt", prompt}, {"text", text}};
    file_->append(line.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n");
  }
}

}  // namespace titan::trainer
