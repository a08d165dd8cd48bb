#include "app/engine_commands.h"

#include <ATen/ops/empty.h>
#include <c10/core/GradMode.h>
#include <c10/util/Exception.h>

#include <algorithm>

#include "app/weights_of_config.h"
#include "titan/base/clock.h"
#include "titan/base/errors.h"
#include "titan/base/file_system.h"
#include "titan/components/metrics/progress.h"
#include "titan/components/weights/adapted_weights.h"
#include "titan/components/weights/dequantized_weights.h"
#include "titan/components/weights/model_weights.h"
#include "titan/components/weights/open_weights.h"
#include "titan/parallel/dtype.h"
#include "titan/tools/logging.h"
#include "titan/tools/number_text.h"

namespace titan::app {

namespace {

using components::WeightInfo;
using components::WeightsFormat;
using components::WeightsReader;
using protocols::StateDictAdapter;

WeightsFormat format_of(config::ModelFormat format) {
  switch (format) {
    case config::ModelFormat::kHf:
      return WeightsFormat::kHf;
    case config::ModelFormat::kDcp:
      return WeightsFormat::kDcp;
    case config::ModelFormat::kPt:
      return WeightsFormat::kPt;
  }
  throw InternalError("unknown format");
}

/// The source's tensors by the names and layouts of the destination. Between Hugging Face's and ours a
/// model of the config translates; else nothing needs to be known of it.
class Source {
 public:
  Source(base::FileSystem& files, const config::CommandLine& command)
      : format_(format_of(command.convert.from)),
        stored_(components::open_weights(files, format_, command.convert.source)) {
    const bool from_hf = command.convert.from == config::ModelFormat::kHf;
    const bool to_hf = command.convert.to == config::ModelFormat::kHf;
    if (from_hf == to_hf) return;
    const config::JobConfig& config = command.config;
    const auto args = protocols::get_model_args(config.model.name, config.model.flavor);
    const auto model = protocols::get_train_spec(config.model.name)
                           .build_model(*args, parallel::torch_dtype(config.training.dtype));
    const std::vector<protocols::TensorShape> shapes = components::model_tensors(*model);
    adapter_ = hf_adapter(config, *args, from_hf ? command.convert.source : "");
    if (from_hf) {
      components::check_hf_config(files, command.convert.source, *adapter_);
      if (components::first_in_float8(*stored_)) {
        dequantized_ = components::as_dequantized_weights(*stored_);
      }
      translated_ =
          components::as_model_weights(dequantized_ ? *dequantized_ : *stored_, *adapter_, shapes);
    } else {
      components::check_same_tensors(*stored_, shapes);
      translated_ = components::as_hf_weights(*stored_, *adapter_);
    }
  }

  const WeightsReader& weights() const { return translated_ ? *translated_ : *stored_; }
  /// Null where nothing is translated.
  const StateDictAdapter* adapter() const { return adapter_.get(); }

 private:
  WeightsFormat format_;
  std::unique_ptr<WeightsReader> stored_;
  std::unique_ptr<WeightsReader> dequantized_;  // null: they are not in float8
  std::unique_ptr<StateDictAdapter> adapter_;
  std::unique_ptr<WeightsReader> translated_;
};

std::vector<WeightInfo> in_type(std::vector<WeightInfo> tensors,
                                const std::optional<config::ExportDType>& dtype) {
  for (WeightInfo& info : tensors) {
    if (dtype && at::isFloatingType(info.dtype)) info.dtype = parallel::torch_dtype(*dtype);
  }
  return tensors;
}

/// One tensor after the other is in memory. Returns the bytes of all.
std::uint64_t copy_weights(const WeightsReader& from, const std::vector<WeightInfo>& tensors,
                           components::WeightsWriter& to) {
  const auto line = components::status_line_of_terminal();
  std::uint64_t bytes = 0;
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    const WeightInfo& info = tensors[i];
    const at::Tensor tensor = at::empty(info.sizes, at::dtype(info.dtype));
    from.read(info.name, std::vector<std::int64_t>(info.sizes.size(), 0), tensor);
    to.append(tensor);
    bytes += tensor.nbytes();
    if (line) line->show(concat(i + 1, " of ", tensors.size(), " tensors"));
  }
  return bytes;
}

}  // namespace

int convert(const config::CommandLine& command) try {
  constexpr double kGB = 1e9;
  const c10::NoGradGuard no_grad;
  const config::ConvertOptions& options = command.convert;
  base::FileSystem& files = base::posix_file_system();
  const double start = base::monotonic_seconds();
  const Source source(files, command);
  const std::vector<WeightInfo> tensors = in_type(source.weights().tensors(), options.dtype);
  const auto writer =
      components::create_weights(files, format_of(options.to), options.destination, tensors);
  const std::uint64_t bytes = copy_weights(source.weights(), tensors, *writer);
  if (source.adapter() != nullptr && options.to == config::ModelFormat::kHf && !tensors.empty()) {
    components::write_hf_config(files, options.destination, *source.adapter(),
                                tensors.front().dtype, tensors);
  }
  writer->finish();
  const double seconds = std::max(base::monotonic_seconds() - start, 1e-9);
  const double gigabytes = static_cast<double>(bytes) / kGB;
  tools::log_info("Wrote ", options.destination, ": ", tensors.size(), " tensors, ",
                  tools::fixed(gigabytes, 2), " GB in ", tools::fixed(seconds, 1), " s (",
                  tools::fixed(gigabytes / seconds, 2), " GB/s)");
  return 0;
} catch (const c10::Error& error) {
  throw RunError(error.what_without_backtrace());
}

}  // namespace titan::app
