#include "components/checkpoint/agreed_choice.h"

#include <nlohmann/json.hpp>

#include "titan/base/errors.h"
#include "titan/comm/byte_exchange.h"

namespace titan::components {
namespace {

using Json = nlohmann::json;

Json choose_as_json(const std::function<CheckpointChoice()>& choose) {
  try {
    const CheckpointChoice choice = choose();
    return {{"source", static_cast<int>(choice.source)},
            {"path", choice.path},
            {"model_only", choice.model_only},
            {"finished_at", choice.finished_at.value_or(-1)},
            {"reason", choice.reason}};
  } catch (const ConfigError& error) {
    return {{"config_error", error.what()}};
  } catch (const std::exception& error) {
    return {{"run_error", error.what()}};
  }
}

}  // namespace

CheckpointChoice agreed_choice(comm::ProcessGroup* ranks,
                               const std::function<CheckpointChoice()>& choose) {
  if (ranks == nullptr) return choose();
  std::string mine;
  // Paths are bytes and not always UTF-8, which JSON text would refuse.
  if (ranks->rank() == 0) {
    const std::vector<std::uint8_t> packed = Json::to_cbor(choose_as_json(choose));
    mine.assign(packed.begin(), packed.end());
  }
  const std::string agreed = comm::broadcast_bytes(*ranks, mine);
  const Json json = Json::from_cbor(agreed);
  if (json.contains("config_error")) throw ConfigError(json["config_error"].get<std::string>());
  if (json.contains("run_error")) throw RunError(json["run_error"].get<std::string>());
  CheckpointChoice choice;
  choice.source = static_cast<CheckpointChoice::Source>(json["source"].get<int>());
  choice.path = json["path"].get<std::string>();
  choice.model_only = json["model_only"].get<bool>();
  if (const auto step = json["finished_at"].get<std::int64_t>(); step >= 0) {
    choice.finished_at = step;
  }
  choice.reason = json["reason"].get<std::string>();
  return choice;
}

}  // namespace titan::components
