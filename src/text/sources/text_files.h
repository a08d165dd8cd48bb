#pragma once

#include <optional>
#include <string>
#include <vector>

#include "text/sources/data_file.h"
#include "text/sources/text_pieces.h"
#include "titan/text/sources/document_source.h"

namespace titan::text {

/// Files of text, each a document and a unit; long ones come in pieces, in order. Empty files are
/// left out.
class TextFiles final : public DocumentSource {
 public:
  /// Throws RunError when all files are empty.
  TextFiles(base::FileSystem& files, std::vector<DataFile> data);

  std::optional<std::int64_t> unit_count() override { return std::ssize(data_); }
  bool open(std::int64_t unit, std::int64_t skip, std::optional<std::uint64_t> order_seed) override;
  bool next(Document& document) override { return pieces_ && pieces_->next(document); }
  const char* units() const override { return "files"; }
  std::string description() const override;

 private:
  base::FileSystem& files_;
  std::vector<DataFile> data_;
  std::optional<TextPieces> pieces_;
};

}  // namespace titan::text
