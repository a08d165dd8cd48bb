#include "titan/config/options.h"

#include <algorithm>
#include <map>
#include <type_traits>
#include <utility>

#include "config/describer.h"
#include "titan/config/job_config.h"

namespace titan::config {
namespace {

/// The section at the end of a path of member pointers: follow<&JobConfig::training>(config).
template <auto... Path>
constexpr auto& follow(auto& config) {
  return (config.*....*Path);
}

template <auto... Path>
void describe(std::vector<Option>& options, std::string path) {
  using Section = std::remove_reference_t<decltype(follow<Path...>(std::declval<JobConfig&>()))>;
  const Place<Section> place{
      [](JobConfig& config) -> Section& { return follow<Path...>(config); },
      [](const JobConfig& config) -> const Section& { return follow<Path...>(config); }};
  Describer<Section> describer(options, std::move(path), place);
  Section::describe(describer);
}

std::vector<Option> describe_all() {
  using C = JobConfig;
  constexpr auto kLinear = &Quantize::linear;
  constexpr auto kGroupedMM = &Quantize::grouped_mm;
  std::vector<Option> all;
  describe<&C::job>(all, "job");
  describe<&C::profiling>(all, "profiling");
  describe<&C::metrics>(all, "metrics");
  describe<&C::model>(all, "model");
  describe<&C::optimizer>(all, "optimizer");
  describe<&C::lr_scheduler>(all, "lr_scheduler");
  describe<&C::training>(all, "training");
  describe<&C::training, &Training::dataloader>(all, "training.dataloader");
  describe<&C::data>(all, "data");
  describe<&C::parallelism>(all, "parallelism");
  describe<&C::checkpoint>(all, "checkpoint");
  describe<&C::activation_checkpoint>(all, "activation_checkpoint");
  describe<&C::compile>(all, "compile");
  describe<&C::quantize, kLinear, &QuantizeLinear::float8>(all, "quantize.linear.float8");
  describe<&C::quantize, kLinear, &QuantizeLinear::mx>(all, "quantize.linear.mx");
  describe<&C::quantize, kGroupedMM, &QuantizeGroupedMM::float8>(all, "quantize.grouped_mm.float8");
  describe<&C::quantize, kGroupedMM, &QuantizeGroupedMM::mx>(all, "quantize.grouped_mm.mx");
  describe<&C::comm>(all, "comm");
  describe<&C::memory_estimation>(all, "memory_estimation");
  describe<&C::fault_tolerance>(all, "fault_tolerance");
  describe<&C::experimental>(all, "experimental");
  describe<&C::validation>(all, "validation");
  describe<&C::validation, &Validation::dataloader>(all, "validation.dataloader");
  describe<&C::debug>(all, "debug");
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

std::span<const std::string_view> option_names() {
  static const std::vector<std::string> names = [] {
    std::vector<std::string> all;
    for (const Option& option : options()) all.push_back(option.full_name());
    return all;
  }();
  static const std::vector<std::string_view> views(names.begin(), names.end());
  return views;
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
