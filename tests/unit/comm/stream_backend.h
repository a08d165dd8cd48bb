#pragma once

#include <torch/csrc/distributed/c10d/Backend.hpp>

#include <atomic>
#include <memory>
#include <utility>
#include <vector>

#include "comm/c10d_group.h"

namespace titan::comm::test {

/// A c10d back end that behaves as NCCL's: a wait returns at once, and the end of the work is another
/// question, which a test answers.
class StreamBackend : public c10d::Backend {
 public:
  class StreamWork : public c10d::Work {
   public:
    bool isCompleted() override { return ended; }
    bool wait(std::chrono::milliseconds) override { return true; }
    std::exception_ptr exception() const override { return error; }

    std::atomic<bool> ended = false;
    std::exception_ptr error;  // set before `ended`
  };

  StreamBackend(int rank, int size) : c10d::Backend(rank, size) {}

  const std::string getBackendName() const override { return "stream"; }
  void setTimeout(std::chrono::milliseconds limit) override { timeout = limit; }
  void shutdown() override { ++shutdowns; }
  c10::intrusive_ptr<c10d::Work> allreduce(std::vector<at::Tensor>&,
                                           const c10d::AllreduceOptions&) override {
    works.push_back(c10::make_intrusive<StreamWork>());
    return works.back();
  }

  std::vector<c10::intrusive_ptr<StreamWork>> works;
  std::chrono::milliseconds timeout{0};
  int shutdowns = 0;
};

/// A group on it, as one on NCCL is made.
inline std::unique_ptr<ProcessGroup> make_stream_group(
    const c10::intrusive_ptr<StreamBackend>& backend, std::vector<std::int64_t> ranks,
    CollectiveObserver* observer, std::chrono::milliseconds limit) {
  return std::make_unique<C10dGroup>(
      C10dGroup::Members{"fsdp", std::move(ranks), backend->getRank(), observer}, backend, at::kCPU,
      limit);
}

}  // namespace titan::comm::test
