#include "components/checkpoint/state_file.h"

#include <algorithm>
#include <future>
#include <memory>
#include <string_view>
#include <utility>

#include "titan/base/errors.h"
#include "titan/base/file_system.h"
#include "titan/formats/torch_archive/crc32.h"

namespace titan::components {
namespace {

using formats::crc32;

constexpr std::size_t kPiece = 4 << 20;
/// Smaller things are put together before they are written.
constexpr std::size_t kSmall = 64 << 10;
/// From here on a checksum is worth a thread of its own.
constexpr std::size_t kWorthAThread = 1 << 20;
/// How much is written before the disk is told to begin.
constexpr std::uint64_t kWriteBack = 32 << 20;

/// Appends to a file: small things together, large ones as they are, and keeps the disk busy.
class Appender {
 public:
  Appender(base::FileSystem& files, const std::string& path)
      : file_(files.open_for_writing(path, /*truncate=*/true)) {}

  void append(std::string_view bytes) {
    written_ += bytes.size();
    if (bytes.size() < kSmall) {
      small_ += bytes;
      if (small_.size() >= kSmall) hand_out();
      return;
    }
    hand_out();
    for (; !bytes.empty(); bytes.remove_prefix(std::min(kPiece, bytes.size()))) {
      hand_over(bytes.substr(0, kPiece));
    }
  }

  std::uint64_t written() const { return written_; }

  void finish() {
    hand_out();
    file_->sync();
    file_->close();
  }

 private:
  void hand_out() {
    if (!small_.empty()) hand_over(std::exchange(small_, {}));
  }

  void hand_over(std::string_view bytes) {
    file_->append(bytes);
    waiting_ += bytes.size();
    if (waiting_ < kWriteBack) return;
    file_->start_write_back();
    waiting_ = 0;
  }

  std::unique_ptr<base::WritableFile> file_;
  std::string small_;
  std::uint64_t written_ = 0;
  std::uint64_t waiting_ = 0;  // for a write-back
};

/// Writes a tensor's elements; the checksum of a large one is taken meanwhile, or afterwards where there
/// is no thread to be had.
std::uint32_t append_payload(Appender& file, std::string_view bytes) {
  if (bytes.size() < kWorthAThread) {
    file.append(bytes);
    return crc32(bytes);
  }
  std::future<std::uint32_t> crc =
      std::async(std::launch::async | std::launch::deferred, [bytes] { return crc32(bytes); });
  file.append(bytes);
  return crc.get();
}

}  // namespace

StateFile::StateFile(const FlatState& state, const Assignment& assignment) {
  for (const std::size_t index : assignment.objects) {
    objects_.push_back(formats::object_archive(state.objects.at(index).value));
    add_part(objects_.back().size());
  }
  for (const std::size_t index : assignment.tensors) {
    const StateTensor& entry = state.tensors.at(index);
    tensors_.push_back({&entry, formats::tensor_archive(dtype_name(entry.tensor.scalar_type()),
                                                        entry.tensor.sizes().vec())});
    add_part(tensors_.back().archive.size());
  }
}

void StateFile::add_part(std::uint64_t length) {
  parts_.push_back({static_cast<std::int64_t>(size_), static_cast<std::int64_t>(length)});
  size_ += length;
}

void StateFile::write(base::FileSystem& files, const std::string& path) {
  Appender file(files, path);
  for (const std::string& object : objects_) file.append(object);
  for (Tensor& tensor : tensors_) {
    TITAN_CHECK(tensor.entry->tensor.is_cpu(), "'", tensor.entry->key(), "' is not on the CPU");
    file.append(tensor.archive.begin());
    const at::Tensor elements = tensor.entry->tensor.detach().contiguous();
    const std::string_view bytes(static_cast<const char*>(elements.const_data_ptr()),
                                 elements.nbytes());
    file.append(tensor.archive.after_payload(append_payload(file, bytes)));
  }
  file.finish();
  TITAN_CHECK(file.written() == size_, "a state file has ", file.written(), " bytes, not ", size_);
}

}  // namespace titan::components
