#pragma once

#include <cstdint>
#include <vector>

#include "text/data/window_packer.h"
#include "titan/protocols/data_loader.h"

namespace titan::text {

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
  MixtureLoader(std::vector<MixedSource> sources, std::int64_t batch_size, std::int64_t seq_len);

  bool next(protocols::Batch& batch) override;
  protocols::DataPosition position() const override;
  void restart() override;
  void restore(const std::vector<protocols::DataPosition>& ranks) override;
  protocols::DataPosition position_after(std::int64_t rank, std::int64_t ranks,
                                         std::int64_t documents) override;

 private:
  WindowPacker& whose_turn();

  std::vector<MixedSource> sources_;
  std::int64_t batch_size_;
  std::int64_t seq_len_;
};

}  // namespace titan::text
