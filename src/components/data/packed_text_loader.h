#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "components/data/text_rows.h"
#include "titan/components/text_dataset.h"
#include "titan/protocols/data_loader.h"
#include "titan/protocols/tokenizer.h"

namespace titan::components {

/// Packs the texts of a rank's share of the rows into windows of `seq_len + 1` tokens; see
/// build_text_dataloader.
class PackedTextLoader final : public protocols::DataLoader {
 public:
  /// `tokenizer` must outlive the loader. Throws RunError when the rank's share of `rows` is empty.
  PackedTextLoader(const TextDataOptions& options, const protocols::Tokenizer& tokenizer,
                   TextRows rows);

  bool next(protocols::Batch& batch) override;
  protocols::DataPosition position() const override;
  void restore(const protocols::DataPosition& position) override;

 private:
  std::size_t window() const { return static_cast<std::size_t>(options_.seq_len) + 1; }
  std::size_t held_tokens() const { return tokens_.size() - first_token_; }
  bool hold_window();
  bool read_sample();
  bool begin_next_pass();

  TextDataOptions options_;
  const protocols::Tokenizer& tokenizer_;
  TextRows rows_;
  std::int64_t share_begin_ = 0;
  std::optional<std::int64_t> share_size_;  // nothing: all rows, however many there are

  std::int64_t sample_index_ = 0;
  std::int64_t epoch_ = 0;
  std::vector<std::int64_t> tokens_;
  std::size_t first_token_ = 0;  // of those in tokens_ that no batch has carried
  bool saw_tokens_ = false;      // since the pass began or a position was restored
  bool is_exhausted_ = false;
  std::string text_;
};

}  // namespace titan::components
