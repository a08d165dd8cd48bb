#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "titan/text/sources/document_source.h"

namespace titan::test {

/// Units whose documents are the texts "unit.document", counted or not. The document "bad" is a bad
/// row.
class NumberedSource final : public text::DocumentSource {
 public:
  struct Shape {
    /// Documents of each unit.
    std::vector<int> documents;
    bool is_counted = true;
    bool is_interleaved = false;
    /// {unit, document}
    std::vector<std::pair<std::int64_t, std::int64_t>> bad = {};
    /// Each unit is one document.
    bool are_documents = false;
  };

  explicit NumberedSource(Shape shape) : shape_(std::move(shape)) {}

  std::optional<std::int64_t> unit_count() override {
    if (!shape_.is_counted) return std::nullopt;
    return std::ssize(shape_.documents);
  }
  std::int64_t count_units() override { return std::ssize(shape_.documents); }
  bool unit_is_document() const override { return shape_.are_documents; }
  bool is_interleaved() const override { return shape_.is_interleaved; }
  bool open(std::int64_t unit, std::int64_t skip, std::optional<std::uint64_t>) override {
    unit_ = unit;
    next_ = skip;
    return unit >= 0 && unit < std::ssize(shape_.documents);
  }
  bool next(text::Document& document) override {
    if (next_ >= shape_.documents[static_cast<std::size_t>(unit_)]) return false;
    const auto at = std::pair(unit_, next_++);
    for (const auto& bad : shape_.bad) {
      if (bad == at) throw text::BadRow(concat("row ", unit_, ".", at.second, " is bad"));
    }
    document = {};
    document.text = concat(unit_, ".", at.second);
    return true;
  }
  const char* units() const override { return "things"; }
  std::string description() const override {
    return concat(shape_.documents.size(), " numbered things");
  }

 private:
  Shape shape_;
  std::int64_t unit_ = 0;
  std::int64_t next_ = 0;
};

}  // namespace titan::test
