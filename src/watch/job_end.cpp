#include "watch/job_end.h"

#include <chrono>
#include <nlohmann/json.hpp>

#include "titan/base/printable.h"

namespace titan::watch {
namespace {

constexpr const char* kAbortKey = "titan/watch/abort";
constexpr const char* kClaimsKey = "titan/watch/abort_claims";
constexpr const char* kDumpedKey = "titan/watch/dumped";

std::optional<Abort> parse_abort(const std::string& text) {
  try {
    const auto json = nlohmann::json::parse(text);
    return Abort{json.at("rank").get<std::int64_t>(),
                 base::printable_lines(json.at("reason").get<std::string>())};
  } catch (const nlohmann::json::exception&) {
    return std::nullopt;
  }
}

}  // namespace

std::optional<Abort> JobEnd::find() const {
  const std::optional<std::string> text = store_->find(kAbortKey);
  return text ? parse_abort(*text) : std::nullopt;
}

std::string JobEnd::claim(const std::string& sentence) {
  if (store_->add(kClaimsKey, 1) == 1) {
    const nlohmann::json abort = {{"rank", rank_}, {"reason", sentence}};
    store_->set(kAbortKey, abort.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
    return sentence;
  }
  const auto first = parse_abort(store_->wait(kAbortKey, std::chrono::milliseconds(1'000)));
  return first ? first->reason : sentence;
}

void JobEnd::note_dump() { store_->add(kDumpedKey, 1); }

std::int64_t JobEnd::dumps() const { return store_->add(kDumpedKey, 0); }

}  // namespace titan::watch
