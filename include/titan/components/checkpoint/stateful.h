#pragma once

#include <ATen/core/Generator.h>

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "titan/components/checkpoint/dcp_load.h"
#include "titan/components/checkpoint/dcp_state.h"
#include "titan/protocols/data_loader.h"
#include "titan/protocols/optimizer.h"
#include "titan/protocols/train_spec.h"

namespace titan::components {

/// A part of a job that checkpoints carry.
class Stateful {
 public:
  virtual ~Stateful() = default;
  /// What users call it: "optimizer".
  virtual std::string name() const = 0;
  /// Adds what it is now. Tensors are the living ones, not copies.
  virtual void add_to(FlatState& state) = 0;
  /// The tensors that `checkpoint` is to fill: those that `add_to` adds, unless said otherwise.
  virtual std::vector<StateTensor> targets(const DcpCheckpoint& checkpoint);
  /// Takes over the values that are no tensors; the targets are filled. Throws RunError.
  virtual void restore(const DcpCheckpoint& checkpoint) {}
};

/// "model": parameters and persistent buffers under their own names, tied ones under each.
std::unique_ptr<Stateful> model_state(const protocols::ModelParts& parts);

/// "optimizer": what it keeps of every parameter, sharded as the parameter, and its settings; of these
/// nothing is loaded: the job's config decides.
std::unique_ptr<Stateful> optimizer_state(protocols::Optimizers& optimizers,
                                          const protocols::ModelParts& parts);

/// "lr_scheduler": as torch.optim.lr_scheduler.LambdaLR.
std::unique_ptr<Stateful> lr_scheduler_state(protocols::LRSchedulers& schedulers,
                                             const protocols::Optimizers& optimizers);

/// Who reads the data.
struct DataReader {
  protocols::DataLoader& loader;
  std::int64_t rank = 0;  // data-parallel
  std::int64_t ranks = 1;
  std::int64_t batch_rows = 1;
  std::optional<std::int64_t> bos_id = std::nullopt;
};
/// "dataloader": the position of every data-parallel rank (data_state.h). As many ranks as you like go on.
std::unique_ptr<Stateful> dataloader_state(DataReader reader);

/// How far validations have come that go on from one to the next.
struct ValidationProgress {
  protocols::DataPosition position;  // of this rank's data, behind the last whole validation
  std::int64_t step = 0;             // whose validation that was
  bool restored = false;             // from a checkpoint
};
/// "validation": the progress of every data-parallel rank. A checkpoint without it, or of other validation
/// data, leaves the data at its start; the latter is said.
std::unique_ptr<Stateful> validation_state(DataReader reader, ValidationProgress& progress);

/// "train_state": steps done, and tokens seen by a data-parallel rank. `ranks`: how many there are.
std::unique_ptr<Stateful> train_state(std::int64_t& step, std::int64_t& tokens_seen,
                                      std::int64_t ranks);

/// "rng_state": the generator of rank `rank`. Checkpoints without it, or of another kind of device, leave
/// the generator alone.
std::unique_ptr<Stateful> rng_state(at::Generator generator, std::int64_t rank);

/// "job_config": every option and its value, for whoever reads the checkpoint later. Loading it changes
/// nothing and warns of options that decide the numbers and are different now.
std::unique_ptr<Stateful> job_config_state(std::map<std::string, std::string> values);

}  // namespace titan::components
