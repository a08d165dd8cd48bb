#include <algorithm>
#include <map>
#include <unordered_map>

#include "components/weights/name_list.h"
#include "components/weights/weights_formats.h"
#include "titan/base/errors.h"
#include "titan/base/file_system.h"
#include "titan/components/checkpoint/dcp_state.h"
#include "titan/components/checkpoint/stored_box.h"
#include "titan/formats/safetensors/safetensors.h"
#include "titan/formats/torch_archive/torch_archive_writer.h"

namespace titan::components {
namespace {

using formats::SafetensorsFile;
using formats::SafetensorsIndex;
using formats::SafetensorsTensor;

constexpr std::string_view kSuffix = ".safetensors";

bool is_safetensors_name(const std::string& name) {
  return name.size() > kSuffix.size() && name.ends_with(kSuffix);
}

class HfWeightsReader final : public WeightsReader {
 public:
  HfWeightsReader(base::FileSystem& files, const std::string& path) : files_(files) {
    if (!files.exists(path)) throw RunError(concat("'", path, "' does not exist"));
    if (!files.is_directory(path)) {
      open(path);
    } else {
      open_folder(path);
    }
  }

  const std::vector<WeightInfo>& tensors() const override { return tensors_; }

  void read(const std::string& name, const std::vector<std::int64_t>& offsets,
            const at::Tensor& box) const override {
    const auto place = places_.find(name);
    TITAN_CHECK(place != places_.end(), "no tensor '", name, "' to read");
    const auto& [file, stored] = place->second;
    StoredBoxReader().read(file->file(), stored, offsets, box, /*parts=*/nullptr);
  }

 private:
  struct Place {
    const SafetensorsFile* file;
    formats::StoredTensor stored;
  };

  /// An index says which files belong together. Without one it is `model.safetensors`, or all there are.
  void open_folder(const std::string& folder) {
    std::vector<std::string> names = files_.list_directory(folder);
    const bool has_index =
        std::count(names.begin(), names.end(), formats::kSafetensorsIndexName) > 0;
    const bool has_single = std::count(names.begin(), names.end(), "model.safetensors") > 0;
    if (has_index) return open_indexed(folder, has_single);
    std::erase_if(names, [](const std::string& name) { return !is_safetensors_name(name); });
    if (names.empty()) {
      throw RunError(concat("'", folder, "' holds no *.safetensors: no Hugging Face weights"));
    }
    if (has_single) names = {"model.safetensors"};
    for (const std::string& name : names) open(folder + "/" + name);
  }

  void open_indexed(const std::string& folder, bool has_single) {
    const std::string path = concat(folder, "/", formats::kSafetensorsIndexName);
    const SafetensorsIndex index = formats::read_safetensors_index(files_, path);
    std::map<std::string, std::size_t> names;  // of files
    for (const auto& [tensor, file] : index.file_by_name) ++names[file];
    if (has_single && names.count("model.safetensors") == 0) {
      throw RunError(concat("'", folder, "' has a model.safetensors and an index of other files (",
                            names.begin()->first,
                            ", ...): remove one of them, it cannot be told which is the model"));
    }
    std::vector<std::string> absent;
    for (const auto& [name, count] : names) {
      if (!files_.exists(folder + "/" + name)) absent.push_back(name);
    }
    if (!absent.empty()) {
      throw RunError(concat("'", path, "' names files that are not there: ", list_names(absent)));
    }
    for (const auto& [name, count] : names) open(folder + "/" + name, &index);
    check_index(index, path);
  }

  /// Every tensor of the files must be in the index, as being in that file; and the other way round.
  void check_index(const SafetensorsIndex& index, const std::string& path) const {
    std::vector<std::string> wrong;
    for (const auto& [name, file] : index.file_by_name) {
      const auto place = places_.find(name);
      if (place == places_.end() || !place->second.file->path().ends_with("/" + file)) {
        wrong.push_back(concat(name, " (not in ", file, ")"));
      }
    }
    for (const WeightInfo& tensor : tensors_) {
      if (index.file_by_name.count(tensor.name) == 0) {
        wrong.push_back(concat(tensor.name, " (not in the index)"));
      }
    }
    if (!wrong.empty()) {
      throw RunError(concat("'", path, "' and its files do not agree: ", list_names(wrong)));
    }
  }

  static formats::StoredTensor stored(const SafetensorsTensor& tensor) {
    return {.dtype = tensor.dtype,
            .sizes = tensor.sizes,
            .strides = formats::contiguous_strides(tensor.sizes),
            .storage_start = tensor.start,
            .storage_bytes = tensor.bytes()};
  }

  void open(const std::string& path, const SafetensorsIndex* index = nullptr) {
    opened_.push_back(std::make_unique<SafetensorsFile>(files_, path));
    const SafetensorsFile& file = *opened_.back();
    if (file.metadata().count("DCP_SHARDING_INFO") > 0) {
      throw RunError(concat("'", path,
                            "' holds one rank's parts of tensors; read the folder with "
                            "the whole ones (the one above 'sharded')"));
    }
    for (const SafetensorsTensor& tensor : file.tensors()) {
      const std::optional<at::ScalarType> type = scalar_type_of(tensor.dtype.name);
      TITAN_CHECK(type, "no LibTorch type for ", tensor.dtype.name);
      const auto [place, is_new] = places_.try_emplace(tensor.name, Place{&file, stored(tensor)});
      if (!is_new) {
        throw RunError(concat("tensor '", tensor.name, "' is in '", place->second.file->path(),
                              "' and in '", path, "'", choice_of(index, tensor.name)));
      }
      tensors_.push_back({tensor.name, *type, tensor.sizes});
    }
  }

  /// What an index says of a tensor that two files hold: one of them was to replace a part of the other.
  static std::string choice_of(const SafetensorsIndex* index, const std::string& tensor) {
    if (index == nullptr) return "; no index says which one counts";
    const auto chosen = index->file_by_name.find(tensor);
    if (chosen == index->file_by_name.end()) return "; the index does not name it";
    return concat("; the index names ", chosen->second,
                  ". Write the model anew without the tensors that do not count: every tensor is "
                  "read from one file");
  }

  base::FileSystem& files_;
  std::vector<std::unique_ptr<SafetensorsFile>> opened_;
  std::vector<WeightInfo> tensors_;
  std::unordered_map<std::string, Place> places_;
};

}  // namespace

std::unique_ptr<WeightsReader> open_hf_weights(base::FileSystem& files, const std::string& path) {
  return std::make_unique<HfWeightsReader>(files, path);
}

}  // namespace titan::components
