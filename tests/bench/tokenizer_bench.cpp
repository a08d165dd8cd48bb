// tokenizer_bench FOLDER FILE.jsonl [SECONDS]: megabytes of text per second through `encode`, one
// thread, and the time to load. tests/bench/tokenizer_bench.py is the same for the Python package
// `tokenizers`.

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <string>
#include <vector>

#include "titan/base/file_system.h"
#include "titan/text/sources/document_source.h"
#include "titan/text/tokenizer/tokenizer.h"

namespace {

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

void run(const std::string& folder, const std::string& path, double seconds) {
  auto& files = titan::base::posix_file_system();
  auto start = std::chrono::steady_clock::now();
  const auto tokenizer = titan::text::build_hf_tokenizer(files, folder);
  const double load = seconds_since(start);

  std::vector<std::string> texts;
  start = std::chrono::steady_clock::now();
  titan::text::SourceOptions options;
  options.path = path;
  const auto source = titan::text::open_source(files, options);
  titan::text::Document document;
  for (std::int64_t row = 0; source->open(row, 0, std::nullopt); ++row) {
    if (source->next(document)) texts.push_back(document.text);
  }
  const double read = seconds_since(start);

  std::size_t bytes = 0;
  std::size_t ids = 0;
  start = std::chrono::steady_clock::now();
  do {
    for (const std::string& text : texts) {
      ids += tokenizer->encode(text, true, true).size();
      bytes += text.size();
    }
  } while (seconds_since(start) < seconds);
  const double spent = seconds_since(start);
  std::printf("load %.1f ms, read JSONL %.1f ms, encode %.2f MB/s, %.2f M ids/s\n", load * 1e3,
              read * 1e3, bytes / spent / 1e6, ids / spent / 1e6);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) {
    std::fputs("usage: tokenizer_bench FOLDER FILE.jsonl [SECONDS]\n", stderr);
    return 2;
  }
  try {
    run(argv[1], argv[2], argc > 3 ? std::atof(argv[3]) : 3.0);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
  return 0;
}
