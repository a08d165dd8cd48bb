#include "titan/parallel/fsdp_unit.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>
#include <c10/core/Event.h>
#include <c10/core/GradMode.h>
#include <c10/core/StreamGuard.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <c10/util/accumulate.h>

#include <algorithm>
#include <utility>

#include "parallel/buffer_pool.h"
#include "titan/base/errors.h"
#include "titan/nn/chunk.h"
#include "titan/parallel/fsdp_extension.h"
#include "titan/parallel/host_memory.h"

namespace titan::parallel {

namespace {

/// Parameters begin at multiples of this in their common storage, as fresh tensors do.
constexpr std::int64_t kAlignment = 64;
/// Where types are mixed in what is sent, each parameter begins at a multiple of this.
constexpr std::int64_t kPartAlignment = 16;

std::int64_t aligned(std::int64_t bytes, std::int64_t alignment) {
  return (bytes + alignment - 1) / alignment * alignment;
}

c10::Stream current_stream(at::Device device) {
  return c10::impl::VirtualGuardImpl(device.type()).getStream(device);
}

/// Behind what `stream` has to do so far.
c10::Event event_on(const c10::Stream& stream) {
  c10::Event event(stream.device_type());
  event.record(stream);
  return event;
}

}  // namespace

FsdpUnit::Extent FsdpUnit::extent_of(const at::Tensor& whole, std::int64_t dim,
                                     std::int64_t parts) {
  TITAN_CHECK(dim < whole.dim(), "a parameter of ", whole.dim(),
              " dimensions cannot be sharded along dimension ", dim);
  const at::IntArrayRef sizes = whole.sizes();
  const auto at = static_cast<std::size_t>(dim);
  Extent extent;
  extent.outer = c10::multiply_integers(sizes.slice(0, at));
  extent.length = sizes[at];
  extent.inner = c10::multiply_integers(sizes.slice(at + 1));
  extent.chunk = nn::chunk_length(extent.length, parts);
  return extent;
}

FsdpUnit::FsdpUnit(std::vector<nn::Parameter*> parameters, const UnitOptions& options,
                   const UnitTypes& types, at::Device device, std::shared_ptr<BufferPool> pool)
    : options_(options), types_(types), device_(device), pool_(std::move(pool)) {
  TITAN_CHECK(options_.shard != nullptr, "FSDP needs a group to shard over");
  const std::int64_t parts = options_.shard->size();
  for (nn::Parameter* parameter : parameters) {
    Member member;
    member.parameter = parameter;
    member.sizes = parameter->tensor.sizes().vec();
    member.extent = extent_of(parameter->tensor, options_.cut_dim, parts);
    parameter->cut({options_.axis, options_.cut_dim, parts, options_.shard->rank()});
    members_.push_back(std::move(member));
  }
}

void FsdpUnit::set_extension(std::shared_ptr<FsdpExtension> extension) {
  TITAN_CHECK(!members_.front().full.defined(),
              "an FSDP unit is extended that has gathered already");
  extension_ = std::move(extension);
  for (Member& member : members_) {
    member.as_bytes = extension_ != nullptr && extension_->gathers_bytes(*member.parameter);
  }
}

/// In the common storage, behind the parameters that are there.
at::Tensor FsdpUnit::make_full_tensor(const Member& member, at::ScalarType type) const {
  at::Tensor tensor = at::empty({0}, at::TensorOptions().dtype(type).device(device_));
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
}

void FsdpUnit::make_full_tensors() {
  storage_ = pool_->make_storage();
  for (Member& member : members_) {
    member.shard = member.parameter->tensor;
    TITAN_CHECK(member.shard.scalar_type() == members_.front().shard.scalar_type(),
                "parameters of several types in one FSDP unit");
    const at::ScalarType type = types_.param_dtype.value_or(member.shard.scalar_type());
    const at::ScalarType stored = member.as_bytes ? at::kByte : type;
    member.full_data = make_full_tensor(member, stored);
    if (member.as_bytes) {
      extension_->post_all_gather(*member.parameter, make_full_tensor(member, stored));
      // One number stands for all: it is there for gradients.
      member.full =
          at::zeros({}, at::TensorOptions().dtype(type).device(device_)).expand(member.sizes);
    } else {
      member.full = make_full_tensor(member, stored);
    }
    member.full.set_requires_grad(member.shard.requires_grad());
    storage_bytes_ += aligned(static_cast<std::int64_t>(member.full_data.nbytes()), kAlignment);
  }
  lay_out_chunk();
}

void FsdpUnit::lay_out_chunk() {
  const bool mixed = std::ranges::any_of(members_, &Member::as_bytes);
  gather_type_ = mixed ? at::kByte : members_.front().full_data.scalar_type();
  for (Member& member : members_) {
    member.gather_offset = gather_chunk_;
    const std::int64_t elements = member.extent.chunk_elements();
    gather_chunk_ +=
        mixed ? aligned(elements * static_cast<std::int64_t>(member.full_data.itemsize()),
                        kPartAlignment)
              : elements;
  }
}

/// One parameter's elements in `chunks` `[..., gather_chunk_]`: `[..., chunk_elements()]`.
at::Tensor FsdpUnit::gathered_part(const at::Tensor& chunks, const Member& member) const {
  const at::ScalarType type = member.full_data.scalar_type();
  const std::int64_t elements = member.extent.chunk_elements();
  if (type == gather_type_) return chunks.narrow(-1, member.gather_offset, elements);
  const auto item = static_cast<std::int64_t>(member.full_data.itemsize());
  return chunks.narrow(-1, member.gather_offset, elements * item).view(type);
}

void FsdpUnit::prefetch() {
  if (unsharded_ || gather_.pending()) return;
  const c10::NoGradGuard no_grad;
  if (!members_.front().full.defined()) make_full_tensors();
  const auto options = at::TensorOptions().dtype(gather_type_).device(device_);
  gathered_.emplace(*options_.shard, gather_chunk_, options,
                    [this](std::int64_t elements) { return pool_->take(elements, gather_type_); });
  // Shards are laid where the all-gather wants them, so that it need not copy them.
  fill_chunk(gathered_->own());
  gather_ = gathered_->start();
}

void FsdpUnit::fill_chunk(const at::Tensor& own) {
  std::vector<FsdpExtension::Part> as_bytes;
  for (const Member& member : members_) {
    const std::int64_t local = member.shard.numel();
    const std::int64_t chunk = member.extent.chunk_elements();
    const at::Tensor part = gathered_part(own, member);
    // From an offloaded shard without waiting: it changes only when its gradient has come to the host, behind
    // this copy.
    if (member.as_bytes) {
      as_bytes.push_back({member.parameter,
                          member.shard.detach().to(device_, /*non_blocking=*/true),
                          part.narrow(0, 0, local)});
    } else {
      part.narrow(0, 0, local).copy_(member.shard.detach().reshape(-1), /*non_blocking=*/true);
    }
    if (local < chunk) part.narrow(0, local, chunk - local).zero_();
  }
  if (!as_bytes.empty()) extension_->pre_all_gather(as_bytes);
}

/// Copies one parameter between the layout of a collective, `by_rank` `[ranks, chunk_elements()]`, and its own, `full`: to
/// that when it is gathered, the other way when its gradient is scattered.
void FsdpUnit::copy_chunks(const at::Tensor& by_rank, const Member& member, const at::Tensor& full,
                           bool gather) const {
  const std::int64_t ranks = options_.shard->size();
  const Extent& extent = member.extent;
  const auto copy = [gather](const at::Tensor& part_of_flat, const at::Tensor& part_of_full) {
    gather ? part_of_full.copy_(part_of_flat) : part_of_flat.copy_(part_of_full);
  };
  // The first ranks hold whole chunks, one what is left, the others nothing: three copies for any
  // number of ranks.
  const at::Tensor cut = full.view({extent.outer, extent.length, extent.inner});
  const std::int64_t whole = extent.chunk == 0 ? 0 : extent.length / extent.chunk;
  const std::int64_t rest = extent.length - whole * extent.chunk;
  copy(by_rank.narrow(0, 0, whole).unflatten(1, {extent.outer, extent.chunk, extent.inner}),
       cut.narrow(1, 0, whole * extent.chunk)
           .view({extent.outer, whole, extent.chunk, extent.inner})
           .transpose(0, 1));
  if (whole == ranks) return;
  const std::int64_t rest_elements = extent.outer * rest * extent.inner;
  copy(by_rank[whole].narrow(0, 0, rest_elements).view({extent.outer, rest, extent.inner}),
       cut.narrow(1, whole * extent.chunk, rest));
  if (gather) return;
  by_rank[whole].narrow(0, rest_elements, extent.chunk_elements() - rest_elements).zero_();
  by_rank.narrow(0, whole + 1, ranks - whole - 1).zero_();
}

/// What a rank holds of one parameter, to its place.
void FsdpUnit::copy_chunk(const at::Tensor& of_rank, std::int64_t rank,
                          const Member& member) const {
  const Extent& extent = member.extent;
  const std::int64_t begin = std::min(rank * extent.chunk, extent.length);
  const std::int64_t length = std::min(extent.chunk, extent.length - begin);
  if (length == 0) return;
  member.full_data.view({extent.outer, extent.length, extent.inner})
      .narrow(1, begin, length)
      .copy_(of_rank.narrow(0, 0, extent.outer * length * extent.inner)
                 .view({extent.outer, length, extent.inner}));
}

void FsdpUnit::unshard() {
  prefetch();
  if (unsharded_) return;
  const c10::NoGradGuard no_grad;
  gather_.wait();
  pool_->fill(storage_, storage_bytes_);
  const std::int64_t ranks = options_.shard->size();
  const at::Tensor room = gathered_->room();
  for (Member& member : members_) {
    if (room.defined()) {
      copy_chunks(gathered_part(room.view({ranks, gather_chunk_}), member), member,
                  member.full_data, /*gather=*/true);
    } else {
      for (std::int64_t rank = 0; rank < ranks; ++rank) {
        copy_chunk(gathered_part(gathered_->of(rank), member), rank, member);
      }
    }
    member.parameter->tensor = member.full;
  }
  if (room.defined()) pool_->drain(room.storage());
  gathered_.reset();
  unsharded_ = true;
}

void FsdpUnit::reshard() {
  if (gather_.pending()) unshard();
  if (!unsharded_) return;
  for (Member& member : members_) member.parameter->tensor = member.shard;
  pool_->drain(storage_);
  unsharded_ = false;
}

std::int64_t FsdpUnit::unsharded_bytes() const {
  return unsharded_ || gather_.pending() ? storage_bytes_ : 0;
}

bool FsdpUnit::has_gradient(const Member& member) const {
  return member.kept.defined() || (member.full.defined() && member.full.grad().defined());
}

void FsdpUnit::keep_gradients() {
  const c10::NoGradGuard no_grad;
  for (Member& member : members_) {
    if (!member.full.defined() || !member.full.grad().defined()) continue;
    const at::Tensor gradient = std::exchange(member.full.mutable_grad(), at::Tensor());
    if (member.kept.defined()) {
      member.kept.add_(gradient);
    } else {
      member.kept = gradient.to(types_.reduce_dtype.value_or(gradient.scalar_type()));
    }
  }
}

/// All that is to be summed of a parameter's gradient.
at::Tensor FsdpUnit::take_gradient(Member& member) const {
  at::Tensor gradient = std::exchange(member.full.mutable_grad(), at::Tensor());
  if (!member.kept.defined()) return gradient.contiguous();
  at::Tensor kept = std::exchange(member.kept, at::Tensor());
  return (gradient.defined() ? kept.add_(gradient) : kept).contiguous();
}

void FsdpUnit::reduce_gradients() {
  if (!start_reduce()) return;
  continue_reduce();
  finish_reduce();
  land_gradients();
}

bool FsdpUnit::start_reduce() {
  land_gradients();
  const c10::NoGradGuard no_grad;
  std::vector<Member*> with_gradients;
  std::int64_t chunk = 0;
  for (Member& member : members_) {
    if (!has_gradient(member)) continue;
    with_gradients.push_back(&member);
    chunk += member.extent.chunk_elements();
  }
  if (with_gradients.empty()) return false;
  reduced_members_ = std::move(with_gradients);
  const at::ScalarType dtype =
      types_.reduce_dtype.value_or(reduced_members_.front()->full.scalar_type());
  const std::int64_t elements_in_all = chunk * options_.shard->size();
  scatter_input_ = options_.shard->shares_memory()
                       ? options_.shard->outgoing(elements_in_all, at::TensorOptions().dtype(dtype))
                       : pool_->take(elements_in_all, dtype);
  std::int64_t offset = 0;
  for (Member* member : reduced_members_) {
    const std::int64_t elements = member->extent.chunk_elements();
    copy_chunks(scatter_input_.view({options_.shard->size(), chunk}).narrow(1, offset, elements),
                *member, take_gradient(*member), /*gather=*/false);
    offset += elements;
  }
  reduced_ = at::empty({chunk}, scatter_input_.options());
  reduction_ = options_.shard->reduce_scatter(reduced_, scatter_input_);
  return true;
}

bool FsdpUnit::has_replicas() const {
  return options_.replicate != nullptr && options_.replicate->size() > 1;
}

bool FsdpUnit::can_reduce_ahead() const {
  return has_replicas() && options_.replicate->wait_returns_at_once();
}

void FsdpUnit::all_reduce_on(const c10::Stream& stream) {
  event_on(current_stream(device_)).block(stream);
  const c10::StreamGuard waits_meanwhile(stream);
  reduction_.wait();
  scattered_ = event_on(stream);
  reduction_ = options_.replicate->all_reduce(reduced_);
}

void FsdpUnit::continue_reduce() {
  if (!scatter_input_.defined()) return;
  if (scattered_) {
    scattered_->block(current_stream(device_));
  } else {
    reduction_.wait();
  }
  if (!options_.shard->shares_memory()) pool_->drain(scatter_input_.storage());
  scatter_input_ = at::Tensor();
  if (has_replicas() && !scattered_) reduction_ = options_.replicate->all_reduce(reduced_);
  scattered_.reset();
}

std::vector<at::Tensor> FsdpUnit::finish_reduce() {
  const c10::NoGradGuard no_grad;
  reduction_.wait();
  const at::Device memory = reduced_members_.front()->shard.device();
  if (memory.type() == device_.type()) return add_gradients();
  // To offloaded parameters, in one copy that nobody waits for yet.
  const at::Tensor on_device = std::exchange(
      reduced_, empty_page_locked(reduced_.sizes(), reduced_members_.front()->shard.scalar_type()));
  reduced_.copy_(on_device.to(reduced_.scalar_type()), /*non_blocking=*/true);
  landed_ = event_on(current_stream(device_));
  return {};
}

std::vector<at::Tensor> FsdpUnit::land_gradients() {
  if (!landed_) return {};
  const c10::NoGradGuard no_grad;
  landed_->synchronize();
  landed_.reset();
  return add_gradients();
}

/// To those of the parts.
std::vector<at::Tensor> FsdpUnit::add_gradients() {
  std::vector<at::Tensor> shards;
  std::int64_t offset = 0;
  for (Member* member : reduced_members_) {
    const at::Tensor gradient = reduced_.narrow(0, offset, member->shard.numel())
                                    .view(member->shard.sizes())
                                    .to(member->shard.scalar_type());
    if (member->shard.grad().defined()) {
      member->shard.grad().add_(gradient);
    } else {
      member->shard.mutable_grad() = gradient;
    }
    shards.push_back(member->shard);
    offset += member->extent.chunk_elements();
  }
  reduced_ = at::Tensor();
  return shards;
}

}  // namespace titan::parallel
