#include <algorithm>
#include <map>

#include "config/describer.h"

namespace titan::config {
namespace {

/// Appends the options of the section that `at` (a generic accessor) finds in a JobConfig.
template <class Section, class Accessor>
void describe(std::vector<Option>& options, std::string path, Accessor at) {
  const Place<Section> place{[](JobConfig& config) -> Section& { return Accessor()(config); },
                             [](const JobConfig& config) -> const Section& {
                               return Accessor()(config);
                             }};
  Describer<Section> describer(options, std::move(path), place);
  Section::describe(describer);
}

std::vector<Option> describe_all() {
  std::vector<Option> all;
  describe<Job>(all, "job", [](auto& c) -> auto& { return c.job; });
  describe<Profiling>(all, "profiling", [](auto& c) -> auto& { return c.profiling; });
  describe<Metrics>(all, "metrics", [](auto& c) -> auto& { return c.metrics; });
  describe<Model>(all, "model", [](auto& c) -> auto& { return c.model; });
  describe<Optimizer>(all, "optimizer", [](auto& c) -> auto& { return c.optimizer; });
  describe<LRScheduler>(all, "lr_scheduler", [](auto& c) -> auto& { return c.lr_scheduler; });
  describe<Training>(all, "training", [](auto& c) -> auto& { return c.training; });
  describe<DataLoader>(all, "training.dataloader",
                       [](auto& c) -> auto& { return c.training.dataloader; });
  describe<Parallelism>(all, "parallelism", [](auto& c) -> auto& { return c.parallelism; });
  describe<Checkpoint>(all, "checkpoint", [](auto& c) -> auto& { return c.checkpoint; });
  describe<ActivationCheckpoint>(all, "activation_checkpoint",
                                 [](auto& c) -> auto& { return c.activation_checkpoint; });
  describe<Compile>(all, "compile", [](auto& c) -> auto& { return c.compile; });
  describe<Float8Linear>(all, "quantize.linear.float8",
                         [](auto& c) -> auto& { return c.quantize.linear.float8; });
  describe<MXLinear>(all, "quantize.linear.mx",
                     [](auto& c) -> auto& { return c.quantize.linear.mx; });
  describe<Float8GroupedMM>(all, "quantize.grouped_mm.float8",
                            [](auto& c) -> auto& { return c.quantize.grouped_mm.float8; });
  describe<MXGroupedMM>(all, "quantize.grouped_mm.mx",
                        [](auto& c) -> auto& { return c.quantize.grouped_mm.mx; });
  describe<Comm>(all, "comm", [](auto& c) -> auto& { return c.comm; });
  describe<MemoryEstimation>(all, "memory_estimation",
                             [](auto& c) -> auto& { return c.memory_estimation; });
  describe<FaultTolerance>(all, "fault_tolerance",
                           [](auto& c) -> auto& { return c.fault_tolerance; });
  describe<Experimental>(all, "experimental", [](auto& c) -> auto& { return c.experimental; });
  describe<Validation>(all, "validation", [](auto& c) -> auto& { return c.validation; });
  describe<DataLoader>(all, "validation.dataloader",
                       [](auto& c) -> auto& { return c.validation.dataloader; });
  describe<Debug>(all, "debug", [](auto& c) -> auto& { return c.debug; });
  return all;
}

using Index = std::map<std::string, const Option*, std::less<>>;

Index index_by_name(std::span<const Option> all) {
  Index index;
  for (const Option& option : all) {
    index.emplace(option.full_name(), &option);
  }
  return index;
}

}  // namespace

std::span<const Option> options() {
  static const std::vector<Option> all = describe_all();
  return all;
}

const Option* find_option(std::string_view full_name) {
  static const Index index = index_by_name(options());
  const auto found = index.find(full_name);
  return found == index.end() ? nullptr : found->second;
}

bool is_section(std::string_view path) {
  return std::ranges::any_of(options(), [path](const Option& option) {
    const std::string_view section = option.section;
    return section.starts_with(path) &&
           (section.size() == path.size() || section[path.size()] == '.');
  });
}

}  // namespace titan::config
