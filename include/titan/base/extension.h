#pragma once

namespace titan::base {

/// A reader of files that only some runs need: a shared library beside the program.
struct Extension {
  const char* library;   // its file name
  const char* function;  // the `extern "C"` function it is entered through
  const char* reads;     // in messages: the kind of file
  const char* needs;     // in messages: the third-party library it is built with
  int flags = 0;         // of dlopen, beside RTLD_NOW and RTLD_LOCAL
};

/// Loads the library and gives the address of its function. Throws RunError where this build has no
/// such library, or it cannot be loaded.
void* load_extension(const Extension& extension);

}  // namespace titan::base
