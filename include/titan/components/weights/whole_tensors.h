#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <map>
#include <string>

#include "titan/protocols/model_part.h"

namespace titan::comm {
struct RankContext;
}
namespace titan::nn {
struct Parameter;
}

namespace titan::components {

/// A model's whole parameters and persistent buffers, however ranks share them: by cuts, or as stages of a
/// pipeline.
class WholeTensors {
 public:
  /// `parts` and `context` outlive the object. All ranks come together.
  WholeTensors(const protocols::ModelParts& parts, const comm::RankContext& context);

  /// The tensor of a name that the model has, on the job's device. All ranks call it together, with the
  /// same names in the same order, and get it; it needs the memory of the whole, twice for a moment.
  at::Tensor gather(const std::string& name) const;

 private:
  struct Source {
    const nn::Parameter* parameter = nullptr;  // or a buffer
    at::Tensor tensor;                         // without memory, where another stage has it
    bool here = false;
    std::int64_t owner = 0;  // its stage's rank in the pipeline
  };

  void find_owners();

  const comm::RankContext& context_;
  std::map<std::string, Source> sources_;  // of the same names on all ranks
};

}  // namespace titan::components
