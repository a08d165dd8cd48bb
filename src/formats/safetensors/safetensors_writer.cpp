#include <nlohmann/json.hpp>
#include <utility>

#include "formats/safetensors/safetensors_words.h"
#include "titan/base/errors.h"
#include "titan/base/file_system.h"
#include "titan/base/little_endian.h"
#include "titan/formats/safetensors/safetensors.h"

namespace titan::formats {
namespace {

std::string temporary_name(const std::string& path) { return path + ".tmp"; }

/// The length and the header, filled up with spaces so that the tensors begin at a multiple of 8.
std::string make_header(const std::vector<SafetensorsTensor>& tensors) {
  nlohmann::ordered_json header = {{"__metadata__", {{"format", "pt"}}}};
  std::uint64_t start = 0;
  for (const SafetensorsTensor& tensor : tensors) {
    const std::string_view word = safetensors_word(tensor.dtype);
    TITAN_CHECK(!word.empty(), "safetensors files hold no ", tensor.dtype.name);
    TITAN_CHECK(!header.contains(tensor.name), "two tensors '", tensor.name, "' for one file");
    const std::uint64_t end = start + tensor.bytes();
    header[tensor.name] = {
        {"dtype", word}, {"shape", tensor.sizes}, {"data_offsets", {start, end}}};
    start = end;
  }
  std::string text = header.dump();
  text.resize((text.size() + 7) / 8 * 8, ' ');
  std::string bytes;
  base::put_little(bytes, text.size(), 8);
  return bytes + text;
}

}  // namespace

SafetensorsWriter::SafetensorsWriter(base::FileSystem& files, std::string path,
                                     const std::vector<SafetensorsTensor>& tensors)
    : files_(files), path_(std::move(path)) {
  const std::string header = make_header(tensors);
  for (const SafetensorsTensor& tensor : tensors) missing_ += tensor.bytes();
  file_ = files.open_for_writing(temporary_name(path_), /*truncate=*/true);
  try {
    file_->append(header);
  } catch (...) {
    discard();
    throw;
  }
}

SafetensorsWriter::~SafetensorsWriter() {
  if (!is_published_) discard();
}

void SafetensorsWriter::discard() {
  try {
    file_.reset();
    files_.remove_file(temporary_name(path_));
  } catch (const std::exception&) {
    // It is of no use and in nobody's way; whoever writes here again replaces it.
  }
}

void SafetensorsWriter::append(std::string_view bytes) {
  TITAN_CHECK(bytes.size() <= missing_, "more bytes than '", path_, "' was declared with");
  file_->append(bytes);
  file_->start_write_back();  // the disk works while the next tensor is made
  missing_ -= bytes.size();
}

void SafetensorsWriter::finish() {
  TITAN_CHECK(missing_ == 0, missing_, " bytes of '", path_, "' have not come");
  file_->sync();
  file_->close();
  is_finished_ = true;
}

void SafetensorsWriter::publish() {
  TITAN_CHECK(is_finished_, "'", path_, "' is not durable yet");
  files_.rename(temporary_name(path_), path_);
  is_published_ = true;
}

}  // namespace titan::formats
