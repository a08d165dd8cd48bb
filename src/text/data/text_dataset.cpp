#include "titan/text/data/text_dataset.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "text/data/data_parts.h"
#include "text/data/prefetching_loader.h"
#include "text/data/window_packer.h"
#include "titan/base/errors.h"

namespace titan::text {

namespace {

/// A source and its share of the rows.
struct MixedSource {
  WindowPacker packer;
  double weight = 1;
};

/// Fills batches from one or several sources. Each row comes from the source that is furthest behind
/// its share, so that the mixture follows from the rows made so far and nothing else.
class MixtureLoader final : public protocols::DataLoader {
 public:
  /// The weights are not negative and one at least is positive. A finite mixture ends where the
  /// source whose turn it is ends.
  MixtureLoader(std::vector<MixedSource> sources, std::int64_t batch_size, std::int64_t seq_len)
      : sources_(std::move(sources)), batch_size_(batch_size), seq_len_(seq_len) {
    double total = 0;
    for (const MixedSource& source : sources_) total += source.weight;
    TITAN_CHECK(total > 0 && batch_size > 0 && seq_len > 0, "a batch holds tokens of some source");
    for (MixedSource& source : sources_) source.weight /= total;
  }

  bool next(protocols::Batch& batch) override {
    const auto seq_len = static_cast<std::size_t>(seq_len_);
    const auto resize = [&](std::int64_t rows) {
      const std::size_t tokens = static_cast<std::size_t>(rows) * seq_len;
      batch.input.resize(tokens);
      batch.labels.resize(tokens);
      batch.document_starts.resize(tokens);
    };
    batch.seq_len = seq_len_;
    batch.rows = 0;
    resize(batch_size_);
    while (batch.rows < batch_size_) {
      const std::size_t at = static_cast<std::size_t>(batch.rows) * seq_len;
      const Row row = {std::span(batch.input).subspan(at, seq_len),
                       std::span(batch.labels).subspan(at, seq_len),
                       std::span(batch.document_starts).subspan(at, seq_len)};
      if (!whose_turn().next(row)) break;
      ++batch.rows;
    }
    resize(batch.rows);
    return batch.rows > 0;
  }

  protocols::DataPosition position() const override {
    protocols::DataPosition position;
    for (const MixedSource& source : sources_) position.streams.push_back(source.packer.position());
    return position;
  }

  void restart() override {
    for (MixedSource& source : sources_) source.packer.restart();
  }

  void restore(const std::vector<protocols::DataPosition>& ranks) override {
    for (const protocols::DataPosition& rank : ranks) {
      if (rank.streams.size() != sources_.size()) {
        throw RunError(concat("cannot continue the data: the run read ", rank.streams.size(),
                              " sources, and ", sources_.size(), " are configured now"));
      }
    }
    for (std::size_t i = 0; i < sources_.size(); ++i) {
      std::vector<protocols::StreamPosition> streams;
      for (const protocols::DataPosition& rank : ranks) streams.push_back(rank.streams[i]);
      sources_[i].packer.restore(streams);
    }
  }

  protocols::DataPosition position_after(std::int64_t rank, std::int64_t ranks,
                                         std::int64_t documents) override {
    if (sources_.size() != 1) {
      throw RunError(concat("documents were counted in one source of data, and ", sources_.size(),
                            " are configured now"));
    }
    return {{sources_.front().packer.position_after(rank, ranks, documents)}};
  }

 private:
  WindowPacker& whose_turn() {
    std::int64_t rows = 0;
    for (const MixedSource& source : sources_) rows += source.packer.windows();
    const auto behind = [&](const MixedSource& source) {
      return source.weight * static_cast<double>(rows + 1) -
             static_cast<double>(source.packer.windows());
    };
    return std::ranges::max_element(sources_, {}, behind)->packer;
  }

  std::vector<MixedSource> sources_;
  std::int64_t batch_size_;
  std::int64_t seq_len_;
};

}  // namespace

std::unique_ptr<protocols::DataLoader> build_text_dataloader(const TextDataOptions& options,
                                                             const protocols::Tokenizer& tokenizer,
                                                             base::FileSystem& files) {
  TITAN_CHECK(options.batch_size > 0 && options.seq_len > 0, "a batch holds tokens");
  TITAN_CHECK(options.dp_rank >= 0 && options.dp_rank < options.dp_world_size,
              "a rank is one of its world");
  std::vector<MixedSource> sources;
  std::string name;
  for (const DataPart& part : find_parts(options, files)) {
    DocumentStream stream = open_stream(part, sources.size(), options, files);
    sources.push_back({WindowPacker(std::move(stream), tokenizer), part.weight});
    name += (name.empty() ? "" : ", ") + part.name;
  }
  auto loader =
      std::make_unique<MixtureLoader>(std::move(sources), options.batch_size, options.seq_len);
  if (options.prefetch_batches == 0) return loader;
  return std::make_unique<PrefetchingLoader>(std::move(loader), options.prefetch_batches,
                                             WaitReports{name, options.data.stall_warning_seconds});
}

}  // namespace titan::text
