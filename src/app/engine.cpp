#include "app/engine.h"

#include <c10/util/Logging.h>
#include <stdlib.h>

#include "app/engine_commands.h"
#include "app/tensor_memory.h"
#include "titan/app/register_all.h"

namespace titan::app {

namespace {

class TorchEngine : public Engine {
 public:
  TorchEngine() {
    // c10d warns of a lost connection with a C++ stack, on every rank and again and again; the ranks
    // report it in one sentence.
    // Here and not where it matters, because other ranks may be threads that read the environment.
    ::setenv("TORCH_CPP_LOG_LEVEL", "ERROR", 0);
    // Kineto's remarks on every start and stop of a trace are silenced, as TorchTitan does; who sets the
    // variable hears them.
    ::setenv("KINETO_LOG_LEVEL", "5", 0);
    c10::initLogging();
    keep_tensors_in_a_heap_of_their_own();
    register_all();
  }
  int train(const config::CommandLine& command, tools::StartupTimes& startup_times) override {
    return app::train(command, startup_times);
  }
  int profile(const config::CommandLine& command, tools::StartupTimes& startup_times) override {
    return app::profile(command, startup_times);
  }
  int tokenize(const config::CommandLine& command) override { return app::tokenize(command); }
  int generate(const config::CommandLine& command) override { return app::generate(command); }
  int convert(const config::CommandLine& command) override { return app::convert(command); }
  int estimate(const config::CommandLine& command) override { return app::estimate(command); }
  int show_plan(const config::CommandLine& command) override { return app::show_plan(command); }
  schedule::Schedule job_schedule(const config::JobConfig& config) override {
    return app::job_schedule(config);
  }
  config::Problems model_problems(const config::JobConfig& config, const config::Origins& origins,
                                  std::int64_t world_size) override {
    return app::model_problems(config, origins, world_size);
  }
  config::LayoutFits model_layouts(const config::JobConfig& config) override {
    return app::model_layouts(config);
  }
};

}  // namespace

}  // namespace titan::app

extern "C" titan::app::Engine* titan_engine() {
  static titan::app::TorchEngine engine;
  return &engine;
}
