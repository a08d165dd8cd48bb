#include "text/tokenizer/load_sentencepiece.h"

#include <dlfcn.h>

#include "text/tokenizer/sentencepiece_library.h"
#include "titan/base/errors.h"
#include "titan/base/extension.h"

namespace titan::text {
namespace {

MakeSentencePieceFn* load() {
  // Sanitizers allow no library a scope of its own; beside libc10 its flag would then be libc10's.
  if (TITAN_SENTENCEPIECE_SCOPE == 0 && dlsym(RTLD_DEFAULT, "FLAGS_minloglevel") != nullptr) {
    throw RunError(
        "a build with sanitizers reads no SentencePiece model in a program that has "
        "LibTorch");
  }
  return reinterpret_cast<MakeSentencePieceFn*>(base::load_extension({
      .library = "libtitan_sentencepiece.so",
      .function = kMakeSentencePieceName,
      .reads = "SentencePiece models",
      .needs = "libsentencepiece",
      .flags = TITAN_SENTENCEPIECE_SCOPE,
  }));
}

}  // namespace

std::unique_ptr<protocols::Tokenizer> load_sentencepiece(std::string_view model,
                                                         const std::string& path) {
  static MakeSentencePieceFn* const make = load();  // tried again after an exception
  std::unique_ptr<protocols::Tokenizer> made;
  make(model, path, made);
  return made;
}

}  // namespace titan::text
