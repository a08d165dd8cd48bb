#include <map>
#include <optional>

#include "components/weights/destination.h"
#include "components/weights/weights_formats.h"
#include "titan/base/errors.h"
#include "titan/base/file_system.h"
#include "titan/components/checkpoint/dcp_state.h"
#include "titan/components/checkpoint/stored_box.h"
#include "titan/formats/torch_archive/torch_archive.h"
#include "titan/formats/torch_archive/torch_archive_writer.h"
#include "titan/tools/logging.h"

namespace titan::components {
namespace {

using formats::PickleObject;
using formats::PickleValue;
using formats::StoredTensor;
using formats::TorchArchive;
using formats::TorchArchiveWriter;

using Items = std::vector<std::pair<PickleValue, PickleValue>>;

/// The pairs of a dict or an OrderedDict; null for anything else.
const Items* items_of(const PickleValue& value) {
  if (const auto* dict = value.get_if<formats::PickleDict>()) return &dict->items;
  const auto* object = value.get_if<PickleObject>();
  const bool is_ordered = object != nullptr && object->is("collections", "OrderedDict");
  return is_ordered ? &object->dict_items : nullptr;
}

/// The dict of the model: the object itself, or what it has under "model" or "state_dict".
const Items* model_items(const PickleValue& object) {
  const Items* items = items_of(object);
  if (items == nullptr) return nullptr;
  for (const auto& [key, value] : *items) {
    const auto* name = key.get_if<std::string>();
    const bool is_model = name != nullptr && (*name == "model" || *name == "state_dict");
    if (is_model && items_of(value) != nullptr) return items_of(value);
  }
  return items;
}

/// A tensor, also where it is a torch.nn.Parameter.
std::optional<StoredTensor> tensor_of(const TorchArchive& archive, const PickleValue& value) {
  const auto* object = value.get_if<PickleObject>();
  const bool is_parameter = object != nullptr && object->is("torch._utils", "_rebuild_parameter") &&
                            !object->arguments().empty();
  return archive.tensor(is_parameter ? object->arguments().front() : value);
}

class PtWeightsReader : public WeightsReader {
 public:
  PtWeightsReader(base::FileSystem& files, const std::string& path)
      : file_(files.open_for_reading(path)), archive_(*file_, 0, file_->size()) {
    const Items* items = model_items(archive_.object());
    if (items == nullptr) {
      fail(concat("holds a ", archive_.object().kind(), ", not a dict of tensors"));
    }
    std::string left_out;
    for (const auto& [key, value] : *items) {
      const auto* name = key.get_if<std::string>();
      if (name == nullptr) fail(concat("has a key that is a ", key.kind(), ", not a name"));
      if (const auto tensor = tensor_of(archive_, value)) {
        add(*name, *tensor);
      } else {
        left_out += concat(left_out.empty() ? "" : ", ", *name, " (", value.kind(), ")");
      }
    }
    if (tensors_.empty()) fail("holds no tensors");
    if (!left_out.empty()) {
      tools::log_warning("'", path, "': left out what is no tensor: ", left_out);
    }
  }

  const std::vector<WeightInfo>& tensors() const override { return tensors_; }

  void read(const std::string& name, const std::vector<std::int64_t>& offsets,
            const at::Tensor& box) const override {
    const auto found = stored_.find(name);
    if (found == stored_.end()) fail(concat("has no tensor '", name, "'"));
    const StoredTensor& stored = found->second;
    std::vector<ReadPart> parts;
    StoredBoxReader().read(*file_, stored, offsets, box, &parts);
    // The checksum is of all of the storage.
    if (parts.size() == 1 && parts[0].begin == 0 && parts[0].end == stored.storage_bytes &&
        parts[0].crc != stored.storage_crc) {
      fail(concat("tensor '", name, "', byte ", stored.storage_start, ": its ",
                  stored.storage_bytes, " bytes are damaged, their checksum is wrong"));
    }
  }

 private:
  [[noreturn]] void fail(const std::string& why) const {
    throw RunError(concat("'", file_->path(), "': ", why));
  }

  void add(const std::string& name, const StoredTensor& stored) {
    const auto type = scalar_type_of(stored.dtype.name);
    if (!type) fail(concat("'", name, "' is of ", stored.dtype.name, ", which is not read"));
    if (!stored_.emplace(name, stored).second) fail(concat("has '", name, "' twice"));
    tensors_.push_back({name, *type, stored.sizes});
  }

  std::unique_ptr<base::ReadableFile> file_;
  TorchArchive archive_;
  std::vector<WeightInfo> tensors_;
  std::map<std::string, StoredTensor> stored_;
};

/// The file that torch.save makes of a dict; it has another name until it is finished.
class PtWeightsWriter : public WeightsWriter {
 public:
  PtWeightsWriter(base::FileSystem& files, std::string path, std::vector<WeightInfo> tensors)
      : files_(files),
        path_(std::move(path)),
        tensors_(std::move(tensors)),
        archive_(make_archive(tensors_)) {
    check_destination(files_, path_, archive_.size(), /*is_folder=*/false);
    files_.create_directories(folder_of(path_));
    file_ = files_.open_for_writing(unfinished_path(), /*truncate=*/true);
    file_->append(archive_.begin());
  }

  ~PtWeightsWriter() override {
    if (finished_) return;
    try {
      file_.reset();
      files_.remove_file(unfinished_path());
    } catch (const RunError&) {
      // It does not have the final name; the error on its way says why.
    }
  }

  void append(const at::Tensor& tensor) override {
    TITAN_CHECK(next_ < tensors_.size(), "more tensors than were announced");
    const std::uint32_t crc = append_tensor(*file_, tensors_[next_++], tensor);
    file_->append(archive_.after_payload(crc));
  }

  void finish() override {
    TITAN_CHECK(next_ == tensors_.size(), "fewer tensors than were announced");
    file_->sync();
    file_->close();
    files_.rename(unfinished_path(), path_);
    finished_ = true;
    files_.sync_directory(folder_of(path_));
  }

 private:
  static TorchArchiveWriter make_archive(const std::vector<WeightInfo>& tensors) {
    constexpr int kProtocol = 2;  // torch.save's
    Items items;
    std::vector<std::uint64_t> sizes;
    for (const WeightInfo& info : tensors) {
      const formats::TensorDtype* dtype = dtype_of(info.dtype);
      if (dtype == nullptr) {
        throw RunError(concat("'", info.name, "' is of ", c10::toString(info.dtype),
                              ", which torch.save files do not hold"));
      }
      const std::string storage = std::to_string(items.size());
      items.emplace_back(PickleValue::text(info.name),
                         formats::tensor_object(dtype->name, info.sizes, storage));
      auto bytes = static_cast<std::uint64_t>(dtype->bytes);
      for (const std::int64_t size : info.sizes) bytes *= static_cast<std::uint64_t>(size);
      sizes.push_back(bytes);
    }
    return {formats::write_pickle(PickleValue::dict(std::move(items)), kProtocol),
            std::move(sizes)};
  }

  std::string unfinished_path() const { return path_ + ".unfinished"; }

  base::FileSystem& files_;
  std::string path_;
  std::vector<WeightInfo> tensors_;
  TorchArchiveWriter archive_;
  std::unique_ptr<base::WritableFile> file_;
  std::size_t next_ = 0;
  bool finished_ = false;
};

}  // namespace

std::unique_ptr<WeightsReader> open_pt_weights(base::FileSystem& files, const std::string& path) {
  return std::make_unique<PtWeightsReader>(files, path);
}

std::unique_ptr<WeightsWriter> create_pt_weights(base::FileSystem& files, const std::string& path,
                                                 std::vector<WeightInfo> tensors) {
  return std::make_unique<PtWeightsWriter>(files, path, std::move(tensors));
}

}  // namespace titan::components
