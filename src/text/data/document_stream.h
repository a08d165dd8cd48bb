#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "text/data/index_permutation.h"
#include "titan/protocols/data_loader.h"
#include "titan/text/sources/document_source.h"

namespace titan::text {

/// How a rank reads a source.
struct StreamOptions {
  /// For messages: the name or path that the user gave.
  std::string name;
  std::int64_t rank = 0;
  std::int64_t ranks = 1;
  /// Begins another pass at the end of the data.
  bool infinite = true;
  /// Reads every pass in an order of its own that follows from this seed. A pass that was begun in
  /// another order is finished in that.
  std::optional<std::uint64_t> shuffle_seed;
  /// Rows that may be skipped because they cannot be read; nothing: not one.
  std::optional<std::int64_t> max_bad_rows;
};

/// The documents that one data-parallel rank reads of a source, pass after pass.
class DocumentStream {
 public:
  /// Opens the source: with the units of a run that is continued, or with its own choice.
  using OpenSource =
      std::function<std::unique_ptr<DocumentSource>(const std::optional<std::string>& units)>;

  /// Throws RunError when there is nothing for this rank to read.
  DocumentStream(OpenSource open_source, StreamOptions options);

  /// The next document. False at the end of a finite stream. Throws RunError: unreadable data, a
  /// bad row too many, a pass in which `useful` was never called.
  bool next(Document& document);
  /// The last document gave tokens: this pass is not in vain.
  void useful() { saw_tokens_ = true; }

  /// The part of the data before the next document, in [0, 1], of an unshuffled pass.
  double fraction_read();
  const StreamOptions& options() const { return options_; }
  /// Without leftover tokens and windows, which are not the stream's.
  protocols::StreamPosition position() const;
  /// Begins anew.
  void restart();
  /// Continues for this rank where `old_ranks` stood, however many they were; hands out this rank's
  /// leftover tokens and windows.
  protocols::StreamPosition restore(const std::vector<protocols::StreamPosition>& old_ranks);
  /// Where a rank stands that has consumed so many documents of an unshuffled pass. Throws RunError
  /// where a unit is not one document.
  protocols::StreamPosition position_after(std::int64_t rank, std::int64_t ranks,
                                           std::int64_t documents);

 private:
  /// The data in units of one kind.
  struct Units {
    std::unique_ptr<DocumentSource> source;
    std::optional<std::int64_t> count;  // where something depends on it
  };

  Units& units_of(const protocols::UnitRange& range);
  void add_units(std::unique_ptr<DocumentSource> source);
  protocols::UnitRange fresh_share(std::int64_t rank, std::int64_t ranks);
  std::int64_t unit_at(const protocols::UnitRange& range);
  std::int64_t count_of(const protocols::UnitRange& range);
  bool open_next_unit();
  bool go_to_document();
  void leave_document(bool ends_unit);
  void leave_unit();
  bool begin_pass();
  void tolerate(const BadRow& error);
  void check(const std::vector<protocols::StreamPosition>& old_ranks) const;
  void report_order() const;

  OpenSource open_source_;
  StreamOptions options_;
  std::map<std::string, Units> units_;
  DocumentSource* source_ = nullptr;  // the one being read
  std::string own_units_;             // in which new passes are dealt
  protocols::UnitRange share_;
  std::vector<protocols::UnitRange> left_;  // the first is being read
  std::int64_t pass_ = 0;
  bool unit_is_open_ = false;
  std::int64_t document_ = 0;  // of the open unit, that the source gives next
  bool saw_tokens_ = false;    // since the pass began or a position was restored
  std::int64_t bad_rows_ = 0;
};

}  // namespace titan::text
