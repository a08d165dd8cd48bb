#include "app/engine_commands.h"

#include <algorithm>
#include <filesystem>
#include <memory>
#include <string>
#include <thread>

#include "app/text_builders.h"
#include "titan/base/clock.h"
#include "titan/base/errors.h"
#include "titan/base/file_system.h"
#include "titan/base/sha256.h"
#include "titan/components/metrics/progress.h"
#include "titan/text/data/tokenize_dataset.h"
#include "titan/text/tokenizer/tokenizer.h"
#include "titan/tools/logging.h"
#include "titan/tools/number_text.h"

namespace titan::app {

namespace {

constexpr double kMiB = 1024.0 * 1024.0;

/// A hash of every small file in the tokenizer's folder.
std::string tokenizer_id(base::FileSystem& files, const std::string& folder) {
  constexpr std::uint64_t kMostBytes = 256 << 20;
  base::Sha256 hash;
  for (const std::string& name : files.list_directory(folder)) {
    const bool is_asset =
        name.ends_with(".json") || name.ends_with(".txt") || name.ends_with(".model");
    if (!is_asset) continue;
    hash.update(concat(name, "\n"));
    hash.update(base::read_whole_file(files, folder + "/" + name, kMostBytes));
  }
  return hash.hex_digest();
}

/// Shows on a terminal how far the work is.
class Display {
 public:
  void show(const text::TokenizeProgress& progress) {
    const double now = base::monotonic_seconds();
    if (!started_) {
      started_ = true;
      start_ = now;
      bytes_before_ = progress.text_bytes;
    }
    if (!line_ || now < next_) return;
    next_ = now + 0.2;
    const double rate = static_cast<double>(progress.text_bytes - bytes_before_) / kMiB /
                        std::max(now - start_, 1e-3);
    line_->show(concat(bar(progress.fraction),
                       tools::fixed(static_cast<double>(progress.tokens) / 1e6, 1), " M tokens ",
                       tools::fixed(rate, 1), " MiB/s"));
  }

 private:
  static std::string bar(double fraction) {
    constexpr int kWidth = 12;
    const int filled = static_cast<int>(fraction * kWidth);
    return concat("[", std::string(filled, '#'), std::string(kWidth - filled, '.'), "] ",
                  static_cast<int>(100 * fraction), "% ");
  }

  std::unique_ptr<components::StatusLine> line_ = components::status_line_of_terminal();
  bool started_ = false;
  double start_ = 0;
  double next_ = 0;
  std::int64_t bytes_before_ = 0;
};

/// Against a second process that makes the same files, which would take up the first one's parts while
/// they grow.
class OutputLock {
 public:
  OutputLock(base::FileSystem& files, const std::filesystem::path& output)
      : path_(output.string() + ".lock") {
    if (!output.has_filename()) return;  // refused later, with the reason
    if (output.has_parent_path()) files.create_directories(output.parent_path().string());
    lock_ = files.lock_file(path_, /*patience_seconds=*/0);
  }
  ~OutputLock() {
    std::error_code ignored;
    if (lock_) std::filesystem::remove(path_, ignored);
  }
  OutputLock(const OutputLock&) = delete;
  OutputLock& operator=(const OutputLock&) = delete;

 private:
  std::string path_;
  std::unique_ptr<base::FileLock> lock_;
};

}  // namespace

int tokenize(const config::CommandLine& command) {
  base::FileSystem& files = base::posix_file_system();
  const std::string& assets = command.config.model.hf_assets_path;
  const auto tokenizer = text::build_hf_tokenizer(files, assets);
  Display display;
  text::TokenizeOptions options;
  options.data = training_data(command.config);
  options.output = command.output.value();
  options.tokenizer_id = tokenizer_id(files, assets);
  options.threads = command.threads > 0
                        ? static_cast<int>(command.threads)
                        : static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
  options.on_progress = [&](const text::TokenizeProgress& now) { display.show(now); };
  const OutputLock lock(files, options.output);
  const double start = base::monotonic_seconds();
  const auto result = text::tokenize_dataset(options, *tokenizer, files);
  tools::log_info("Wrote ", options.output,
                  ".bin and .idx: ", tools::with_thousands(result.documents), " documents, ",
                  tools::with_thousands(result.tokens), " tokens of ",
                  tools::with_thousands(result.text_bytes), " bytes of text, in ",
                  tools::fixed(base::monotonic_seconds() - start, 2), " s with ", options.threads,
                  options.threads == 1 ? " thread" : " threads");
  return 0;
}

}  // namespace titan::app
