#include "titan/components/checkpoint/dcp_save.h"

#include <cstdio>
#include <cstring>
#include <optional>
#include <random>
#include <utility>
#include <vector>

#include "components/checkpoint/checkpoint_folder.h"
#include "components/checkpoint/save_plan.h"
#include "components/checkpoint/state_file.h"
#include "titan/base/errors.h"
#include "titan/base/file_system.h"
#include "titan/components/checkpoint/rank_meeting.h"

namespace titan::components {
namespace {

/// Numbers as they go from rank to rank.
std::string number_bytes(const std::vector<std::uint64_t>& numbers) {
  std::string bytes(numbers.size() * sizeof(std::uint64_t), '\0');
  if (!numbers.empty()) std::memcpy(bytes.data(), numbers.data(), bytes.size());
  return bytes;
}

std::vector<std::uint64_t> numbers_of(std::string_view bytes) {
  std::vector<std::uint64_t> numbers(bytes.size() / sizeof(std::uint64_t));
  if (!numbers.empty()) {
    std::memcpy(numbers.data(), bytes.data(), numbers.size() * sizeof(std::uint64_t));
  }
  return numbers;
}

using Answers = RankMeeting::Answers;

/// "/data/step-1" as Python's pathlib has it: "/", "data", "step-1".
std::vector<std::string> path_parts(const std::string& path) {
  std::vector<std::string> parts;
  if (path.starts_with('/')) parts.emplace_back("/");
  for (std::size_t begin = 0; begin < path.size();) {
    const std::size_t end = std::min(path.find('/', begin), path.size());
    const std::string part = path.substr(begin, end - begin);
    if (!part.empty() && part != ".") parts.push_back(part);
    begin = end + 1;
  }
  return parts;
}

void check_room(base::FileSystem& files, const std::string& folder, std::uint64_t needed) {
  const std::uint64_t room = files.free_bytes(folder);
  if (needed > room) {
    throw RunError(concat("cannot save to '", folder, "': ", needed, " bytes are to be written, ",
                          room, " are free; make room, or keep fewer checkpoints"));
  }
}

// What the last verdict says of the folder.
constexpr char kSaved = 's';
constexpr char kDiscarded = 'd';  // certainly no checkpoint
constexpr char kUnknown = 'u';    // perhaps a whole one

}  // namespace

std::string new_save_id() {
  std::random_device random;
  const unsigned a = random(), b = random(), c = random(), d = random();
  char text[37];
  std::snprintf(text, sizeof(text), "%08x-%04x-4%03x-%04x-%04x%08x", a, b >> 16, b & 0xfff,
                0x8000U | (c >> 18), c & 0xffff, d);
  return text;
}

struct DcpSaver::Inside {
  Inside(base::FileSystem& file_system, comm::ProcessGroup* group)
      : files(file_system), ranks(group) {}

  void agree_on_plan(const FlatState& state);
  StateFile prepare(const std::string& folder, const FlatState& state);
  std::string write(const std::string& folder, StateFile& file);
  Answers finish(const std::string& folder, const Answers& places);
  std::uint64_t commit(const std::string& folder, const Answers& places);
  void remove_own_file(const std::string& folder) noexcept;
  void remove_if_empty(const std::string& folder) noexcept;
  std::string own_file(const std::string& folder) const {
    return concat(folder, "/", file_name_of(static_cast<std::size_t>(ranks.rank())));
  }

  base::FileSystem& files;
  RankMeeting ranks;
  std::optional<Proposal> proposal;  // that the plan was made for
  Assignment assignment;
  SavePlan plan;  // on the root
};

/// Keeps the plan unless a rank's state has another structure than in the last save.
void DcpSaver::Inside::agree_on_plan(const FlatState& state) {
  std::string problem;
  Proposal now;
  try {
    now = propose(state);
  } catch (const std::exception& error) {
    problem = error.what();
  }
  if (!ranks.any(!problem.empty() || proposal != now)) return;
  proposal.reset();
  const std::string mine = ranks.meet(
      [&] {
        if (!problem.empty()) throw RunError(problem);
        return encode(now);
      },
      [&](const Answers& all) {
        std::vector<Proposal> proposals;
        for (const std::string& bytes : all) proposals.push_back(decode_proposal(bytes));
        plan = make_save_plan(proposals);
        Answers answers;
        for (const Assignment& part : plan.ranks) answers.push_back(encode(part));
        return answers;
      });
  assignment = decode_assignment(mine);
  proposal = std::move(now);
}

/// The root prepares the folder and knows whether all ranks' bytes fit.
StateFile DcpSaver::Inside::prepare(const std::string& folder, const FlatState& state) {
  std::optional<StateFile> file;
  ranks.meet(
      [&] {
        file.emplace(state, assignment);
        return number_bytes({file->size()});
      },
      [&](const Answers& all) {
        prepare_checkpoint_folder(files, folder);
        std::uint64_t sum = 0;
        for (const std::string& number : all) sum += numbers_of(number).at(0);
        check_room(files, folder, sum);
        return Answers(all.size());
      });
  return std::move(*file);
}

/// Returns where this rank's parts are, two numbers each.
std::string DcpSaver::Inside::write(const std::string& folder, StateFile& file) {
  // A rank on another machine may see another disk.
  check_room(files, folder, file.size());
  file.write(files, own_file(folder));
  std::vector<std::uint64_t> places;
  for (const StateFile::Part& part : file.parts()) {
    places.push_back(static_cast<std::uint64_t>(part.offset));
    places.push_back(static_cast<std::uint64_t>(part.length));
  }
  return number_bytes(places);
}

/// Writes `.metadata`; returns its length and that of all files.
std::uint64_t DcpSaver::Inside::commit(const std::string& folder, const Answers& places) {
  formats::DcpMetadata metadata = plan.metadata;
  metadata.folder = path_parts(folder);
  metadata.save_id = new_save_id();
  std::uint64_t bytes = 0;
  for (std::size_t rank = 0; rank < places.size(); ++rank) {
    const std::vector<std::uint64_t> numbers = numbers_of(places[rank]);
    const std::vector<SavePlan::Slot>& slots = plan.slots[rank];
    TITAN_CHECK(numbers.size() == 2 * slots.size(), "rank ", rank, " wrote ", numbers.size() / 2,
                " entries, not ", slots.size());
    for (std::size_t i = 0; i < slots.size(); ++i) {
      const formats::DcpPlace place{file_name_of(rank), static_cast<std::int64_t>(numbers[2 * i]),
                                    static_cast<std::int64_t>(numbers[2 * i + 1])};
      bytes += static_cast<std::uint64_t>(place.length);
      auto& value = metadata.entries[slots[i].entry].value;
      if (auto* tensor = std::get_if<formats::DcpTensor>(&value)) {
        tensor->chunks[slots[i].chunk].place = place;
      } else {
        std::get<formats::DcpBytes>(value).place = place;
      }
    }
  }
  const std::string pickle = formats::write_dcp_metadata(metadata);
  commit_checkpoint_folder(files, folder, pickle);
  return bytes + pickle.size();
}

/// Never throws: whether the ranks may remove what they wrote has to reach them.
Answers DcpSaver::Inside::finish(const std::string& folder, const Answers& places) {
  std::string verdict;
  try {
    verdict = kSaved + number_bytes({commit(folder, places)});
  } catch (const std::exception& error) {
    const char state = discard_checkpoint(files, folder) ? kDiscarded : kUnknown;
    verdict = state + std::string(error.what());
  }
  return Answers(places.size(), verdict);
}

/// A save that failed for want of room should not keep what room there was.
void DcpSaver::Inside::remove_own_file(const std::string& folder) noexcept {
  try {
    if (files.exists(own_file(folder))) files.remove_file(own_file(folder));
  } catch (const std::exception&) {
    // The next save to this folder tries again.
  }
}

/// Nor the folder: the last of the ranks that come by finds it empty.
void DcpSaver::Inside::remove_if_empty(const std::string& folder) noexcept {
  try {
    if (files.exists(folder)) files.remove_directory(folder);
  } catch (const std::exception&) {
    // It holds something: other ranks' files yet, an earlier checkpoint, somebody's notes.
  }
}

DcpSaver::DcpSaver(base::FileSystem& files, comm::ProcessGroup* ranks)
    : inside_(std::make_unique<Inside>(files, ranks)) {}

DcpSaver::~DcpSaver() = default;

SaveFigures DcpSaver::save(const std::string& folder, const FlatState& state) {
  Inside& in = *inside_;
  in.agree_on_plan(state);
  std::optional<StateFile> file;
  try {
    file.emplace(in.prepare(folder, state));
  } catch (const FailedTogether&) {
    in.remove_if_empty(folder);
    throw;
  }
  std::string verdict;
  try {
    verdict = in.ranks.meet([&] { return in.write(folder, *file); },
                            [&](const Answers& places) { return in.finish(folder, places); });
  } catch (const FailedTogether&) {
    in.remove_own_file(folder);
    in.remove_if_empty(folder);
    throw;
  }
  if (verdict.starts_with(kSaved)) return {numbers_of(std::string_view(verdict).substr(1)).at(0)};
  if (verdict.starts_with(kDiscarded)) {
    in.remove_own_file(folder);
    in.remove_if_empty(folder);
  }
  throw RunError(concat(in.ranks.size() > 1 ? "rank 0: " : "", verdict.substr(1)));
}

}  // namespace titan::components
