#include "trainer/hash_log.h"

#include <nlohmann/json.hpp>
#include <set>

#include "titan/base/sha256.h"
#include "titan/components/step_lines.h"
#include "titan/parallel/full_tensor.h"
#include "trainer/batch_tensors.h"

namespace titan::trainer {

namespace {

const char* dtype_name(at::ScalarType type) {
  switch (type) {
    case at::kFloat:
      return "float32";
    case at::kBFloat16:
      return "bfloat16";
    case at::kHalf:
      return "float16";
    case at::kDouble:
      return "float64";
    case at::kLong:
      return "int64";
    case at::kInt:
      return "int32";
    case at::kBool:
      return "bool";
    case at::kComplexFloat:
      return "complex64";
    default:
      return c10::toString(type);
  }
}

}  // namespace

HashLog::HashLog(base::FileSystem& files, const std::string& dump_folder,
                 const comm::RankContext& context, std::int64_t first_step)
    : shard_(&context.group(mesh::MeshDim::kFsdp)) {
  if (context.rank != 0) return;
  files.create_directories(dump_folder);
  const std::string path = dump_folder + "/hashes.jsonl";
  components::drop_steps_from(files, path, first_step);
  file_ = files.open_for_writing(path, /*truncate=*/first_step == 0);
}

void HashLog::write_weights(std::int64_t step, const protocols::ModelParts& model_parts) {
  for (const auto& part : model_parts) {
    std::set<const void*> written;  // tied parameters are written once
    for (const auto& [name, place] : part->parameter_slots()) {
      if (!written.insert(place->tensor.unsafeGetTensorImpl()).second) continue;
      write(step, name, parallel::full_tensor(place->tensor, place->box, shard_));
    }
    for (const auto& [name, tensor] : part->named_buffers()) write(step, name, tensor);
  }
}

void HashLog::write_batches(std::int64_t step, std::vector<protocols::Batch>& batches) {
  for (std::size_t i = 0; i < batches.size(); ++i) {
    const BatchTensors tensors = to_tensors(batches[i], at::kCPU);
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
                                       {"dtype", dtype_name(tensor.scalar_type())},
                                       {"sha256", base::sha256_hex(raw)}};
  file_->append(line.dump() + "\n");
}

}  // namespace titan::trainer
