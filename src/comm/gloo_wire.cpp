#include "comm/gloo_wire.h"

#include <mutex>
#include <stdexcept>
#include <utility>
#include <vector>

#include "titan/base/errors.h"

namespace titan::comm {

namespace {

/// Held while something is started, in any group of the process: a group wants one caller at a time,
/// and LibTorch's flight recorder, of which a process has one, adds groups to a map without a lock.
std::mutex& one_at_a_time() {
  static std::mutex mutex;
  return mutex;
}

/// The same memory as bytes: Gloo lacks some element types and needs none.
at::Tensor bytes_of(const at::Tensor& tensor) {
  return tensor.view({tensor.numel()}).view(at::kByte);
}

class GlooWire : public Wire {
 public:
  GlooWire(c10::intrusive_ptr<c10d::Backend> gloo, std::shared_ptr<WaitLimits> limits,
           std::chrono::milliseconds limit)
      : Wire(limit), gloo_(std::move(gloo)), limits_(std::move(limits)) {}

  std::unique_ptr<BackendWork> send(const at::Tensor& tensor, std::int64_t to, int tag) override {
    std::vector<at::Tensor> tensors{bytes_of(tensor)};
    const std::lock_guard lock(one_at_a_time());
    return std::make_unique<Transfer>(*this, gloo_->send(tensors, static_cast<int>(to), tag));
  }
  std::unique_ptr<BackendWork> receive(const at::Tensor& tensor, std::int64_t from,
                                       int tag) override {
    std::vector<at::Tensor> tensors{bytes_of(tensor)};
    const std::lock_guard lock(one_at_a_time());
    return std::make_unique<Transfer>(*this, gloo_->recv(tensors, static_cast<int>(from), tag));
  }

 private:
  class Transfer : public BackendWork {
   public:
    Transfer(const GlooWire& wire, c10::intrusive_ptr<c10d::Work> work)
        : wire_(wire), work_(std::move(work)) {}
    void wait() override { wire_.wait(*work_); }

   private:
    const GlooWire& wire_;
    c10::intrusive_ptr<c10d::Work> work_;
  };

  /// Throws when the time is over, and closes all connections of the group, so that the others learn of it.
  void wait(c10d::Work& work) const {
    constexpr std::chrono::hours kForever(24 * 365);
    constexpr std::chrono::milliseconds kAtOnce(1);
    const std::chrono::milliseconds limit = timeout;
    {
      const WaitLimits::Guard guard = limits_->guard(limit, [&work] { work.abort(); });
      if (work.wait(kForever)) return;
    }
    // Given up; what has come in the meantime is taken all the same.
    try {
      if (work.wait(kAtOnce)) return;
    } catch (const std::exception&) {
    }
    throw std::runtime_error(concat("timed out after ", limit.count(), "ms"));
  }

  c10::intrusive_ptr<c10d::Backend> gloo_;
  std::shared_ptr<WaitLimits> limits_;
};

}  // namespace

std::shared_ptr<Wire> make_gloo_wire(c10::intrusive_ptr<c10d::Backend> gloo,
                                     std::shared_ptr<WaitLimits> limits,
                                     std::chrono::milliseconds timeout) {
  return std::make_shared<GlooWire>(std::move(gloo), std::move(limits), timeout);
}

}  // namespace titan::comm
