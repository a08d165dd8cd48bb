#include "components/checkpoint/choose_checkpoint.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "titan/base/errors.h"
#include "titan/base/file_system.h"
#include "titan/comm/byte_exchange.h"

namespace titan::components {
namespace {

using Source = CheckpointChoice::Source;

std::string steps_text(const std::vector<FoundCheckpoint>& found) {
  if (found.empty()) return "no complete checkpoint";
  return "the steps " + joined(found, ", ", &FoundCheckpoint::step);
}

/// Step 0, whatever it holds: a run that begins with its weights is a new one.
CheckpointChoice seed(const FoundCheckpoint& found, const std::string& reason) {
  return {found.hugging_face ? Source::kHuggingFace : Source::kDcp, found.path, true, std::nullopt,
          reason};
}

/// A step that the user has named.
CheckpointChoice choose_step(const RunCheckpoints& run, const std::vector<FoundCheckpoint>& found,
                             std::int64_t step, bool goes_back) {
  const auto at = std::ranges::find(found, step, &FoundCheckpoint::step);
  if (at == found.end()) {
    throw RunError(concat("checkpoint.load_step = ", step, ": there is no complete checkpoint '",
                          run.of_step(step), "'; '", run.path(), "' holds ", steps_text(found),
                          "."));
  }
  if (step != 0 && run.content_of(*at) != CheckpointContent::kEverything) {
    throw RunError(concat("checkpoint.load_step = ", step, ": '", at->path,
                          "' holds a model only, as the last save of a run does "
                          "(checkpoint.last_save_model_only): no run can go on from it. Choose an "
                          "earlier step, or begin a new run with checkpoint.initial_load_path "
                          "and another checkpoint.folder."));
  }
  std::string reason = "checkpoint.load_step asks for it";
  if (at + 1 != found.end()) {
    reason += goes_back
                  ? "; later checkpoints are set aside (leave load_step out to resume this run)"
                  : "; later checkpoints stay as they are";
  }
  if (step == 0) return seed(*at, reason);
  return {Source::kDcp, at->path, false, std::nullopt, reason};
}

/// The newest that a run can go on from; what is behind it holds a model only.
CheckpointChoice choose_newest(const RunCheckpoints& run, const std::vector<FoundCheckpoint>& found,
                               std::int64_t last_step) {
  const FoundCheckpoint& newest = found.back();
  if (newest.step == 0) return seed(newest, "the seed checkpoint");
  const CheckpointContent content = run.content_of(newest);
  const std::string newest_text = concat("the newest checkpoint in '", run.path(), "'");
  if (content == CheckpointContent::kEverything) {
    return {Source::kDcp, newest.path, false, std::nullopt, newest_text};
  }
  if (newest.step >= last_step) {
    const bool hf = content == CheckpointContent::kHuggingFace;
    return {hf ? Source::kHuggingFace : Source::kDcp, newest.path, true, newest.step,
            concat("the run is complete: '", newest.path, "' is its last save")};
  }
  for (auto older = found.rbegin() + 1; older != found.rend(); ++older) {
    if (run.content_of(*older) != CheckpointContent::kEverything) continue;
    return {
        Source::kDcp, older->path, false, std::nullopt,
        concat("the newest that a run can go on from; step ", newest.step, " holds a model only")};
  }
  throw RunError(concat("cannot resume: '", newest.path,
                        "' is the last save of a shorter run and holds a model only "
                        "(checkpoint.last_save_model_only), "
                        "and no earlier checkpoint is left. To begin a new run with these weights: "
                        "checkpoint.initial_load_path = \"",
                        newest.path, "\" with another checkpoint.folder."));
}

CheckpointChoice choose_initial(base::FileSystem& files, const RunCheckpoints& run,
                                const config::Checkpoint& config,
                                const std::string& hf_assets_path) {
  const std::string none = concat("'", run.path(), "' holds no complete checkpoint");
  const Source source = config.initial_load_in_hf ? Source::kHuggingFace : Source::kDcp;
  if (!config.initial_load_path && !config.initial_load_in_hf) {
    return {Source::kNothing, "", false, std::nullopt, none};
  }
  const std::string path = config.initial_load_path.value_or(hf_assets_path);
  const char* option =
      config.initial_load_path ? "checkpoint.initial_load_path" : "model.hf_assets_path";
  if (!files.is_directory(path)) {
    throw RunError(concat(option, " = \"", path, "\": there is no such folder."));
  }
  const bool is_dcp = files.exists(path + "/.metadata");
  if (source == Source::kDcp && !is_dcp) {
    throw RunError(concat(option, " = \"", path,
                          "\": this folder holds no complete DCP checkpoint (no .metadata). Give "
                          "the folder of a step, as \".../step-1000\"; for Hugging Face's format "
                          "set checkpoint.initial_load_in_hf = true."));
  }
  return {
      source, path, config.initial_load_model_only, std::nullopt,
      concat(none, ", and ", config.initial_load_path ? option : "checkpoint.initial_load_in_hf",
             " says where to begin")};
}

using Json = nlohmann::json;

Json choose_as_json(const std::function<CheckpointChoice()>& choose) {
  try {
    const CheckpointChoice choice = choose();
    return {{"source", static_cast<int>(choice.source)},
            {"path", choice.path},
            {"model_only", choice.model_only},
            {"finished_at", choice.finished_at.value_or(-1)},
            {"reason", choice.reason},
            {"step", choice.step}};
  } catch (const ConfigError& error) {
    return {{"config_error", error.what()}};
  } catch (const std::exception& error) {
    return {{"run_error", error.what()}};
  }
}

}  // namespace

CheckpointChoice choose_to_go_back_to(const RunCheckpoints& run, std::int64_t step,
                                      const std::set<std::int64_t>& bad) {
  std::vector<FoundCheckpoint> found = run.complete();
  std::ranges::reverse(found);
  for (const FoundCheckpoint& checkpoint : found) {
    if (checkpoint.step >= step || bad.contains(checkpoint.step)) continue;
    if (run.content_of(checkpoint) != CheckpointContent::kEverything) continue;
    return {Source::kDcp, checkpoint.path, false, std::nullopt, "", checkpoint.step};
  }
  throw RunError(concat("step ", step, " failed and there is no earlier checkpoint in '",
                        run.path(), "' to go back to (debug.on_nan = \"rollback\")."));
}

bool goes_back(const config::Checkpoint& config, std::int64_t last_step) {
  return config.load_step >= 0 && config.load_step < last_step && !config.load_only;
}

CheckpointChoice choose_checkpoint(base::FileSystem& files, const RunCheckpoints& run,
                                   const config::Checkpoint& config, std::int64_t last_step,
                                   const std::string& hf_assets_path) {
  const std::vector<FoundCheckpoint> found = run.complete();
  CheckpointChoice choice;
  if (config.load_step >= 0) {
    choice = choose_step(run, found, config.load_step, goes_back(config, last_step));
  } else if (!found.empty()) {
    choice = choose_newest(run, found, last_step);
  } else {
    return choose_initial(files, run, config, hf_assets_path);
  }
  if (config.initial_load_path || config.initial_load_in_hf) {
    choice.reason += "; the initial load that is configured was for the start of this run";
  }
  return choice;
}

std::vector<std::string> states_to_load(const CheckpointChoice& choice,
                                        const std::vector<std::string>& excluded,
                                        const std::vector<std::string>& states) {
  for (const std::string& name : excluded) {
    if (std::ranges::find(states, name) != states.end()) continue;
    throw ConfigError(concat("checkpoint.exclude_from_loading: there is no part '", name,
                             "'; parts are: ", joined(states)));
  }
  if (choice.model_only) return {"model"};
  std::vector<std::string> wanted;
  for (const std::string& state : states) {
    if (std::ranges::find(excluded, state) == excluded.end()) wanted.push_back(state);
  }
  return wanted;
}

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
  choice.step = json["step"].get<std::int64_t>();
  return choice;
}

}  // namespace titan::components
