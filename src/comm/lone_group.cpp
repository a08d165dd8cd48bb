#include "comm/lone_group.h"

namespace titan::comm {

namespace {

class LoneGroup : public ProcessGroup {
 public:
  LoneGroup(std::int64_t rank, at::Device device)
      : ProcessGroup("alone", {rank}, 0, nullptr), device_(device) {}

  at::Device device() const override { return device_; }
  void set_timeout(std::chrono::milliseconds) override {}

 protected:
  StartedWork do_all_reduce(const at::Tensor&, ReduceOp) override { return nullptr; }
  StartedWork do_all_gather(const at::Tensor& output, const at::Tensor& input) override {
    return copy(output, input);
  }
  StartedWork do_reduce_scatter(const at::Tensor& output, const at::Tensor& input) override {
    return copy(output, input);
  }
  StartedWork do_all_to_all(const at::Tensor& output, const at::Tensor& input,
                            const std::vector<std::int64_t>&,
                            const std::vector<std::int64_t>&) override {
    return copy(output, input);
  }
  StartedWork do_broadcast(const at::Tensor&, std::int64_t) override { return nullptr; }
  StartedWork do_exchange(const std::vector<Message>&) override { return nullptr; }
  StartedWork do_barrier() override { return nullptr; }

 private:
  /// An input may be its place in the output already.
  static StartedWork copy(const at::Tensor& output, const at::Tensor& input) {
    const bool is_there =
        output.is_alias_of(input) && output.storage_offset() == input.storage_offset();
    if (!is_there) {
      output.view({output.numel()}).copy_(input.view({input.numel()}));
    }
    return nullptr;
  }

  at::Device device_;
};

}  // namespace

std::unique_ptr<ProcessGroup> make_lone_group(std::int64_t rank, at::Device device) {
  return std::make_unique<LoneGroup>(rank, device);
}

}  // namespace titan::comm
