#include "titan/protocols/name_table_adapter.h"

#include <ATen/ops/stack.h>
#include <ATen/ops/zeros.h>

#include <charconv>
#include <utility>

#include "titan/base/errors.h"

namespace titan::protocols {

namespace {

constexpr std::string_view kExpert = "{}";
constexpr const char* kOutput = "output.weight";
constexpr const char* kEmbedding = "tok_embeddings.weight";

/// Of the names that a rule for experts gives, which still have a place for the expert's number.
bool is_for_experts(const std::string& hf_name) {
  return hf_name.find(kExpert) != std::string::npos;
}

std::string of_expert(std::string hf_name, std::int64_t expert) {
  return hf_name.replace(hf_name.find(kExpert), kExpert.size(), std::to_string(expert));
}

std::int64_t number_in(const std::string& digits) {
  std::int64_t number = -1;
  std::from_chars(digits.data(), digits.data() + digits.size(), number);
  return number;
}

template <class Values>
Values without_first(const Values& values) {
  return {values.begin() + 1, values.end()};
}

}  // namespace

NameTableAdapter::NameTableAdapter(std::string model, const std::vector<NameRule>& rules, bool tied)
    : model_(std::move(model)), rules_(rules), tied_(tied) {}

TranslatedName NameTableAdapter::in_hf(const std::string& ours) const {
  const auto name = name_in_hf(rules_, is_tied_output(ours) ? kEmbedding : ours);
  TITAN_CHECK(name, "no Hugging Face name for '", ours, "'");
  return *name;
}

TranslatedName NameTableAdapter::in_ours(const std::string& hf_name) const {
  const auto name = name_in_ours(rules_, hf_name);
  TITAN_CHECK(name && !name->name.empty(), "no tensor of ours for '", hf_name, "'");
  return *name;
}

bool NameTableAdapter::is_tied_output(const std::string& ours) const {
  return tied_ && ours == kOutput;
}

std::vector<HfTensor> NameTableAdapter::hf_tensors(const std::vector<TensorShape>& ours) const {
  std::vector<HfTensor> result;
  std::string unknown;
  for (const TensorShape& tensor : ours) {
    if (is_tied_output(tensor.name)) continue;
    const auto name = name_in_hf(rules_, tensor.name);
    if (!name) {
      unknown += (unknown.empty() ? "" : ", ") + tensor.name;
    } else if (is_for_experts(name->name)) {
      for (std::int64_t expert = 0; expert < tensor.sizes.at(0); ++expert) {
        result.push_back(
            {of_expert(name->name, expert), without_first(tensor.sizes), {tensor.name}});
      }
    } else if (!name->name.empty()) {
      result.push_back({name->name, tensor.sizes, {tensor.name}});
    }
  }
  if (!unknown.empty()) {
    throw RunError(concat("no tensors of a ", model_,
                          " model, so that Hugging Face has no names for them: ", unknown));
  }
  return result;
}

at::Tensor NameTableAdapter::to_hf(const std::string& name,
                                   const std::vector<at::Tensor>& sources) const {
  TITAN_CHECK(sources.size() == 1, "'", name, "' is made of one tensor of ours");
  const TranslatedName ours = in_ours(name);
  if (ours.numbers.size() < 2) return sources[0];
  return sources[0].select(0, number_in(ours.numbers[1]));
}

std::vector<TensorSlice> NameTableAdapter::hf_slices(const TensorSlice& ours) const {
  const std::string name = in_hf(ours.name).name;
  if (name.empty()) return {};
  if (!is_for_experts(name)) return {{name, ours.offsets, ours.sizes}};
  std::vector<TensorSlice> slices;
  for (std::int64_t i = 0; i < ours.sizes.at(0); ++i) {
    slices.push_back({of_expert(name, ours.offsets.at(0) + i), without_first(ours.offsets),
                      without_first(ours.sizes)});
  }
  return slices;
}

at::Tensor NameTableAdapter::from_hf(const TensorSlice& ours,
                                     const std::vector<at::Tensor>& slices) const {
  const std::string name = in_hf(ours.name).name;
  if (name.empty()) return at::zeros(ours.sizes);
  if (is_for_experts(name)) return at::stack(slices);
  TITAN_CHECK(slices.size() == 1, "one slice makes '", ours.name, "'");
  return slices[0];
}

bool NameTableAdapter::is_ignored(const std::string& hf_name) const {
  const auto ours = name_in_ours(rules_, hf_name);
  return ours && (ours->name.empty() || is_tied_output(ours->name));
}

std::optional<std::string> NameTableAdapter::stand_in(const std::string& hf_name) const {
  const auto ours = name_in_ours(rules_, hf_name);
  if (!ours || ours->name != kOutput) return std::nullopt;
  return name_in_hf(rules_, kEmbedding)->name;
}

}  // namespace titan::protocols
