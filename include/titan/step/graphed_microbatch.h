#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/Stream.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "titan/parallel/layout.h"
#include "titan/step/batch_tensors.h"
#include "titan/tools/device_graph.h"

namespace titan::step {

/// Forward and backward of microbatches of one size, captured as device graphs and replayed: the same operators on the
/// same memory, without the code of the host that has chosen them.
///
/// The first microbatch of a step makes the gradients, the others add to them; so there are two graphs. What they read -
/// batch, number of tokens - is copied into tensors that stay; what they write - gradients - is handed out as it is.
class GraphedMicrobatch {
 public:
  /// Forward and backward of `batch`, and its loss, detached.
  using Work = std::function<at::Tensor(const BatchTensors& batch, const at::Tensor& valid_tokens)>;

  /// `capture` and `parameters` outlive the object.
  GraphedMicrobatch(tools::GraphCapture& capture, at::Device device,
                    parallel::Parameters parameters);

  /// Gives the loss of `batch`, 0-dim, and the parameters' gradients, which it makes where there are none and adds to where there
  /// are. In the first `kWarmUps` steps `work` is run, then captured once for each of the two, and no more. `pinned` as for
  /// `to_tensors`. Throws RunError where the device cannot capture `work`.
  at::Tensor run(protocols::Batch& batch, const at::Tensor& valid_tokens, bool pinned,
                 const Work& work);

  /// What libraries and layers make once must be there, and not in the graphs' memory (PyTorch's own number).
  static constexpr std::int64_t kWarmUps = 3;

 private:
  struct Graph {
    std::unique_ptr<tools::DeviceGraph> graph;  // null: not captured yet
    at::Tensor loss;
    std::vector<at::Tensor> gradients;  // by parameter; undefined where there is none
  };

  void fill(protocols::Batch& batch, const at::Tensor& valid_tokens, bool pinned);
  at::Tensor warm_up(const Work& work);
  void capture(Graph& graph, const Work& work);
  at::Tensor replay(Graph& graph);
  void check_addresses() const;
  std::vector<at::Tensor> gradients() const;

  tools::GraphCapture& capture_;
  at::Device device_;
  parallel::Parameters parameters_;
  c10::Stream stream_;  // of warm-ups and captures
  std::int64_t steps_ = 0;
  BatchTensors batch_;
  at::Tensor valid_tokens_;
  Graph makes_gradients_;
  Graph adds_gradients_;
  std::vector<const void*> addresses_;  // of the parameters when they were captured
};

}  // namespace titan::step
