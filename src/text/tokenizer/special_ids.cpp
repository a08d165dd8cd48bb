#include "text/tokenizer/special_ids.h"

#include <string>

#include "titan/base/errors.h"

namespace titan::text {
namespace {

TokenId read_id(const JsonPlace& place) {
  const std::uint64_t id = place.count();
  if (id >= kMaxTokenIds) place.fail(concat("the id is not below ", kMaxTokenIds));
  return static_cast<TokenId>(id);
}

void append_ids(const JsonPlace& template_place, const std::string& name,
                std::vector<TokenId>& ids) {
  for (const JsonPlace& id : template_place.at("special_tokens").at(name).at("ids").items()) {
    ids.push_back(read_id(id));
  }
}

SpecialIds read_template(const JsonPlace& place) {
  place.expect_keys({"type", "single", "pair", "special_tokens"});
  const JsonPlace pieces = place.at("single");
  SpecialIds ids;
  bool text_seen = false;
  for (const JsonPlace& piece : pieces.items()) {
    piece.expect_keys({"SpecialToken", "Sequence"});
    if (const auto special = piece.find("SpecialToken")) {
      append_ids(place, special->at("id").text(), text_seen ? ids.after : ids.before);
      continue;
    }
    if (piece.at("Sequence").at("id").text() != "A" || text_seen) {
      piece.refuse("a template that uses the text twice or a second text");
    }
    text_seen = true;
  }
  if (!text_seen) pieces.refuse("a template without the text");
  return ids;
}

// "cls": ["<s>", 0], "sep": ["</s>", 2]: one in front, one behind.
SpecialIds read_pair(const JsonPlace& place) {
  const auto id_of = [&](const char* name) {
    const JsonPlace pair = place.at(name);
    pair.expect_array();
    if (pair.size() != 2) pair.fail("must be a token and its id");
    return read_id(pair.at(1));
  };
  place.expect_keys({"type", "sep", "cls", "trim_offsets", "add_prefix_space"});
  return {{id_of("cls")}, {id_of("sep")}};
}

}  // namespace

SpecialIds read_post_processor(const JsonPlace& place) {
  const std::string& type = place.at("type").text();
  if (type == "ByteLevel") return {};
  if (type == "TemplateProcessing") return read_template(place);
  if (type == "RobertaProcessing" || type == "BertProcessing") return read_pair(place);
  if (type != "Sequence") place.refuse(concat("a post-processor ", type));
  place.expect_keys({"type", "processors"});
  SpecialIds all;
  for (const JsonPlace& processor : place.at("processors").items()) {
    const SpecialIds ids = read_post_processor(processor);
    all.before.insert(all.before.begin(), ids.before.begin(), ids.before.end());
    all.after.insert(all.after.end(), ids.after.begin(), ids.after.end());
  }
  return all;
}

}  // namespace titan::text
