#include <c10/core/GradMode.h>

#include <exception>
#include <functional>
#include <memory>

#include "components/weights/hf_files.h"
#include "titan/base/errors.h"
#include "titan/base/file_system.h"
#include "titan/comm/rank_context.h"
#include "titan/components/checkpoint/rank_meeting.h"
#include "titan/components/weights/model_weights.h"
#include "titan/components/weights/whole_tensors.h"

namespace titan::components {
namespace {

using formats::SafetensorsWriter;

/// Makes whole tensors of a model's, one after the other.
class Gatherer {
 public:
  Gatherer(const protocols::ModelParts& parts, const comm::RankContext& context)
      : whole_(parts, context) {}

  /// On all ranks; several tensors that are made of the same one follow each other.
  std::vector<at::Tensor> gather(const std::vector<std::string>& names) {
    if (names != names_) {
      names_ = names;
      tensors_.clear();
      for (const std::string& name : names) tensors_.push_back(whole_.gather(name));
    }
    return tensors_;
  }

 private:
  WholeTensors whole_;
  std::vector<std::string> names_;
  std::vector<at::Tensor> tensors_;
};

/// The files that this rank writes. What fails is kept until all ranks have come as far: they would wait
/// for its part of the tensors in vain.
class OwnFiles {
 public:
  OwnFiles(base::FileSystem& files, const std::string& folder) : files_(files), folder_(folder) {}

  void begin(const HfFile& file) {
    guard([&] {
      written_.push_back(std::make_unique<SafetensorsWriter>(
          files_, concat(folder_, "/", file.name), file.tensors));
    });
  }

  /// Appends what `make` returns, as `dtype`.
  void append(const std::function<at::Tensor()>& make, at::ScalarType dtype) {
    guard([&] {
      const at::Tensor bytes = make().to(at::kCPU, dtype).contiguous();
      written_.back()->append({static_cast<const char*>(bytes.const_data_ptr()), bytes.nbytes()});
    });
  }

  void finish() {
    guard([&] { written_.back()->finish(); });
  }

  void throw_if_failed() const {
    if (failure_) std::rethrow_exception(failure_);
  }

  void publish() {
    for (const auto& writer : written_) writer->publish();
    files_.sync_directory(folder_);
  }

 private:
  template <class Action>
  void guard(const Action& action) {
    if (failure_) return;
    try {
      action();
    } catch (...) {
      failure_ = std::current_exception();
    }
  }

  base::FileSystem& files_;
  const std::string& folder_;
  std::vector<std::unique_ptr<SafetensorsWriter>> written_;
  std::exception_ptr failure_;
};

}  // namespace

void save_hf_weights(base::FileSystem& files, const std::string& folder,
                     const protocols::ModelParts& parts, const protocols::StateDictAdapter& adapter,
                     at::ScalarType dtype, const comm::RankContext& context) try {
  TITAN_CHECK(context.world_size == 1 || context.host_group != nullptr,
              "ranks that save together need a group to meet on");
  const c10::NoGradGuard no_grad;
  const std::vector<protocols::HfTensor> tensors =
      adapter.hf_tensors(model_tensors(*parts.front().model));
  std::vector<WeightInfo> infos;
  for (const auto& tensor : tensors) infos.push_back({tensor.name, dtype, tensor.sizes});
  const std::vector<HfFile> plan = plan_hf_files(infos);

  const RankMeeting ranks(context.host_group);
  ranks.do_together([&] {
    if (ranks.is_root()) clear_hf_folder(files, folder);
  });
  Gatherer gatherer(parts, context);
  OwnFiles mine(files, folder);
  auto next = tensors.begin();
  for (std::size_t i = 0; i < plan.size(); ++i) {
    const bool is_mine = static_cast<std::int64_t>(i) % context.world_size == context.rank;
    if (is_mine) mine.begin(plan[i]);
    for (std::size_t j = 0; j < plan[i].tensors.size(); ++j, ++next) {
      const std::vector<at::Tensor> sources = gatherer.gather(next->sources);
      if (is_mine) mine.append([&] { return adapter.to_hf(next->name, sources); }, dtype);
    }
    if (is_mine) mine.finish();
  }
  ranks.do_together([&] { mine.throw_if_failed(); });
  ranks.do_together([&] { mine.publish(); });
  ranks.do_together([&] {
    if (!ranks.is_root()) return;
    write_hf_config(files, folder, adapter, dtype, infos);
    formats::write_safetensors_index(files, concat(folder, "/", formats::kSafetensorsIndexName),
                                     index_of(plan));
  });
} catch (const FailedTogether& failed) {
  if (context.rank == 0) discard_hf_folder(files, folder);
  throw RunError(concat("Saving Hugging Face weights failed: ", failed.what()));
}

}  // namespace titan::components
