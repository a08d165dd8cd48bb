#include "titan/base/errors.h"
#include "titan/components/checkpoint/data_state.h"
#include "titan/components/checkpoint/stateful.h"

namespace titan::components {
namespace {

using formats::PickleValue;

/// More data-parallel ranks than anybody has; a number beyond is damage.
constexpr std::int64_t kMostRanks = 1'000'000;

class DataloaderState : public Stateful {
 public:
  explicit DataloaderState(DataReader reader) : reader_(reader) {}

  std::string name() const override { return "dataloader"; }

  void add_to(FlatState& state) override {
    state.objects.push_back(
        {{"dataloader", key_of(reader_.rank)},
         PickleValue::bytes(write_data_state(reader_.loader.position(), reader_.batch_rows))});
    state.objects.push_back({{"dataloader", "world_size"}, PickleValue::integer(reader_.ranks)});
  }

  void restore(const DcpCheckpoint& checkpoint) override try {
    const PickleValue saved_ranks = checkpoint.object("dataloader.world_size");
    const auto* ranks = saved_ranks.get_if<std::int64_t>();
    if (ranks == nullptr || *ranks < 1 || *ranks > kMostRanks) {
      throw RunError("dataloader.world_size is no number of ranks");
    }
    std::vector<protocols::DataPosition> positions;
    for (std::int64_t rank = 0; rank < *ranks; ++rank) {
      const PickleValue value = checkpoint.object("dataloader." + key_of(rank));
      const auto* bytes = value.get_if<formats::PickleBytes>();
      if (bytes == nullptr) throw RunError(concat("dataloader.", key_of(rank), " holds no bytes"));
      positions.push_back(
          read_data_state(bytes->bytes, {rank, *ranks, reader_.loader, reader_.bos_id}));
    }
    reader_.loader.restore(positions);
  } catch (const RunError& error) {
    throw RunError(concat("'", checkpoint.folder(), "': ", error.what(),
                          ". To begin the data anew: checkpoint.exclude_from_loading = "
                          "[\"dataloader\"]."));
  }

 private:
  static std::string key_of(std::int64_t rank) { return "dp_rank_" + std::to_string(rank); }

  DataReader reader_;
};

}  // namespace

std::unique_ptr<Stateful> dataloader_state(DataReader reader) {
  return std::make_unique<DataloaderState>(reader);
}

}  // namespace titan::components
