#include "text/data/mixture_loader.h"

#include <algorithm>
#include <utility>

#include "titan/base/errors.h"

namespace titan::text {

MixtureLoader::MixtureLoader(std::vector<MixedSource> sources, std::int64_t batch_size,
                             std::int64_t seq_len)
    : sources_(std::move(sources)), batch_size_(batch_size), seq_len_(seq_len) {
  double total = 0;
  for (const MixedSource& source : sources_) total += source.weight;
  TITAN_CHECK(total > 0 && batch_size > 0 && seq_len > 0, "a batch holds tokens of some source");
  for (MixedSource& source : sources_) source.weight /= total;
}

bool MixtureLoader::next(protocols::Batch& batch) {
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

WindowPacker& MixtureLoader::whose_turn() {
  std::int64_t rows = 0;
  for (const MixedSource& source : sources_) rows += source.packer.windows();
  const auto behind = [&](const MixedSource& source) {
    return source.weight * static_cast<double>(rows + 1) -
           static_cast<double>(source.packer.windows());
  };
  return std::ranges::max_element(sources_, {}, behind)->packer;
}

protocols::DataPosition MixtureLoader::position() const {
  protocols::DataPosition position;
  for (const MixedSource& source : sources_) position.streams.push_back(source.packer.position());
  return position;
}

void MixtureLoader::restart() {
  for (MixedSource& source : sources_) source.packer.restart();
}

void MixtureLoader::restore(const std::vector<protocols::DataPosition>& ranks) {
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

protocols::DataPosition MixtureLoader::position_after(std::int64_t rank, std::int64_t ranks,
                                                      std::int64_t documents) {
  if (sources_.size() != 1) {
    throw RunError(concat("documents were counted in one source of data, and ", sources_.size(),
                          " are configured now"));
  }
  return {{sources_.front().packer.position_after(rank, ranks, documents)}};
}

}  // namespace titan::text
