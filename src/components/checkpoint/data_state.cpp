#include "titan/components/checkpoint/data_state.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

#include "titan/base/errors.h"
#include "titan/formats/pickle/pickle.h"
#include "titan/protocols/position_json.h"

namespace titan::components {
namespace {

using formats::PickleValue;

using Json = nlohmann::ordered_json;
using protocols::DataPosition;
using protocols::StreamPosition;
using protocols::UnitRange;
using Pairs = std::vector<std::pair<PickleValue, PickleValue>>;

constexpr const char* kOurs = "titan_train";
constexpr std::int64_t kIdBits = (std::int64_t{1} << 32) - 1;
/// What pickle.dumps writes.
constexpr int kProtocol = 4;

PickleValue dict(std::initializer_list<std::pair<const char*, PickleValue>> items) {
  Pairs pairs;
  for (const auto& [key, value] : items) pairs.emplace_back(PickleValue::text(key), value);
  return PickleValue::dict(std::move(pairs));
}

/// Rows of its share that a rank has read in this pass, where that says all.
std::optional<std::int64_t> rows_read(const StreamPosition& position) {
  const UnitRange& share = position.share;
  if (share.units != "rows" || share.step != 1) return std::nullopt;
  if (position.left.empty()) {
    if (share.end < 0) return std::nullopt;
    return share.end - share.begin;
  }
  const UnitRange& left = position.left.front();
  if (position.left.size() > 1 || left.units != share.units || left.step != 1 ||
      left.end != share.end || left.pass != position.pass || left.begin < share.begin) {
    return std::nullopt;
  }
  return left.begin - share.begin + left.skip;
}

/// The state of HuggingFaceTextDataset, or None.
PickleValue dataset_state(const DataPosition& position) {
  if (position.streams.size() != 1) return {};
  const StreamPosition& stream = position.streams.front();
  const std::optional<std::int64_t> rows = rows_read(stream);
  if (!rows) return {};
  std::vector<PickleValue> tokens;
  tokens.reserve(stream.leftover_tokens.size());
  for (const std::int64_t token : stream.leftover_tokens) {
    tokens.push_back(PickleValue::integer(token & kIdBits));
  }
  return dict({{"token_buffer", PickleValue::list(std::move(tokens))},
               {"sample_idx", PickleValue::integer(*rows)}});
}

std::string text_of(const DataPosition& position) {
  Json streams = Json::array();
  for (const StreamPosition& stream : position.streams) streams.push_back(to_json(stream));
  return streams.dump();
}

DataPosition position_from(const std::string& text) {
  DataPosition position;
  try {
    for (const Json& stream : Json::parse(text)) {
      position.streams.push_back(protocols::position_from_json(stream));
    }
  } catch (const Json::exception& error) {
    throw RunError(concat("damaged data position: ", error.what()));
  }
  return position;
}

std::int64_t integer_in(const PickleValue& state, const char* key) {
  const PickleValue* value = state.find(key);
  const auto* integer = value == nullptr ? nullptr : value->get_if<std::int64_t>();
  if (integer == nullptr) {
    throw RunError(concat("the data position holds no integer '", key,
                          "': it is that of a data set that is streamed, or no data set's"));
  }
  return *integer;
}

/// Rows that the loader has handed out; 0 where it does not say.
std::int64_t rows_made(const PickleValue& state) {
  const PickleValue* sampler = state.find("_sampler_iter_state");
  const PickleValue* rows = sampler == nullptr ? nullptr : sampler->find("samples_yielded");
  const auto* count = rows == nullptr ? nullptr : rows->get_if<std::int64_t>();
  return count == nullptr ? 0 : std::max<std::int64_t>(*count, 0);
}

/// Continues where HuggingFaceTextDataset stood.
DataPosition position_from_python(const PickleValue& state, std::int64_t rows,
                                  const DataStateReader& reader) {
  const PickleValue* buffer = state.find("token_buffer");
  const auto* tokens = buffer == nullptr ? nullptr : buffer->get_if<formats::PickleList>();
  if (tokens == nullptr) throw RunError("the data position holds no list 'token_buffer'");
  DataPosition position =
      reader.loader.position_after(reader.rank, reader.ranks, integer_in(state, "sample_idx"));
  TITAN_CHECK(position.streams.size() == 1, "documents are counted in one stream");
  StreamPosition& stream = position.streams.front();
  stream.windows = rows;
  std::vector<std::int64_t> leftover;
  for (const PickleValue& item : tokens->items) {
    const auto* id = item.get_if<std::int64_t>();
    if (id == nullptr || *id < 0 || *id > kIdBits) {
      throw RunError("the data position's 'token_buffer' holds what is no token id");
    }
    leftover.push_back(*id | (*id == reader.bos_id ? protocols::kDocumentStart : 0));
  }
  stream.leftover_tokens = std::move(leftover);
  return position;
}

}  // namespace

std::string write_data_state(const DataPosition& position, std::int64_t batch_rows) {
  std::int64_t rows = 0;
  for (const StreamPosition& stream : position.streams) rows += stream.windows;
  const PickleValue batches = PickleValue::integer(rows / batch_rows);
  return formats::write_pickle(
      dict({{"_index_sampler_state", {}},
            {"_sampler_iter_state", dict({{"samples_yielded", PickleValue::integer(rows)}})},
            {"_sampler_iter_yielded", batches},
            {"_num_yielded", batches},
            {"_IterableDataset_len_called", {}},
            {"_shared_seed", {}},
            {"fetcher_state",
             dict({{"dataset_iter_state", {}}, {"fetcher_ended", PickleValue::boolean(false)}})},
            {"dataset_state", dataset_state(position)},
            {"_iterator_finished", PickleValue::boolean(false)},
            {kOurs, PickleValue::text(text_of(position))}}),
      kProtocol);
}

DataPosition read_data_state(std::string_view pickle, const DataStateReader& reader) {
  const PickleValue state = formats::read_pickle(pickle);
  if (const PickleValue* ours = state.find(kOurs)) {
    const auto* text = ours->get_if<std::string>();
    if (text == nullptr) throw RunError("damaged data position: it is no text");
    return position_from(*text);
  }
  const PickleValue* dataset = state.find("dataset_state");
  if (dataset == nullptr || dataset->is_none()) {
    throw RunError("the data position says nothing of the data set");
  }
  return position_from_python(*dataset, rows_made(state), reader);
}

}  // namespace titan::components
