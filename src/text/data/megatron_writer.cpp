#include "text/data/megatron_writer.h"

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <functional>
#include <span>

#include "titan/base/errors.h"
#include "titan/base/file_system.h"

namespace titan::text {
namespace {

constexpr std::size_t kBuffer = 1 << 20;

/// Collects small writes.
class BufferedWriter {
 public:
  explicit BufferedWriter(base::WritableFile& file) : file_(file) {}
  void put(std::string_view bytes) {
    buffer_ += bytes;
    if (buffer_.size() >= kBuffer) flush();
  }
  template <class Number>
  void put_number(Number number) {
    put({reinterpret_cast<const char*>(&number), sizeof(number)});
  }
  void flush() {
    file_.append(buffer_);
    buffer_.clear();
  }

 private:
  base::WritableFile& file_;
  std::string buffer_;
};

/// Hands `length` bytes of the file from `offset` on to `sink`, a buffer at a time. Buffers hold
/// whole numbers.
void for_each_buffer(const base::ReadableFile& file, std::uint64_t offset, std::uint64_t length,
                     const std::function<void(std::string_view)>& sink) {
  std::string buffer(kBuffer, '\0');
  while (length > 0) {
    const std::size_t wanted = std::min<std::uint64_t>(length, buffer.size());
    const std::size_t count = file.read_at(offset, std::span(buffer).first(wanted));
    if (count != wanted) throw RunError(concat("'", file.path(), "' became shorter"));
    sink(std::string_view(buffer).substr(0, count));
    offset += count;
    length -= count;
  }
}

class Assembly {
 public:
  Assembly(base::FileSystem& files, const std::string& output, const std::vector<TokenPart>& parts)
      : files_(files), output_(output), parts_(parts) {}

  void write_bin() {
    write_durably(output_ + ".bin", [&](BufferedWriter& out) {
      for (std::size_t i = 0; i < parts_.size(); ++i) {
        for_each_buffer(*open(i), parts_[i].tokens_offset(), parts_[i].token_bytes(),
                        [&](std::string_view bytes) { out.put(bytes); });
      }
    });
  }

  void write_idx() {
    write_durably(output_ + ".idx", [&](BufferedWriter& out) {
      const TokenPartHeader& last = parts_.back().header();
      const std::int64_t documents = last.progress.documents;
      constexpr std::uint8_t kInt32 = 4;
      constexpr std::uint8_t kUInt16 = 8;
      out.put(std::string_view("MMIDIDX\0\0", 9));
      out.put_number(std::uint64_t{1});  // version
      out.put_number(last.bytes_per_token == 2 ? kUInt16 : kInt32);
      out.put_number(documents);  // a sequence is a document
      out.put_number(documents + 1);
      for_each_length([&](std::int32_t length) { out.put_number(length); });
      std::int64_t offset = 0;
      for_each_length([&](std::int32_t length) {
        out.put_number(offset);
        offset += length * last.bytes_per_token;
      });
      for (std::int64_t i = 0; i <= documents; ++i) out.put_number(i);
    });
  }

 private:
  std::unique_ptr<base::ReadableFile> open(std::size_t part) {
    return files_.open_for_reading(TokenPart::path(output_, part));
  }

  void for_each_length(const std::function<void(std::int32_t)>& sink) {
    for (std::size_t i = 0; i < parts_.size(); ++i) {
      const auto bytes = 4 * static_cast<std::uint64_t>(parts_[i].header().documents);
      for_each_buffer(*open(i), parts_[i].lengths_offset(), bytes, [&](std::string_view buffer) {
        for (std::size_t at = 0; at < buffer.size(); at += 4) {
          std::int32_t length = 0;
          std::memcpy(&length, buffer.data() + at, sizeof(length));
          sink(length);
        }
      });
    }
  }

  void write_durably(const std::string& path, const std::function<void(BufferedWriter&)>& fill) {
    const std::string temporary = path + ".tmp";
    const auto file = files_.open_for_writing(temporary, /*truncate=*/true);
    BufferedWriter out(*file);
    fill(out);
    out.flush();
    file->sync();
    file->close();
    files_.rename(temporary, path);
    const std::string folder = std::filesystem::path(path).parent_path();
    files_.sync_directory(folder.empty() ? "." : folder);
  }

  base::FileSystem& files_;
  const std::string& output_;
  const std::vector<TokenPart>& parts_;
};

}  // namespace

void assemble_megatron(base::FileSystem& files, const std::string& output,
                       const std::vector<TokenPart>& parts) {
  Assembly assembly(files, output, parts);
  assembly.write_bin();
  assembly.write_idx();
  // From the last on: what an interruption leaves is never taken for the parts of a run.
  for (std::size_t i = parts.size(); i-- > 0;) files.remove_file(TokenPart::path(output, i));
}

}  // namespace titan::text
