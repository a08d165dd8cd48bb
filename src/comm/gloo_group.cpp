#include "gloo_group.h"

#include <ATen/ops/add.h>
#include <ATen/ops/maximum.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <mutex>
#include <numeric>
#include <utility>

namespace titan::comm {

namespace {

// Below this an all-reduce costs messages, above it bytes.
constexpr std::size_t kSmallBytes = 64 * 1024;

/// Held while something is started, in any group of the process: a group wants one caller at a time,
/// and LibTorch's flight recorder, of which a process has one, adds groups to a map without a lock.
std::mutex& one_at_a_time() {
  static std::mutex mutex;
  return mutex;
}

at::Tensor flat(const at::Tensor& tensor) { return tensor.view({tensor.numel()}); }

/// The same memory as bytes: Gloo lacks some element types and needs none.
at::Tensor bytes_of(const at::Tensor& tensor) { return flat(tensor).view(at::kByte); }

/// `result = rows[0] (+) rows[1] (+) ...`, from left to right, each sum rounded to the type: the
/// bits of the local back end.
void reduce_in_order(const at::Tensor& result, const std::vector<at::Tensor>& rows, ReduceOp op) {
  const c10::NoGradGuard no_grad;
  at::Tensor sum = result;
  if (rows.size() == 1) {
    sum.copy_(rows[0]);
    return;
  }
  for (std::size_t i = 1; i < rows.size(); ++i) {
    const at::Tensor& so_far = i == 1 ? rows[0] : sum;
    if (op == ReduceOp::kSum) {
      at::add_out(sum, so_far, rows[i]);
    } else {
      at::maximum_out(sum, so_far, rows[i]);
    }
  }
}

/// A tensor's elements in `count` parts of equal length, the last ones shorter or empty.
std::vector<at::Tensor> parts_of(const at::Tensor& tensor, std::int64_t count) {
  const std::int64_t total = tensor.numel();
  const std::int64_t length = (total + count - 1) / count;
  std::vector<at::Tensor> parts;
  for (std::int64_t i = 0; i < count; ++i) {
    const std::int64_t begin = std::min(i * length, total);
    parts.push_back(flat(tensor).narrow(0, begin, std::min(length, total - begin)));
  }
  return parts;
}

std::vector<std::int64_t> byte_counts(const std::vector<at::Tensor>& parts) {
  std::vector<std::int64_t> counts;
  for (const at::Tensor& part : parts) counts.push_back(static_cast<std::int64_t>(part.nbytes()));
  return counts;
}

/// Bytes of one row, which a tensor without rows does not show by its size.
std::int64_t row_bytes(const at::Tensor& tensor) {
  const auto sizes = tensor.sizes();
  return std::accumulate(sizes.begin() + 1, sizes.end(),
                         static_cast<std::int64_t>(tensor.element_size()), std::multiplies<>());
}

std::vector<std::int64_t> times(std::vector<std::int64_t> numbers, std::int64_t factor) {
  for (std::int64_t& number : numbers) number *= factor;
  return numbers;
}

}  // namespace

/// A message to or from one peer. Unlike a collective it has to be told how long it may take.
class GlooGroup::Message : public BackendWork {
 public:
  Message(std::shared_ptr<Wire> wire, c10::intrusive_ptr<c10d::Work> work)
      : wire_(std::move(wire)), work_(std::move(work)) {}
  void wait() override { work_->wait(wire_->timeout); }

 private:
  std::shared_ptr<Wire> wire_;
  c10::intrusive_ptr<c10d::Work> work_;
};

GlooGroup::GlooGroup(Members members, c10::intrusive_ptr<c10d::Backend> gloo,
                     std::chrono::milliseconds timeout)
    : C10dGroup(std::move(members), gloo, at::kCPU), wire_(std::make_shared<Wire>(timeout)) {
  wire_->gloo = std::move(gloo);
}

void GlooGroup::set_timeout(std::chrono::milliseconds timeout) {
  const std::lock_guard lock(one_at_a_time());
  wire_->timeout = timeout;
  C10dGroup::set_timeout(timeout);
}

ProcessGroup::StartedWork GlooGroup::do_all_reduce(const at::Tensor& tensor, ReduceOp op) {
  if (tensor.numel() == 0) return nullptr;
  return tensor.nbytes() <= kSmallBytes ? all_reduce_small(tensor, op)
                                        : all_reduce_large(tensor, op);
}

ProcessGroup::StartedWork GlooGroup::all_reduce_small(const at::Tensor& tensor, ReduceOp op) {
  const auto rows = scratch_->lend(tensor.numel() * size(), tensor.scalar_type());
  std::shared_ptr<BackendWork> gathered = do_all_gather(*rows, tensor);
  return finishing_.add([gathered, rows, tensor, op, count = size()] {
    gathered->wait();
    reduce_in_order(flat(tensor), parts_of(*rows, count), op);
  });
}

// Each rank sums one part and shows it to the others. The second exchange is made of messages with a
// tag of their own: ranks may come to it in another order than to their next collectives.
ProcessGroup::StartedWork GlooGroup::all_reduce_large(const at::Tensor& tensor, ReduceOp op) {
  const auto mine = static_cast<std::size_t>(rank());
  const std::vector<at::Tensor> parts = parts_of(tensor, size());
  const auto rows = scratch_->lend(parts[mine].numel() * size(), tensor.scalar_type());
  const std::vector<at::Tensor> received = parts_of(*rows, size());
  std::shared_ptr<BackendWork> sent;
  {
    const std::lock_guard lock(one_at_a_time());
    sent = C10dGroup::do_all_to_all(bytes_of(*rows), bytes_of(tensor), byte_counts(received),
                                    byte_counts(parts));
  }
  const int tag = kMessageTag + 1 + static_cast<int>(large_all_reduces_++ % 0x1000000);
  return finishing_.add([sent, rows, received, parts, op, mine, tag, wire = wire_] {
    sent->wait();
    reduce_in_order(parts[mine], received, op);
    exchange_parts(*wire, parts, static_cast<std::int64_t>(mine), tag);
  });
}

void GlooGroup::exchange_parts(Wire& wire, const std::vector<at::Tensor>& parts, std::int64_t mine,
                               int tag) {
  const c10::NoGradGuard no_grad;
  const auto count = static_cast<std::int64_t>(parts.size());
  const at::Tensor& own = parts[static_cast<std::size_t>(mine)];
  std::vector<c10::intrusive_ptr<c10d::Work>> under_way;
  {
    const std::lock_guard lock(one_at_a_time());
    for (std::int64_t i = 1; i < count; ++i) {  // everybody begins with another peer
      const std::int64_t from = (mine + count - i) % count;
      std::vector<at::Tensor> theirs{bytes_of(parts[static_cast<std::size_t>(from)])};
      if (theirs[0].numel() > 0) {
        under_way.push_back(wire.gloo->recv(theirs, static_cast<int>(from), tag));
      }
      std::vector<at::Tensor> ours{bytes_of(own)};
      const auto to = static_cast<int>((mine + i) % count);
      if (ours[0].numel() > 0) under_way.push_back(wire.gloo->send(ours, to, tag));
    }
  }
  for (const auto& work : under_way) work->wait(wire.timeout);
}

ProcessGroup::StartedWork GlooGroup::do_all_gather(const at::Tensor& output,
                                                   const at::Tensor& input) {
  if (input.numel() == 0) return nullptr;
  const std::lock_guard lock(one_at_a_time());
  return C10dGroup::do_all_gather(bytes_of(output), bytes_of(input));
}

ProcessGroup::StartedWork GlooGroup::do_reduce_scatter(const at::Tensor& output,
                                                       const at::Tensor& input) {
  if (output.numel() == 0) return nullptr;
  const auto rows = scratch_->lend(input.numel(), input.scalar_type());
  const std::vector<std::int64_t> counts(static_cast<std::size_t>(size()),
                                         static_cast<std::int64_t>(output.nbytes()));
  std::shared_ptr<BackendWork> sent;
  {
    const std::lock_guard lock(one_at_a_time());
    sent = C10dGroup::do_all_to_all(bytes_of(*rows), bytes_of(input), counts, counts);
  }
  return finishing_.add([sent, rows, output, count = size()] {
    sent->wait();
    reduce_in_order(flat(output), parts_of(*rows, count), ReduceOp::kSum);
  });
}

ProcessGroup::StartedWork GlooGroup::do_all_to_all(const at::Tensor& output,
                                                   const at::Tensor& input,
                                                   const std::vector<std::int64_t>& output_splits,
                                                   const std::vector<std::int64_t>& input_splits) {
  const std::lock_guard lock(one_at_a_time());
  return C10dGroup::do_all_to_all(bytes_of(output), bytes_of(input),
                                  times(output_splits, row_bytes(output)),
                                  times(input_splits, row_bytes(input)));
}

ProcessGroup::StartedWork GlooGroup::do_broadcast(const at::Tensor& tensor, std::int64_t root) {
  if (tensor.numel() == 0) return nullptr;
  const std::lock_guard lock(one_at_a_time());
  return C10dGroup::do_broadcast(bytes_of(tensor), root);
}

ProcessGroup::StartedWork GlooGroup::do_send(const at::Tensor& tensor, std::int64_t to) {
  if (tensor.numel() == 0) return nullptr;
  std::vector<at::Tensor> tensors{bytes_of(tensor)};
  const auto peer = static_cast<int>(to);
  const std::lock_guard lock(one_at_a_time());
  return std::make_unique<Message>(wire_, wire_->gloo->send(tensors, peer, kMessageTag));
}

ProcessGroup::StartedWork GlooGroup::do_receive(const at::Tensor& tensor, std::int64_t from) {
  if (tensor.numel() == 0) return nullptr;
  std::vector<at::Tensor> tensors{bytes_of(tensor)};
  const auto peer = static_cast<int>(from);
  const std::lock_guard lock(one_at_a_time());
  return std::make_unique<Message>(wire_, wire_->gloo->recv(tensors, peer, kMessageTag));
}

ProcessGroup::StartedWork GlooGroup::do_barrier() {
  const std::lock_guard lock(one_at_a_time());
  return C10dGroup::do_barrier();
}

}  // namespace titan::comm
