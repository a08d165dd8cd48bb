// encode_texts FOLDER: encodes texts with the tokenizer in FOLDER, for tests that compare with
// another implementation.
//
// Standard input holds texts, each as a 4-byte little-endian length and that many bytes. Standard
// output gets two lines per text: "ids:" and its ids, with BOS and EOS, each behind a blank; "text:"
// and, in hexadecimal behind a blank, what the ids decode to without special tokens.

#include <cstdint>
#include <cstdio>
#include <exception>
#include <string>
#include <vector>

#include "titan/base/file_system.h"
#include "titan/text/tokenizer/tokenizer.h"

namespace {

bool read_text(std::string& text) {
  unsigned char length[4];
  if (std::fread(length, 1, 4, stdin) != 4) return false;
  text.resize(length[0] | length[1] << 8 | length[2] << 16 | std::size_t{length[3]} << 24);
  return std::fread(text.data(), 1, text.size(), stdin) == text.size();
}

void print(const std::vector<std::int64_t>& ids, const std::string& decoded) {
  std::string line = "ids:";
  for (const std::int64_t id : ids) line += ' ' + std::to_string(id);
  line += "\ntext: ";
  for (const char c : decoded) {
    const auto byte = static_cast<unsigned char>(c);
    line += "0123456789abcdef"[byte >> 4];
    line += "0123456789abcdef"[byte & 15];
  }
  std::puts(line.c_str());
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fputs("usage: encode_texts FOLDER < texts\n", stderr);
    return 2;
  }
  try {
    const auto tokenizer =
        titan::text::build_hf_tokenizer(titan::base::posix_file_system(), argv[1]);
    std::string text;
    while (read_text(text)) {
      const auto ids = tokenizer->encode(text, /*add_bos=*/true, /*add_eos=*/true);
      print(ids, tokenizer->decode(ids, /*skip_special_tokens=*/true));
    }
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
  return 0;
}
