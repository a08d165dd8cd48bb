#include "titan/tools/error_file.h"

#include <chrono>
#include <exception>
#include <optional>

#include "titan/base/errors.h"
#include "titan/base/file_system.h"

namespace titan::tools {
namespace {

/// A JSON string; bytes beyond ASCII pass, so the text should be UTF-8.
std::string quoted(const std::string& text) {
  std::string result = "\"";
  for (const char letter : text) {
    if (letter == '"' || letter == '\\') {
      result += '\\';
      result += letter;
    } else if (letter == '\n') {
      result += "\\n";
    } else if (static_cast<unsigned char>(letter) < ' ') {
      result += ' ';
    } else {
      result += letter;
    }
  }
  return result + "\"";
}

}  // namespace

void leave_error_file(const std::string& message, const EnvironmentLookup& lookup) noexcept {
  try {
    const std::optional<std::string> path = lookup("TORCHELASTIC_ERROR_FILE");
    if (!path || path->empty()) return;
    base::FileSystem& files = base::posix_file_system();
    if (files.exists(*path)) return;  // what came first is the cause
    const auto now = std::chrono::system_clock::now().time_since_epoch();
    const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(now).count();
    // As torch.distributed.elastic.multiprocessing.errors of PyTorch 2.11 reads it.
    base::write_file_atomically(
        files, *path,
        concat(R"({"message": )", quoted(message), R"(, "timestamp": )", seconds, "}\n"));
  } catch (const std::exception&) {
  }
}

}  // namespace titan::tools
