#include "components/weights/hf_files.h"
#include "components/weights/weights_formats.h"
#include "titan/base/errors.h"
#include "titan/base/file_system.h"

namespace titan::components {
namespace {

class HfWeightsWriter final : public WeightsWriter {
 public:
  HfWeightsWriter(base::FileSystem& files, std::string folder, std::vector<WeightInfo> tensors)
      : files_(files),
        folder_(std::move(folder)),
        tensors_(std::move(tensors)),
        plan_(plan_hf_files(tensors_)) {
    files_.create_directories(folder_);
    if (!files_.list_directory(folder_).empty()) {
      throw RunError(
          concat("'", folder_, "' is not empty: name a new folder, or remove what is in it"));
    }
  }

  void append(const at::Tensor& tensor) override {
    TITAN_CHECK(next_ < tensors_.size(), "a tensor more than was said");
    const WeightInfo& info = tensors_[next_++];
    TITAN_CHECK(tensor.device().is_cpu() && tensor.is_contiguous() &&
                    tensor.sizes() == info.sizes && tensor.scalar_type() == info.dtype,
                "another tensor than '", info.name, "' as it was declared");
    if (writers_.empty() || in_file_ == plan_[writers_.size() - 1].tensors.size()) begin_file();
    writers_.back()->append({static_cast<const char*>(tensor.const_data_ptr()), tensor.nbytes()});
    if (++in_file_ == plan_[writers_.size() - 1].tensors.size()) writers_.back()->finish();
  }

  void finish() override {
    TITAN_CHECK(next_ == tensors_.size(), "tensors of '", folder_, "' have not come");
    if (writers_.empty()) {  // a model without tensors
      begin_file();
      writers_.back()->finish();
    }
    for (const auto& writer : writers_) writer->publish();
    files_.sync_directory(folder_);
    formats::write_safetensors_index(files_, concat(folder_, "/", formats::kSafetensorsIndexName),
                                     index_of(plan_));
  }

 private:
  void begin_file() {
    const HfFile& file = plan_[writers_.size()];
    writers_.push_back(std::make_unique<formats::SafetensorsWriter>(
        files_, folder_ + "/" + file.name, file.tensors));
    in_file_ = 0;
  }

  base::FileSystem& files_;
  std::string folder_;
  std::vector<WeightInfo> tensors_;
  std::vector<HfFile> plan_;
  std::vector<std::unique_ptr<formats::SafetensorsWriter>>
      writers_;  // all but the last are finished
  std::size_t next_ = 0;
  std::size_t in_file_ = 0;  // tensors that the last file has
};

}  // namespace

std::unique_ptr<WeightsWriter> create_hf_weights(base::FileSystem& files, const std::string& path,
                                                 std::vector<WeightInfo> tensors) {
  return std::make_unique<HfWeightsWriter>(files, path, std::move(tensors));
}

}  // namespace titan::components
