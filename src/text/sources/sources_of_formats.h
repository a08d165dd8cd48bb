#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "text/sources/data_file.h"
#include "text/sources/text_row.h"
#include "titan/text/sources/document_source.h"

namespace titan::text {

// Sources of one format each, of files that are there; a file of its own for each.

/// Files of text, each a document and a unit; long ones come in pieces, in order. Empty files are
/// left out. Throws RunError when all files are empty.
std::unique_ptr<DocumentSource> open_text_files(base::FileSystem& files,
                                                std::vector<DataFile> data);

struct JsonlRowsOptions {
  RowFields fields;
  /// Deals rows to ranks one by one: for files in which a row far behind takes long to find.
  bool is_interleaved = false;
  /// Whether a pass over all files may be taken for the number of rows.
  bool is_counted = true;
};
/// JSONL, a unit being a row.
std::unique_ptr<DocumentSource> open_jsonl_rows(base::FileSystem& files, std::vector<DataFile> data,
                                                JsonlRowsOptions options);

inline constexpr std::uint64_t kJsonlBlock = 256 << 10;
enum class JsonlPart { kFile, kBlock };
/// JSONL, a unit being a file, or the lines that begin in a block of one: in [0, 256 KiB), in
/// [256 KiB, 512 KiB), .... So blocks are counted and found without reading, and no line is in two.
/// Blocks, of `block` bytes, are for files that are not compressed.
std::unique_ptr<DocumentSource> open_jsonl_parts(base::FileSystem& files,
                                                 std::vector<DataFile> data, RowFields fields,
                                                 JsonlPart part, std::uint64_t block = kJsonlBlock);

/// How Parquet is dealt.
struct ParquetUnits {
  bool shuffle = false;
  std::int64_t ranks = 1;
  /// What a unit is to be: "rows", "blocks" of 64 rows of a group, "row groups". Nothing: rows; with
  /// `shuffle` row groups, or blocks or rows where those do not go round.
  std::optional<std::string> units;
};
/// Parquet files. `fields` are the names of columns. Opens files when it comes to them, all of them to
/// count or to choose units to shuffle. Nothing when there are no such units.
std::unique_ptr<DocumentSource> open_parquet_rows(base::FileSystem& files,
                                                  std::vector<DataFile> data,
                                                  const RowFields& fields,
                                                  const ParquetUnits& units);

/// Megatron's pairs of `.bin` and `.idx`, a unit being a document; one of many tokens comes in
/// pieces, one without tokens has none. `data` are the `.bin` files. Throws RunError naming the file
/// when an index is missing or wrong.
std::unique_ptr<DocumentSource> open_megatron_documents(base::FileSystem& files,
                                                        std::vector<DataFile> data);
inline constexpr std::int64_t kMegatronPiece = 256 << 10;  // tokens
/// The name of the index of a `.bin` file.
std::string megatron_index_path(const std::string& bin_path);

/// Files that are one stream of token ids each, a unit being the next `tokens_per_window` of them;
/// the last window of a file may be short. `format` is kLlmC, kU16 or kU32. Throws RunError naming the
/// file whose header or size is wrong.
std::unique_ptr<DocumentSource> open_token_windows(base::FileSystem& files,
                                                   std::vector<DataFile> data,
                                                   config::DataFormat format,
                                                   std::int64_t tokens_per_window);
/// Whether a file begins as those of llm.c do.
bool has_llm_c_header(const base::ReadableFile& file);

}  // namespace titan::text
