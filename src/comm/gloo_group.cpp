#include "comm/gloo_group.h"

#include <ATen/ops/add.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/maximum.h>
#include <ATen/ops/zeros.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <cstring>
#include <numeric>
#include <utility>

#include "comm/finishing_thread.h"
#include "comm/message_memory.h"
#include "comm/scratch_pool.h"
#include "titan/base/errors.h"

namespace titan::comm {
namespace {

/// `result = rows[0] (+) rows[1] (+) ...`, from left to right, each sum rounded to the type: the
/// bits of the local back end. `rows[own]` is only read, and may be `result`; the other rows are
/// scratch where it is, else only read.
void reduce_in_order(const at::Tensor& result, const std::vector<at::Tensor>& rows,
                     std::int64_t own, ReduceOp op) {
  const c10::NoGradGuard no_grad;
  if (rows.size() == 1) {
    if (!result.is_same(rows[0])) result.copy_(rows[0]);
    return;
  }
  // The result may be a row that is still to come: then it is written last.
  const bool is_row =
      result.const_data_ptr() == rows[static_cast<std::size_t>(own)].const_data_ptr();
  const at::Tensor& scratch = is_row ? rows[own == 0 ? 1 : 0] : result;
  at::Tensor so_far = rows[0];
  for (std::size_t i = 1; i < rows.size(); ++i) {
    at::Tensor sum = i + 1 == rows.size() ? result : scratch;
    if (op == ReduceOp::kSum) {
      at::add_out(sum, so_far, rows[i]);
    } else {
      at::maximum_out(sum, so_far, rows[i]);
    }
    so_far = sum;
  }
}

// Below this an all-reduce costs messages, above it bytes.
constexpr std::size_t kSmallBytes = 64 * 1024;

at::Tensor flat(const at::Tensor& tensor) { return tensor.view({tensor.numel()}); }

void copy_own(const at::Tensor& to, const at::Tensor& from) {
  if (from.nbytes() == 0 || to.const_data_ptr() == from.const_data_ptr()) return;
  std::memcpy(to.mutable_data_ptr(), from.const_data_ptr(), from.nbytes());
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

std::vector<at::Tensor> split_rows(const at::Tensor& tensor,
                                   const std::vector<std::int64_t>& splits) {
  std::vector<at::Tensor> parts;
  std::int64_t row = 0;
  for (const std::int64_t rows : splits) {
    parts.push_back(tensor.narrow(0, row, rows));
    row += rows;
  }
  return parts;
}

using Tensors = std::vector<at::Tensor>;  // one per rank

/// Transfers under way.
class Transfers : public BackendWork {
 public:
  explicit Transfers(std::shared_ptr<Wire> wire) : wire_(std::move(wire)) {}

  /// Starts to send `sent[r]` to every other rank r and to receive `received[r]` from it. Empty
  /// tensors, which are so on both sides, are not sent.
  static std::unique_ptr<Transfers> exchange(const std::shared_ptr<Wire>& wire, const Tensors& sent,
                                             const Tensors& received, std::int64_t mine, int tag) {
    auto transfers = std::make_unique<Transfers>(wire);
    const auto count = static_cast<std::int64_t>(sent.size());
    for (std::int64_t i = 1; i < count; ++i) {  // everybody begins with another peer
      const std::int64_t from = (mine + count - i) % count;
      const at::Tensor& theirs = received[static_cast<std::size_t>(from)];
      if (theirs.numel() > 0) transfers->works_.push_back(wire->receive(theirs, from, tag));
      const std::int64_t to = (mine + i) % count;
      const at::Tensor& ours = sent[static_cast<std::size_t>(to)];
      if (ours.numel() > 0) transfers->works_.push_back(wire->send(ours, to, tag));
    }
    return transfers;
  }

  void add(std::unique_ptr<BackendWork> work) { works_.push_back(std::move(work)); }
  void wait() override {
    for (const auto& work : works_) work->wait();
    works_.clear();
  }

 private:
  std::shared_ptr<Wire> wire_;
  std::vector<std::unique_ptr<BackendWork>> works_;
};

class GlooGroup : public C10dGroup {
 public:
  GlooGroup(Members members, c10::intrusive_ptr<c10d::Backend> gloo, std::shared_ptr<Wire> wire)
      : C10dGroup(std::move(members), std::move(gloo), at::kCPU), wire_(std::move(wire)) {}

  bool shares_memory() const override { return wire_->memory() != nullptr; }
  at::Tensor outgoing(std::int64_t elements, const at::TensorOptions& options) override {
    const auto memory = wire_->memory();
    return memory ? memory->outgoing(elements, c10::typeMetaToScalarType(options.dtype()))
                  : ProcessGroup::outgoing(elements, options);
  }
  at::Tensor incoming(std::int64_t elements, const at::TensorOptions& options) override {
    return shares_memory() ? without_memory(elements, c10::typeMetaToScalarType(options.dtype()))
                           : ProcessGroup::incoming(elements, options);
  }

  void set_timeout(std::chrono::milliseconds timeout) override { wire_->timeout = timeout; }
  void shut_down() override {
    wire_->shut_down();
    C10dGroup::shut_down();
  }

 protected:
  StartedWork do_all_reduce(const at::Tensor& tensor, ReduceOp op) override {
    if (size() == 1 || tensor.numel() == 0) return nullptr;
    return tensor.nbytes() <= kSmallBytes ? all_reduce_small(tensor, op)
                                          : all_reduce_large(tensor, op);
  }

  StartedWork do_all_gather(const at::Tensor& output, const at::Tensor& input) override {
    const Tensors rows = parts_of(output, size());
    auto transfers =
        Transfers::exchange(wire_, Tensors(rows.size(), input), rows, rank(), next_tag());
    copy_own(rows[static_cast<std::size_t>(rank())], input);
    return transfers;
  }

  StartedWork do_all_gather_parts(const Tensors& outputs, const at::Tensor& input) override {
    auto transfers =
        Transfers::exchange(wire_, Tensors(outputs.size(), input), outputs, rank(), next_tag());
    copy_own(outputs[static_cast<std::size_t>(rank())], input);
    return transfers;
  }

  StartedWork do_reduce_scatter(const at::Tensor& output, const at::Tensor& input) override {
    const Tensors parts = parts_of(input, size());
    std::shared_ptr<const at::Tensor> scratch;
    const at::Tensor& own = parts[static_cast<std::size_t>(rank())];
    const bool is_row = output.const_data_ptr() == own.const_data_ptr();
    const Tensors rows =
        shares_memory() && !is_row ? rows_elsewhere(own) : rows_around(own, scratch);
    std::shared_ptr<BackendWork> transfers =
        Transfers::exchange(wire_, parts, rows, rank(), next_tag());
    return finishing_.add([transfers, scratch, rows, output, mine = rank()] {
      transfers->wait();
      reduce_in_order(flat(output), rows, mine, ReduceOp::kSum);
    });
  }

  StartedWork do_all_to_all(const at::Tensor& output, const at::Tensor& input,
                            const std::vector<std::int64_t>& output_splits,
                            const std::vector<std::int64_t>& input_splits) override {
    const Tensors sent = split_rows(input, input_splits);
    const Tensors received = split_rows(output, output_splits);
    auto transfers = Transfers::exchange(wire_, sent, received, rank(), next_tag());
    const auto mine = static_cast<std::size_t>(rank());
    copy_own(received[mine], sent[mine]);
    return transfers;
  }

  StartedWork do_broadcast(const at::Tensor& tensor, std::int64_t root) override {
    const Tensors nothing(static_cast<std::size_t>(size()), flat(tensor).narrow(0, 0, 0));
    Tensors received = nothing;
    if (rank() != root) received[static_cast<std::size_t>(root)] = tensor;
    const Tensors all(nothing.size(), tensor);
    return Transfers::exchange(wire_, rank() == root ? all : nothing, received, rank(), next_tag());
  }

  StartedWork do_exchange(const std::vector<Message>& messages) override {
    auto transfers = std::make_unique<Transfers>(wire_);
    for (const auto& [tensor, peer, direction] : messages) {
      if (tensor.numel() == 0) continue;
      transfers->add(direction == Message::Direction::kSend
                         ? wire_->send(tensor, peer, kMessageTag)
                         : wire_->receive(tensor, peer, kMessageTag));
    }
    return transfers;
  }

  StartedWork do_barrier() override {
    const Tensors words(static_cast<std::size_t>(size()), at::zeros({1}, at::kByte));
    Tensors answers;
    for (std::int64_t i = 0; i < size(); ++i) answers.push_back(at::empty({1}, at::kByte));
    return Transfers::exchange(wire_, words, answers, rank(), next_tag());
  }

 private:
  StartedWork all_reduce_small(const at::Tensor& tensor, ReduceOp op) {
    std::shared_ptr<const at::Tensor> scratch;
    const Tensors rows = rows_around(tensor, scratch);
    const Tensors sent(rows.size(), tensor);
    std::shared_ptr<BackendWork> transfers =
        Transfers::exchange(wire_, sent, rows, rank(), next_tag());
    return finishing_.add([transfers, scratch, rows, tensor, op, mine = rank()] {
      transfers->wait();
      reduce_in_order(flat(tensor), rows, mine, op);
    });
  }

  // Each rank sums one part and shows it to the others.
  StartedWork all_reduce_large(const at::Tensor& tensor, ReduceOp op) {
    const Tensors parts = parts_of(tensor, size());
    const at::Tensor own = parts[static_cast<std::size_t>(rank())];
    std::shared_ptr<const at::Tensor> scratch;
    const Tensors rows = rows_around(own, scratch);
    std::shared_ptr<BackendWork> transfers =
        Transfers::exchange(wire_, parts, rows, rank(), next_tag());
    return finishing_.add(
        [transfers, scratch, rows, parts, own, op, mine = rank(), tag = next_tag(), wire = wire_] {
          transfers->wait();
          reduce_in_order(own, rows, mine, op);
          Transfers::exchange(wire, Tensors(parts.size(), own), parts, mine, tag)->wait();
        });
  }

  /// What comes in from the others, in borrowed rows; this rank's own row is `own`.
  Tensors rows_around(const at::Tensor& own, std::shared_ptr<const at::Tensor>& scratch) {
    if (size() == 1) return {flat(own)};
    scratch = scratch_->lend(own.numel() * (size() - 1), own.scalar_type());
    Tensors rows = parts_of(*scratch, size() - 1);
    rows.insert(rows.begin() + rank(), flat(own));
    return rows;
  }

  /// What comes in from the others, where they have it: to be read only.
  Tensors rows_elsewhere(const at::Tensor& own) {
    Tensors rows;
    for (std::int64_t i = 0; i < size(); ++i) {
      rows.push_back(i == rank() ? flat(own) : incoming(own.numel(), own.options()));
    }
    return rows;
  }

  // The messages of `exchange` have a tag of their own. That ranks come to the second exchange of a
  // large all-reduce in another order than to their next collectives makes no difference then.
  int next_tag() { return kMessageTag + 1 + static_cast<int>(exchanges_++ % 0x1000000); }

  std::shared_ptr<Wire> wire_;
  std::shared_ptr<ScratchPool> scratch_ = std::make_shared<ScratchPool>();
  std::uint32_t exchanges_ = 0;
  FinishingThread finishing_;  // the last member: it ends first
};

}  // namespace

std::unique_ptr<ProcessGroup> make_gloo_group(C10dGroup::Members members,
                                              c10::intrusive_ptr<c10d::Backend> gloo,
                                              std::shared_ptr<Wire> wire) {
  return std::make_unique<GlooGroup>(std::move(members), std::move(gloo), std::move(wire));
}

}  // namespace titan::comm
