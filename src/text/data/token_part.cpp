#include "text/data/token_part.h"

#include <nlohmann/json.hpp>
#include <utility>

#include "titan/base/errors.h"
#include "titan/base/file_system.h"
#include "titan/base/sha256.h"
#include "titan/protocols/position_json.h"

namespace titan::text {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::size_t kMaxHeader = 16 << 20;

TokenPartHeader parse_header(std::string_view text) {
  const Json json = Json::parse(text);
  TokenPartHeader header;
  header.identity = json.at("identity").get<std::string>();
  header.position = protocols::position_from_json(json.at("position"));
  header.is_last = json.at("is_last").get<bool>();
  header.progress.documents = json.at("all_documents").get<std::int64_t>();
  header.progress.tokens = json.at("all_tokens").get<std::int64_t>();
  header.progress.text_bytes = json.at("all_text_bytes").get<std::int64_t>();
  header.documents = json.at("documents").get<std::int64_t>();
  header.tokens = json.at("tokens").get<std::int64_t>();
  header.bytes_per_token = json.at("bytes_per_token").get<std::int64_t>();
  header.sha256 = json.at("sha256").get<std::string>();
  return header;
}

std::string header_text(const TokenPartHeader& header) {
  const Json json = {{"identity", header.identity},
                     {"is_last", header.is_last},
                     {"all_documents", header.progress.documents},
                     {"all_tokens", header.progress.tokens},
                     {"all_text_bytes", header.progress.text_bytes},
                     {"documents", header.documents},
                     {"tokens", header.tokens},
                     {"bytes_per_token", header.bytes_per_token},
                     {"sha256", header.sha256},
                     {"position", to_json(header.position)}};
  return json.dump() + "\n";
}

bool is_plausible(const TokenPartHeader& header, std::uint64_t bytes_behind) {
  constexpr std::int64_t kMost = std::int64_t{1} << 40;
  return header.documents >= 0 && header.documents < kMost && header.tokens >= 0 &&
         header.tokens < kMost && (header.bytes_per_token == 2 || header.bytes_per_token == 4) &&
         static_cast<std::uint64_t>(4 * header.documents +
                                    header.tokens * header.bytes_per_token) == bytes_behind;
}

std::string hash_behind(const base::ReadableFile& file, std::uint64_t offset) {
  base::Sha256 hash;
  std::string buffer(1 << 20, '\0');
  while (const std::size_t count = file.read_at(offset, buffer)) {
    hash.update(std::string_view(buffer).substr(0, count));
    offset += count;
  }
  return hash.hex_digest();
}

}  // namespace

std::string TokenPart::path(const std::string& output, std::size_t index) {
  return concat(output, ".part-", index);
}

void TokenPart::write(base::FileSystem& files, const std::string& output, std::size_t index,
                      TokenPartHeader header, const std::vector<std::int32_t>& lengths,
                      const std::string& tokens) {
  std::string body(reinterpret_cast<const char*>(lengths.data()),
                   lengths.size() * sizeof(lengths[0]));
  body += tokens;
  header.sha256 = base::sha256_hex(body);
  base::write_file_atomically(files, path(output, index), header_text(header) + body);
}

std::optional<TokenPart> TokenPart::find(base::FileSystem& files, const std::string& output,
                                         std::size_t index) {
  const std::string name = path(output, index);
  if (!files.exists(name)) return std::nullopt;
  const auto file = files.open_for_reading(name);
  std::string front(std::min<std::uint64_t>(kMaxHeader, file->size()), '\0');
  front.resize(file->read_at(0, front));
  const std::size_t end = front.find('\n');
  try {
    TokenPartHeader header = parse_header(std::string_view(front).substr(0, end));
    const std::uint64_t header_bytes = end + 1;
    if (end != std::string::npos && is_plausible(header, file->size() - header_bytes) &&
        hash_behind(*file, header_bytes) == header.sha256) {
      return TokenPart(std::move(header), header_bytes);
    }
  } catch (const Json::exception&) {
  } catch (const RunError&) {
  }
  throw RunError(concat("'", name, "' is damaged: remove it and the parts with higher numbers"));
}

}  // namespace titan::text
