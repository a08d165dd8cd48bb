#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "text/data/document_stream.h"
#include "titan/protocols/tokenizer.h"

namespace titan::text {

/// One row of a batch, to be filled: spans of `seq_len`.
struct Row {
  std::span<std::int64_t> input;
  std::span<std::int64_t> labels;
  std::span<std::uint8_t> document_starts;
};

/// Turns a stream of documents into windows of `seq_len + 1` tokens without overlap; what does not
/// fill one is carried on, across the end of the data too. See build_text_dataloader.
class WindowPacker {
 public:
  /// `tokenizer` must outlive the packer. Stored token ids must be the tokenizer's.
  WindowPacker(DocumentStream stream, const protocols::Tokenizer& tokenizer);

  /// Fills a row with the next window. False when a finite stream has no more.
  bool next(const Row& row);
  std::int64_t windows() const { return windows_; }
  protocols::StreamPosition position() const;
  void restart();
  void restore(const std::vector<protocols::StreamPosition>& old_ranks);
  /// Without leftover tokens.
  protocols::StreamPosition position_after(std::int64_t rank, std::int64_t ranks,
                                           std::int64_t documents) {
    return stream_.position_after(rank, ranks, documents);
  }

 private:
  bool hold(std::size_t count);
  bool read_up_to(std::size_t count, std::vector<std::int64_t>& tokens);
  void append(const Document& document, std::vector<std::int64_t>& tokens) const;
  void append_text(std::string_view text, bool begins, bool ends, std::int64_t flags,
                   std::vector<std::int64_t>& tokens) const;
  void append_tokens(const Document& document, std::vector<std::int64_t>& tokens) const;

  DocumentStream stream_;
  const protocols::Tokenizer& tokenizer_;
  std::int64_t vocab_size_;
  protocols::SharedTokens tokens_;  // StreamPosition::leftover_tokens
  std::int64_t windows_ = 0;
  bool has_ended_ = false;  // and that was said
  Document document_;
};

}  // namespace titan::text
