#include "text/data/document_stream.h"

#include <algorithm>
#include <bit>
#include <utility>

#include "text/data/resharding.h"
#include "titan/base/mix_bits.h"
#include "titan/tools/logging.h"

namespace titan::text {

using protocols::StreamPosition;
using protocols::UnitRange;

namespace {

std::uint64_t seed_of_pass(std::uint64_t seed, std::int64_t pass) {
  return base::mix_bits(seed + base::mix_bits(static_cast<std::uint64_t>(pass)));
}

/// Positions come from files. Numbers are far from what arithmetic could not hold.
bool is_sound(const StreamPosition& position) {
  constexpr std::int64_t kMost = std::int64_t{1} << 48;
  constexpr std::int64_t kLongestStep = std::int64_t{1} << 40;
  constexpr std::int64_t kMostRanks = 1 << 20;
  const auto lies = [](std::int64_t number, std::int64_t least, std::int64_t most) {
    return number >= least && number <= most;
  };
  const auto range_is_sound = [&](const UnitRange& range) {
    return lies(range.pass, 0, position.pass) && lies(range.begin, 0, kMost) &&
           lies(range.end, -1, kMost) && lies(range.step, 1, kLongestStep) &&
           lies(range.skip, 0, kMost) && lies(range.stride, 0, kLongestStep) &&
           lies(range.stop, -1, kMost);
  };
  const auto is_one_unit = [](const UnitRange& range) {
    return range.stride == 0 || range.end == range.begin + 1 || range.end == range.begin;
  };
  // Shared are fewer units than there are ranks.
  const UnitRange& share = position.share;
  return lies(position.pass, 0, kMost) && range_is_sound(share) &&
         (share.stride == 0 ||
          (share.end - share.begin < share.stride && share.stride <= kMostRanks)) &&
         std::ranges::all_of(position.left, range_is_sound) &&
         std::ranges::all_of(position.left, is_one_unit);
}

}  // namespace

DocumentStream::DocumentStream(OpenSource open_source, StreamOptions options)
    : open_source_(std::move(open_source)), options_(std::move(options)) {
  auto source = open_source_(std::nullopt);
  own_units_ = source->units();
  add_units(std::move(source));
  share_ = fresh_share(options_.rank, options_.ranks);
  left_ = ranges_of(share_, pass_);
  source_ = units_of(share_).source.get();
  if (share_.end >= 0 && share_.begin >= share_.end) {
    throw RunError(concat("no data for data-parallel rank ", options_.rank, " of ", options_.ranks,
                          ": ", options_.name, " has ", *units_of(share_).count, " ", own_units_));
  }
}

/// Units are counted only where something cannot be said without.
void DocumentStream::add_units(std::unique_ptr<DocumentSource> source) {
  Units units;
  if (options_.shuffle_seed || (options_.ranks > 1 && !source->is_interleaved())) {
    units.count = source->unit_count();
    TITAN_CHECK(units.count, "a source that cannot be counted is interleaved and not shuffled");
  }
  const std::string name = source->units();
  units.source = std::move(source);
  units_.emplace(name, std::move(units));
}

/// A run that is continued may have dealt the data in other units than this one would.
DocumentStream::Units& DocumentStream::units_of(const UnitRange& range) {
  if (!units_.contains(range.units)) add_units(open_source_(range.units));
  return units_.at(range.units);
}

/// What a rank reads in a whole pass.
UnitRange DocumentStream::fresh_share(std::int64_t rank, std::int64_t ranks) {
  const Units& units = units_.at(own_units_);
  UnitRange share;
  share.units = own_units_;
  share.order = protocols::PassOrder{options_.shuffle_seed};
  if (units.count && *units.count < ranks && !units.source->unit_is_document()) {
    // Too few to go round: every rank reads all of them, and every n-th document.
    share.end = *units.count;
    share.skip = rank;
    share.stride = ranks;
  } else if (units.source->is_interleaved()) {
    share.begin = rank;
    share.step = ranks;
    share.end = units.count.value_or(-1);
  } else if (units.count) {
    // The first ranks get one more where the units do not divide evenly.
    const std::int64_t each = *units.count / ranks;
    const std::int64_t rest = *units.count % ranks;
    share.begin = each * rank + std::min(rank, rest);
    share.end = share.begin + each + (rank < rest ? 1 : 0);
  }
  return share;
}

bool DocumentStream::next(Document& document) {
  for (;;) {
    if (!unit_is_open_ && !open_next_unit()) {
      if (begin_pass()) continue;
      return false;
    }
    try {
      if (go_to_document() && source_->next(document)) {
        leave_document(document.ends);
        return true;
      }
      leave_unit();
    } catch (const BadRow& error) {
      leave_document(/*ends_unit=*/true);
      tolerate(error);
    }
  }
}

/// False when the pass is over.
bool DocumentStream::open_next_unit() {
  while (!left_.empty()) {
    const UnitRange& range = left_.front();
    const bool is_inside = range.end < 0 || range.begin < range.end;
    if (is_inside) {
      source_ = units_of(range).source.get();
      // Where documents are shared, nobody knows whether there are as many as have been skipped.
      document_ = range.stride > 0 ? 0 : range.skip;
      std::optional<std::uint64_t> seed = range.order->seed;
      if (seed) seed = seed_of_pass(*seed, range.pass);
      unit_is_open_ = source_->open(unit_at(range), document_, seed);
      if (unit_is_open_) return true;
      // Those that are dealt uncounted may have been dealt beyond the end.
      if (range.end >= 0 && !source_->is_interleaved()) {
        throw RunError(concat(options_.name, " has become shorter: of its ", range.units,
                              " number ", unit_at(range), " is gone"));
      }
    }
    left_.erase(left_.begin());
  }
  return false;
}

/// False at the end of what is to be read of the unit.
bool DocumentStream::go_to_document() {
  const UnitRange& range = left_.front();
  if (range.stride == 0) return true;
  if (range.stop >= 0 && range.skip >= range.stop) return false;
  const std::int64_t between = range.skip - document_;
  document_ = range.skip;
  return source_->pass_over(between) == between;
}

/// A unit that is one document is left with its last piece, so that no position stands in it.
void DocumentStream::leave_document(bool ends_unit) {
  ++document_;
  left_.front().skip += std::max<std::int64_t>(left_.front().stride, 1);
  if (ends_unit && source_->unit_is_document()) leave_unit();
}

void DocumentStream::leave_unit() {
  UnitRange& range = left_.front();
  unit_is_open_ = false;
  range.begin += range.step;
  range.skip = 0;
}

/// False when the stream is finite.
bool DocumentStream::begin_pass() {
  if (!options_.infinite) return false;
  if (!saw_tokens_) {
    throw RunError(concat("the data set ", options_.name, " has no tokens for data-parallel rank ",
                          options_.rank,
                          ": every text in it is empty for this tokenizer, or was skipped as bad"));
  }
  saw_tokens_ = false;
  bad_rows_ = 0;
  ++pass_;
  left_ = ranges_of(share_, pass_);
  // A small set passes by often: said after the 1st, 2nd, 4th, 8th, ... pass.
  if (std::has_single_bit(static_cast<std::uint64_t>(pass_))) {
    tools::log_warning("Dataset ", options_.name, " is being re-looped (passes so far: ", pass_,
                       ")");
  }
  return true;
}

std::int64_t DocumentStream::count_of(const UnitRange& range) {
  Units& units = units_of(range);
  if (!units.count) units.count = units.source->count_units();
  return *units.count;
}

std::int64_t DocumentStream::unit_at(const UnitRange& range) {
  const std::optional<std::uint64_t> seed = range.order->seed;
  if (!seed) return range.begin;
  const std::int64_t count = count_of(range);
  if (range.begin >= count) return range.begin;
  return IndexPermutation(count, seed_of_pass(*seed, range.pass))(range.begin);
}

void DocumentStream::tolerate(const BadRow& error) {
  ++bad_rows_;
  if (!options_.max_bad_rows) {
    throw RunError(concat(error.what(),
                          ". To skip such rows: data.on_bad_row = \"skip\"; up to "
                          "data.max_bad_rows of them."));
  }
  if (bad_rows_ > *options_.max_bad_rows) {
    throw RunError(concat(error.what(), ". That is bad row number ", bad_rows_,
                          " of this pass, and data.max_bad_rows is ", *options_.max_bad_rows, "."));
  }
  tools::log_warning("Skipped a bad row (", bad_rows_, " so far): ", error.what());
}

double DocumentStream::fraction_read() {
  if (left_.empty()) return 1;
  if (const auto fraction = source_->fraction_read()) return *fraction;
  const double count = static_cast<double>(source_->unit_count().value_or(1));
  return std::min(static_cast<double>(left_.front().begin) / count, 1.0);
}

StreamPosition DocumentStream::position() const {
  StreamPosition position;
  position.data = source_->description();
  position.pass = pass_;
  position.share = share_;
  position.left = left_;
  return position;
}

void DocumentStream::restart() {
  pass_ = 0;
  left_ = ranges_of(share_, pass_);
  unit_is_open_ = false;
  saw_tokens_ = false;
}

StreamPosition DocumentStream::position_after(std::int64_t rank, std::int64_t ranks,
                                              std::int64_t documents) {
  Units& units = units_.at(own_units_);
  if (ranks > 1 && !units.count) units.count = units.source->unit_count();
  StreamPosition position;
  position.data = source_->description();
  position.share = fresh_share(rank, ranks);
  const UnitRange& share = position.share;
  if (own_units_ != "rows" || share.step != 1 || options_.shuffle_seed) {
    throw RunError(concat(options_.name, " is read in ", options_.shuffle_seed ? "shuffled " : "",
                          share.step == 1 ? "" : "interleaved ", own_units_,
                          ": a number of documents says no place in it"));
  }
  if (documents < 0 || (share.end >= 0 && documents > share.end - share.begin)) {
    throw RunError(concat("rank ", rank, " of ", ranks, " cannot have read ", documents, " ",
                          own_units_, " of ", options_.name));
  }
  position.left = {share};
  position.left.front().begin += documents;
  return position;
}

void DocumentStream::check(const std::vector<StreamPosition>& old_ranks) const {
  constexpr std::int64_t kMostPassesApart = 1 << 20;
  const std::string data = source_->description();
  const auto [least, most] = std::ranges::minmax(old_ranks, {}, &StreamPosition::pass);
  for (const StreamPosition& rank : old_ranks) {
    if (rank.data != data) {
      throw RunError(concat("cannot continue in ", options_.name, ": the data was ", rank.data,
                            " and is ", data, " now"));
    }
    if (!is_sound(rank) || most.pass - least.pass > kMostPassesApart) {
      throw RunError(concat("damaged position in ", options_.name));
    }
  }
}

StreamPosition DocumentStream::restore(const std::vector<StreamPosition>& old_ranks) {
  TITAN_CHECK(!old_ranks.empty(), "a run has ranks");
  check(old_ranks);
  std::vector<StreamPosition> ranks = old_ranks;
  for (StreamPosition& rank : ranks) {
    const auto give_order = [&](UnitRange& range) {
      if (!range.order) range.order = share_.order;
    };
    give_order(rank.share);
    std::ranges::for_each(rank.left, give_order);
  }
  const auto rank = static_cast<std::size_t>(options_.rank);
  StreamPosition mine;
  if (std::ssize(ranks) == options_.ranks) {
    mine = ranks[rank];
    // Passes that others have begun are finished as they were dealt then.
    if (mine.share != share_) {
      const std::int64_t last = std::ranges::max(ranks, {}, &StreamPosition::pass).pass;
      mine.left = left_until(mine, last);
      mine.pass = last;
    }
  } else {
    const auto count = [this](const std::string& units, bool at_any_cost) {
      UnitRange range;
      range.units = units;
      return at_any_cost ? count_of(range) : units_of(range).source->unit_count();
    };
    const auto is_document = [this](const std::string& units) {
      UnitRange range;
      range.units = units;
      return units_of(range).source->unit_is_document();
    };
    mine = reshard(ranks, options_.ranks, {count, is_document})[rank];
  }
  left_ = mine.left;
  pass_ = mine.pass;
  unit_is_open_ = false;
  saw_tokens_ = true;  // a part of the pass is not here to be judged
  report_order();
  return mine;
}

void DocumentStream::report_order() const {
  const auto other = std::ranges::find_if(
      left_, [&](const UnitRange& range) { return range.order != share_.order; });
  if (other == left_.end()) return;
  tools::log_warning(
      "Dataset ", options_.name, ": data.shuffle or debug.seed is not that of the ",
      "run that is continued. Pass ", pass_ + 1,
      " is finished in the order that it was begun in; the next one has the new one");
}

}  // namespace titan::text
