#include "titan/tools/read_launch_environment.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <optional>

#include "support/throws.h"
#include "titan/base/errors.h"

namespace titan::tools {
namespace {

using test::message_of;
using testing::AllOf;
using testing::HasSubstr;
using Variables = std::map<std::string, std::string>;

LaunchEnvironment read(const Variables& variables) {
  return read_launch_environment([&](const char* name) -> std::optional<std::string> {
    const auto found = variables.find(name);
    return found == variables.end() ? std::nullopt : std::optional(found->second);
  });
}

/// The variables with some changed; an empty value takes one away.
Variables with(Variables variables, const Variables& changes) {
  for (const auto& [name, value] : changes) variables[name] = value;
  return variables;
}

std::string refusal(const Variables& variables) {
  return message_of<ConfigError>([&] { read(variables); });
}

const Variables kTorchrun = {{"RANK", "5"},
                             {"WORLD_SIZE", "8"},
                             {"LOCAL_RANK", "1"},
                             {"LOCAL_WORLD_SIZE", "4"},
                             {"GROUP_RANK", "1"},
                             {"MASTER_ADDR", "node1.cluster"},
                             {"MASTER_PORT", "29400"},
                             {"TORCHELASTIC_USE_AGENT_STORE", "True"},
                             {"TORCHELASTIC_RESTART_COUNT", "2"}};

const Variables kSlurm = {
    {"SLURM_PROCID", "9"},    {"SLURM_NTASKS", "12"}, {"SLURM_LOCALID", "1"},
    {"SLURM_NODEID", "1"},    {"SLURM_STEP_ID", "0"}, {"SLURM_TASKS_PER_NODE", "8,4"},
    {"SLURM_JOB_ID", "4711"}, {"SLURM_NNODES", "2"},  {"SLURM_JOB_NODELIST", "gpu[07,09]"}};

const Variables kOpenMpi = {{"OMPI_COMM_WORLD_RANK", "3"},
                            {"OMPI_COMM_WORLD_SIZE", "4"},
                            {"OMPI_COMM_WORLD_LOCAL_RANK", "3"},
                            {"OMPI_COMM_WORLD_LOCAL_SIZE", "4"}};

TEST(LaunchEnvironment, WithoutALauncherThereIsOneRank) {
  const LaunchEnvironment environment = read({{"LOCAL_RANK", "0"}, {"MASTER_ADDR", "x"}});
  EXPECT_EQ(environment.rank, 0);
  EXPECT_EQ(environment.world_size, 1);
  EXPECT_EQ(environment.launcher, "");
  EXPECT_NE(environment.host, "");
}

TEST(LaunchEnvironment, Torchrun) {
  const LaunchEnvironment environment = read(kTorchrun);
  EXPECT_EQ(environment.launcher, "torchrun");
  EXPECT_EQ(environment.rank, 5);
  EXPECT_EQ(environment.world_size, 8);
  EXPECT_EQ(environment.local_rank, 1);
  EXPECT_EQ(environment.local_world_size, 4);
  EXPECT_EQ(environment.master_address, "node1.cluster");
  EXPECT_EQ(environment.master_port, 29400);
  EXPECT_TRUE(environment.agent_store);
  EXPECT_EQ(environment.restart_count, 2);
}

TEST(LaunchEnvironment, TorchrunIsCloserThanTheSchedulerAroundIt) {
  Variables both = kTorchrun;
  both.insert(kSlurm.begin(), kSlurm.end());
  both.insert(kOpenMpi.begin(), kOpenMpi.end());
  EXPECT_EQ(read(both).launcher, "torchrun");
}

TEST(LaunchEnvironment, OneRankNeedsNoMeetingPlace) {
  EXPECT_EQ(read({{"RANK", "0"}, {"WORLD_SIZE", "1"}}).world_size, 1);
}

TEST(LaunchEnvironment, RanksStartedByHandOnThisMachine) {
  const LaunchEnvironment environment = read(
      {{"RANK", "2"}, {"WORLD_SIZE", "3"}, {"MASTER_ADDR", "127.0.0.1"}, {"MASTER_PORT", "1234"}});
  EXPECT_EQ(environment.local_rank, 2);
  EXPECT_EQ(environment.local_world_size, 3);
  EXPECT_FALSE(environment.agent_store);
}

TEST(LaunchEnvironment, HalfOfTorchrunsVariables) {
  EXPECT_THAT(refusal({{"WORLD_SIZE", "2"}}), AllOf(HasSubstr("RANK:"), HasSubstr("not set")));
  EXPECT_THAT(refusal({{"RANK", "0"}}), HasSubstr("WORLD_SIZE: is not set"));
  EXPECT_THAT(refusal(with(kTorchrun, {{"MASTER_ADDR", ""}})),
              HasSubstr("MASTER_ADDR: is not set"));
  EXPECT_THAT(refusal(with(kTorchrun, {{"MASTER_PORT", ""}})),
              HasSubstr("MASTER_PORT: is not set"));
  EXPECT_THAT(refusal(with(kTorchrun, {{"LOCAL_WORLD_SIZE", ""}})), HasSubstr("LOCAL_WORLD_SIZE"));
  EXPECT_THAT(refusal(with(kTorchrun, {{"LOCAL_WORLD_SIZE", ""}, {"LOCAL_RANK", ""}})),
              HasSubstr("LOCAL_WORLD_SIZE: is not set"))
      << "on another machine nobody knows which GPU is this rank's";
}

TEST(LaunchEnvironment, ValuesThatAreNoNumbersOrOutOfRange) {
  EXPECT_THAT(refusal(with(kTorchrun, {{"WORLD_SIZE", "two"}})),
              HasSubstr("WORLD_SIZE: must be a whole number, not 'two'"));
  EXPECT_THAT(refusal(with(kTorchrun, {{"RANK", "5 "}})), HasSubstr("not '5 '"));
  EXPECT_THAT(refusal(with(kTorchrun, {{"RANK", "99999999999999999999"}})), HasSubstr("RANK:"));
  EXPECT_THAT(refusal(with(kTorchrun, {{"RANK", "-1"}})), HasSubstr("from 0"));
  EXPECT_THAT(refusal(with(kTorchrun, {{"WORLD_SIZE", "0"}})), HasSubstr("from 1"));
  EXPECT_THAT(refusal(with(kTorchrun, {{"RANK", "8"}})),
              HasSubstr("RANK: is 8, but ranks are numbered from 0 to 7 where WORLD_SIZE is 8"));
  EXPECT_THAT(refusal(with(kTorchrun, {{"LOCAL_RANK", "4"}})), HasSubstr("LOCAL_RANK: is 4"));
  EXPECT_THAT(refusal(with(kTorchrun, {{"LOCAL_WORLD_SIZE", "16"}})), HasSubstr("more than"));
  EXPECT_THAT(refusal(with(kTorchrun, {{"MASTER_PORT", "65536"}})), HasSubstr("MASTER_PORT"));
  EXPECT_THAT(refusal(with(kTorchrun, {{"MASTER_ADDR", "a b"}})), HasSubstr("MASTER_ADDR"));
  EXPECT_THAT(refusal(with(kTorchrun, {{"TORCHELASTIC_RESTART_COUNT", "x"}})),
              HasSubstr("TORCHELASTIC_RESTART_COUNT"));
}

TEST(LaunchEnvironment, HostileValuesAreShownShortAndPrintable) {
  const std::string message =
      refusal(with(kTorchrun, {{"RANK", "\x1b[31m" + std::string(500, 'a')}}));
  EXPECT_EQ(message.find('\x1b'), std::string::npos);
  EXPECT_LT(message.size(), 200U);
  EXPECT_THAT(refusal(with(kTorchrun, {{"RANK", std::string(1 << 20, '1')}})),
              HasSubstr("1048576 bytes"));
  EXPECT_THAT(refusal(with(kTorchrun, {{"MASTER_ADDR", std::string(300, 'a')}})),
              HasSubstr("MASTER_ADDR"));
}

TEST(LaunchEnvironment, AnAddressInBracketsIsTheAddress) {
  const Variables alone = with(kTorchrun, {{"LOCAL_WORLD_SIZE", "8"}});
  EXPECT_EQ(read(with(alone, {{"MASTER_ADDR", "[::1]"}})).master_address, "::1");
  EXPECT_EQ(read(with(alone, {{"MASTER_ADDR", "[fd00::7]"}})).master_address, "fd00::7");
  EXPECT_THAT(refusal(with(kTorchrun, {{"MASTER_ADDR", "[::1]"}})),
              AllOf(HasSubstr("'::1' is the machine itself"), HasSubstr("several machines")));
  EXPECT_THAT(refusal(with(kTorchrun, {{"MASTER_ADDR", "[]"}})), HasSubstr("MASTER_ADDR"));
}

TEST(LaunchEnvironment, TheSecretOfAJobIsTakenFromEveryLauncher) {
  EXPECT_EQ(read(kTorchrun).secret, "");
  for (const Variables& launcher : {kTorchrun, kSlurm, kOpenMpi}) {
    EXPECT_EQ(read(with(launcher, {{"TITAN_JOB_SECRET", "a word"}})).secret, "a word");
  }
}

TEST(LaunchEnvironment, ALoopbackMasterOfSeveralMachinesIsRefused) {
  for (const char* address : {"localhost", "127.0.0.1", "127.1.2.3", "::1", "0.0.0.0", "::"}) {
    EXPECT_THAT(refusal(with(kTorchrun, {{"MASTER_ADDR", address}})),
                AllOf(HasSubstr("MASTER_ADDR"), HasSubstr(address), HasSubstr("several machines")));
  }
  EXPECT_EQ(read(with(kTorchrun, {{"MASTER_ADDR", "localhost"}, {"LOCAL_WORLD_SIZE", "8"}})).rank,
            5);
  EXPECT_EQ(read(with(kTorchrun, {{"MASTER_ADDR", "localhost-3"}})).rank, 5)
      << "a name like others";
}

TEST(LaunchEnvironment, Slurm) {
  const LaunchEnvironment environment = read(kSlurm);
  EXPECT_EQ(environment.launcher, "Slurm");
  EXPECT_EQ(environment.rank, 9);
  EXPECT_EQ(environment.world_size, 12);
  EXPECT_EQ(environment.local_rank, 1);
  EXPECT_EQ(environment.local_world_size, 4) << "the second machine's part of '8,4'";
  EXPECT_EQ(environment.master_address, "gpu07");
  EXPECT_EQ(environment.master_port, 20000 + 4711);
}

TEST(LaunchEnvironment, SlurmsStepIsCloserThanItsJob) {
  const LaunchEnvironment environment = read(with(kSlurm, {{"SLURM_STEP_NUM_TASKS", "10"},
                                                           {"SLURM_STEP_TASKS_PER_NODE", "5(x2)"},
                                                           {"SLURM_STEP_NODELIST", "gpu09"},
                                                           {"SLURM_STEP_ID", "2"}}));
  EXPECT_EQ(environment.world_size, 10);
  EXPECT_EQ(environment.local_world_size, 5);
  EXPECT_EQ(environment.master_address, "gpu09");
  EXPECT_EQ(environment.master_port, 20000 + 4711 + 62) << "two steps of a job do not meet";
}

TEST(LaunchEnvironment, SlurmsRanksOfOneMachineMeetAtItsLoopbackAddress) {
  const Variables step = with(kSlurm, {{"SLURM_STEP_NUM_TASKS", "8"},
                                       {"SLURM_STEP_TASKS_PER_NODE", "8"},
                                       {"SLURM_PROCID", "1"},
                                       {"SLURM_NODEID", "0"},
                                       {"SLURM_STEP_NODELIST", "gpu09"}});
  EXPECT_EQ(read(step).master_address, "127.0.0.1");
  EXPECT_EQ(read(with(step, {{"SLURM_STEP_TASKS_PER_NODE", "4(x2)"}})).master_address, "gpu09");
  EXPECT_EQ(read(with(step, {{"SLURM_STEP_NODELIST", "gpu[09-10]"}})).master_address, "gpu09");
  EXPECT_EQ(read(with(step, {{"MASTER_ADDR", "10.0.0.1"}})).master_address, "10.0.0.1");
}

TEST(LaunchEnvironment, SlurmWithTasksPerNodeOrOnlyNodes) {
  const Variables even = with(kSlurm, {{"SLURM_TASKS_PER_NODE", ""}});
  EXPECT_EQ(read(with(even, {{"SLURM_NTASKS_PER_NODE", "6"}})).local_world_size, 6);
  EXPECT_EQ(read(even).local_world_size, 6);
}

TEST(LaunchEnvironment, SlurmsMeetingPlaceCanBeSet) {
  const LaunchEnvironment environment =
      read(with(kSlurm, {{"MASTER_ADDR", "10.0.0.1"}, {"MASTER_PORT", "5000"}}));
  EXPECT_EQ(environment.master_address, "10.0.0.1");
  EXPECT_EQ(environment.master_port, 5000);
  EXPECT_THAT(refusal(with(kSlurm, {{"MASTER_ADDR", "localhost"}})), HasSubstr("several machines"));
}

TEST(LaunchEnvironment, ABatchScriptIsNoTask) {
  const Variables script = with(kSlurm, {{"SLURM_STEP_ID", ""}, {"ENVIRONMENT", "BATCH"}});
  EXPECT_EQ(read(script).world_size, 1);
  EXPECT_EQ(read(with(script, {{"SLURM_STEP_ID", "0"}})).world_size, 12)
      << "srun inherits the script's variables";
}

TEST(LaunchEnvironment, HalfOfSlurmsVariables) {
  EXPECT_THAT(refusal(with(kSlurm, {{"SLURM_NTASKS", ""}})), HasSubstr("SLURM_NTASKS: is not set"));
  EXPECT_THAT(refusal(with(kSlurm, {{"SLURM_LOCALID", ""}})),
              HasSubstr("SLURM_LOCALID: is not set"));
  EXPECT_THAT(refusal(with(kSlurm, {{"SLURM_LOCALID", "4"}})), HasSubstr("has 4 tasks"));
  EXPECT_THAT(refusal(with(kSlurm, {{"SLURM_JOB_NODELIST", ""}})),
              HasSubstr("NODELIST: is not set"));
  EXPECT_THAT(refusal(with(kSlurm, {{"SLURM_JOB_ID", ""}})), HasSubstr("SLURM_JOBID: is not set"));
  for (const char* list : {"8", "8(x", "8(x0),4", "eight", "8,", "-1,4", "0,0"}) {
    EXPECT_THAT(refusal(with(kSlurm, {{"SLURM_TASKS_PER_NODE", list}})),
                HasSubstr("SLURM_TASKS_PER_NODE"))
        << list;
  }
}

TEST(LaunchEnvironment, OpenMpiOnOneMachine) {
  const LaunchEnvironment environment = read(kOpenMpi);
  EXPECT_EQ(environment.launcher, "Open MPI");
  EXPECT_EQ(environment.rank, 3);
  EXPECT_EQ(environment.local_world_size, 4);
  EXPECT_EQ(environment.master_address, "127.0.0.1");
  EXPECT_NE(environment.master_port, 0);
}

TEST(LaunchEnvironment, OpenMpiOnSeveralMachinesNeedsAMeetingPlace) {
  const Variables two =
      with(kOpenMpi, {{"OMPI_COMM_WORLD_LOCAL_SIZE", "2"}, {"OMPI_COMM_WORLD_LOCAL_RANK", "1"}});
  EXPECT_THAT(refusal(two), AllOf(HasSubstr("MASTER_ADDR"), HasSubstr("mpirun -x")));
  EXPECT_THAT(refusal(with(two, {{"MASTER_ADDR", "a"}})), HasSubstr("MASTER_PORT"));
  EXPECT_EQ(read(with(two, {{"MASTER_ADDR", "a"}, {"MASTER_PORT", "7"}})).master_port, 7);
}

TEST(LaunchEnvironment, MpirunInsideASlurmJob) {
  Variables both = kSlurm;
  both.insert(kOpenMpi.begin(), kOpenMpi.end());
  EXPECT_EQ(read(both).launcher, "Open MPI") << "the daemon that mpirun starts is Slurm's task";
}

}  // namespace
}  // namespace titan::tools
