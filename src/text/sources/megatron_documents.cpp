#include "text/sources/sources_of_formats.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "text/sources/megatron_index.h"
#include "text/sources/token_file.h"
#include "titan/base/errors.h"
#include "titan/base/file_system.h"

namespace titan::text {
namespace {

class MegatronDocuments final : public DocumentSource {
 public:
  MegatronDocuments(base::FileSystem& files, std::vector<DataFile> data)
      : files_(files), data_(std::move(data)) {
    std::int64_t documents = 0;
    for (const DataFile& file : data_) {
      auto index_file = files.open_for_reading(megatron_index_path(file.path));
      indices_.push_back({index_file->path(), index_file->size()});
      first_units_.push_back(documents);
      MegatronIndex index(std::move(index_file), file.size);
      index.check();
      documents += index.documents();
    }
    first_units_.push_back(documents);
  }

  std::optional<std::int64_t> unit_count() override { return first_units_.back(); }
  bool open(std::int64_t unit, std::int64_t skip, std::optional<std::uint64_t>) override {
    TITAN_CHECK(unit >= 0 && skip >= 0, "documents are counted from 0");
    if (unit >= first_units_.back()) return false;
    const auto first = std::upper_bound(first_units_.begin(), first_units_.end(), unit) - 1;
    open_pair(static_cast<std::size_t>(first - first_units_.begin()));
    rest_ = pair_->index.document(unit - *first);
    token_ = 0;
    begins_ = skip == 0;
    for (std::int64_t piece = 0; piece < skip; ++piece) {
      if (take(kMegatronPiece, nullptr) == 0) {
        throw RunError(concat("cannot go to piece ", skip, " of document ", unit - *first, " of '",
                              data_[number_].path, "': there are ", piece, " pieces"));
      }
    }
    return true;
  }

  bool next(Document& document) override {
    document.prompt.clear();
    document.text.clear();
    document.tokens.clear();
    document.is_tokens = true;
    if (take(kMegatronPiece, &document.tokens) == 0) return false;
    document.begins = begins_;
    document.ends = rest_.begin == rest_.end;
    begins_ = false;
    return true;
  }

  bool unit_is_document() const override { return true; }
  const char* units() const override { return "documents"; }
  std::string description() const override {
    return concat("documents of Megatron's ", describe_files(data_), ", ",
                  describe_files(indices_));
  }

 private:
  /// A pair that is open.
  struct Pair {
    MegatronIndex index;
    TokenFile tokens;
  };

  void open_pair(std::size_t pair) {
    if (pair_ && pair == number_) return;
    MegatronIndex index(open_data_file(files_, indices_[pair]), data_[pair].size);
    const TokenType type = index.token_type();
    pair_.emplace(Pair{std::move(index), TokenFile(open_data_file(files_, data_[pair]), type)});
    number_ = pair;
  }

  // Goes on by up to `most` tokens, reading them where `tokens` is given, and past the empty sequences
  // behind them. Returns how many there were.
  std::int64_t take(std::int64_t most, std::vector<std::int64_t>* tokens) {
    const auto width = static_cast<std::int64_t>(pair_->tokens.type().width);
    std::int64_t taken = 0;
    while (rest_.begin < rest_.end) {
      const MegatronIndex::Sequence sequence = pair_->index.sequence(rest_.begin);
      const std::int64_t step = std::min(most - taken, sequence.tokens - token_);
      if (step > 0 && tokens) {
        pair_->tokens.read(sequence.offset + static_cast<std::uint64_t>(token_ * width), step,
                           *tokens);
      }
      taken += step;
      token_ += step;
      if (token_ < sequence.tokens) break;
      ++rest_.begin;
      token_ = 0;
    }
    return taken;
  }

  base::FileSystem& files_;
  std::vector<DataFile> data_;
  std::vector<DataFile> indices_;
  std::vector<std::int64_t> first_units_;  // of each pair, and the end
  std::optional<Pair> pair_;               // data_[number_]
  std::size_t number_ = 0;
  MegatronIndex::Document rest_;  // the sequences of the open document that are left
  std::int64_t token_ = 0;        // the next one of the first of them
  bool begins_ = true;
};

}  // namespace

std::string megatron_index_path(const std::string& bin_path) {
  const std::string_view stem = bin_path;
  return concat(stem.ends_with(".bin") ? stem.substr(0, stem.size() - 4) : stem, ".idx");
}

std::unique_ptr<DocumentSource> open_megatron_documents(base::FileSystem& files,
                                                        std::vector<DataFile> data) {
  return std::make_unique<MegatronDocuments>(files, std::move(data));
}

}  // namespace titan::text
