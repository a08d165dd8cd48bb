#include "components/weights/hf_files.h"

#include <set>

#include "titan/base/errors.h"
#include "titan/base/file_system.h"
#include "titan/components/checkpoint/dcp_state.h"

namespace titan::components {

using formats::SafetensorsIndex;
using formats::SafetensorsTensor;

namespace {

std::string index_in(const std::string& folder) {
  return concat(folder, "/", formats::kSafetensorsIndexName);
}

/// Whole or not.
std::vector<std::string> weights_in(base::FileSystem& files, const std::string& folder) {
  std::vector<std::string> paths;
  for (const std::string& name : files.list_directory(folder)) {
    const bool is_weights = name.starts_with("model-") &&
                            (name.ends_with(".safetensors") || name.ends_with(".safetensors.tmp"));
    if (is_weights) paths.push_back(folder + "/" + name);
  }
  return paths;
}

}  // namespace

std::vector<HfFile> plan_hf_files(const std::vector<WeightInfo>& tensors, std::uint64_t max_bytes) {
  std::vector<HfFile> files(1);
  std::set<std::string> names;
  std::uint64_t bytes = 0;  // of the last file
  for (const WeightInfo& info : tensors) {
    const formats::TensorDtype* dtype = dtype_of(info.dtype);
    if (dtype == nullptr || !formats::has_safetensors_word(*dtype)) {
      throw RunError(concat("tensor '", info.name, "' is of type ", c10::toString(info.dtype),
                            ", which safetensors files do not hold"));
    }
    if (!names.insert(info.name).second) {
      throw RunError(concat("two tensors are called '", info.name, "'"));
    }
    SafetensorsTensor tensor{info.name, *dtype, info.sizes};
    if (!files.back().tensors.empty() && bytes + tensor.bytes() > max_bytes) {
      files.emplace_back();
      bytes = 0;
    }
    bytes += tensor.bytes();
    files.back().tensors.push_back(std::move(tensor));
  }
  for (std::size_t i = 0; i < files.size(); ++i) {
    files[i].name = formats::safetensors_file_name(i + 1, files.size());
  }
  return files;
}

SafetensorsIndex index_of(const std::vector<HfFile>& files) {
  SafetensorsIndex index;
  for (const HfFile& file : files) {
    for (const SafetensorsTensor& tensor : file.tensors) {
      index.total_bytes += tensor.bytes();
      index.file_by_name[tensor.name] = file.name;
    }
  }
  return index;
}

void clear_hf_folder(base::FileSystem& files, const std::string& folder) {
  files.create_directories(folder);
  if (files.exists(index_in(folder))) {
    files.remove_file(index_in(folder));  // first: without it the rest is no model any more
    files.sync_directory(folder);
  }
  for (const std::string& path : weights_in(files, folder)) files.remove_file(path);
}

void discard_hf_folder(base::FileSystem& files, const std::string& folder) noexcept {
  const auto try_to = [](const auto& remove) {
    try {
      remove();
    } catch (const std::exception&) {
      // Gone already - other ranks remove theirs - or the next save to this folder tries again.
    }
  };
  try_to([&] { files.remove_file(index_in(folder)); });
  try_to([&] {
    for (const std::string& path : weights_in(files, folder)) {
      try_to([&] { files.remove_file(path); });
    }
  });
  try_to([&] { files.remove_directory(folder); });  // refuses one that holds something
}

}  // namespace titan::components
