#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "titan/protocols/data_loader.h"

namespace titan::components {

/// A position as a checkpoint's `dataloader.dp_rank_N` holds it: the pickle of what TorchTitan's data
/// loader says of itself (`StatefulDataLoader.state_dict()`), with our position, which says more, as an
/// entry of its own, "titan_train". Where a rank reads contiguous rows of one source, Python can go on
/// from it; else `dataset_state` is missing and Python refuses it. `batch_rows`: of a microbatch.
std::string write_data_state(const protocols::DataPosition& position, std::int64_t batch_rows);

/// Whose state is read, and what else there is to know.
struct DataStateReader {
  std::int64_t rank = 0;  // of the `ranks` data-parallel ranks that saved
  std::int64_t ranks = 1;
  /// The loader that will go on: translates Python's count of rows into a position.
  protocols::DataLoader& loader;
  /// Marks where documents begin.
  std::optional<std::int64_t> bos_id;
};

/// The position in a state that we or Python's TorchTitan have written. The loader may be back at its
/// start afterwards. Throws RunError when there is none, or none that this data can continue from.
protocols::DataPosition read_data_state(std::string_view pickle, const DataStateReader& reader);

}  // namespace titan::components
