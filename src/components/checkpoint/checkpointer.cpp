#include "titan/components/checkpoint/checkpointer.h"

#include <algorithm>
#include <chrono>
#include <future>
#include <set>
#include <utility>

#include "components/checkpoint/checkpoint_folder.h"
#include "components/checkpoint/choose_checkpoint.h"
#include "components/checkpoint/in_thread.h"
#include "components/checkpoint/run_checkpoints.h"
#include "components/checkpoint/staging.h"
#include "components/checkpoint/upkeep.h"
#include "titan/base/clock.h"
#include "titan/base/errors.h"
#include "titan/base/file_system.h"
#include "titan/comm/process_group.h"
#include "titan/components/checkpoint/dcp_save.h"
#include "titan/components/checkpoint/rank_meeting.h"
#include "titan/parallel/dtype.h"
#include "titan/tools/logging.h"
#include "titan/tools/number_text.h"

namespace titan::components {
namespace {

std::string seconds_text(double seconds) { return tools::fixed(seconds, 2) + " seconds"; }

/// A job that is started anew may find its last processes ending.
constexpr double kPatienceSeconds = 10;

}  // namespace

/// A save under way, and what it has come to.
struct PendingSave {
  std::int64_t step = 0;
  std::string folder;
  double started = 0;
  double blocked = 0;               // seconds that training has waited for it
  std::shared_future<void> copied;  // invalid when nothing is left to copy
  std::future<SaveFigures> written;
};

struct Checkpointer::Inside {
  Inside(CheckpointerSetup made_for, std::vector<std::unique_ptr<Stateful>> parts)
      : setup(std::move(made_for)),
        states(std::move(parts)),
        run(setup.files, setup.folder),
        upkeep(run, setup.config.keep_latest_k),
        saver(setup.files, setup.ranks),
        last_saver(setup.files, setup.ranks) {}

  Stateful& model() { return *states.front(); }

  FlatState everything() {
    FlatState state;
    for (const auto& part : states) part->add_to(state);
    return state;
  }

  FlatState model_only();
  void load_states(const std::string& path, const std::vector<std::string>& names);

  void save_now(const std::string& path, const FlatState& state, DcpSaver& with);
  void make_way(std::int64_t step, SaveReason reason);
  void start_save(std::int64_t step, const std::string& path);
  void save_last(std::int64_t step, const std::string& path);
  void save_in_hf(const std::string& path);
  void save_seed();
  void report(const std::string& path, const SaveFigures& figures, double blocked, double total);
  void settle();
  void saved(std::int64_t step);
  void leave(const std::function<void(Upkeep& upkeep)>& branch);

  CheckpointerSetup setup;
  std::vector<std::unique_ptr<Stateful>> states;  // the model first
  RunCheckpoints run;
  Upkeep upkeep;  // of rank 0
  DcpSaver saver;
  DcpSaver last_saver;  // of another structure
  Staging staging;      // of every rank that does not write from where its tensors are
  std::unique_ptr<base::FileLock> lock;  // of rank 0
  std::optional<PendingSave> pending;
  std::optional<std::int64_t> last_rollback;
  std::set<std::int64_t> bad_steps;  // checkpoints that led to a failure at once
};

FlatState Checkpointer::Inside::model_only() {
  FlatState state;
  model().add_to(state);
  const at::ScalarType dtype = parallel::torch_dtype(setup.config.export_dtype);
  if (dtype == at::kFloat) return state;  // as it is, as the original does
  for (StateTensor& tensor : state.tensors) {
    if (tensor.tensor.is_floating_point()) tensor.tensor = tensor.tensor.to(dtype);
  }
  return state;
}

void Checkpointer::Inside::load_states(const std::string& path,
                                       const std::vector<std::string>& names) {
  const DcpCheckpoint checkpoint(setup.files, path);
  std::vector<Stateful*> wanted;
  std::vector<StateTensor> tensors;
  for (const auto& state : states) {
    if (std::ranges::find(names, state->name()) == names.end()) continue;
    wanted.push_back(state.get());
    std::ranges::move(state->targets(checkpoint), std::back_inserter(tensors));
  }
  checkpoint.read(tensors, setup.ranks);
  for (Stateful* state : wanted) state->restore(checkpoint);
}

/// Writes from where the tensors are, or from copies of those on a GPU.
void Checkpointer::Inside::save_now(const std::string& path, const FlatState& state,
                                    DcpSaver& with) {
  const double start = base::monotonic_seconds();
  const bool on_gpu = std::ranges::any_of(
      state.tensors, [](const StateTensor& tensor) { return !tensor.tensor.is_cpu(); });
  SaveFigures figures;
  if (on_gpu) {
    const FlatState copies = staging.prepare(state);
    staging.start();
    staging.finish();
    figures = with.save(path, copies);
  } else {
    figures = with.save(path, state);
  }
  const double seconds = base::monotonic_seconds() - start;
  report(path, figures, seconds, seconds);
}

/// Removes a checkpoint of this step in the other format, which would stand beside the new one and say
/// something else, and a link, whose files are somebody's who has put them elsewhere. Goes on where that fails: other ranks are on their way to the save, which will say so.
void Checkpointer::Inside::make_way(std::int64_t step, SaveReason reason) {
  const bool hugging_face = reason == SaveReason::kLast && setup.config.last_save_in_hf;
  try {
    for (const FoundCheckpoint& found : run.complete()) {
      if (setup.rank != 0 || found.step != step) continue;
      const bool other_format = hugging_face || run.has_hugging_face(found.path);
      if (other_format || run.is_link(found)) run.remove(found.path);
    }
  } catch (const RunError& error) {
    tools::log_warning("An earlier checkpoint of this step stays: ", error.what());
  }
  if (hugging_face && setup.ranks != nullptr) setup.ranks->barrier();
}

void Checkpointer::Inside::start_save(std::int64_t step, const std::string& path) {
  PendingSave save;
  save.step = step;
  save.folder = path;
  save.started = base::monotonic_seconds();
  const FlatState copies = staging.prepare(everything());
  staging.start();
  const std::string what = concat("the save of '", path, "'");
  const auto write = [this, path, copies] { return saver.save(path, copies); };
  if (setup.config.async_mode == config::AsyncMode::kAsync) {
    staging.finish();
    save.written = in_thread<SaveFigures>(what, write);
  } else {
    const auto copied = std::make_shared<std::promise<void>>();
    save.copied = copied->get_future().share();
    save.written = in_thread<SaveFigures>(what, [this, copied, write] {
      staging.finish();
      copied->set_value();
      return write();
    });
  }
  save.blocked = base::monotonic_seconds() - save.started;
  pending = std::move(save);
}

void Checkpointer::Inside::save_last(std::int64_t step, const std::string& path) {
  const config::Checkpoint& config = setup.config;
  if (!config.last_save_model_only) {
    tools::log_info("Saving a full checkpoint at last step, step ", step, ".");
    save_now(path, everything(), saver);
    return;
  }
  tools::log_info("Saving a model only checkpoint in ", config::to_string(config.export_dtype),
                  " at last step, step ", step, ".");
  if (config.last_save_in_hf) {
    save_in_hf(path);
  } else {
    save_now(path, model_only(), last_saver);
  }
}

/// Options of the last save do not apply: whoever begins here has to find the very weights.
void Checkpointer::Inside::save_seed() {
  if (setup.config.load_only) {
    throw ConfigError(
        "checkpoint.create_seed_checkpoint saves, which checkpoint.load_only forbids.");
  }
  if (!run.complete().empty()) {
    throw RunError(concat("'", run.path(), "' holds checkpoints already: a seed checkpoint ",
                          "is for a folder of its own (checkpoint.folder)."));
  }
  FlatState state;
  model().add_to(state);
  save_now(run.of_step(0), state, last_saver);
}

void Checkpointer::Inside::save_in_hf(const std::string& path) {
  const double start = base::monotonic_seconds();
  setup.save_hf(path);
  tools::log_info("Saved ", path, " for Hugging Face in ",
                  seconds_text(base::monotonic_seconds() - start), ".");
}

void Checkpointer::Inside::report(const std::string& path, const SaveFigures& figures,
                                  double blocked, double total) {
  const double gigabytes = static_cast<double>(figures.bytes) / 1e9;
  tools::log_info("Saved ", path, ": training waited ", tools::fixed(blocked, 3),
                  " seconds, in all ", tools::fixed(total, 3), " seconds, ",
                  tools::fixed(gigabytes, 3), " GB, ",
                  tools::fixed(gigabytes / std::max(total, 1e-9), 2), " GB/s");
}

/// Waits for the save that is under way and says what has become of it.
void Checkpointer::Inside::settle() {
  if (!pending) return;
  PendingSave save = std::move(*pending);
  pending.reset();
  const double start = base::monotonic_seconds();
  try {
    const SaveFigures figures = save.written.get();
    const double now = base::monotonic_seconds();
    report(save.folder, figures, save.blocked + now - start, now - save.started);
    saved(save.step);
  } catch (const RunError& error) {
    tools::log_error(
        "Checkpoint ", save.folder,
        " could not be saved (training goes on, and the next save is tried): ", error.what());
  }
}

/// `step` is a checkpoint now: the newest of this run, whatever else is there.
void Checkpointer::Inside::saved(std::int64_t step) {
  bad_steps.erase(step);
  if (setup.rank == 0) upkeep.start(step);
}

/// Rank 0 sets aside the branch that is left; all ranks wait for it, or throw what it has thrown.
void Checkpointer::Inside::leave(const std::function<void(Upkeep& upkeep)>& branch) {
  RankMeeting(setup.ranks).do_together([&] {
    if (setup.rank == 0) branch(upkeep);
  });
}

Checkpointer::Checkpointer(CheckpointerSetup setup, std::vector<std::unique_ptr<Stateful>> states)
    : inside_(std::make_unique<Inside>(std::move(setup), std::move(states))) {
  const CheckpointerSetup& made_for = inside_->setup;
  TITAN_CHECK(!inside_->states.empty() && inside_->model().name() == "model",
              "a checkpoint begins with the model");
  if (made_for.config.last_save_in_hf && !made_for.save_hf) {
    throw ConfigError("checkpoint.last_save_in_hf: this model has no Hugging Face format.");
  }
  if (made_for.rank == 0 && !made_for.config.load_only) {
    check_writable(made_for.files, made_for.folder);
    // In the folder, so that it is the same by whatever path a job names it.
    inside_->lock = made_for.files.lock_file(made_for.folder + "/.lock", kPatienceSeconds);
  }
  tools::log_info("Checkpointing active. Checkpoints will be loaded from and saved to ",
                  made_for.folder);
}

Checkpointer::~Checkpointer() {
  // A thread of this object is at work with it.
  if (inside_->pending) inside_->pending->written.wait();
}

std::optional<std::int64_t> Checkpointer::load() {
  const CheckpointerSetup& setup = inside_->setup;
  std::vector<std::string> names;
  for (const auto& state : inside_->states) names.push_back(state->name());
  const CheckpointChoice choice = agreed_choice(setup.ranks, [&] {
    return choose_checkpoint(setup.files, inside_->run, setup.config, setup.last_step,
                             setup.hf_assets_path);
  });
  const std::vector<std::string> wanted =
      states_to_load(choice, setup.config.exclude_from_loading, names);
  using Source = CheckpointChoice::Source;
  if (choice.source == Source::kNothing) {
    tools::log_info("Training starts from scratch: ", choice.reason, ".");
    return std::nullopt;
  }
  tools::log_info("Loading the checkpoint from ", choice.path, " (", joined(wanted),
                  "): ", choice.reason, ".");
  const double start = base::monotonic_seconds();
  if (choice.source == Source::kHuggingFace) {
    if (!setup.load_hf) {
      throw ConfigError("checkpoint.initial_load_in_hf: this model has no Hugging Face format.");
    }
    setup.load_hf(choice.path);
  } else {
    inside_->load_states(choice.path, wanted);
  }
  tools::log_info("Finished loading the checkpoint in ",
                  seconds_text(base::monotonic_seconds() - start), ".");
  if (goes_back(setup.config, setup.last_step)) {
    inside_->leave([&](Upkeep& upkeep) { upkeep.leave_all_beyond(setup.config.load_step); });
  }
  return choice.finished_at;
}

bool Checkpointer::is_due(std::int64_t step) const {
  const config::Checkpoint& config = inside_->setup.config;
  return step % config.interval == 0 || (step == 1 && config.enable_first_step_checkpoint);
}

void Checkpointer::export_loaded(std::int64_t step) {
  const config::Checkpoint& config = inside_->setup.config;
  if (config.load_only || !config.last_save_model_only || !config.last_save_in_hf) return;
  const std::string path = inside_->run.of_step(step);
  bool is_there = false;
  const RankMeeting ranks(inside_->setup.ranks);
  ranks.do_together([&] { is_there = ranks.is_root() && inside_->run.has_hugging_face(path); });
  if (!ranks.any(is_there)) inside_->save_in_hf(path);
}

void Checkpointer::save(std::int64_t step, SaveReason reason) {
  if (reason == SaveReason::kSeed) return inside_->save_seed();
  if (inside_->setup.config.load_only) return;
  inside_->settle();
  const std::string path = inside_->run.of_step(step);
  inside_->make_way(step, reason);
  if (reason == SaveReason::kLast) {
    inside_->save_last(step, path);
    return inside_->saved(step);
  }
  if (reason == SaveReason::kCutShort) {
    inside_->save_now(path, inside_->everything(), inside_->saver);
    return inside_->saved(step);
  }
  tools::log_info("Saving the checkpoint (or staging if async is enabled).");
  if (inside_->setup.config.async_mode != config::AsyncMode::kDisabled) {
    inside_->start_save(step, path);
    return;
  }
  try {
    inside_->save_now(path, inside_->everything(), inside_->saver);
    inside_->saved(step);
  } catch (const RunError& error) {
    tools::log_error(
        "Checkpoint ", path,
        " could not be saved (training goes on, and the next save is tried): ", error.what());
  }
}

void Checkpointer::before_change() {
  if (!inside_->pending) return;
  PendingSave& save = *inside_->pending;
  const double start = base::monotonic_seconds();
  if (save.copied.valid()) {
    save.copied.wait();
    save.copied = {};
  }
  inside_->staging.let_stream_wait();
  save.blocked += base::monotonic_seconds() - start;
  if (save.written.wait_for(std::chrono::seconds(0)) == std::future_status::ready) {
    inside_->settle();
  }
}

void Checkpointer::finish() {
  inside_->settle();
  inside_->upkeep.wait();
}

void Checkpointer::roll_back(std::int64_t step) {
  inside_->settle();
  if (inside_->last_rollback == step - 1) inside_->bad_steps.insert(step - 1);
  const CheckpointChoice choice = agreed_choice(inside_->setup.ranks, [&] {
    return choose_to_go_back_to(inside_->run, step, inside_->bad_steps);
  });
  std::vector<std::string> names;
  for (const auto& state : inside_->states) {
    const std::string name = state->name();
    if (name != "dataloader" && name != "validation" && name != "job_config") names.push_back(name);
  }
  tools::log_warning("Going back to ", choice.path, " (", joined(names),
                     "); the data go on behind the step that failed.");
  inside_->load_states(choice.path, names);
  inside_->last_rollback = choice.step;
  // A checkpoint that fails again at once would be what the next run begins with.
  inside_->leave([&](Upkeep& upkeep) { upkeep.leave_full_beyond(choice.step); });
}

}  // namespace titan::components
