#include "titan/protocols/position_json.h"

#include <nlohmann/json.hpp>

#include "titan/base/errors.h"

namespace titan::protocols {
namespace {

using Json = nlohmann::ordered_json;

Json range_json(const UnitRange& range) {
  return {range.units, range.pass, range.begin, range.end, range.step, range.skip};
}

UnitRange range_from(const Json& json) {
  if (json.size() != 6) throw RunError("a range of units must be a name and five numbers");
  const auto at = [&](std::size_t i) { return json.at(i).get<std::int64_t>(); };
  return {json.at(0).get<std::string>(), at(1), at(2), at(3), at(4), at(5)};
}

}  // namespace

Json to_json(const StreamPosition& position) {
  Json left = Json::array();
  for (const UnitRange& range : position.left) left.push_back(range_json(range));
  return {{"data", position.data},
          {"pass", position.pass},
          {"share", range_json(position.share)},
          {"left", left},
          {"leftover_tokens", position.leftover_tokens},
          {"windows", position.windows}};
}

StreamPosition position_from_json(const Json& json) {
  try {
    StreamPosition position;
    position.data = json.at("data").get<std::string>();
    position.pass = json.at("pass").get<std::int64_t>();
    position.share = range_from(json.at("share"));
    for (const Json& range : json.at("left")) position.left.push_back(range_from(range));
    position.leftover_tokens = json.at("leftover_tokens").get<std::vector<std::int64_t>>();
    position.windows = json.at("windows").get<std::int64_t>();
    return position;
  } catch (const Json::exception& error) {
    throw RunError(concat("damaged data position: ", error.what()));
  }
}

}  // namespace titan::protocols
