#include "text/sources/sources_of_formats.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <optional>
#include <span>
#include <utility>

#include "text/sources/token_file.h"
#include "titan/base/errors.h"
#include "titan/base/file_system.h"

namespace titan::text {
namespace {

using config::DataFormat;

// The header of llm.c's token files (dev/data/data_common.py): 256 int32, the first three being
// magic number, version and number of tokens.
constexpr std::uint64_t kHeaderBytes = 256 * 4;
struct LlmCHeader {
  std::int32_t magic = 0;
  std::int32_t version = 0;
  std::int32_t tokens = 0;
};
struct LlmCKind {
  std::int32_t magic;
  std::int32_t version;
  std::uint64_t width;
};
constexpr std::array kLlmCKinds{LlmCKind{20240520, 1, 2}, LlmCKind{20240801, 7, 4}};

LlmCHeader read_header(const base::ReadableFile& file) {
  std::array<char, sizeof(LlmCHeader)> bytes;
  base::read_exactly(file, 0, bytes);
  LlmCHeader header;
  std::memcpy(&header, bytes.data(), sizeof(header));
  return header;
}

const LlmCKind* find_kind(std::int32_t magic) {
  const auto kind = std::find_if(kLlmCKinds.begin(), kLlmCKinds.end(),
                                 [&](const LlmCKind& each) { return each.magic == magic; });
  return kind == kLlmCKinds.end() ? nullptr : &*kind;
}

[[noreturn]] void refuse(const base::ReadableFile& file, const std::string& why) {
  throw RunError(concat("'", file.path(), "' is no token file of llm.c: ", why));
}

class TokenWindows final : public DocumentSource {
 public:
  TokenWindows(base::FileSystem& files, std::vector<DataFile> data, config::DataFormat format,
               std::int64_t tokens_per_window)
      : files_(files), data_(std::move(data)), tokens_per_window_(tokens_per_window) {
    TITAN_CHECK(tokens_per_window > 0, "a window holds tokens");
    std::int64_t windows = 0;
    for (const DataFile& file : data_) {
      layouts_.push_back(read_layout(*open_data_file(files, file), format));
      first_windows_.push_back(windows);
      const std::int64_t tokens = layouts_.back().tokens;
      windows += tokens / tokens_per_window + (tokens % tokens_per_window > 0 ? 1 : 0);
    }
    first_windows_.push_back(windows);
  }

  std::optional<std::int64_t> unit_count() override { return first_windows_.back(); }
  bool open(std::int64_t unit, std::int64_t skip, std::optional<std::uint64_t>) override {
    TITAN_CHECK(unit >= 0 && skip >= 0, "windows are counted from 0");
    if (unit >= first_windows_.back()) return false;
    if (skip > 1)
      throw RunError(concat("cannot go to document ", skip, " of window ", unit, ": it is one"));
    const auto first = std::upper_bound(first_windows_.begin(), first_windows_.end(), unit) - 1;
    const auto file = static_cast<std::size_t>(first - first_windows_.begin());
    if (!open_file_ || file != file_) {
      open_file_.emplace(open_data_file(files_, data_[file]), layouts_[file].type);
      file_ = file;
    }
    token_ = (unit - *first) * tokens_per_window_;
    is_read_ = skip > 0;
    return true;
  }

  bool next(Document& document) override {
    if (is_read_) return false;
    is_read_ = true;
    document.prompt.clear();
    document.text.clear();
    document.tokens.clear();
    document.is_tokens = true;
    document.begins = document.ends = true;
    const Layout& layout = layouts_[file_];
    open_file_->read(layout.offset + static_cast<std::uint64_t>(token_) * layout.type.width,
                     std::min(tokens_per_window_, layout.tokens - token_), document.tokens);
    return true;
  }

  bool unit_is_document() const override { return true; }
  const char* units() const override { return "windows"; }
  std::string description() const override {
    return concat("windows of ", tokens_per_window_, " tokens in ", describe_files(data_));
  }

 private:
  /// Where the tokens of a file are.
  struct Layout {
    TokenType type;
    std::uint64_t offset = 0;
    std::int64_t tokens = 0;
  };
  static Layout read_layout(const base::ReadableFile& file, config::DataFormat format) {
    const std::uint64_t size = file.size();
    if (format != DataFormat::kLlmC) {
      const std::uint64_t width = format == DataFormat::kU16 ? 2 : 4;
      if (size % width != 0) {
        throw RunError(concat("'", file.path(), "' has ", size, " bytes, which is not a number of ",
                              width, "-byte token ids"));
      }
      return {{width, false}, 0, static_cast<std::int64_t>(size / width)};
    }
    if (size < kHeaderBytes) refuse(file, concat("it has ", size, " bytes, the header alone 1024"));
    const LlmCHeader header = read_header(file);
    const LlmCKind* kind = find_kind(header.magic);
    if (!kind) refuse(file, concat("it begins with ", header.magic, ", not 20240520 or 20240801"));
    if (header.version != kind->version) {
      refuse(file, concat("its version is ", header.version, ", not ", kind->version));
    }
    const std::uint64_t bytes = size - kHeaderBytes;
    if (header.tokens < 0 || bytes != static_cast<std::uint64_t>(header.tokens) * kind->width) {
      refuse(file, concat("its header speaks of ", header.tokens, " tokens of ", kind->width,
                          " bytes, but there are ", bytes, " bytes behind it"));
    }
    return {{kind->width, false}, kHeaderBytes, header.tokens};
  }

  base::FileSystem& files_;
  std::vector<DataFile> data_;
  std::int64_t tokens_per_window_;
  std::vector<Layout> layouts_;              // of each file
  std::vector<std::int64_t> first_windows_;  // of each file, and the end
  std::optional<TokenFile> open_file_;       // data_[file_]
  std::size_t file_ = 0;
  std::int64_t token_ = 0;  // where the open window begins
  bool is_read_ = true;
};

}  // namespace

bool has_llm_c_header(const base::ReadableFile& file) {
  return file.size() >= kHeaderBytes && find_kind(read_header(file).magic) != nullptr;
}

std::unique_ptr<DocumentSource> open_token_windows(base::FileSystem& files,
                                                   std::vector<DataFile> data,
                                                   config::DataFormat format,
                                                   std::int64_t tokens_per_window) {
  return std::make_unique<TokenWindows>(files, std::move(data), format, tokens_per_window);
}

}  // namespace titan::text
