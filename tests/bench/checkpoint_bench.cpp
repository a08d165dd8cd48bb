// Time and memory of saving and loading a state. tests/bench/checkpoint_bench.py compares them with `dd` and with
// PyTorch's own; it also drives this.
//
//   checkpoint_bench save FOLDER MIB REPEATS     a state of so many MiB; one line a save: seconds
//   checkpoint_bench load FOLDER REPEATS         one line a load: seconds; then the peak memory

#include <ATen/ops/empty.h>

#include <chrono>
#include <fstream>
#include <functional>
#include <iostream>
#include <string>
#include <vector>

#include "titan/base/errors.h"
#include "titan/base/file_system.h"
#include "titan/components/checkpoint/dcp_load.h"
#include "titan/components/checkpoint/dcp_save.h"

namespace {

using namespace titan;
using namespace titan::components;

/// As a model of blocks: large matrices and small vectors, weights and two moments.
FlatState make_state(std::int64_t mib) {
  FlatState state;
  constexpr std::int64_t kBlock = 16;  // MiB
  for (std::int64_t i = 0; i * kBlock < mib; ++i) {
    const auto add = [&](std::string name, std::vector<std::int64_t> sizes) {
      at::Tensor tensor = at::empty(sizes).uniform_();
      state.tensors.push_back({{"layers", std::to_string(i), std::move(name)}, tensor});
    };
    add("wq", {1024, 1024});
    add("w1", {2752, 1024});
    add("norm", {1024});
    add("w2", {kBlock * 256 - 1024 - 2752 - 1, 1024});
  }
  state.objects.push_back({{"train_state", "step"}, formats::PickleValue::integer(1)});
  return state;
}

double seconds_of(const std::function<void()>& action) {
  const auto start = std::chrono::steady_clock::now();
  action();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

void save(const std::string& folder, std::int64_t mib, int repeats) {
  const FlatState state = make_state(mib);
  DcpSaver saver(base::posix_file_system(), nullptr);
  for (int i = 0; i < repeats; ++i) {
    std::cout << seconds_of([&] { saver.save(folder, state); }) << "\n" << std::flush;
  }
}

/// What getrusage says would begin with the memory of the program that started this one.
std::int64_t peak_bytes() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("VmHWM:")) return std::stoll(line.substr(6)) * 1024;
  }
  throw RunError("/proc/self/status has no VmHWM");
}

void load(const std::string& folder, int repeats) {
  FlatState state;
  const std::int64_t before = peak_bytes();
  std::int64_t bytes = 0;
  const formats::DcpMetadata metadata = DcpCheckpoint(base::posix_file_system(), folder).metadata();
  for (const formats::DcpEntry& entry : metadata.entries) {
    if (entry.tensor() == nullptr) continue;
    const at::Tensor tensor = at::empty(entry.tensor()->sizes);
    bytes += static_cast<std::int64_t>(tensor.nbytes());
    state.tensors.push_back({*entry.path, tensor});
  }
  for (const StateTensor& entry : state.tensors) entry.tensor.zero_();
  for (int i = 0; i < repeats; ++i) {
    std::cout << seconds_of([&] {
      DcpCheckpoint(base::posix_file_system(), folder).read(state.tensors, nullptr);
    }) << "\n" << std::flush;
  }
  std::cout << "state " << bytes << " peak " << peak_bytes() - before << "\n";
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<std::string> a(argv + 1, argv + argc);
  try {
    if (a.size() == 4 && a[0] == "save") {
      save(a[1], std::stoll(a[2]), std::stoi(a[3]));
    } else if (a.size() == 3 && a[0] == "load") {
      load(a[1], std::stoi(a[2]));
    } else {
      throw ConfigError("checkpoint_bench: see its first lines");
    }
  } catch (const std::exception& error) {
    std::cerr << error.what() << "\n";
    return 1;
  }
  return 0;
}
