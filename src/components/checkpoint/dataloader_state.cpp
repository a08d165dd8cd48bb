#include "titan/base/errors.h"
#include "titan/components/checkpoint/data_state.h"
#include "titan/components/checkpoint/stateful.h"
#include "titan/tools/logging.h"

namespace titan::components {
namespace {

using formats::PickleValue;

/// More data-parallel ranks than anybody has; a number beyond is damage.
constexpr std::int64_t kMostRanks = 1'000'000;

std::string key_of(std::int64_t rank) { return "dp_rank_" + std::to_string(rank); }

/// "<part>.dp_rank_N" and "<part>.world_size".
void add_position(FlatState& state, const std::string& part, const DataReader& reader,
                  const protocols::DataPosition& position) {
  state.objects.push_back({{part, key_of(reader.rank)},
                           PickleValue::bytes(write_data_state(position, reader.batch_rows))});
  state.objects.push_back({{part, "world_size"}, PickleValue::integer(reader.ranks)});
}

void restore_loader(const DcpCheckpoint& checkpoint, const std::string& part,
                    const DataReader& reader) {
  const PickleValue saved_ranks = checkpoint.object(part + ".world_size");
  const auto* ranks = saved_ranks.get_if<std::int64_t>();
  if (ranks == nullptr || *ranks < 1 || *ranks > kMostRanks) {
    throw RunError(concat(part, ".world_size is no number of ranks"));
  }
  std::vector<protocols::DataPosition> positions;
  for (std::int64_t rank = 0; rank < *ranks; ++rank) {
    const std::string key = concat(part, ".", key_of(rank));
    const PickleValue value = checkpoint.object(key);
    const auto* bytes = value.get_if<formats::PickleBytes>();
    if (bytes == nullptr) throw RunError(concat(key, " holds no bytes"));
    positions.push_back(
        read_data_state(bytes->bytes, {rank, *ranks, reader.loader, reader.bos_id}));
  }
  reader.loader.restore(positions);
}

class DataloaderState : public Stateful {
 public:
  explicit DataloaderState(DataReader reader) : reader_(reader) {}

  std::string name() const override { return "dataloader"; }

  void add_to(FlatState& state) override {
    add_position(state, name(), reader_, reader_.loader.position());
  }

  void restore(const DcpCheckpoint& checkpoint) override try {
    restore_loader(checkpoint, name(), reader_);
  } catch (const RunError& error) {
    throw RunError(concat("'", checkpoint.folder(), "': ", error.what(),
                          ". To begin the data anew: checkpoint.exclude_from_loading = "
                          "[\"dataloader\"]."));
  }

 private:
  DataReader reader_;
};

class ValidationState : public Stateful {
 public:
  ValidationState(DataReader reader, ValidationProgress& progress)
      : reader_(reader), progress_(progress) {}

  std::string name() const override { return "validation"; }

  void add_to(FlatState& state) override {
    add_position(state, name(), reader_, progress_.position);
    state.objects.push_back({{"validation", "step"}, PickleValue::integer(progress_.step)});
  }

  /// Other data to validate on, or none before, is no reason not to train.
  void restore(const DcpCheckpoint& checkpoint) override try {
    if (checkpoint.find("validation.world_size") == nullptr) return;
    const PickleValue step = checkpoint.object("validation.step");
    const auto* number = step.get_if<std::int64_t>();
    if (number == nullptr) throw RunError("validation.step is no number");
    restore_loader(checkpoint, name(), reader_);
    progress_ = {reader_.loader.position(), *number, /*restored=*/true};
  } catch (const RunError& error) {
    reader_.loader.restart();
    tools::log_warning("Validation begins at the start of its data: '", checkpoint.folder(),
                       "': ", error.what());
  }

 private:
  DataReader reader_;
  ValidationProgress& progress_;
};

}  // namespace

std::unique_ptr<Stateful> dataloader_state(DataReader reader) {
  return std::make_unique<DataloaderState>(reader);
}

std::unique_ptr<Stateful> validation_state(DataReader reader, ValidationProgress& progress) {
  return std::make_unique<ValidationState>(reader, progress);
}

}  // namespace titan::components
