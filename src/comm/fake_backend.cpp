#include "titan/comm/fake_backend.h"

#include <algorithm>
#include <utility>

#include "titan/base/errors.h"

namespace titan::comm {

namespace {

class FakeGroup : public ProcessGroup {
 public:
  using ProcessGroup::ProcessGroup;
  void set_timeout(std::chrono::milliseconds) override {}

 protected:
  StartedWork do_all_reduce(const at::Tensor&, ReduceOp) override { return nullptr; }

  StartedWork do_all_gather(const at::Tensor& output, const at::Tensor& input) override {
    // The input may be this rank's place in the output already.
    const at::Tensor rows = output.view({size(), input.numel()});
    if (!input.is_alias_of(output)) rows.select(0, rank()).copy_(input.reshape(-1));
    rows.narrow(0, 0, rank()).copy_(input.view({1, input.numel()}));
    rows.narrow(0, rank() + 1, size() - rank() - 1).copy_(input.view({1, input.numel()}));
    return nullptr;
  }

  StartedWork do_reduce_scatter(const at::Tensor& output, const at::Tensor& input) override {
    const at::Tensor parts = input.view({size(), output.numel()});
    output.view({output.numel()}).copy_(parts.select(0, rank()));
    return nullptr;
  }

  // As many rows as the peers would send: this rank's own, from the first again when they run out.
  StartedWork do_all_to_all(const at::Tensor& output, const at::Tensor& input,
                            const std::vector<std::int64_t>&,
                            const std::vector<std::int64_t>&) override {
    if (input.size(0) == 0) {
      output.zero_();
      return nullptr;
    }
    std::int64_t rows = 0;
    for (std::int64_t row = 0; row < output.size(0); row += rows) {
      rows = std::min(input.size(0), output.size(0) - row);
      output.narrow(0, row, rows).copy_(input.narrow(0, 0, rows));
    }
    return nullptr;
  }

  StartedWork do_broadcast(const at::Tensor&, std::int64_t) override { return nullptr; }

  StartedWork do_exchange(const std::vector<Message>& messages) override {
    for (const Message& message : messages) {
      if (message.direction == Message::Direction::kReceive) message.tensor.zero_();
    }
    return nullptr;
  }

  StartedWork do_barrier() override { return nullptr; }
};

class FakeBackend : public Backend {
 public:
  FakeBackend(std::int64_t world_size, std::int64_t rank) : world_size_(world_size), rank_(rank) {}

  std::string_view name() const override { return "fake"; }

  std::unique_ptr<ProcessGroup> make_group(const std::string& name,
                                           const std::vector<std::int64_t>& ranks,
                                           std::chrono::milliseconds,
                                           CollectiveObserver* observer) override {
    const auto mine = std::ranges::find(ranks, rank_);
    TITAN_CHECK(mine != ranks.end(), "only rank ", rank_, " is there, and group '", name,
                "' is without it");
    TITAN_CHECK(std::ranges::max(ranks) < world_size_, "group '", name, "' has ranks beyond ",
                world_size_);
    return std::make_unique<FakeGroup>(name, ranks, mine - ranks.begin(), observer);
  }

 private:
  std::int64_t world_size_;
  std::int64_t rank_;
};

}  // namespace

std::unique_ptr<Backend> make_fake_backend(std::int64_t world_size, std::int64_t rank) {
  return std::make_unique<FakeBackend>(world_size, rank);
}

}  // namespace titan::comm
