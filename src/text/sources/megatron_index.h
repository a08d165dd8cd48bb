#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "text/sources/token_file.h"
#include "titan/base/file_system.h"

namespace titan::text {

/// A list of little-endian integers in a file, read a few KiB at a time around what is asked for.
class IntegerTable {
 public:
  /// `width` is 4 or 8. The file must outlive this and be long enough.
  IntegerTable(const base::ReadableFile& file, std::uint64_t offset, std::int64_t count,
               std::uint64_t width)
      : file_(file), offset_(offset), count_(count), width_(width) {}
  std::int64_t at(std::int64_t index);
  std::int64_t count() const { return count_; }

 private:
  const base::ReadableFile& file_;
  std::uint64_t offset_;
  std::int64_t count_;
  std::uint64_t width_;
  std::int64_t first_ = 0;  // of held_
  std::vector<char> held_;
};

/// The `.idx` of a Megatron data set: where sequences are in the `.bin`, and which sequences are a
/// document. Format (Megatron-LM, megatron/core/datasets/indexed_dataset.py): "MMIDIDX\0\0", int64
/// version 1, uint8 type of the tokens, int64 number of sequences, int64 number of document ends
/// with a leading 0; then per sequence an int32 length and an int64 byte in the `.bin`, and the
/// document ends as int64 numbers of sequences. Megatron writes sequences behind each other and puts
/// every one into a document; an index that says otherwise is damaged or another file's.
class MegatronIndex {
 public:
  /// `bin_size` is the size of the `.bin`. Throws RunError naming the file and what is wrong.
  MegatronIndex(std::unique_ptr<base::ReadableFile> file, std::uint64_t bin_size);

  /// Reads all of the index: whether its sequences are the whole `.bin`, one behind the other, and its
  /// documents all sequences. Throws RunError saying which is not.
  void check();
  struct Sequence {
    std::uint64_t offset = 0;  // in the `.bin`
    std::int64_t tokens = 0;
  };
  /// Where a sequence is; inside the `.bin`. Throws RunError.
  Sequence sequence(std::int64_t index);
  struct Document {
    std::int64_t begin = 0;  // of its sequences
    std::int64_t end = 0;
  };
  /// The sequences of a document. Throws RunError.
  Document document(std::int64_t index);
  std::int64_t documents() const { return ends_->count() - 1; }
  TokenType token_type() const { return type_; }

 private:
  void read_header();
  [[noreturn]] void fail(const std::string& what) const;

  std::unique_ptr<base::ReadableFile> file_;
  std::uint64_t bin_size_;
  TokenType type_;
  std::unique_ptr<IntegerTable> lengths_;
  std::unique_ptr<IntegerTable> offsets_;
  std::unique_ptr<IntegerTable> ends_;
};

}  // namespace titan::text
