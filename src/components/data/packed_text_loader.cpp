#include "components/data/packed_text_loader.h"

#include <algorithm>
#include <bit>
#include <utility>

#include "titan/base/errors.h"
#include "titan/tools/logging.h"

namespace titan::components {

PackedTextLoader::PackedTextLoader(const TextDataOptions& options,
                                   const protocols::Tokenizer& tokenizer, TextRows rows)
    : options_(options), tokenizer_(tokenizer), rows_(std::move(rows)) {
  if (options_.dp_world_size > 1) {
    // The first ranks get one more where the rows do not divide evenly. One rank need not know how
    // many there are.
    const std::int64_t count = rows_.count();
    const std::int64_t each = count / options_.dp_world_size;
    const std::int64_t rest = count % options_.dp_world_size;
    share_begin_ = each * options_.dp_rank + std::min(options_.dp_rank, rest);
    share_size_ = each + (options_.dp_rank < rest ? 1 : 0);
    if (share_size_ == 0) {
      throw RunError(concat("no data for data-parallel rank ", options_.dp_rank, " of ",
                            options_.dp_world_size, ": ", options_.dataset, " has ", count,
                            " rows"));
    }
  }
  rows_.seek(share_begin_);
}

bool PackedTextLoader::next(protocols::Batch& batch) {
  const auto seq_len = static_cast<std::size_t>(options_.seq_len);
  const auto full = static_cast<std::size_t>(options_.batch_size) * seq_len;
  batch.seq_len = options_.seq_len;
  batch.rows = 0;
  batch.input.resize(full);
  batch.labels.resize(full);
  while (batch.rows < options_.batch_size && hold_window()) {
    const auto from = tokens_.begin() + static_cast<std::ptrdiff_t>(first_token_);
    const auto at = static_cast<std::ptrdiff_t>(batch.rows * seq_len);
    std::copy_n(from, seq_len, batch.input.begin() + at);
    std::copy_n(from + 1, seq_len, batch.labels.begin() + at);
    first_token_ += window();
    ++batch.rows;
  }
  batch.input.resize(batch.rows * seq_len);
  batch.labels.resize(batch.rows * seq_len);
  return batch.rows > 0;
}

bool PackedTextLoader::hold_window() {
  while (held_tokens() < window()) {
    if (!read_sample() && !begin_next_pass()) return false;
  }
  return true;
}

bool PackedTextLoader::read_sample() {
  if (sample_index_ == share_size_) return false;
  if (!rows_.next(text_)) {
    if (!share_size_) return false;
    throw RunError(concat(options_.dataset, " has become shorter: its row ",
                          share_begin_ + sample_index_, " is gone"));
  }
  const auto ids = tokenizer_.encode(text_, /*add_bos=*/true, /*add_eos=*/true);
  tokens_.erase(tokens_.begin(), tokens_.begin() + static_cast<std::ptrdiff_t>(first_token_));
  first_token_ = 0;
  tokens_.insert(tokens_.end(), ids.begin(), ids.end());
  saw_tokens_ = saw_tokens_ || !ids.empty();
  ++sample_index_;
  return true;
}

bool PackedTextLoader::begin_next_pass() {
  if (!options_.infinite) {
    if (!is_exhausted_) tools::log_warning("Dataset ", options_.dataset, " has run out of data");
    is_exhausted_ = true;
    return false;
  }
  if (!saw_tokens_) {
    throw RunError(concat("the data set ", options_.dataset,
                          " has no tokens for data-parallel rank ", options_.dp_rank,
                          ": every text in it is empty for this tokenizer"));
  }
  rows_.seek(share_begin_);
  sample_index_ = 0;
  ++epoch_;
  // A small set passes by often: said after the 1st, 2nd, 4th, 8th, ... pass.
  if (std::has_single_bit(static_cast<std::uint64_t>(epoch_))) {
    tools::log_warning("Dataset ", options_.dataset, " is being re-looped (passes so far: ", epoch_,
                       ")");
  }
  saw_tokens_ = false;
  return true;
}

protocols::DataPosition PackedTextLoader::position() const {
  const auto first = tokens_.begin() + static_cast<std::ptrdiff_t>(first_token_);
  return {sample_index_, epoch_, {first, tokens_.end()}};
}

void PackedTextLoader::restore(const protocols::DataPosition& position) {
  const std::int64_t most = share_size_.value_or(position.sample_index);
  if (position.sample_index < 0 || position.sample_index > most || position.epoch < 0) {
    throw RunError(concat("cannot continue ", options_.dataset, " at sample ",
                          position.sample_index, " of epoch ", position.epoch, ": this rank has ",
                          most, " samples"));
  }
  rows_.seek(share_begin_ + position.sample_index);
  sample_index_ = position.sample_index;
  epoch_ = position.epoch;
  tokens_ = position.leftover_tokens;
  first_token_ = 0;
  saw_tokens_ = true;  // a part of the pass is not here to be judged
  is_exhausted_ = false;
}

}  // namespace titan::components
