// Input: a byte that picks row, rank and window, then a JSONL file. Reading ends in rows or a
// RunError; rows found by seeking equal those read in order; no token gets lost between the texts
// and the batches, also over a restart.

#include <cstdint>
#include <cstdlib>
#include <string>
#include <vector>

#include "components/data/text_rows.h"
#include "fuzz/memory_file_system.h"
#include "unit/components/data/data_test_support.h"

namespace {

using namespace titan;
using components::TextRows;

void check(bool condition) {
  if (!condition) std::abort();
}

std::vector<std::string> read_all(base::FileSystem& files) {
  TextRows rows(files, {"a.jsonl"});
  std::vector<std::string> texts;
  for (std::string text; rows.next(text);) texts.push_back(text);
  return texts;
}

void check_seek(base::FileSystem& files, const std::vector<std::string>& texts, std::size_t row) {
  TextRows rows(files, {"a.jsonl"});
  check(rows.count() == std::ssize(texts));
  rows.seek(static_cast<std::int64_t>(row));
  std::string text;
  check(rows.next(text) && text == texts[row]);
}

void check_packing(base::FileSystem& files, const std::vector<std::string>& texts,
                   std::uint8_t choice) {
  components::TextDataOptions options;
  options.path = "a.jsonl";
  options.prefetch_batches = 0;
  options.infinite = false;
  options.seq_len = 1 + choice % 7;
  options.dp_world_size = texts.size() > 2 ? 1 + choice % 3 : 1;
  const test::ByteTokenizer tokenizer;
  std::size_t tokens = 0;
  for (options.dp_rank = 0; options.dp_rank < options.dp_world_size; ++options.dp_rank) {
    const auto make = [&] { return components::build_text_dataloader(options, tokenizer, files); };
    const auto whole = make();
    protocols::Batch batch;
    protocols::Batch again;
    for (bool more = true; more;) {
      const auto restarted = make();
      restarted->restore(
          std::vector(static_cast<std::size_t>(options.dp_world_size), whole->position()));
      more = whole->next(batch);
      check(restarted->next(again) == more && again.input == batch.input &&
            again.labels == batch.labels);
      tokens += batch.input.size() + batch.rows;
    }
    tokens += whole->position().streams.at(0).leftover_tokens.size();
  }
  for (const std::string& text : texts) tokens -= text.size() + 2;
  check(tokens == 0);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  titan::test::MemoryFileSystem files(
      std::string(reinterpret_cast<const char*>(data) + 1, size - 1));
  std::vector<std::string> texts;
  try {
    texts = read_all(files);
  } catch (const titan::RunError&) {
    return 0;
  }
  if (texts.empty()) return 0;
  check_seek(files, texts, data[0] % texts.size());
  check_packing(files, texts, data[0]);
  return 0;
}
