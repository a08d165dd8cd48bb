#include "titan/components/weights/adapted_weights.h"

#include <ATen/ops/empty.h>
#include <c10/core/GradMode.h>
#include <c10/util/ArrayRef.h>

#include <map>
#include <set>

#include "components/weights/name_list.h"
#include "titan/base/errors.h"
#include "titan/tools/logging.h"

namespace titan::components {
namespace {

/// What a file's tensors and those that a model needs have not in common.
struct TensorComparison {
  std::vector<std::string> missing;
  std::vector<std::string> unknown;
  std::vector<std::string> twice;
  std::vector<std::string> other_sizes;  // "a ([2, 3], needed is [4, 3])"

  void add_sizes(const std::string& name, const std::vector<std::int64_t>& there,
                 const std::vector<std::int64_t>& needed) {
    other_sizes.push_back(
        concat(name, " (", c10::IntArrayRef(there), ", needed is ", c10::IntArrayRef(needed), ")"));
  }

  /// Throws RunError unless they agree. `format`: "Hugging Face".
  void check(const std::string& format) const {
    std::string problems;
    const auto add = [&](const char* what, const std::vector<std::string>& names) {
      if (!names.empty()) problems += concat("\n  ", what, ": ", list_names(names));
    };
    add("missing", missing);
    add("not of this model", unknown);
    add("needed for two tensors", twice);
    add("of other sizes", other_sizes);
    if (!problems.empty()) {
      throw RunError(concat("The ", format,
                            " weights are not those of this model. Do flavor and "
                            "vocabulary match?",
                            problems));
    }
  }
};

using protocols::HfTensor;
using protocols::StateDictAdapter;
using protocols::TensorShape;
using protocols::TensorSlice;

std::map<std::string, const WeightInfo*> by_name(const WeightsReader& weights) {
  std::map<std::string, const WeightInfo*> result;
  for (const WeightInfo& info : weights.tensors()) result[info.name] = &info;
  return result;
}

/// Where a part is to be read to: into the box itself when the part may be all there is to it.
at::Tensor place_for(const std::vector<std::int64_t>& sizes, std::size_t parts,
                     const at::Tensor& box) {
  return parts == 1 && box.sizes() == sizes ? box : at::empty(sizes, box.options());
}

void put_into(const at::Tensor& box, const at::Tensor& result) {
  if (result.is_same(box)) return;
  box.copy_(result.is_alias_of(box) ? result.clone() : result);
}

class ModelWeights final : public WeightsReader {
 public:
  ModelWeights(const WeightsReader& hf, const StateDictAdapter& adapter,
               const std::vector<TensorShape>& ours)
      : hf_(hf), adapter_(adapter) {
    const auto there = known_tensors();
    match(ours, there);
    for (const TensorShape& shape : ours) {
      const std::vector<std::int64_t> start(shape.sizes.size(), 0);
      const auto slices = adapter_.hf_slices({shape.name, start, shape.sizes});
      // What has no part there is made of nothing.
      const at::ScalarType dtype =
          slices.empty() ? at::kFloat : there.at(name_there(slices[0].name))->dtype;
      tensors_.push_back({shape.name, dtype, shape.sizes});
      full_sizes_[shape.name] = shape.sizes;
    }
  }

  const std::vector<WeightInfo>& tensors() const override { return tensors_; }

  void read(const std::string& name, const std::vector<std::int64_t>& offsets,
            const at::Tensor& box) const override {
    const c10::NoGradGuard no_grad;
    const TensorSlice wanted{name, offsets, box.sizes().vec()};
    const std::vector<TensorSlice> slices = adapter_.hf_slices(wanted);
    std::vector<at::Tensor> parts;
    for (const TensorSlice& slice : slices) {
      parts.push_back(place_for(slice.sizes, slices.size(), box));
      hf_.read(name_in_file(name_there(slice.name)), slice.offsets, parts.back());
    }
    put_into(box, adapter_.from_hf(wanted, parts));
  }

 private:
  using Known = std::map<std::string, const WeightInfo*>;

  /// What is there, by the names that the adapter knows.
  Known known_tensors() {
    Known known;
    for (const WeightInfo& info : hf_.tensors()) {
      const std::string name = adapter_.known_name(info.name);
      if (name != info.name) names_in_file_[name] = info.name;
      if (!known.emplace(name, &info).second) {
        throw RunError(
            concat("The Hugging Face weights have '", name, "' twice, once as '", info.name, "'"));
      }
    }
    return known;
  }

  void match(const std::vector<TensorShape>& ours, const Known& there) {
    std::set<std::string> used;
    TensorComparison comparison;
    for (const HfTensor& tensor : adapter_.hf_tensors(ours)) {
      auto found = there.find(tensor.name);
      if (found == there.end()) found = there.find(stand_in(tensor.name, there));
      if (found == there.end()) {
        comparison.missing.push_back(tensor.name);
      } else if (found->second->sizes != tensor.sizes) {
        comparison.add_sizes(tensor.name, found->second->sizes, tensor.sizes);
      }
      if (!used.insert(tensor.name).second) comparison.twice.push_back(tensor.name);
    }
    for (const auto& [name, info] : there) {
      if (used.count(name) == 0 && !adapter_.is_ignored(name)) comparison.unknown.push_back(name);
    }
    comparison.check("Hugging Face");
    for (const auto& [name, other] : stand_ins_) {
      tools::log_warning("The Hugging Face weights have no ", name, ": it is loaded from ", other,
                         ", which they share. In this model the two are trained apart.");
    }
  }

  std::string stand_in(const std::string& name, const Known& there) {
    const std::optional<std::string> other = adapter_.stand_in(name);
    if (!other || there.count(*other) == 0) return "";
    stand_ins_[name] = *other;
    return *other;
  }

  const std::string& name_there(const std::string& name) const {
    const auto found = stand_ins_.find(name);
    return found == stand_ins_.end() ? name : found->second;
  }

  const std::string& name_in_file(const std::string& known) const {
    const auto found = names_in_file_.find(known);
    return found == names_in_file_.end() ? known : found->second;
  }

  const WeightsReader& hf_;
  const StateDictAdapter& adapter_;
  std::vector<WeightInfo> tensors_;
  std::map<std::string, std::vector<std::int64_t>> full_sizes_;
  std::map<std::string, std::string> stand_ins_;
  std::map<std::string, std::string> names_in_file_;  // where it is not the known one
};

class HfWeights final : public WeightsReader {
 public:
  HfWeights(const WeightsReader& ours, const StateDictAdapter& adapter)
      : ours_(ours), adapter_(adapter) {
    const auto there = by_name(ours);
    for (const HfTensor& tensor : adapter.hf_tensors(shapes_of(ours.tensors()))) {
      tensors_.push_back({tensor.name, there.at(tensor.sources.at(0))->dtype, tensor.sizes});
      std::vector<const WeightInfo*>& sources = sources_[tensor.name];
      for (const std::string& name : tensor.sources) sources.push_back(there.at(name));
    }
  }

  const std::vector<WeightInfo>& tensors() const override { return tensors_; }

  /// Reads the whole tensors it is made of, whatever the box.
  void read(const std::string& name, const std::vector<std::int64_t>& offsets,
            const at::Tensor& box) const override {
    const c10::NoGradGuard no_grad;
    const auto found = sources_.find(name);
    TITAN_CHECK(found != sources_.end(), "no tensor '", name, "' to read");
    std::vector<at::Tensor> parts;
    for (const WeightInfo* source : found->second) {
      parts.push_back(place_for(source->sizes, found->second.size(), box));
      const std::vector<std::int64_t> start(source->sizes.size(), 0);
      ours_.read(source->name, start, parts.back());
    }
    at::Tensor result = adapter_.to_hf(name, parts);
    for (std::int64_t i = 0; i < box.dim(); ++i) {
      if (box.size(i) == result.size(i)) continue;
      result = result.narrow(i, offsets.at(static_cast<std::size_t>(i)), box.size(i));
    }
    put_into(box, result);
  }

 private:
  const WeightsReader& ours_;
  const StateDictAdapter& adapter_;
  std::vector<WeightInfo> tensors_;
  std::map<std::string, std::vector<const WeightInfo*>> sources_;
};

}  // namespace

std::vector<TensorShape> shapes_of(const std::vector<WeightInfo>& tensors) {
  std::vector<TensorShape> shapes;
  for (const WeightInfo& info : tensors) shapes.push_back({info.name, info.sizes});
  return shapes;
}

void check_same_tensors(const WeightsReader& weights, const std::vector<TensorShape>& ours) {
  const auto there = by_name(weights);
  std::set<std::string> used;
  TensorComparison comparison;
  for (const TensorShape& shape : ours) {
    const auto found = there.find(shape.name);
    if (found == there.end()) {
      comparison.missing.push_back(shape.name);
    } else if (found->second->sizes != shape.sizes) {
      comparison.add_sizes(shape.name, found->second->sizes, shape.sizes);
    }
    used.insert(shape.name);
  }
  for (const auto& [name, info] : there) {
    if (used.count(name) == 0) comparison.unknown.push_back(name);
  }
  comparison.check("loaded");
}

std::unique_ptr<WeightsReader> as_model_weights(const WeightsReader& hf,
                                                const StateDictAdapter& adapter,
                                                const std::vector<TensorShape>& ours) {
  return std::make_unique<ModelWeights>(hf, adapter, ours);
}

std::unique_ptr<WeightsReader> as_hf_weights(const WeightsReader& ours,
                                             const StateDictAdapter& adapter) {
  return std::make_unique<HfWeights>(ours, adapter);
}

}  // namespace titan::components
