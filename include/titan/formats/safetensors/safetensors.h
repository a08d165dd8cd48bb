#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "titan/formats/tensor_dtype.h"

namespace titan::base {
class FileSystem;
class ReadableFile;
class WritableFile;
}  // namespace titan::base

namespace titan::formats {

/// A tensor of a safetensors file: row-major, little endian.
struct SafetensorsTensor {
  std::string name;
  TensorDtype dtype;
  std::vector<std::int64_t> sizes;
  std::uint64_t start = 0;  // byte of the file; a writer finds it itself

  /// Of its elements. Known to fit 64 bits for a tensor that was read.
  std::uint64_t bytes() const;
};

/// A safetensors file open for reading: 8 bytes with the length of a header, a header of JSON, then
/// the tensors without gaps (github.com/huggingface/safetensors, "Format"). Nothing in it is trusted.
/// Safe to read from several threads.
class SafetensorsFile {
 public:
  /// Throws RunError naming file, byte and tensor: also for holes, overlaps, bytes behind the last
  /// tensor, and types of less than a byte.
  SafetensorsFile(base::FileSystem& files, const std::string& path);
  ~SafetensorsFile();

  const std::string& path() const;
  const base::ReadableFile& file() const { return *file_; }
  /// In the order in which they lie in the file.
  const std::vector<SafetensorsTensor>& tensors() const { return tensors_; }
  const std::map<std::string, std::string>& metadata() const { return metadata_; }

 private:
  std::unique_ptr<base::ReadableFile> file_;
  std::vector<SafetensorsTensor> tensors_;
  std::map<std::string, std::string> metadata_;
};

/// Writes a safetensors file whose tensors are known beforehand; memory is needed for the header only.
/// The bytes go to a file beside it until `publish`.
class SafetensorsWriter {
 public:
  /// Throws RunError. The header says `"format": "pt"`, without which some readers refuse a file.
  SafetensorsWriter(base::FileSystem& files, std::string path,
                    const std::vector<SafetensorsTensor>& tensors);
  /// Removes what was written unless it was published.
  ~SafetensorsWriter();

  /// The next bytes of the tensors, one tensor after the other, in pieces of any size.
  void append(std::string_view bytes);
  /// Makes everything durable, still under its temporary name. All bytes must have come.
  void finish();
  /// Gives the finished file its name. The caller syncs the folder.
  void publish();

 private:
  void discard();

  base::FileSystem& files_;
  std::string path_;
  std::unique_ptr<base::WritableFile> file_;
  std::uint64_t missing_ = 0;  // bytes that are still to come
  bool is_finished_ = false;
  bool is_published_ = false;
};

/// Whether a safetensors file can hold such elements.
bool has_safetensors_word(const TensorDtype& dtype);

/// "model-00002-of-00005.safetensors" for number 2 of 5.
std::string safetensors_file_name(std::size_t number, std::size_t count);

inline constexpr std::string_view kSafetensorsIndexName = "model.safetensors.index.json";

/// Which of several files holds which tensor.
struct SafetensorsIndex {
  std::uint64_t total_bytes = 0;                    // of all tensors; 0 where it is not said
  std::map<std::string, std::string> file_by_name;  // tensor to file, a plain name
};

/// Throws RunError for anything that is no index, and for files that lie outside of its folder.
SafetensorsIndex read_safetensors_index(base::FileSystem& files, const std::string& path);
/// Durable, all of it or nothing. Throws RunError.
void write_safetensors_index(base::FileSystem& files, const std::string& path,
                             const SafetensorsIndex& index);

}  // namespace titan::formats
