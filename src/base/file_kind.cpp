#include "titan/base/file_kind.h"

#include <algorithm>
#include <array>
#include <cctype>

#include "titan/base/errors.h"
#include "titan/base/file_system.h"

namespace titan::base {
namespace {

constexpr FileKind kGitLfs{"Git LFS", "a pointer of Git LFS, not the file itself",
                           "run 'git lfs pull' in its repository, or download the file again"};
constexpr FileKind kHtml{"HTML", "a page of HTML, such as a server sends instead of a file",
                         "download the file again"};
constexpr FileKind kUtf16{"UTF-16", "text in UTF-16 or UTF-32",
                          "convert it: iconv -f UTF-16 -t UTF-8 (or from UTF-32)"};

struct Magic {
  std::string_view bytes;
  FileKind kind;
};
constexpr std::array kMagics{
    Magic{"\x1f\x8b",
          {"gzip", "compressed with gzip",
           "unpack it; data may stay so under a name that ends in .gz"}},
    Magic{"\x28\xb5\x2f\xfd",
          {"zstd", "compressed with zstd",
           "unpack it; data may stay so under a name that ends in .zst"}},
    Magic{"\xfd"
          "7zXZ",
          {"xz", "compressed with xz", "unpack it: xz -d"}},
    Magic{"BZh", {"bzip2", "compressed with bzip2", "unpack it: bzip2 -d"}},
    Magic{"PK\x03\x04", {"zip", "a zip file", "unpack it"}},
    Magic{"PAR1", {"Parquet", "a Parquet file", "give it a name that ends in .parquet"}}};

bool begins_with_tag(std::string_view front) {
  while (!front.empty() && std::isspace(static_cast<unsigned char>(front.front()))) {
    front.remove_prefix(1);
  }
  std::string start(front.substr(0, 9));
  std::ranges::transform(start, start.begin(), [](unsigned char c) { return std::tolower(c); });
  return start == "<!doctype" || start.starts_with("<html");
}

/// With a byte order mark; or without one, where characters of ASCII have a zero byte each.
bool is_utf16(std::string_view front) {
  if (front.starts_with("\xff\xfe") || front.starts_with("\xfe\xff")) return true;
  if (front.starts_with(std::string_view("\0\0\xfe\xff", 4))) return true;
  if (front.size() < 8) return false;
  for (const std::size_t zero : {std::size_t{0}, std::size_t{1}}) {
    bool fits = true;
    for (std::size_t i = 0; i < 8; ++i) fits = fits && (front[i] == '\0') == (i % 2 == zero);
    if (fits) return true;
  }
  return false;
}

bool is_text(const FileKind& kind) { return kind.name == kGitLfs.name || kind.name == kHtml.name; }

}  // namespace

std::optional<FileKind> recognise_file(std::string_view front) {
  if (front.starts_with("version https://git-lfs.github.com/spec/")) return kGitLfs;
  if (begins_with_tag(front)) return kHtml;
  const auto* found = std::ranges::find_if(
      kMagics, [&](const Magic& magic) { return front.starts_with(magic.bytes); });
  if (found != kMagics.end()) return found->kind;
  if (is_utf16(front)) return kUtf16;
  return std::nullopt;
}

void refuse_other_kind(const std::string& path, std::string_view front, std::string_view expected,
                       bool is_binary) {
  const auto kind = recognise_file(front.substr(0, kFileFront));
  if (!kind || kind->name == expected || (is_binary && !is_text(*kind))) return;
  throw RunError(concat("'", path, "' is ", kind->is, ": ", kind->advice));
}

void refuse_other_kind(const ReadableFile& file, std::string_view expected, bool is_binary) {
  std::string front(kFileFront, '\0');
  front.resize(file.read_at(0, front));
  refuse_other_kind(file.path(), front, expected, is_binary);
}

}  // namespace titan::base
