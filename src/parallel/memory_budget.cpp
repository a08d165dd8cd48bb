#include "titan/parallel/memory_budget.h"

#include <algorithm>
#include <filesystem>
#include <optional>
#include <unordered_map>
#include <unordered_set>

#include "parallel/keeping_modes.h"
#include "titan/autograd/operator_cost.h"
#include "titan/base/errors.h"
#include "titan/base/file_system.h"
#include "titan/comm/rank_context.h"
#include "titan/config/job_config.h"
#include "titan/plot/trade_figure.h"
#include "titan/tools/logging.h"
#include "titan/tools/text_table.h"

namespace titan::parallel {

namespace {

using torch::jit::Stack;

/// Only their ratios matter: what is bought with the same bytes.
struct Speed {
  double flops;  // per second
  double bytes;  // read and written, per second
  double sent;   // bytes per second
};

constexpr Speed kCore = {1e11, 1e10, 2e9};
constexpr Speed kGpu = {3e14, 2e12, 1e11};

/// Collectives are called with their group.
bool is_communication(const c10::OperatorHandle& op) {
  return std::ranges::any_of(op.schema().arguments(), [](const c10::Argument& one) {
    return one.type()->kind() == c10::TypeKind::ClassType;
  });
}

/// Rows that go to where their experts are: as many as the data want.
bool is_exchange_of_rows(const std::string& name) {
  return name == "titan::all_to_all" || name == "titan::exchange_counts";
}

/// Whether a call's results are new tensors that depend on its arguments alone.
bool is_function(const c10::OperatorHandle& op) {
  const auto is_plain = [](const c10::Argument& one) { return one.alias_info() == nullptr; };
  const c10::FunctionSchema& schema = op.schema();
  return !schema.returns().empty() && std::ranges::all_of(schema.arguments(), is_plain) &&
         std::ranges::all_of(schema.returns(), [&](const c10::Argument& result) {
           return is_plain(result) && result.type()->kind() == c10::TypeKind::TensorType;
         });
}

using Storage = const c10::StorageImpl*;

std::optional<Storage> storage_of(const at::Tensor& tensor) {
  if (!tensor.defined() || !tensor.has_storage()) return std::nullopt;
  return tensor.storage().unsafeGetStorageImpl();
}

}  // namespace

Planning planning_of(const config::JobConfig& config, const comm::RankContext& context) {
  Planning planning = {context.kernels(), context.rank};
  if (config.activation_checkpoint.visualize_memory_budget_pareto) {
    planning.picture_folder =
        std::filesystem::path(config.job.dump_folder) / "memory_budget_pareto";
  }
  return planning;
}

/// Watches a block's first forward. All its results are kept until it ends, so that the plan can be followed at once.
class MemoryBudget::Watcher : public autograd::DispatchMode {
 public:
  explicit Watcher(std::shared_ptr<const MemoryBudget> budget) : budget_(std::move(budget)) {}

  void call(const c10::OperatorHandle& op, Stack* stack,
            const std::function<void()>& compute) override {
    const auto count = static_cast<std::ptrdiff_t>(op.schema().arguments().size());
    const Stack arguments(stack->end() - count, stack->end());
    for (std::size_t i = 0; i < arguments.size(); ++i) {
      const c10::AliasInfo* alias = op.schema().arguments()[i].alias_info();
      for (const at::Tensor& tensor : autograd::tensors_in(arguments[i])) {
        if (const auto storage = storage_of(tensor)) {
          known_.insert(*storage);
          if (alias != nullptr && alias->isWrite()) written_.insert(*storage);
        }
      }
    }
    const bool copies_to_host = is_copy_to_host(op.operator_name().name, op, *stack);
    compute();
    note(op, arguments, aliases_of_results(*stack, op.schema().returns().size()), copies_to_host);
  }

  void saved(const at::Tensor& tensor) {
    if (const auto storage = storage_of(tensor)) saved_.insert(*storage);
    needed_ = calls_.size();
  }

  Observed observed() const;
  /// Keeps what the plan says, and lets go of everything else.
  void keep(const Plan& plan, KeptResults& kept) {
    for (Call& call : calls_) {
      if (call.is_always_kept || plan.kept.contains({call.result.name, call.result.occurrence})) {
        kept.keep(call.result.name, std::move(call.results));
      }
    }
    calls_.clear();
  }

 private:
  struct Call {
    Recomputable result;
    Stack results;
    std::vector<Storage> made;  // new storages
    bool can_be_kept = false;
    bool is_always_kept = false;
    bool is_communication = false;
  };

  void note(const c10::OperatorHandle& op, const Stack& arguments, Stack results,
            bool copies_to_host) {
    Call call;
    call.result.name = op.operator_name().name;
    call.result.occurrence = counts_[call.result.name]++;
    bool are_new = true;
    for (const c10::IValue& value : results) {
      for (const at::Tensor& tensor : autograd::tensors_in(value)) {
        const auto storage = storage_of(tensor);
        if (!storage || !known_.insert(*storage).second) {
          are_new = false;
        } else {
          call.made.push_back(*storage);
          call.result.bytes += static_cast<std::int64_t>(tensor.storage().nbytes());
        }
      }
    }
    const autograd::OperatorCost cost = autograd::cost_of(op, arguments, results);
    call.is_communication = is_communication(op);
    call.result.seconds = budget_->estimated_seconds(cost.flops, cost.bytes, call.is_communication);
    call.is_always_kept = copies_to_host || budget_->always_kept_.contains(call.result.name);
    // What draws random numbers is drawn again with all others; attention that could drop out does not.
    const bool draws = op.hasTag(at::Tag::nondeterministic_seeded) && cost.flops == 0;
    call.can_be_kept = are_new && is_function(op) && !draws && !call.is_always_kept;
    call.results = std::move(results);
    calls_.push_back(std::move(call));
  }

  std::shared_ptr<const MemoryBudget> budget_;
  std::vector<Call> calls_;
  std::unordered_map<std::string, std::int64_t> counts_;
  std::unordered_set<Storage> known_;
  std::unordered_set<Storage> written_;
  std::unordered_set<Storage> saved_;
  std::size_t needed_ =
      0;  // calls up to the last tensor that autograd saves: no more are run again
};

MemoryBudget::Observed MemoryBudget::Watcher::observed() const {
  Observed observed;
  const bool sends_rows = std::ranges::any_of(
      calls_, [](const Call& call) { return is_exchange_of_rows(call.result.name); });
  for (std::size_t i = 0; i < calls_.size(); ++i) {
    const Call& call = calls_[i];
    const bool is_saved =
        std::ranges::any_of(call.made, [&](Storage storage) { return saved_.contains(storage); });
    if (is_saved) observed.saved_bytes += call.result.bytes;
    const bool is_written =
        std::ranges::any_of(call.made, [&](Storage storage) { return written_.contains(storage); });
    if (i >= needed_ || !call.can_be_kept || is_written || call.result.bytes == 0) continue;
    const bool apart = sends_rows && call.is_communication;
    (apart ? observed.apart : observed.results).push_back(call.result);
  }
  return observed;
}

MemoryBudget::MemoryBudget(double budget, std::int64_t blocks, std::set<std::string> always_kept,
                           Planning planning)
    : budget_(budget),
      // While a block is computed again it has all its activations, whatever is kept of the others: between the two peaks
      // there are those of one block less.
      share_of_blocks_(blocks == 0 ? 0 : 1 - 1 / static_cast<double>(blocks)),
      always_kept_(std::move(always_kept)),
      planning_(std::move(planning)) {}

double MemoryBudget::estimated_seconds(double flops, std::int64_t bytes, bool is_sent) const {
  const Speed& speed = planning_.kernels == c10::kCPU ? kCore : kGpu;
  const auto moved = static_cast<double>(bytes);
  return flops / speed.flops + moved / (is_sent ? speed.sent : speed.bytes);
}

MemoryBudget::Plan MemoryBudget::plan(const std::string& name, const Observed& observed,
                                      bool logs) {
  constexpr double kKeepsCommunication = 0.5;
  Plan plan;
  plan.is_made = true;
  const double most = budget_ * share_of_blocks_ * static_cast<double>(observed.saved_bytes);
  auto room = static_cast<std::int64_t>(most);
  std::int64_t kept_bytes = 0;
  if (budget_ >= kKeepsCommunication) {
    for (const Recomputable& result : observed.apart) {
      plan.kept.emplace(result.name, result.occurrence);
      kept_bytes += result.bytes;
    }
    room = std::max<std::int64_t>(0, room - kept_bytes);
  }
  const auto [choice, is_new] = choices_.try_emplace({observed.results, room});
  if (is_new) choice->second = choose_kept(observed.results, room);
  for (std::size_t i = 0; i < observed.results.size(); ++i) {
    if (!choice->second[i]) continue;
    plan.kept.emplace(observed.results[i].name, observed.results[i].occurrence);
  }
  kept_bytes += trade_of(observed.results, choice->second).kept_bytes;
  if (is_new && !planning_.picture_folder.empty()) draw(observed, kept_bytes);
  if (logs) {
    std::map<std::string, std::int64_t> names;
    for (const auto& [operator_name, occurrence] : plan.kept) ++names[operator_name];
    std::string text;
    for (const auto& [operator_name, count] : names)
      text += concat(", ", count, " ", operator_name);
    tools::log_info(name, " keeps ", tools::bytes_text(kept_bytes), " of ",
                    tools::bytes_text(observed.saved_bytes), text.empty() ? "" : ":",
                    text.empty() ? "" : text.substr(1));
  }
  return plan;
}

void MemoryBudget::draw(const Observed& observed, std::int64_t chosen_bytes) {
  constexpr int kSteps = 20;
  const std::int64_t number = static_cast<std::int64_t>(choices_.size()) - 1;
  plot::TradeCurve curve;
  for (int i = 0; i <= kSteps; ++i) {
    const auto most = static_cast<std::int64_t>(static_cast<double>(i) / kSteps *
                                                static_cast<double>(observed.saved_bytes));
    const Trade trade = trade_of(observed.results, choose_kept(observed.results, most));
    curve.points.push_back({static_cast<double>(trade.kept_bytes), trade.seconds_again});
  }
  curve.title = concat("Block ", number, ": what is kept, and what is computed again");
  curve.chosen = static_cast<double>(chosen_bytes);
  base::FileSystem& files = base::posix_file_system();
  const std::filesystem::path folder = planning_.picture_folder;
  files.create_directories(folder.string());
  const std::string path =
      (folder / concat("memory_budget_pareto_rank_", planning_.rank, "_", number, ".svg")).string();
  base::write_file_atomically(files, path, plot::draw_trade(curve));
  tools::log_info("Generated Pareto frontier curve at ", path);
}

std::function<SelectiveModes()> MemoryBudget::block(const std::string& name, bool logs) {
  const auto plan = std::make_shared<Plan>();
  return [budget = shared_from_this(), plan, name, logs]() -> SelectiveModes {
    const auto kept = std::make_shared<KeptResults>();
    // Which calls are kept is known when the first forward has ended, before any is run again.
    const auto decision = [budget, plan] {
      return [budget, plan, counts = std::unordered_map<std::string, std::int64_t>()](
                 const std::string& called, const c10::OperatorHandle& op,
                 const Stack& stack) mutable {
        const std::int64_t occurrence = counts[called]++;
        return is_copy_to_host(called, op, stack) || budget->always_kept_.contains(called) ||
               plan->kept.contains({called, occurrence});
      };
    };
    SelectiveModes modes;
    modes.recompute = reusing_mode(decision(), kept);
    if (plan->is_made) {
      modes.forward = keeping_mode(decision(), kept);
      return modes;
    }
    const auto watcher = std::make_shared<Watcher>(budget);
    modes.forward = watcher;
    modes.saved = [watcher](const at::Tensor& tensor) { watcher->saved(tensor); };
    modes.forward_ended = [budget, plan, name, logs, watcher, kept] {
      *plan = budget->plan(name, watcher->observed(), logs);
      watcher->keep(*plan, *kept);
    };
    return modes;
  };
}

}  // namespace titan::parallel
