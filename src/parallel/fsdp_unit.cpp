#include "parallel/fsdp_unit.h"

#include <ATen/ops/empty.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <utility>

#include "titan/base/errors.h"
#include "titan/parallel/shard.h"

namespace titan::parallel {

namespace {

/// Parameters begin at multiples of this in their common storage, as fresh tensors do.
constexpr std::int64_t kAlignment = 64;

std::int64_t aligned(std::int64_t bytes) {
  return (bytes + kAlignment - 1) / kAlignment * kAlignment;
}

}  // namespace

FsdpUnit::FsdpUnit(std::vector<std::vector<nn::Parameter*>> parameters, const FsdpOptions& options,
                   bool reshard_after_forward)
    : options_(options), reshard_after_forward_(reshard_after_forward) {
  const std::int64_t ranks = options_.shard->size();
  for (std::vector<nn::Parameter*>& places : parameters) {
    const at::Tensor whole = places.front()->tensor;
    TITAN_CHECK(whole.dim() > 0, "a parameter without dimensions cannot be sharded");
    TITAN_CHECK(!places.front()->box, "a parameter is sharded already");
    const Chunk rows = chunk_of(whole.size(0), ranks, options_.shard->rank());
    Member member;
    member.sizes = whole.sizes().vec();
    member.row = whole.size(0) == 0 ? 0 : whole.numel() / whole.size(0);
    member.chunk = chunk_length(whole.size(0), ranks) * member.row;
    member.local = rows.length * member.row;
    std::vector<std::int64_t> sizes = member.sizes;
    sizes[0] = rows.length;
    at::Tensor shard = at::empty(sizes, whole.options());
    shard.set_requires_grad(whole.requires_grad());
    std::vector<std::int64_t> offsets(sizes.size(), 0);
    offsets[0] = rows.offset;
    for (nn::Parameter* place : places) {
      place->tensor = shard;
      place->box = nn::TensorBox{member.sizes, offsets};
    }
    chunk_ += member.chunk;
    member.places = std::move(places);
    members_.push_back(std::move(member));
  }
}

void FsdpUnit::make_full_tensors(BufferPool& pool) {
  storage_ = pool.make_storage();
  for (Member& member : members_) {
    member.shard = member.places.front()->tensor;
    TITAN_CHECK(member.shard.scalar_type() == members_.front().shard.scalar_type(),
                "parameters of several types in one FSDP unit");
    const auto options = at::TensorOptions()
                             .dtype(options_.param_dtype.value_or(member.shard.scalar_type()))
                             .device(options_.device);
    const auto make = [&] {
      at::Tensor tensor = at::empty({0}, options);
      const auto item = static_cast<std::int64_t>(tensor.itemsize());
      std::vector<std::int64_t> strides(member.sizes.size(), 1);
      for (std::size_t d = strides.size() - 1; d > 0; --d) {
        strides[d - 1] = strides[d] * member.sizes[d];
      }
      // A storage that grows here would get memory; it is given its size only when it is filled.
      tensor.unsafeGetTensorImpl()->set_storage_keep_dtype(storage_);
      tensor.unsafeGetTensorImpl()->set_sizes_and_strides(member.sizes, strides);
      tensor.unsafeGetTensorImpl()->set_storage_offset(storage_bytes_ / item);
      return tensor;
    };
    member.full = make();
    member.full_data = make();
    member.full.set_requires_grad(member.shard.requires_grad());
    storage_bytes_ += aligned(static_cast<std::int64_t>(member.full.nbytes()));
  }
}

void FsdpUnit::start_unshard(BufferPool& pool) {
  if (unsharded_ || gather_.pending()) return;
  const c10::NoGradGuard no_grad;
  if (!members_.front().full.defined()) make_full_tensors(pool);
  const at::ScalarType dtype = members_.front().full.scalar_type();
  gathered_ = pool.take(chunk_ * options_.shard->size(), dtype);
  // Shards are laid where the all-gather wants them, so that it need not copy them.
  const at::Tensor own = gathered_.narrow(0, chunk_ * options_.shard->rank(), chunk_);
  std::int64_t offset = 0;
  for (const Member& member : members_) {
    own.narrow(0, offset, member.local).copy_(member.shard.detach().reshape(-1));
    if (member.local < member.chunk) {
      own.narrow(0, offset + member.local, member.chunk - member.local).zero_();
    }
    offset += member.chunk;
  }
  gather_ = options_.shard->all_gather(gathered_, own);
}

/// Copies one parameter between the layout of a collective, `[ranks, chunk_]`, and its own: from
/// `flat` into `full` when it is gathered, the other way when its gradient is scattered.
void FsdpUnit::fill_chunks(const at::Tensor& flat, std::int64_t offset, const Member& member,
                           const at::Tensor& full, bool gather) const {
  const std::int64_t ranks = options_.shard->size();
  const at::Tensor by_rank = flat.view({ranks, -1}).narrow(1, offset, member.chunk);
  const auto copy = [gather](const at::Tensor& part_of_flat, const at::Tensor& part_of_full) {
    gather ? part_of_full.copy_(part_of_flat) : part_of_flat.copy_(part_of_full);
  };
  // The first ranks hold whole chunks, one what is left, the others nothing: three copies for any
  // number of ranks.
  const at::Tensor elements = full.view(-1);
  const std::int64_t whole = member.chunk == 0 ? 0 : elements.numel() / member.chunk;
  const std::int64_t rest = elements.numel() - whole * member.chunk;
  copy(by_rank.narrow(0, 0, whole),
       elements.narrow(0, 0, whole * member.chunk).view({whole, member.chunk}));
  if (whole == ranks) return;
  copy(by_rank[whole].narrow(0, 0, rest), elements.narrow(0, whole * member.chunk, rest));
  if (gather) return;
  by_rank[whole].narrow(0, rest, member.chunk - rest).zero_();
  by_rank.narrow(0, whole + 1, ranks - whole - 1).zero_();
}

void FsdpUnit::finish_unshard(BufferPool& pool) {
  if (unsharded_) return;
  const c10::NoGradGuard no_grad;
  gather_.wait();
  pool.fill(storage_, storage_bytes_);
  std::int64_t offset = 0;
  for (Member& member : members_) {
    fill_chunks(gathered_, offset, member, member.full_data, /*gather=*/true);
    offset += member.chunk;
    for (nn::Parameter* place : member.places) place->tensor = member.full;
  }
  pool.drain(gathered_.storage());
  gathered_ = at::Tensor();
  unsharded_ = true;
}

void FsdpUnit::reshard(BufferPool& pool) {
  if (gather_.pending()) finish_unshard(pool);
  if (!unsharded_) return;
  for (Member& member : members_) {
    for (nn::Parameter* place : member.places) place->tensor = member.shard;
  }
  pool.drain(storage_);
  unsharded_ = false;
}

std::int64_t FsdpUnit::unsharded_bytes() const {
  return unsharded_ || gather_.pending() ? storage_bytes_ : 0;
}

bool FsdpUnit::start_reduce(BufferPool& pool) {
  const c10::NoGradGuard no_grad;
  std::vector<Member*> with_gradients;
  std::int64_t chunk = 0;
  for (Member& member : members_) {
    if (!member.full.defined() || !member.full.grad().defined()) continue;
    with_gradients.push_back(&member);
    chunk += member.chunk;
  }
  if (with_gradients.empty()) return false;
  reduced_members_ = std::move(with_gradients);
  const at::ScalarType dtype =
      options_.reduce_dtype.value_or(reduced_members_.front()->full.scalar_type());
  scatter_input_ = pool.take(chunk * options_.shard->size(), dtype);
  std::int64_t offset = 0;
  for (Member* member : reduced_members_) {
    fill_chunks(scatter_input_, offset, *member, member->full.grad().contiguous(),
                /*gather=*/false);
    member->full.mutable_grad() = at::Tensor();
    offset += member->chunk;
  }
  reduced_ = at::empty({chunk}, scatter_input_.options());
  reduction_ = options_.shard->reduce_scatter(reduced_, scatter_input_);
  return true;
}

void FsdpUnit::continue_reduce(BufferPool& pool) {
  if (!scatter_input_.defined()) return;
  reduction_.wait();
  pool.drain(scatter_input_.storage());
  scatter_input_ = at::Tensor();
  if (options_.replicate != nullptr) reduction_ = options_.replicate->all_reduce(reduced_);
}

void FsdpUnit::finish_reduce() {
  const c10::NoGradGuard no_grad;
  reduction_.wait();
  std::int64_t offset = 0;
  for (Member* member : reduced_members_) {
    const at::Tensor gradient = reduced_.narrow(0, offset, member->local)
                                    .view(member->shard.sizes())
                                    .to(member->shard.device(), member->shard.scalar_type());
    if (member->shard.grad().defined()) {
      member->shard.grad().add_(gradient);
    } else {
      member->shard.mutable_grad() = gradient;
    }
    offset += member->chunk;
  }
  reduced_ = at::Tensor();
}

}  // namespace titan::parallel
