#include "parquet/arrow_file.h"

#include <arrow/buffer.h>
#include <arrow/status.h>

#include <algorithm>
#include <span>
#include <utility>

#include "titan/base/errors.h"

namespace titan::parquet {

ArrowFile::ArrowFile(std::unique_ptr<base::ReadableFile> file) : file_(std::move(file)) {}

ArrowFile::~ArrowFile() = default;

arrow::Status ArrowFile::Close() {
  file_.reset();
  return arrow::Status::OK();
}

arrow::Status ArrowFile::Seek(std::int64_t position) {
  if (position < 0) return arrow::Status::IOError("a place before the file is asked for");
  position_ = position;
  return arrow::Status::OK();
}

arrow::Result<std::int64_t> ArrowFile::GetSize() {
  if (closed()) return arrow::Status::IOError("the file is closed");
  return static_cast<std::int64_t>(file_->size());
}

arrow::Result<std::int64_t> ArrowFile::ReadAt(std::int64_t position, std::int64_t bytes,
                                              void* out) {
  if (closed()) return arrow::Status::IOError("the file is closed");
  if (position < 0 || bytes < 0)
    return arrow::Status::IOError("a place before the file is asked for");
  try {
    const std::span<char> span(static_cast<char*>(out), static_cast<std::size_t>(bytes));
    return static_cast<std::int64_t>(file_->read_at(static_cast<std::uint64_t>(position), span));
  } catch (const RunError& error) {
    return arrow::Status::IOError(error.what());
  }
}

arrow::Result<std::shared_ptr<arrow::Buffer>> ArrowFile::ReadAt(std::int64_t position,
                                                                std::int64_t bytes) {
  if (closed()) return arrow::Status::IOError("the file is closed");
  // What a damaged file asks for may be more than there is: only what can be read gets memory.
  const auto size = static_cast<std::int64_t>(file_->size());
  const std::int64_t there = std::clamp<std::int64_t>(size - std::min(position, size), 0, size);
  ARROW_ASSIGN_OR_RAISE(auto buffer,
                        arrow::AllocateResizableBuffer(std::clamp<std::int64_t>(bytes, 0, there)));
  ARROW_ASSIGN_OR_RAISE(const std::int64_t count,
                        ReadAt(position, buffer->size(), buffer->mutable_data()));
  ARROW_RETURN_NOT_OK(buffer->Resize(count, /*shrink_to_fit=*/false));
  return std::shared_ptr<arrow::Buffer>(std::move(buffer));
}

arrow::Result<std::int64_t> ArrowFile::Read(std::int64_t bytes, void* out) {
  ARROW_ASSIGN_OR_RAISE(const std::int64_t count, ReadAt(position_, bytes, out));
  position_ += count;
  return count;
}

arrow::Result<std::shared_ptr<arrow::Buffer>> ArrowFile::Read(std::int64_t bytes) {
  ARROW_ASSIGN_OR_RAISE(auto buffer, ReadAt(position_, bytes));
  position_ += buffer->size();
  return buffer;
}

}  // namespace titan::parquet
