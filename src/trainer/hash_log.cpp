#include "trainer/hash_log.h"

#include <nlohmann/json.hpp>
#include <set>

#include "titan/base/sha256.h"
#include "titan/components/checkpoint/dcp_state.h"
#include "titan/components/metrics/step_lines.h"
#include "titan/components/weights/whole_tensors.h"
#include "titan/nn/module.h"
#include "titan/step/batch_tensors.h"

namespace titan::trainer {

HashLog::HashLog(base::FileSystem& files, const std::string& dump_folder,
                 const comm::RankContext& context, std::int64_t first_step)
    : context_(context) {
  if (context.rank != 0) return;
  files.create_directories(dump_folder);
  const std::string path = dump_folder + "/hashes.jsonl";
  components::set_aside_steps_from(files, path, first_step);
  file_ = std::make_unique<components::SideFile>(files, path, /*append=*/first_step != 0);
}

void HashLog::write_weights(std::int64_t step, const protocols::ModelParts& model_parts) {
  const components::WholeTensors whole(model_parts, context_);
  // Every part knows the names of the whole model.
  const nn::Module& model = *model_parts.front().model;
  std::set<const nn::Parameter*> written;
  for (const auto& [name, parameter] : model.parameter_names()) {
    if (written.insert(parameter).second) write(step, name, whole.gather(name));
  }
  std::set<std::string> saved;
  for (const nn::NamedTensor& buffer : model.persistent_buffers()) {
    saved.insert(buffer.name);
    write(step, buffer.name, whole.gather(buffer.name));
  }
  // What is computed is the same wherever it is.
  for (const protocols::ModelPart& part : model_parts) {
    for (const nn::NamedTensor& buffer : part.model->named_buffers()) {
      if (saved.insert(buffer.name).second) write(step, buffer.name, buffer.tensor);
    }
  }
}

void HashLog::write_batches(std::int64_t step, std::vector<protocols::Batch>& batches) {
  for (std::size_t i = 0; i < batches.size(); ++i) {
    const step::BatchTensors tensors = step::to_tensors(batches[i], at::kCPU);
    write(step, "batch." + std::to_string(i) + ".input", tensors.input);
    write(step, "batch." + std::to_string(i) + ".labels", tensors.labels);
  }
}

void HashLog::write(std::int64_t step, const std::string& name, const at::Tensor& tensor) {
  if (!file_) return;
  const at::Tensor bytes = tensor.detach().cpu().contiguous();
  const std::string_view raw(static_cast<const char*>(bytes.const_data_ptr()), bytes.nbytes());
  const nlohmann::ordered_json line = {{"step", step},
                                       {"name", name},
                                       {"shape", tensor.sizes().vec()},
                                       {"dtype", components::dtype_name(tensor.scalar_type())},
                                       {"sha256", base::sha256_hex(raw)}};
  file_->append(line.dump() + "\n");
}

}  // namespace titan::trainer
