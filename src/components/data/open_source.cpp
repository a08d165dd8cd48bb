#include <utility>
#include <vector>

#include "components/data/document_source.h"
#include "components/data/text_rows.h"
#include "titan/base/file_system.h"

namespace titan::components {
namespace {

bool is_jsonl(const std::string& name) {
  return name.ends_with(".jsonl") || name.ends_with(".json");
}

std::vector<std::string> find_files(base::FileSystem& files, const SourceOptions& options) {
  const std::string& place = options.path;
  if (!files.exists(place)) throw RunError(concat("no data: '", place, "' does not exist"));
  if (!files.is_directory(place)) {
    if (!is_jsonl(place)) {
      throw RunError(concat("not available in this build yet: data that is not .jsonl or .json ('",
                            place, "')"));
    }
    return {place};
  }
  std::vector<std::string> paths;
  for (const std::string& name : files.list_directory(place)) {
    if (is_jsonl(name) && name.starts_with(options.name_prefix)) {
      paths.push_back(concat(place, "/", name));
    }
  }
  if (paths.empty())
    throw RunError(concat("no data: there is no .jsonl or .json file in '", place, "'"));
  return paths;
}

class RowSource final : public DocumentSource {
 public:
  RowSource(base::FileSystem& files, std::vector<std::string> paths)
      : rows_(files, std::move(paths)) {}

  std::optional<std::int64_t> unit_count() override { return rows_.count(); }
  bool open(std::int64_t unit, std::int64_t skip, std::optional<std::uint64_t>) override {
    rows_.seek(unit);
    is_read_ = skip > 0;
    if (is_read_) return true;
    try {
      return rows_.next(text_);
    } catch (const RunError& error) {
      bad_row_ = error.what();
      return true;
    }
  }
  bool next(Document& document) override {
    if (is_read_) return false;
    is_read_ = true;
    if (!bad_row_.empty()) throw BadRow(std::exchange(bad_row_, ""));
    document = Document();
    document.text.swap(text_);
    return true;
  }
  const char* units() const override { return "rows"; }
  std::string description() const override { return "rows of JSONL"; }

 private:
  TextRows rows_;
  std::string text_;
  std::string bad_row_;
  bool is_read_ = false;
};

}  // namespace

std::unique_ptr<DocumentSource> open_source(base::FileSystem& files, const SourceOptions& options) {
  return std::make_unique<RowSource>(files, find_files(files, options));
}

}  // namespace titan::components
