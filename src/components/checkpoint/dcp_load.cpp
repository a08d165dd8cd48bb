#include "titan/components/checkpoint/dcp_load.h"

#include <c10/core/GradMode.h>

#include <algorithm>
#include <atomic>
#include <exception>
#include <functional>
#include <mutex>
#include <string_view>
#include <thread>
#include <unordered_map>
#include <utility>

#include "components/checkpoint/checkpoint_folder.h"
#include "components/checkpoint/read_plan.h"
#include "components/checkpoint/storage_checks.h"
#include "titan/components/checkpoint/stored_box.h"
#include "titan/base/errors.h"
#include "titan/base/file_system.h"
#include "titan/components/checkpoint/rank_meeting.h"
#include "titan/formats/torch_archive/torch_archive.h"

namespace titan::components {
namespace {

using formats::DcpEntry;
using formats::DcpMetadata;
using formats::DcpPlace;
using formats::PickleValue;
using formats::StoredTensor;
using formats::TorchArchive;

constexpr std::uint64_t kMostMetadata = std::uint64_t{1} << 31;
constexpr std::int64_t kTaskBytes = 32 << 20;
constexpr unsigned kMostThreads = 8;

/// The file that a thread is reading. Each has its own: the kernel reads ahead for one reader of an open
/// file, not for several.
class CurrentFile {
 public:
  CurrentFile(base::FileSystem& files, const std::string& folder)
      : files_(files), folder_(folder) {}

  const base::ReadableFile& open(const std::string& name) {
    if (!file_ || name != name_) {
      file_ = files_.open_for_reading(concat(folder_, "/", name));
      name_ = name;
    }
    return *file_;
  }

 private:
  base::FileSystem& files_;
  const std::string& folder_;
  std::string name_;
  std::unique_ptr<base::ReadableFile> file_;
};

/// Runs `worker` in several threads; each takes numbers below `count` from `next` until there are none.
/// Throws what the first that failed threw, once all have ended.
using NextNumber = std::function<bool(std::size_t& number)>;
void run_in_threads(std::size_t count, const std::function<void(const NextNumber& next)>& worker) {
  std::atomic<std::size_t> taken = 0;
  std::atomic<bool> failed = false;
  std::once_flag first;
  std::exception_ptr error;
  const NextNumber next = [&](std::size_t& number) {
    number = taken++;
    return number < count && !failed;
  };
  const auto run = [&] {
    const c10::NoGradGuard no_grad;
    try {
      worker(next);
    } catch (...) {
      failed = true;
      std::call_once(first, [&] { error = std::current_exception(); });
    }
  };
  const std::size_t threads = std::min<std::size_t>(
      count, std::clamp(std::thread::hardware_concurrency(), 1U, kMostThreads));
  std::vector<std::thread> others;
  try {
    while (others.size() + 1 < threads) others.emplace_back(run);
  } catch (const std::system_error&) {
    // No more threads to be had: those there are do the work.
  }
  run();
  for (std::thread& thread : others) thread.join();
  if (error) std::rethrow_exception(error);
}

/// Calls `work` and says of which entry an error is.
void naming(const std::string& key, const std::function<void()>& work) {
  try {
    work();
  } catch (const RunError& error) {
    throw RunError(concat("'", key, "': ", error.what()));
  }
}

/// The tensor of a chunk, compared with what `.metadata` says of it.
StoredTensor open_chunk(const base::ReadableFile& file, const ReadPiece& piece) {
  const DcpPlace& place = piece.chunk->place;
  const auto offset = static_cast<std::uint64_t>(place.offset);
  const TorchArchive archive(file, offset, static_cast<std::uint64_t>(place.length));
  std::optional<StoredTensor> stored = archive.tensor(archive.object());
  const auto refuse = [&](const std::string& why) {
    throw RunError(concat("'", file.path(), "', byte ", offset, ": ", why));
  };
  if (!stored) refuse("no tensor is saved here, although .metadata says so");
  if (stored->dtype.name != piece.saved->dtype) {
    refuse(concat("a tensor of ", stored->dtype.name, " is saved here; .metadata says ",
                  piece.saved->dtype));
  }
  if (stored->sizes != piece.chunk->sizes) {
    refuse("a tensor of other sizes than .metadata says is saved here");
  }
  return std::move(*stored);
}

/// A part of a piece for one thread.
struct Task {
  std::size_t piece;
  std::int64_t dim;  // -1: all of it
  std::int64_t begin;
  std::int64_t count;
  std::vector<ReadPart> parts = {};
};

void add_tasks(std::size_t index, const ReadPiece& piece, std::int64_t element_bytes,
               std::vector<Task>& tasks) {
  std::int64_t bytes = element_bytes;
  std::int64_t dim = -1;
  for (std::size_t d = piece.sizes.size(); d-- > 0;) {
    bytes *= piece.sizes[d];
    if (piece.sizes[d] > 1) dim = static_cast<std::int64_t>(d);
  }
  if (dim < 0 || bytes <= kTaskBytes) return tasks.push_back({index, -1, 0, 0});
  const std::int64_t count = piece.sizes[static_cast<std::size_t>(dim)];
  const std::int64_t step = std::max<std::int64_t>(1, kTaskBytes / (bytes / count));
  for (std::int64_t begin = 0; begin < count; begin += step) {
    tasks.push_back({index, dim, begin, std::min(step, count - begin)});
  }
}

void run_task(const ReadPiece& piece, const StoredTensor& stored, Task& task,
              const base::ReadableFile& file, StoredBoxReader& reader) {
  std::vector<std::int64_t> from = piece.from;
  at::Tensor to = piece.wanted->tensor.detach();
  for (std::size_t d = 0; d < piece.sizes.size(); ++d) {
    to = to.narrow(static_cast<std::int64_t>(d), piece.to[d], piece.sizes[d]);
  }
  if (task.dim >= 0) {
    to = to.narrow(task.dim, task.begin, task.count);
    from[static_cast<std::size_t>(task.dim)] += task.begin;
  }
  reader.read(file, stored, from, to, &task.parts);
}

}  // namespace

struct DcpCheckpoint::Inside {
  SeenStorages read(const std::vector<ReadPiece>& pieces) const;

  base::FileSystem& files;
  std::string folder;
  DcpMetadata metadata = {};
  std::unordered_map<std::string_view, const DcpEntry*> entries = {};
};

/// Returns what has been seen of storages that were not read whole.
SeenStorages DcpCheckpoint::Inside::read(const std::vector<ReadPiece>& pieces) const {
  std::vector<StoredTensor> stored(pieces.size());
  run_in_threads(pieces.size(), [&](const NextNumber& next) {
    CurrentFile file(files, folder);
    for (std::size_t i = 0; next(i);) {
      naming(pieces[i].key,
             [&] { stored[i] = open_chunk(file.open(pieces[i].chunk->place.file), pieces[i]); });
    }
  });
  std::vector<Task> tasks;
  for (std::size_t i = 0; i < pieces.size(); ++i) {
    add_tasks(i, pieces[i], stored[i].dtype.bytes, tasks);
  }
  run_in_threads(tasks.size(), [&](const NextNumber& next) {
    StoredBoxReader reader;
    CurrentFile file(files, folder);
    for (std::size_t i = 0; next(i);) {
      const ReadPiece& piece = pieces[tasks[i].piece];
      naming(piece.key, [&] {
        run_task(piece, stored[tasks[i].piece], tasks[i], file.open(piece.chunk->place.file),
                 reader);
      });
    }
  });
  SeenStorages seen;
  for (const Task& task : tasks) {
    const StoredTensor& tensor = stored[task.piece];
    SeenStorage& storage = seen[{pieces[task.piece].chunk->place.file, tensor.storage_start}];
    storage.key = pieces[task.piece].key;
    storage.bytes = tensor.storage_bytes;
    storage.crc = tensor.storage_crc;
    for (const ReadPart& part : task.parts) add_part(storage.parts, part);
  }
  check_and_remove_whole(folder, seen);
  return seen;
}

DcpCheckpoint::DcpCheckpoint(base::FileSystem& files, std::string folder)
    : inside_(new Inside{.files = files, .folder = std::move(folder)}) {
  const std::string path = concat(inside_->folder, "/", kMetadataFile);
  if (!files.exists(path)) {
    throw RunError(concat("'", inside_->folder, "' is no checkpoint: it has no ", kMetadataFile,
                          " (a save that did not end leaves none)"));
  }
  inside_->metadata =
      formats::read_dcp_metadata(base::read_whole_file(files, path, kMostMetadata), path);
  formats::check_dcp_files(files, inside_->folder, inside_->metadata);
  for (const DcpEntry& entry : inside_->metadata.entries) {
    inside_->entries.emplace(entry.key, &entry);
  }
}

DcpCheckpoint::~DcpCheckpoint() = default;

const std::string& DcpCheckpoint::folder() const { return inside_->folder; }
const DcpMetadata& DcpCheckpoint::metadata() const { return inside_->metadata; }

const DcpEntry* DcpCheckpoint::find(const std::string& key) const {
  const auto found = inside_->entries.find(key);
  return found != inside_->entries.end() ? found->second : nullptr;
}

PickleValue DcpCheckpoint::object(const std::string& key) const {
  const DcpEntry* entry = find(key);
  if (entry == nullptr || entry->bytes() == nullptr) {
    throw RunError(concat("the checkpoint '", inside_->folder, "' has no value '", key, "'",
                          entry != nullptr ? ": it is a tensor" : ""));
  }
  const DcpPlace& place = entry->bytes()->place;
  PickleValue value;
  naming(key, [&] {
    const auto file = inside_->files.open_for_reading(concat(inside_->folder, "/", place.file));
    value = TorchArchive(*file, static_cast<std::uint64_t>(place.offset),
                         static_cast<std::uint64_t>(place.length))
                .object();
  });
  return value;
}

void DcpCheckpoint::read(std::span<const StateTensor> tensors, comm::ProcessGroup* group) const {
  const RankMeeting ranks(group);
  std::vector<ReadPiece> pieces;
  ranks.do_together([&] {
    pieces = make_read_plan(
        tensors, [this](const std::string& key) { return find(key); }, inside_->folder);
  });
  ranks.meet([&] { return encode(inside_->read(pieces)); },
             [&](const RankMeeting::Answers& all) {
               SeenStorages seen;
               for (const std::string& bytes : all) merge(seen, decode_storages(bytes));
               check_and_remove_whole(inside_->folder, seen);
               return RankMeeting::Answers(all.size());
             });
}

}  // namespace titan::components
