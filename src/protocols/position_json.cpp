#include "titan/protocols/position_json.h"

#include <nlohmann/json.hpp>

#include "titan/base/errors.h"

namespace titan::protocols {
namespace {

using Json = nlohmann::ordered_json;

// An order is the seed, or null for none; it may be left out.
Json range_json(const UnitRange& range) {
  Json json = {range.units, range.pass, range.begin,  range.end,
               range.step,  range.skip, range.stride, range.stop};
  if (range.order) json.push_back(range.order->seed ? Json(*range.order->seed) : Json());
  return json;
}

// Older files have the first six only: whole units, read in the order of the run that reads them.
UnitRange range_from(const Json& json) {
  if (json.size() != 6 && json.size() != 8 && json.size() != 9) {
    throw RunError("a range of units must be a name, five or seven numbers, and maybe an order");
  }
  const auto at = [&](std::size_t i) { return json.at(i).get<std::int64_t>(); };
  UnitRange range{json.at(0).get<std::string>(), at(1), at(2), at(3), at(4), at(5)};
  if (json.size() == 6) return range;
  range.stride = at(6);
  range.stop = at(7);
  if (json.size() == 9) {
    range.order.emplace();
    if (!json.at(8).is_null()) range.order->seed = json.at(8).get<std::uint64_t>();
  }
  return range;
}

}  // namespace

Json to_json(const StreamPosition& position) {
  Json left = Json::array();
  for (const UnitRange& range : position.left) left.push_back(range_json(range));
  return {{"data", position.data},
          {"pass", position.pass},
          {"share", range_json(position.share)},
          {"left", left},
          {"leftover_tokens",
           Json::array_t(position.leftover_tokens.begin(), position.leftover_tokens.end())},
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
