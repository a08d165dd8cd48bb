#pragma once

#include <memory>
#include <vector>

#include "parallel/buffer_pool.h"
#include "titan/comm/process_group.h"
#include "titan/nn/module.h"
#include "titan/parallel/fsdp.h"

namespace titan::parallel {

/// The parameters that are gathered and whose gradients are reduced together.
class FsdpUnit {
 public:
  /// Replaces the parameters, on the meta device, by this rank's shards. `parameters` holds all
  /// places of each, which are several for tied ones.
  FsdpUnit(std::vector<std::vector<nn::Parameter*>> parameters, const FsdpOptions& options,
           bool reshard_after_forward);

  bool reshards_after_forward() const { return reshard_after_forward_; }

  /// Starts the all-gather, unless the full parameters are there or on their way.
  void start_unshard(BufferPool& pool);
  /// Waits for it; the modules now see full parameters.
  void finish_unshard(BufferPool& pool);
  /// The modules see shards again. A gather on its way is waited for.
  void reshard(BufferPool& pool);
  std::int64_t unsharded_bytes() const;

  /// Starts to sum the gradients of the full parameters over the ranks. Returns false when there are
  /// none.
  bool start_reduce(BufferPool& pool);
  /// Between the reduce-scatter and, with replicas, the all-reduce.
  void continue_reduce(BufferPool& pool);
  /// Waits and hands the gradients to the shards, or adds them to those they have.
  void finish_reduce();

 private:
  struct Member {
    std::vector<nn::Parameter*> places;
    at::Tensor shard;      // what the optimizer sees; known once the model has memory
    at::Tensor full;       // what the modules see; its memory comes and goes
    at::Tensor full_data;  // the same without gradients, to be written
    std::vector<std::int64_t> sizes;
    std::int64_t chunk = 0;  // elements that a rank contributes, padded
    std::int64_t local = 0;  // elements of this rank's shard
    std::int64_t row = 1;    // elements of one row
  };

  void make_full_tensors(BufferPool& pool);
  void fill_chunks(const at::Tensor& flat, std::int64_t offset, const Member& member,
                   const at::Tensor& full, bool gather) const;

  FsdpOptions options_;
  bool reshard_after_forward_;
  std::vector<Member> members_;
  std::int64_t chunk_ = 0;  // elements that a rank contributes in all

  bool unsharded_ = false;
  c10::Storage storage_;  // of all full parameters
  std::int64_t storage_bytes_ = 0;
  comm::Work gather_;
  at::Tensor gathered_;

  comm::Work reduction_;
  std::vector<Member*> reduced_members_;
  at::Tensor scatter_input_;
  at::Tensor reduced_;
};

}  // namespace titan::parallel
