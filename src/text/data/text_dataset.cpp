#include "titan/text/data/text_dataset.h"

#include <utility>
#include <vector>

#include "text/data/data_parts.h"
#include "text/data/mixture_loader.h"
#include "text/data/prefetching_loader.h"
#include "titan/base/errors.h"

namespace titan::text {

std::unique_ptr<protocols::DataLoader> build_text_dataloader(const TextDataOptions& options,
                                                             const protocols::Tokenizer& tokenizer,
                                                             base::FileSystem& files) {
  TITAN_CHECK(options.batch_size > 0 && options.seq_len > 0, "a batch holds tokens");
  TITAN_CHECK(options.dp_rank >= 0 && options.dp_rank < options.dp_world_size,
              "a rank is one of its world");
  std::vector<MixedSource> sources;
  std::string name;
  for (const DataPart& part : find_parts(options, files)) {
    DocumentStream stream = open_stream(part, sources.size(), options, files);
    sources.push_back({WindowPacker(std::move(stream), tokenizer), part.weight});
    name += (name.empty() ? "" : ", ") + part.name;
  }
  auto loader =
      std::make_unique<MixtureLoader>(std::move(sources), options.batch_size, options.seq_len);
  if (options.prefetch_batches == 0) return loader;
  return std::make_unique<PrefetchingLoader>(std::move(loader), options.prefetch_batches,
                                             WaitReports{name, options.data.stall_warning_seconds});
}

}  // namespace titan::text
