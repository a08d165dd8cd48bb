#include "titan/config/data.h"

#include "config/describer.h"

namespace titan::config {

void Data::describe(Describer<Data>& option) {
  option(
      "format", &Data::format,
      "How the data is stored. auto goes by the names: .jsonl, .json and .txt (a document per "
      "file), each also as .gz or .zst; .parquet; .bin with an .idx beside it (Megatron) or with "
      "llm.c's header; .u16 and .u32 (bare little-endian token ids).");
  option("text_field", &Data::text_field, "Name of the text in a JSON object or Parquet table.");
  option("prompt_field", &Data::prompt_field,
         "Name of a prompt that goes before the response and is not trained on; rows then have no "
         "text.")
      .must([](const std::string& name) { return !name.empty(); }, "a name");
  option("response_field", &Data::response_field, "Name of the response, with prompt_field.");
  option("shuffle", &Data::shuffle,
         "Read the training data of every pass in an order that follows from debug.seed (0 when "
         "unset).");
  option("document_mask", &Data::document_mask,
         "Let tokens attend within their own document only. Needs a flavor with flex or varlen "
         "attention.");
  option("on_bad_row", &Data::on_bad_row,
         "What to do with a row that cannot be read: stop the run, or report and skip it.");
  option("max_bad_rows", &Data::max_bad_rows,
         "With on_bad_row = \"skip\": more than this in one pass over the data stop the run.")
      .at_least(0);
  option("stall_warning_seconds", &Data::stall_warning_seconds,
         "Report that training waits for data when a batch takes longer than this.")
      .greater_than(0);
  option(
      "mixture", &Data::mixture,
      "Array of tables, instead of training.dataset_path: `path`, `weight` (share of the tokens, "
      "default 1) and `format` (default data.format) of each source of training data.")
      .only_in_toml();
}

}  // namespace titan::config
