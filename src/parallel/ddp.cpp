#include "titan/parallel/ddp.h"

#include <ATen/ops/empty.h>
#include <c10/core/GradMode.h>

#include <numeric>
#include <utility>

#include "titan/autograd/backward_hooks.h"

namespace titan::parallel {

namespace {

std::int64_t elements_of(const std::vector<at::Tensor>& parameters) {
  return std::accumulate(
      parameters.begin(), parameters.end(), std::int64_t{0},
      [](std::int64_t sum, const at::Tensor& parameter) { return sum + parameter.numel(); });
}

}  // namespace

std::shared_ptr<Ddp> Ddp::apply(nn::Module& model, comm::ProcessGroup& group,
                                std::int64_t bucket_bytes) {
  std::shared_ptr<Ddp> ddp(new Ddp(group, bucket_bytes));
  model.add_pre_forward_hook([ddp](nn::Module& root, nn::Inputs&) {
    if (ddp->buckets_.empty()) ddp->make_buckets(root.named_parameters());
  });
  return ddp;
}

Ddp::Ddp(comm::ProcessGroup& group, std::int64_t bucket_bytes)
    : group_(group), bucket_bytes_(bucket_bytes) {}

void Ddp::make_buckets(const std::vector<nn::NamedParameter>& parameters) {
  // Backward goes through the model from its end, so that the last parameters are ready first.
  std::int64_t bytes = bucket_bytes_;
  for (auto parameter = parameters.rbegin(); parameter != parameters.rend(); ++parameter) {
    const at::Tensor& tensor = parameter->tensor();
    if (!tensor.requires_grad()) continue;
    const bool other_type =
        !buckets_.empty() && buckets_.back().parameters.front().dtype() != tensor.dtype();
    if (bytes >= bucket_bytes_ || other_type) {
      buckets_.emplace_back();
      bytes = 0;
    }
    buckets_.back().parameters.push_back(tensor);
    bytes += static_cast<std::int64_t>(tensor.nbytes());
    autograd::after_gradient(tensor, [self = weak_from_this(), bucket = buckets_.size() - 1] {
      if (const auto ddp = self.lock()) ddp->gradient_is_ready(bucket);
    });
  }
  for (Bucket& bucket : buckets_) {
    const std::int64_t numbers = static_cast<std::int64_t>(bucket.parameters.size());
    bucket.flat = at::empty({elements_of(bucket.parameters) + numbers},
                            bucket.parameters.front().options().requires_grad(false));
  }
}

void Ddp::gradient_is_ready(std::size_t index) {
  if (!sync_) {
    is_owed_sum_ = true;
    return;
  }
  if (!std::exchange(in_backward_, true)) {
    autograd::at_end_of_backward([self = shared_from_this()] { self->end_backward(); });
  }
  Bucket& bucket = buckets_[index];
  if (++bucket.ready == bucket.parameters.size()) start(bucket, group_);
}

void Ddp::start(Bucket& bucket, comm::ProcessGroup& group) {
  const c10::NoGradGuard no_grad;
  std::int64_t offset = 0;
  std::int64_t number = elements_of(bucket.parameters);
  for (const at::Tensor& parameter : bucket.parameters) {
    const at::Tensor place = bucket.flat.narrow(0, offset, parameter.numel());
    const at::Tensor& gradient = parameter.grad();
    // Accumulated gradients are in their place since the last sum.
    if (!gradient.defined()) {
      place.zero_();
    } else if (gradient.const_data_ptr() != place.const_data_ptr()) {
      place.copy_(gradient.reshape(-1));
    }
    bucket.flat.narrow(0, number++, 1).fill_(gradient.defined() ? 1 : 0);
    offset += parameter.numel();
  }
  bucket.sum = group.all_reduce(bucket.flat);
}

void Ddp::finish(Bucket& bucket) {
  const c10::NoGradGuard no_grad;
  bucket.sum.wait();
  std::int64_t offset = 0;
  std::int64_t number = elements_of(bucket.parameters);
  for (const at::Tensor& parameter : bucket.parameters) {
    const bool has_gradient = parameter.grad().defined() || bucket.flat[number].item<double>() > 0;
    if (has_gradient) {
      parameter.mutable_grad() =
          bucket.flat.narrow(0, offset, parameter.numel()).view(parameter.sizes());
    }
    offset += parameter.numel();
    ++number;
  }
  bucket.ready = 0;
}

void Ddp::reduce_gradients() {
  if (is_owed_sum_) end_backward();
}

void Ddp::end_backward() {
  for (Bucket& bucket : buckets_) {
    if (!bucket.sum.pending()) start(bucket, group_);  // some parameters were not used here
  }
  for (Bucket& bucket : buckets_) {
    finish(bucket);
    if (on_summed_) on_summed_(bucket.parameters);
  }
  in_backward_ = false;
  is_owed_sum_ = false;
}

}  // namespace titan::parallel
