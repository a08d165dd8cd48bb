#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "components/tokenizer/merge_table.h"
#include "components/tokenizer/vocabulary.h"

namespace titan::components {

/// Turns the bytes of one word into token ids by merging neighbours, lowest rank first and leftmost
/// first among equals (Sennrich et al. 2016, over bytes as GPT-2 does). Immutable; each thread
/// brings its own Workspace.
class BytePairEncoder {
 public:
  struct Options {
    /// A word that is a token as a whole is that token, whatever the merges say.
    bool ignore_merges = false;
    /// Stands for a byte that the vocabulary lacks; without it such a byte is dropped.
    std::optional<TokenId> unknown;
    /// One `unknown` for a run of such bytes.
    bool fuse_unknown = false;
  };

  /// Buffers that are reused from word to word.
  class Workspace {
    friend class BytePairEncoder;
    struct Symbol {
      TokenId id;
      std::int32_t previous;
      std::int32_t next;
      bool absorbed;
    };
    struct Candidate {
      std::uint64_t order;  // rank, then position
      TokenId result;
      bool operator<(const Candidate& other) const { return order > other.order; }
    };
    std::string characters_;
    std::vector<TokenId> ids_;
    std::vector<std::uint32_t> ranks_;
    std::vector<TokenId> results_;
    std::vector<Symbol> symbols_;
    std::vector<Candidate> candidates_;
  };

  /// `vocabulary` must outlive the encoder.
  BytePairEncoder(const Vocabulary& vocabulary, MergeTable merges, Options options);

  /// Appends the ids of `word`. Time: O(n log n) in its length.
  void encode(std::string_view word, Workspace& workspace, std::vector<TokenId>& ids) const;

 private:
  void split_into_bytes(std::string_view word, std::vector<TokenId>& ids) const;
  void merge_short(Workspace& workspace) const;
  void merge_long(Workspace& workspace) const;
  void propose(Workspace& workspace, std::int32_t left) const;

  const Vocabulary& vocabulary_;
  MergeTable merges_;
  Options options_;
  std::array<std::optional<TokenId>, 256> id_of_byte_;
};

}  // namespace titan::components
