#include "support/rehearsal/graphs.h"

#include <c10/util/Exception.h>

#include <utility>
#include <vector>

#include "support/rehearsal/device.h"
#include "support/rehearsal/machine.h"

namespace titan::test::rehearsal {

namespace {

class Graph : public tools::DeviceGraph {
 public:
  Graph(at::Device device, std::vector<std::function<void()>> work)
      : device_(device), work_(std::make_shared<Work>(std::move(work))) {}

  void replay() override {
    Machine::instance().enqueue(current_stream(device_), [work = work_] {
      for (const auto& item : *work) item();
    });
  }

 private:
  using Work = const std::vector<std::function<void()>>;
  at::Device device_;
  std::shared_ptr<Work> work_;
};

class Capture : public tools::GraphCapture {
 public:
  explicit Capture(at::Device device)
      : device_(device), pool_(Machine::instance().new_capture_pool()) {}

  std::unique_ptr<tools::DeviceGraph> capture(const std::function<void()>& work) override {
    const StreamId stream = current_stream(device_);
    TORCH_CHECK(stream.number != 0, "the default stream cannot be captured");
    Machine& machine = Machine::instance();
    machine.begin_capture(stream, pool_);
    try {
      work();
    } catch (...) {
      machine.end_capture(stream);
      throw;
    }
    return std::make_unique<Graph>(device_, machine.end_capture(stream));
  }

 private:
  at::Device device_;
  int pool_;
};

}  // namespace

std::unique_ptr<tools::GraphCapture> make_graph_capture(at::Device device) {
  return std::make_unique<Capture>(device);
}

}  // namespace titan::test::rehearsal
