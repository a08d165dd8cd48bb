#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/Event.h>
#include <c10/core/Storage.h>
#include <c10/core/Stream.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "titan/comm/gathered_parts.h"
#include "titan/comm/process_group.h"
#include "titan/nn/module.h"

namespace titan::parallel {

class BufferPool;
class FsdpExtension;

/// Over which ranks a unit's parameters are cut, and how.
struct UnitOptions {
  /// Ranks that hold a part each, and their axis. Outlives the model.
  comm::ProcessGroup* shard = nullptr;
  nn::Axis axis = 0;
  /// Ranks that hold the same part (HSDP); null: there are no others.
  comm::ProcessGroup* replicate = nullptr;
  std::int64_t cut_dim = 0;
  /// Whether parameters are given back between forward and backward.
  bool reshard_after_forward = true;
};

/// The types of one unit: of gathered parameters, and that gradients are summed and kept in; nothing: the
/// parameters' own.
struct UnitTypes {
  std::optional<at::ScalarType> param_dtype;
  std::optional<at::ScalarType> reduce_dtype;
};

/// Parameters that are gathered, and whose gradients are reduced, together: one flat all-gather, one flat
/// reduce-scatter. What is asked for twice is done once. Modules see the whole between `unshard` and
/// `reshard`; without it they see this rank's parts.
class FsdpUnit {
 public:
  /// Cuts the parameters, which are on the meta device. They will compute on `device`.
  FsdpUnit(std::vector<nn::Parameter*> parameters, const UnitOptions& options,
           const UnitTypes& types, at::Device device, std::shared_ptr<BufferPool> pool);

  /// What is gathered in the place of some parameters; before the first all-gather.
  void set_extension(std::shared_ptr<FsdpExtension> extension);

  /// Starts the all-gather.
  void prefetch();
  /// The same, and waits for it.
  void unshard();
  /// Modules see parts again. An all-gather under way is waited for.
  void reshard();
  bool reshards_after_forward() const { return options_.reshard_after_forward; }
  /// Of the full parameters that there are, or are on their way.
  std::int64_t unsharded_bytes() const;

  /// Puts aside what a backward pass has added to the full parameters' gradients, in the reduce type, to be
  /// summed later.
  void keep_gradients();
  /// Sums all gradients over the ranks and adds them to those of the parts.
  void reduce_gradients();

  /// The steps of `reduce_gradients`, so that others may run meanwhile. Returns false when there is
  /// nothing to sum.
  bool start_reduce();
  /// Whether the all-reduce over replicas may be started at once, on another stream. On a CPU there is none to wait there.
  bool can_reduce_ahead() const;
  /// Starts it: `stream` waits for the reduce-scatter, while the current one and the host go on.
  void all_reduce_on(const c10::Stream& stream);
  /// Behind the reduce-scatter: its memory is given back, and the all-reduce over replicas started unless it is already.
  void continue_reduce();
  /// Returns the parts whose gradients have changed; those of offloaded parts are on their way to the host.
  std::vector<at::Tensor> finish_reduce();
  /// Waits for them, and returns these parts. Before the unit's next reduction, and before the host looks at gradients.
  std::vector<at::Tensor> land_gradients();

  /// Units whose all-gather is started when this one runs forward (backward). Else it is the next one of the
  /// model.
  void set_forward_prefetch(std::vector<FsdpUnit*> units) { forward_prefetch_ = std::move(units); }
  void set_backward_prefetch(std::vector<FsdpUnit*> units) {
    backward_prefetch_ = std::move(units);
  }
  const std::optional<std::vector<FsdpUnit*>>& forward_prefetch() const {
    return forward_prefetch_;
  }
  const std::optional<std::vector<FsdpUnit*>>& backward_prefetch() const {
    return backward_prefetch_;
  }

 private:
  /// How a parameter lies along the dimension that is cut: `outer` times `length` times `inner` elements.
  struct Extent {
    std::int64_t outer = 1;
    std::int64_t length = 0;
    std::int64_t inner = 1;
    std::int64_t chunk = 0;  // length of a rank's part, but for the last ranks

    std::int64_t chunk_elements() const { return outer * chunk * inner; }
  };
  struct Member {
    nn::Parameter* parameter;
    std::vector<std::int64_t> sizes;  // before this unit's cut
    Extent extent;
    at::Tensor shard;                // what the optimizer sees; known once the model has memory
    bool as_bytes = false;           // FsdpExtension
    std::int64_t gather_offset = 0;  // in what a rank contributes to the all-gather
    at::Tensor full;                 // what the modules see; its memory comes and goes
    at::Tensor full_data;  // the same without gradients, to be written; or the bytes in its place
    at::Tensor kept;       // gradients of the whole that are not summed yet, in the reduce type
  };

  static Extent extent_of(const at::Tensor& whole, std::int64_t dim, std::int64_t parts);
  void make_full_tensors();
  bool has_replicas() const;
  at::Tensor make_full_tensor(const Member& member, at::ScalarType type) const;
  void lay_out_chunk();
  at::Tensor gathered_part(const at::Tensor& chunks, const Member& member) const;
  void fill_chunk(const at::Tensor& own);
  void copy_chunks(const at::Tensor& by_rank, const Member& member, const at::Tensor& full,
                   bool gather) const;
  void copy_chunk(const at::Tensor& of_rank, std::int64_t rank, const Member& member) const;
  bool has_gradient(const Member& member) const;
  at::Tensor take_gradient(Member& member) const;
  std::vector<at::Tensor> add_gradients();

  UnitOptions options_;
  UnitTypes types_;
  at::Device device_;
  std::shared_ptr<BufferPool> pool_;
  std::vector<Member> members_;
  std::shared_ptr<FsdpExtension> extension_;
  at::ScalarType gather_type_ = at::kFloat;
  std::int64_t gather_chunk_ = 0;  // elements of that type that a rank contributes
  std::optional<std::vector<FsdpUnit*>> forward_prefetch_;
  std::optional<std::vector<FsdpUnit*>> backward_prefetch_;

  bool unsharded_ = false;
  c10::Storage storage_;  // of all full parameters
  std::int64_t storage_bytes_ = 0;
  comm::Work gather_;
  std::optional<comm::GatheredParts> gathered_;

  comm::Work reduction_;
  std::vector<Member*> reduced_members_;
  at::Tensor scatter_input_;
  at::Tensor reduced_;
  std::optional<c10::Event>
      scattered_;  // behind the reduce-scatter, where the all-reduce is under way
  std::optional<c10::Event> landed_;  // gradients of offloaded parts
};

}  // namespace titan::parallel
