#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "titan/comm/rank_context.h"
#include "titan/protocols/model_part.h"

namespace titan::config {
struct JobConfig;
}
namespace titan::parallel {
class LinearExtension;
}

namespace titan::protocols {

/// Changes a model before any parallelism is attached to it, as for training in low precision.
/// `model.converters` names those of a job; users register their own.
class ModelConverter {
 public:
  virtual ~ModelConverter() = default;
  /// Exchanges or wraps modules of a whole model on the meta device. Names of parameters stay, or
  /// checkpoints do not fit any more.
  virtual void convert(ModelProtocol& model) = 0;
  /// What tensor parallelism is to know of the linear layers that it has converted; null: nothing.
  virtual std::shared_ptr<parallel::LinearExtension> linear_extension() { return nullptr; }
  /// Once the model is split and parallelized, still without memory, with all parts of this rank.
  virtual void after_parallelize(const ModelParts& parts) {}
  /// Runs behind every optimizer step, and when weights were exchanged for older ones, with all parts of this rank.
  virtual void after_optimizer_step(const ModelParts& parts) {}
};

/// For one rank's model. Throws ConfigError when the converter cannot do what the job asks for.
using BuildModelConverterFn = std::function<std::unique_ptr<ModelConverter>(
    const config::JobConfig&, const comm::RankContext&)>;

/// Adds a converter under the name that `model.converters` uses. Throws ConfigError when the name is taken.
void register_model_converter(const std::string& name, BuildModelConverterFn build);
/// Throws ConfigError for a name in the config that is not registered, listing those that are.
void check_model_converters(const config::JobConfig& config);
/// Those that the config names, in its order. Throws ConfigError listing the registered names.
std::vector<std::unique_ptr<ModelConverter>> build_model_converters(
    const config::JobConfig& config, const comm::RankContext& context);

}  // namespace titan::protocols
