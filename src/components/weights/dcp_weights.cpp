#include <map>
#include <optional>

#include "components/weights/destination.h"
#include "components/weights/weights_formats.h"
#include "titan/base/errors.h"
#include "titan/base/file_system.h"
#include "titan/components/checkpoint/dcp_load.h"
#include "titan/components/checkpoint/dcp_save.h"
#include "titan/formats/dcp/dcp_metadata.h"
#include "titan/formats/torch_archive/torch_archive_writer.h"

namespace titan::components {
namespace {

using formats::DcpEntry;
using formats::DcpTensor;
using formats::TorchArchiveWriter;

constexpr const char* kDataFile = "__0_0.distcp";

/// The name of a model's tensor; nothing for an entry of the other states. A model's names stand alone in
/// TorchTitan's checkpoints and behind "model" in many others.
std::optional<std::string> model_tensor_name(const DcpEntry& entry) {
  const std::string& key = entry.key;
  for (const char* state : {"optimizer.", "lr_scheduler.", "dataloader.", "train_state.",
                            "rng_state.", "job_config."}) {
    if (key.starts_with(state)) return std::nullopt;
  }
  constexpr std::string_view kModel = "model.";
  return key.starts_with(kModel) ? key.substr(kModel.size()) : key;
}

class DcpWeightsReader : public WeightsReader {
 public:
  DcpWeightsReader(base::FileSystem& files, const std::string& path) : checkpoint_(files, path) {
    for (const DcpEntry& entry : checkpoint_.metadata().entries) {
      const DcpTensor* tensor = entry.tensor();
      const auto name = tensor != nullptr ? model_tensor_name(entry) : std::nullopt;
      if (name) add(*name, entry.key, *tensor);
    }
    if (tensors_.empty()) {
      throw RunError(concat("'", path, "' holds no tensors of a model"));
    }
  }

  const std::vector<WeightInfo>& tensors() const override { return tensors_; }

  void read(const std::string& name, const std::vector<std::int64_t>& offsets,
            const at::Tensor& box) const override {
    const auto found = stored_.find(name);
    if (found == stored_.end()) {
      throw RunError(concat("'", checkpoint_.folder(), "' has no tensor '", name, "'"));
    }
    const StateTensor wanted = {
        {found->second.key}, box, nn::TensorBox{tensors_[found->second.index].sizes, offsets}};
    checkpoint_.read({&wanted, 1}, nullptr);
  }

 private:
  struct Stored {
    std::string key;
    std::size_t index;
  };

  void add(const std::string& name, const std::string& key, const DcpTensor& tensor) {
    const auto type = scalar_type_of(tensor.dtype);
    if (!type) {
      throw RunError(concat("'", checkpoint_.folder(), "': '", key, "' is of ", tensor.dtype,
                            ", which is not read"));
    }
    if (!stored_.emplace(name, Stored{key, tensors_.size()}).second) {
      throw RunError(
          concat("'", checkpoint_.folder(), "' has '", name, "' twice, once as '", key, "'"));
    }
    tensors_.push_back({name, *type, tensor.sizes});
  }

  DcpCheckpoint checkpoint_;
  std::vector<WeightInfo> tensors_;
  std::map<std::string, Stored> stored_;
};

/// The checkpoint of one rank. The folder is none until `.metadata` is there.
class DcpWeightsWriter : public WeightsWriter {
 public:
  DcpWeightsWriter(base::FileSystem& files, std::string path, std::vector<WeightInfo> tensors)
      : files_(files), path_(std::move(path)), tensors_(std::move(tensors)) {
    std::int64_t offset = 0;
    for (const WeightInfo& info : tensors_) {
      const std::string_view dtype = dtype_name(info.dtype);
      archives_.push_back(formats::tensor_archive(dtype, info.sizes));
      const auto length = static_cast<std::int64_t>(archives_.back().size());
      DcpTensor tensor = {std::string(dtype), info.sizes, {}};
      tensor.chunks.push_back({std::vector<std::int64_t>(info.sizes.size(), 0), info.sizes,
                               formats::DcpPlace{kDataFile, offset, length}});
      metadata_.entries.push_back({info.name, std::move(tensor), formats::DcpPath{info.name}});
      offset += length;
    }
    metadata_.save_id = new_save_id();
    metadata_.folder = {path_};
    formats::check_dcp_metadata(metadata_);
    check_destination(files_, path_, static_cast<std::uint64_t>(offset), /*is_folder=*/true);
    made_folder_ = !files_.exists(path_);
    files_.create_directories(path_);
    file_ = files_.open_for_writing(data_path(), /*truncate=*/true);
  }

  ~DcpWeightsWriter() override {
    if (finished_) return;
    try {
      file_.reset();
      files_.remove_file(data_path());
      if (made_folder_) files_.remove_directory(path_);
    } catch (const RunError&) {
      // What is left is no checkpoint; the error on its way says why.
    }
  }

  void append(const at::Tensor& tensor) override {
    TITAN_CHECK(next_ < tensors_.size(), "more tensors than were announced");
    TorchArchiveWriter& archive = archives_[next_];
    file_->append(archive.begin());
    file_->append(archive.after_payload(append_tensor(*file_, tensors_[next_], tensor)));
    ++next_;
  }

  void finish() override {
    TITAN_CHECK(next_ == tensors_.size(), "fewer tensors than were announced");
    file_->sync();
    file_->close();
    files_.sync_directory(path_);
    base::write_file_atomically(files_, path_ + "/.metadata",
                                formats::write_dcp_metadata(metadata_));
    finished_ = true;
    files_.sync_directory(folder_of(path_));
  }

 private:
  std::string data_path() const { return concat(path_, "/", kDataFile); }

  base::FileSystem& files_;
  std::string path_;
  std::vector<WeightInfo> tensors_;
  std::vector<TorchArchiveWriter> archives_;
  formats::DcpMetadata metadata_;
  std::unique_ptr<base::WritableFile> file_;
  std::size_t next_ = 0;
  bool made_folder_ = false;
  bool finished_ = false;
};

}  // namespace

std::unique_ptr<WeightsReader> open_dcp_weights(base::FileSystem& files, const std::string& path) {
  return std::make_unique<DcpWeightsReader>(files, path);
}

std::unique_ptr<WeightsWriter> create_dcp_weights(base::FileSystem& files, const std::string& path,
                                                  std::vector<WeightInfo> tensors) {
  return std::make_unique<DcpWeightsWriter>(files, path, std::move(tensors));
}

}  // namespace titan::components
