#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "titan/base/errors.h"
#include "titan/config/data.h"
#include "titan/text/sources/document.h"

namespace titan::base {
class FileSystem;
}

namespace titan::text {

/// A row that cannot be used; the rows behind it can. "path:line: what is wrong".
class BadRow : public RunError {
 public:
  using RunError::RunError;
};

/// Documents in numbered units, each of which can be opened by its number: a row, a block of rows,
/// a file, a row group, a document, a window of tokens. Units are what is dealt to ranks, shuffled
/// and counted. One thread.
class DocumentSource {
 public:
  virtual ~DocumentSource() = default;

  /// How many units there are; nothing when only reading all the data would tell. May take a pass
  /// over the files the first time.
  virtual std::optional<std::int64_t> unit_count() = 0;
  /// The same, whatever it takes. What was open is so no more.
  virtual std::int64_t count_units();
  /// Whether a unit is one document, which may come in pieces; else ranks may share its documents.
  virtual bool unit_is_document() const = 0;
  /// Whether rank r of n reads the units r, r + n, ...; else a contiguous share.
  virtual bool is_interleaved() const { return false; }
  /// Goes to document `skip` of `unit`, both counted from 0, bad rows included; `skip` may be the
  /// unit's end. With an
  /// `order_seed` the documents of the unit come in an order that follows from it and the unit
  /// alone. False when there is no such unit. Throws RunError when the data cannot be read.
  virtual bool open(std::int64_t unit, std::int64_t skip,
                    std::optional<std::uint64_t> order_seed) = 0;
  /// The next document of the open unit; false at the unit's end. Throws BadRow for a document that
  /// cannot be used; the next call goes on behind it.
  virtual bool next(Document& document) = 0;
  /// Goes past so many documents of the open unit, bad rows included. Returns how many there were.
  virtual std::int64_t pass_over(std::int64_t documents);
  /// The part of the data that lies before what `next` reads next, in [0, 1], where the number of
  /// units is not known without effort and so does not tell.
  virtual std::optional<double> fraction_read() const { return std::nullopt; }
  /// What a unit is: "rows", "blocks", "files", "row groups", "documents", "windows".
  virtual const char* units() const = 0;
  /// Says which data this is (files, sizes), whatever the units: a position in it is good for data
  /// of the same description only.
  virtual std::string description() const = 0;
};

/// Where the documents are and how to read them.
struct SourceOptions {
  /// A file, or a folder. Its files of a known format are read in order of their names, then those of
  /// its folders, in order of theirs.
  std::string path;
  /// Only files of the folder whose names begin with this.
  std::string name_prefix;
  config::DataFormat format = config::DataFormat::kAuto;
  std::string text_field = "text";
  /// When set, rows are prompts and responses.
  std::optional<std::string> prompt_field;
  std::string response_field = "response";
  /// Whether a first row of a file that cannot be used is an error at once.
  bool check_first_rows = false;
  /// The windows that a file of bare tokens is read in.
  std::int64_t tokens_per_window = 2049;
  /// Whether the units will be opened in random order: what is then a unit may differ.
  bool shuffle = false;
  /// Data-parallel ranks that the units will be dealt to, and which of them this is: each looks at
  /// its share of many files before it begins.
  std::int64_t ranks = 1;
  std::int64_t rank = 0;
  /// What a unit is to be, where a run is continued; nothing: the source chooses.
  std::optional<std::string> units;
};

/// Opens what `options` describe. `files` must outlive the source.
///
/// Plain JSONL: a unit is a row; shuffled, and with more than 8 MiB for every rank, a block of 256
/// KiB of a file, whose rows are shuffled, too. Compressed JSONL: a unit is a file when `ranks` divides the number of files (or with
/// shuffle), else a row, interleaved. Text: a file. Parquet: a row; shuffled, a row group, or a block
/// of 64 rows or a row where there are fewer row groups than ranks. Megatron: a document. Bare tokens:
/// a window.
///
/// Throws RunError naming the file when there is no usable data, ConfigError for options that do
/// not go together.
std::unique_ptr<DocumentSource> open_source(base::FileSystem& files, const SourceOptions& options);

}  // namespace titan::text
