#include "train.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Context.h>
#include <c10/util/Exception.h>

#include <filesystem>
#include <random>

#include "memory_monitors.h"
#include "titan/app/version.h"
#include "titan/base/errors.h"
#include "titan/base/file_system.h"
#include "titan/config/print.h"
#include "titan/tools/accelerator.h"
#include "titan/tools/logging.h"
#include "titan/tools/process.h"
#include "titan/tools/signals.h"
#include "titan/tools/startup_times.h"
#include "titan/trainer/trainer.h"

namespace titan::app {

namespace {

/// The GPU that `training.device` allows and the machine has, or null for the CPU.
tools::Accelerator* choose_accelerator(config::Device wanted) {
  if (wanted == config::Device::kCpu) return nullptr;
  const tools::AcceleratorSearch search = tools::find_accelerator();
  if (search.accelerator == nullptr && wanted == config::Device::kCuda) {
    throw RunError("training.device = \"cuda\", but " + search.reason + ".");
  }
  if (search.accelerator == nullptr) tools::log_info("Training on the CPU: ", search.reason);
  return search.accelerator;
}

/// The generator of initial weights: seeded, or from the system's entropy, which is then logged so
/// that the run can be repeated.
at::Generator make_generator(at::Device device, std::optional<std::int64_t> seed) {
  at::Generator generator = device.is_cpu() ? at::make_generator<at::CPUGeneratorImpl>()
                                            : at::globalContext().defaultGenerator(device).clone();
  if (!seed) {
    seed = std::random_device()();
    tools::log_info("debug.seed is not set; this run's seed is ", *seed);
  }
  generator.set_current_seed(static_cast<std::uint64_t>(*seed));
  return generator;
}

/// The reference's order of attention kernels on a GPU.
void prefer_attention_kernels() {
  using at::SDPBackend;
  at::globalContext().setSDPPriorityOrder(
      {static_cast<std::int64_t>(SDPBackend::cudnn_attention),
       static_cast<std::int64_t>(SDPBackend::flash_attention),
       static_cast<std::int64_t>(SDPBackend::efficient_attention),
       static_cast<std::int64_t>(SDPBackend::math),
       static_cast<std::int64_t>(SDPBackend::overrideable)});
}

void report_config(const config::CommandLine& command) {
  const config::Job& job = command.config.job;
  for (const std::string& warning : command.warnings) tools::log_warning(warning);
  if (job.print_config) {
    tools::log_info("Running with configs: ", config::config_json(command.config));
  }
  if (job.save_config_file) {
    const auto path = std::filesystem::path(job.dump_folder) / *job.save_config_file;
    base::FileSystem& files = base::posix_file_system();
    files.create_directories(path.parent_path());
    base::write_file_atomically(files, path, config::config_json(command.config));
    tools::log_info("Saved job configs to ", path.string());
  }
}

}  // namespace

int train(const config::CommandLine& command, tools::StartupTimes& startup_times) {
  const config::JobConfig& config = command.config;
  startup_times.finish("libraries");
  tools::log_info("titan_train version: ", version());
  report_config(command);

  tools::Accelerator* accelerator = choose_accelerator(config.training.device);
  const at::Device device = accelerator ? at::Device(at::kCUDA, 0) : at::Device(at::kCPU);
  if (accelerator) prefer_attention_kernels();
  const auto memory = make_memory_monitor(accelerator, device.index());
  try {
    const comm::RankContext context = {0, 1, device, make_generator(device, config.debug.seed)};
    trainer::Trainer trainer(
        config, {context, accelerator ? accelerator->facts(0) : tools::cpu_facts(), *memory,
                 startup_times});
    const tools::StopSignals stop_signals;
    trainer.train(stop_signals);
    return stop_signals.received() ? 128 + *stop_signals.received() : 0;
  } catch (const c10::Error& error) {
    throw RunError(error.what_without_backtrace());
  }
}

}  // namespace titan::app
