#include "text/tokenizer/json_document.h"

#include <utility>

#include "titan/base/errors.h"

namespace titan::text {
namespace {

constexpr std::size_t kMaxDepth = 64;
constexpr std::size_t kMaxValues = 1'000'000;
constexpr std::size_t kMaxKeys = 10'000;  // of one object: looking one up is linear

}  // namespace

bool JsonDocumentBuilder::key(string_t& key) {
  Json& object = *open_.back().container;
  if (object.size() >= kMaxKeys)
    throw RunError(concat("more than ", kMaxKeys, " keys at ", pointer()));
  if (object.contains(key))
    throw RunError(concat("the key '", key, "' comes twice in ", pointer()));
  key_ = std::move(key);
  return true;
}

bool JsonDocumentBuilder::parse_error(std::size_t, const std::string&,
                                      const nlohmann::detail::exception& error) {
  // "[json.exception.parse_error.101] parse error at line 1, column 2: ...; last read: '...'",
  // which can be as long as the file.
  std::string_view message = error.what();
  message = message.substr(0, message.find("; last read"));
  throw RunError(std::string(message.substr(message.find("] ") + 2, 300)));
}

std::string JsonDocumentBuilder::pointer() const {
  std::string pointer;
  for (const Level& level : open_) pointer += level.name;
  return pointer.empty() ? "/" : pointer;
}

bool JsonDocumentBuilder::put(Json value) {
  attach(std::move(value));
  return true;
}

bool JsonDocumentBuilder::open(Json container) {
  if (open_.size() >= kMaxDepth)
    throw RunError(concat("nested deeper than ", kMaxDepth, " levels at ", pointer()));
  std::string name;
  if (!open_.empty()) {
    const Json& outer = *open_.back().container;
    name = outer.is_object() ? pointer_step(key_) : concat("/", outer.size());
  }
  Json& attached = attach(std::move(container));
  open_.push_back({&attached, std::move(name)});
  return true;
}

bool JsonDocumentBuilder::close() {
  open_.pop_back();
  return true;
}

// An open container's address is stable: nothing is added to the ones around it until it is closed.
Json& JsonDocumentBuilder::attach(Json value) {
  if (++values_ > kMaxValues) throw RunError(concat("more than ", kMaxValues, " values"));
  if (open_.empty()) return root_ = std::move(value);
  Json& outer = *open_.back().container;
  if (outer.is_object()) return outer[key_] = std::move(value);
  outer.push_back(std::move(value));
  return outer.back();
}

void parse_json(std::string_view text, const std::string& file, JsonDocumentBuilder& builder) {
  try {
    Json::sax_parse(text.data(), text.data() + text.size(), &builder);
  } catch (const RunError& error) {
    throw RunError(concat("cannot read ", file, ": ", error.what()));
  }
}

std::string pointer_step(std::string_view key) {
  std::string step = "/";
  for (const char c : key) {
    if (c == '~') {
      step += "~0";
    } else if (c == '/') {
      step += "~1";
    } else {
      step += c;
    }
  }
  return step;
}

}  // namespace titan::text
