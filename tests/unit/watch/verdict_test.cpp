#include "watch/verdict.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace titan::watch {
namespace {

using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

const FailedCollective kFailed = {0, "fsdp", "all_gather", 8812, 100.2, 12, "timed out", {}};

PeerView peer(std::int64_t rank, std::uint64_t sequence, const std::string& phase = "forward") {
  RankReport report;
  report.host = "b";
  report.pid = 4700 + rank;
  report.phase = {phase, 12, 0.5};
  report.groups = {{"fsdp", "all_gather", sequence}};
  return {rank, report, PeerView::Condition::kAlive, 0};
}

PeerView absent(std::int64_t rank, PeerView::Condition condition) {
  PeerView view = peer(rank, 8811, "backward");
  view.condition = condition;
  view.silent_seconds = 7.04;
  return view;
}

TEST(Verdict, ARankThatDidNotCome) {
  EXPECT_THAT(
      describe_failure(kFailed, {peer(1, 8812), peer(3, 8811)}),
      StartsWith("rank 3 (host b, pid 4703) never entered all_gather #8812 of fsdp; it is in "
                 "forward of step 12. Rank 0 waited 100 s in all_gather #8812 of fsdp at step "
                 "12; raise comm.train_timeout_seconds where that is too short."));
}

TEST(Verdict, BeforeTheFirstStepAnotherLimitHolds) {
  FailedCollective failed = kFailed;
  failed.step = 0;
  EXPECT_THAT(describe_failure(failed, {}), HasSubstr("comm.init_timeout_seconds"));
}

TEST(Verdict, ABrokenConnectionIsNoMatterOfLimits) {
  FailedCollective failed = kFailed;
  failed.error = "Connection reset by peer";
  EXPECT_THAT(describe_failure(failed, {absent(3, PeerView::Condition::kGone)}),
              testing::AllOf(HasSubstr("Connection reset by peer"), Not(HasSubstr("raise"))));
}

TEST(Verdict, WhatALateRankIsBusyWith) {
  PeerView late = peer(3, 8811, "data");
  late.report->phase.seconds = 31.4;
  EXPECT_THAT(describe_failure(kFailed, {late}), HasSubstr("it is in data of step 12, for 31 s."));
  late.report->phase = {"forward", 12, 1};
  late.report->pending = PendingCollective{{"tp", "all_reduce", 7}, 99};
  EXPECT_THAT(describe_failure(kFailed, {late}),
              HasSubstr("in forward of step 12, waiting in all_reduce #7 of tp."));
}

TEST(Verdict, ARankThatNeverCalledAnythingInTheGroup) {
  PeerView late = peer(2, 0);
  late.report->groups.clear();
  EXPECT_THAT(describe_failure(kFailed, {late}),
              HasSubstr("rank 2 (host b, pid 4702) never entered"));
}

TEST(Verdict, RanksThatAreNotThereAnyMore) {
  EXPECT_THAT(
      describe_failure(kFailed, {absent(3, PeerView::Condition::kGone), peer(4, 8811)}),
      StartsWith("rank 3 (host b, pid 4703) is gone (its process has ended or was killed); it "
                 "was in backward of step 12. "))
      << "the one that is alive and late is late because of the other";
  EXPECT_THAT(describe_failure(kFailed, {absent(3, PeerView::Condition::kSilent)}),
              StartsWith("rank 3 (host b, pid 4703) has not been heard of for 7 s: it is stopped, "
                         "dead, or its machine hangs; it was in backward of step 12."));
  EXPECT_THAT(describe_failure(kFailed, {absent(3, PeerView::Condition::kStopped)}),
              HasSubstr("is stopped (SIGSTOP"));
  PeerView never;
  never.rank = 5;
  never.condition = PeerView::Condition::kSilent;
  EXPECT_THAT(describe_failure(kFailed, {never}), StartsWith("rank 5 has never been heard of. "));
}

TEST(Verdict, ARanksOwnErrorComesFirst) {
  PeerView failed = peer(7, 8811);
  failed.report->state = RankReport::State::kFailed;
  failed.report->error = "cannot read data.jsonl";
  const std::string text =
      describe_failure(kFailed, {absent(3, PeerView::Condition::kGone), failed});
  EXPECT_THAT(text, StartsWith("rank 7 (host b, pid 4707) ended with an error: cannot read "
                               "data.jsonl and rank 3 "));
}

TEST(Verdict, AnotherCollectiveInTheSamePlace) {
  PeerView other = peer(1, 8812);
  other.report->groups[0].operation = "all_reduce";
  EXPECT_THAT(
      describe_failure(kFailed, {other}),
      StartsWith("rank 1 (host b, pid 4701) called all_reduce where rank 0 called all_gather "
                 "#8812 of fsdp: the ranks do not run the same program"));
}

TEST(Verdict, WhenAllCame) {
  EXPECT_THAT(describe_failure(kFailed, {peer(1, 8812), peer(2, 8813)}),
              StartsWith("all_gather #8812 of fsdp failed although all ranks entered it. "));
}

TEST(Verdict, MessagesBetweenTwoRanksAreNotNumberedAlike) {
  FailedCollective failed = kFailed;
  failed.group = "pp";
  failed.operation = "receive";
  failed.sequence = 40;
  failed.peers = {1};
  // Rank 1 has had few collectives in the group, rank 2 none.
  PeerView sender = peer(1, 8812);
  sender.report->groups[0] = {"pp", "all_reduce", 3};
  const std::string text = describe_failure(failed, {sender, peer(2, 8812, "backward")});
  EXPECT_THAT(text, Not(HasSubstr("never entered")));
  EXPECT_THAT(text,
              StartsWith("rank 1 (host b, pid 4701) did not answer receive #40 of pp; it is in "
                         "forward of step 12. "));
}

TEST(Verdict, OneOfSeveralPeersDidNotAnswer) {
  FailedCollective failed = kFailed;
  failed.operation = "exchange";
  failed.peers = {1, 2};
  EXPECT_THAT(
      describe_failure(failed, {peer(1, 7), peer(2, 7, "data"), peer(3, 7)}),
      StartsWith("rank 1 (host b, pid 4701), in forward of step 12, and rank 2 (host b, pid "
                 "4702), in data of step 12, are alive, and one of them did not answer "
                 "exchange #8812 of fsdp. "));
  EXPECT_THAT(describe_failure(failed, {absent(3, PeerView::Condition::kGone), peer(2, 7)}),
              StartsWith("rank 3 (host b, pid 4703) is gone"))
      << "a peer may wait for one that is gone";
}

TEST(Verdict, ManyRanksAreCounted) {
  std::vector<PeerView> peers;
  for (std::int64_t rank = 1; rank < 100; ++rank) peers.push_back(peer(rank, 8811));
  const std::string text = describe_failure(kFailed, peers);
  EXPECT_THAT(text, HasSubstr("rank 1 (host b, pid 4701), in forward of step 12,"));
  EXPECT_THAT(text, HasSubstr("and 95 more ranks never entered all_gather #8812"));
  EXPECT_LT(text.size(), 600U);
}

TEST(RankReport, SurvivesTheStore) {
  PeerView view = peer(3, 8811);
  view.report->beat = 17;
  view.report->state = RankReport::State::kFailed;
  view.report->error = "broken \xff text";
  view.report->pending = PendingCollective{{"tp", "all_reduce", 7}, 2.5};
  const std::optional<RankReport> read = parse_rank_report(to_text(*view.report));
  ASSERT_TRUE(read);
  EXPECT_EQ(read->beat, 17U);
  EXPECT_EQ(read->state, RankReport::State::kFailed);
  EXPECT_THAT(read->error, StartsWith("broken "));
  EXPECT_EQ(read->groups[0].sequence, 8811U);
  EXPECT_EQ(read->pending->what.group, "tp");
  EXPECT_EQ(read->phase.step, 12);
}

TEST(RankReport, HoldsOnlyTextThatCanBeShown) {
  PeerView view = peer(3, 1);
  view.report->host = "b\n[titan] forged";
  view.report->phase.name = "\x1b[2Jdata";
  view.report->error = "first\nsecond \x07";
  view.report->pending = PendingCollective{{"tp\n", "all\rreduce", 7}, 2.5};
  const std::optional<RankReport> read = parse_rank_report(to_text(*view.report));
  ASSERT_TRUE(read);
  EXPECT_EQ(read->host, "b [titan] forged");
  EXPECT_EQ(read->phase.name, "?[2Jdata");
  EXPECT_EQ(read->error, "first\n  second ?");
  EXPECT_EQ(read->pending->what.group, "tp ");
  EXPECT_EQ(read->pending->what.operation, "all reduce");
}

TEST(RankReport, RefusesWhatIsNone) {
  for (const std::string text : {"", "{}", "[1]", "nonsense", R"({"beat":"x"})"}) {
    EXPECT_FALSE(parse_rank_report(text)) << text;
  }
  std::string odd = to_text(*peer(3, 1).report);
  odd.replace(odd.find("\"state\":0"), 9, "\"state\":9");
  EXPECT_FALSE(parse_rank_report(odd));
  EXPECT_FALSE(parse_rank_report(std::string(1 << 20, ' ')));
}

}  // namespace
}  // namespace titan::watch
