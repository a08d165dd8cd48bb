#include "text/data/encode_text.h"

#include "titan/protocols/tokenizer.h"

namespace titan::text {

std::vector<std::int64_t> encode_text(const protocols::Tokenizer& tokenizer, std::string_view text,
                                      bool begins, bool ends) {
  std::vector<std::int64_t> ids = tokenizer.encode(text, begins, ends);
  if (!ends && !ids.empty() && ids.back() == tokenizer.eos_id()) ids.pop_back();
  if (!begins && !ids.empty() && ids.front() == tokenizer.bos_id()) ids.erase(ids.begin());
  return ids;
}

}  // namespace titan::text
