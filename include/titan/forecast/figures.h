#pragma once

#include <cstdint>
#include <string>

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

}  // namespace titan::forecast
