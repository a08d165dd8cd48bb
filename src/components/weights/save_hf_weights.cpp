#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>
#include <c10/core/GradMode.h>

#include <map>
#include <memory>

#include "components/weights/hf_files.h"
#include "titan/base/errors.h"
#include "titan/base/file_system.h"
#include "titan/comm/rank_context.h"
#include "titan/components/model_weights.h"
#include "titan/nn/module.h"
#include "titan/parallel/full_tensor.h"

namespace titan::components {
namespace {

constexpr std::int64_t kMessageBytes = 1024;

/// Runs what only this rank does. Its failure is kept until all ranks have come as far: they would
/// wait for it in vain.
class Failure {
 public:
  template <class Action>
  void guard(const Action& action) {
    if (!message_.empty()) return;
    try {
      action();
    } catch (const std::exception& error) {
      message_ = error.what();
      if (message_.empty()) message_ = "unknown";
    }
  }

  /// Throws on all ranks what one of them has met.
  void exchange(const comm::RankContext& context) {
    const at::Tensor mine = at::zeros({kMessageBytes}, at::kByte);
    message_.copy(static_cast<char*>(mine.mutable_data_ptr()), kMessageBytes - 1);
    at::Tensor all = mine;
    if (context.world_size > 1) {
      comm::ProcessGroup& world = context.groups->world();
      const at::Tensor gathered =
          at::empty({context.world_size * kMessageBytes}, mine.options().device(world.device()));
      world.all_gather(gathered, mine.to(world.device())).wait();
      all = gathered.cpu();
    }
    for (std::int64_t rank = 0; rank < all.size(0) / kMessageBytes; ++rank) {
      const char* message = static_cast<const char*>(all.const_data_ptr()) + rank * kMessageBytes;
      if (*message == '\0') continue;
      throw RunError(concat("Saving Hugging Face weights failed on rank ", rank, ": ", message));
    }
  }

 private:
  std::string message_;
};

/// Makes whole tensors of a model's, one after the other.
class Gatherer {
 public:
  Gatherer(nn::Module& model, comm::ProcessGroup* shard) : shard_(shard) {
    for (const auto& [name, parameter] : model.parameter_slots()) slots_[name] = *parameter;
    for (const nn::NamedTensor& buffer : model.persistent_buffers()) {
      slots_[buffer.name].tensor = buffer.tensor;
    }
  }

  /// On all ranks; several tensors that are made of the same one follow each other.
  std::vector<at::Tensor> gather(const std::vector<std::string>& names) {
    if (names != names_) {
      names_ = names;
      tensors_.clear();
      for (const std::string& name : names) {
        const nn::Parameter& slot = slots_.at(name);
        tensors_.push_back(parallel::full_tensor(slot.tensor, slot.box, shard_));
      }
    }
    return tensors_;
  }

 private:
  comm::ProcessGroup* shard_;
  std::map<std::string, nn::Parameter> slots_;
  std::vector<std::string> names_;
  std::vector<at::Tensor> tensors_;
};

void append(SafetensorsWriter& writer, const at::Tensor& tensor, at::ScalarType dtype) {
  const at::Tensor bytes = tensor.to(at::kCPU, dtype).contiguous();
  writer.append({static_cast<const char*>(bytes.const_data_ptr()), bytes.nbytes()});
}

}  // namespace

void save_hf_weights(base::FileSystem& files, const std::string& folder, nn::Module& model,
                     const protocols::StateDictAdapter& adapter, at::ScalarType dtype,
                     const comm::RankContext& context) {
  const c10::NoGradGuard no_grad;
  const std::vector<protocols::HfTensor> tensors = adapter.hf_tensors(model_tensors(model));
  std::vector<WeightInfo> infos;
  for (const auto& tensor : tensors) infos.push_back({tensor.name, dtype, tensor.sizes});
  const std::vector<HfFile> plan = plan_hf_files(infos);

  Failure failure;
  if (context.rank == 0) failure.guard([&] { clear_hf_folder(files, folder); });
  failure.exchange(context);

  Gatherer gatherer(model, &context.group(mesh::MeshDim::kFsdp));
  std::vector<std::unique_ptr<SafetensorsWriter>> written;  // by this rank
  auto next = tensors.begin();
  for (std::size_t i = 0; i < plan.size(); ++i) {
    const bool is_mine = static_cast<std::int64_t>(i) % context.world_size == context.rank;
    if (is_mine) {
      failure.guard([&] {
        written.push_back(std::make_unique<SafetensorsWriter>(files, folder + "/" + plan[i].name,
                                                              plan[i].tensors));
      });
    }
    for (std::size_t j = 0; j < plan[i].tensors.size(); ++j, ++next) {
      const std::vector<at::Tensor> sources = gatherer.gather(next->sources);
      if (!is_mine) continue;
      failure.guard([&] { append(*written.back(), adapter.to_hf(next->name, sources), dtype); });
    }
    if (is_mine) failure.guard([&] { written.back()->finish(); });
  }
  failure.exchange(context);
  failure.guard([&] {
    for (const auto& writer : written) writer->publish();
    files.sync_directory(folder);
  });
  failure.exchange(context);
  if (context.rank == 0) {
    failure.guard([&] {
      write_hf_config(files, folder, adapter, dtype, infos);
      write_safetensors_index(files, concat(folder, "/", kSafetensorsIndexName), index_of(plan));
    });
  }
  failure.exchange(context);
}

}  // namespace titan::components
