#include "titan/text/data/data_fingerprints.h"

#include "text/data/data_parts.h"
#include "titan/base/errors.h"
#include "titan/base/file_system.h"
#include "titan/text/sources/data_fingerprint.h"
#include "titan/tools/logging.h"

namespace titan::text {
namespace {

std::string fingerprint_of(const DataPart& part, base::FileSystem& files) {
  SourceOptions source;
  source.path = part.path;
  source.name_prefix = part.file_prefix;
  source.format = part.format;
  try {
    return data_fingerprint(files, source);
  } catch (const RunError& error) {
    return concat("not usable (", error.what(), ")");
  }
}

}  // namespace

std::map<std::string, std::string> data_fingerprints(const TextDataOptions& options,
                                                     base::FileSystem& files) {
  const tools::RankLog quiet(0, /*shows_info=*/false);  // the data is opened once more
  std::map<std::string, std::string> fingerprints;
  for (const DataPart& part : find_parts(options, files)) {
    fingerprints[part.path] = fingerprint_of(part, files);
  }
  return fingerprints;
}

}  // namespace titan::text
