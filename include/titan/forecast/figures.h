#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace titan::forecast {

/// The collectives of one kind over one mesh, per rank and optimizer step.
struct Communication {
  std::string mesh;       // "fsdp"
  std::string operation;  // "all_gather"
  std::int64_t ranks = 0;
  std::int64_t calls = 0;
  std::int64_t tensor_bytes = 0;  // of the full tensors
  std::int64_t sent_bytes = 0;    // by a rank, in a ring
};

/// Bytes of one rank. Those of parameters, gradients and optimizer state are there all the time (the
/// gradients from backward to the next step).
struct MemoryFigures {
  std::string activation_checkpoint;  // "none", "selective", "full"
  std::int64_t parameters = 0;        // and buffers of the model
  std::int64_t gradients = 0;
  std::int64_t optimizer_state = 0;
  /// Full parameters in flight and what is being sent, at the peak.
  std::int64_t communication_buffers = 0;
  /// Everything else at the peak: activations and temporary results.
  std::int64_t activations = 0;
  /// Of parameters, gradients and optimizer state in the host's memory (CPU offload), not in `peak`.
  std::int64_t host = 0;
  std::int64_t peak = 0;
};

/// One rank of a pipeline; those that share its stages are like it.
struct PipelineRank {
  std::vector<std::int64_t> stages;
  /// The most microbatches at once, counted once per stage, whose activations are held for backward.
  std::int64_t in_flight = 0;
  MemoryFigures memory;
  std::int64_t sent_bytes = 0;
};

/// Bytes that a rank sends in an optimizer step, in a ring.
struct SentBytes {
  std::int64_t forward = 0;
  std::int64_t again = 0;     // by forwards that activation checkpointing runs again in backward
  std::int64_t backward = 0;  // and behind it

  std::int64_t total() const { return forward + again + backward; }
};

/// A parameter under a tensor-parallel plan: sizes of the whole, of what modules compute with, and of what
/// rank 0 holds between steps, which FSDP has cut further.
struct PlannedParameter {
  std::string name;  // within its module
  std::vector<std::int64_t> whole;
  std::vector<std::int64_t> computed_with;
  std::vector<std::int64_t> held;

  bool operator==(const PlannedParameter&) const = default;
};

/// Modules that have their style from one line of a plan, and are alike.
struct PlannedModules {
  std::string modules;     // the line's pattern, "layers.*.attention.wq"
  std::int64_t count = 0;  // of the modules
  std::string style;       // "Colwise"
  std::vector<PlannedParameter> parameters;
  /// At the boundary of each, and what backward sends for it: "in: all-gather of dimension 1".
  std::vector<std::string> forward;
  std::vector<std::string> backward;
  SentBytes sent;  // by all of them
};

/// What is sent over the ranks of `tp`, but at no module's boundary.
struct SentElsewhere {
  std::string where;  // "loss"
  std::int64_t sent = 0;
};

/// A tensor-parallel plan as applied to a model; without lines where `tp` has one rank.
struct TensorPlanFigures {
  std::vector<PlannedModules> lines;
  std::vector<SentElsewhere> elsewhere;
};

}  // namespace titan::forecast
