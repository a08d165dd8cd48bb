"""Several ranks as processes: how they start, and what a run says that goes wrong. Limits are generous: the machine may be busy."""
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import threading
import time
import unittest

from titan import ROOT, TitanTest, environment

LONG = 120  # seconds for what takes a few


def rank_processes(launcher):
    """Process numbers of the ranks that a launcher has started, by rank."""
    found = {}
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/stat") as file:
                parent = int(file.read().rpartition(")")[2].split()[1])
            if parent == launcher:
                with open(f"/proc/{name}/environ") as file:
                    variables = dict(line.partition("=")[::2] for line in file.read().split("\0"))
                found[int(variables["RANK"])] = int(name)
        except (OSError, KeyError):
            pass  # it has just ended, or has not begun
    return found


def sockets(state):
    """Address, port and inode of the sockets in a state, as /proc numbers it."""
    for path in ("/proc/net/tcp", "/proc/net/tcp6"):
        if os.path.exists(path):
            with open(path) as table:
                for words in [line.split() for line in table][1:]:
                    if words[3] == state:
                        address, port = words[1].split(":")
                        yield address, int(port, 16), words[9]


def ports_of(processes):
    """Where these listen."""
    inodes = set()
    for pid in processes:
        for name in os.listdir(f"/proc/{pid}/fd"):
            try:
                inodes.add(os.readlink(f"/proc/{pid}/fd/{name}"))
            except OSError:
                pass  # it has just been closed
    return {port for _, port, inode in sockets("0A") if f"socket:[{inode}]" in inodes}


def listening(ports):
    """The addresses at which something listens on one of the ports."""
    return [address for address, port, _ in sockets("0A") if port in ports]


def free_port(test):
    """A port that the system hands out to no other process while the test runs, and at which a rank may listen."""
    reserved = socket.socket()
    test.addCleanup(reserved.close)
    reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    reserved.bind(("127.0.0.1", 0))
    return reserved.getsockname()[1]


class Running:
    """A process whose output is read as it comes."""

    def __init__(self, test, command, env=None):
        self.test = test
        self.process = subprocess.Popen(command, cwd=ROOT, env=environment(env), text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.text = {"stdout": "", "stderr": ""}
        self.readers = [threading.Thread(target=self.read, args=(name,)) for name in self.text]
        for reader in self.readers:
            reader.start()
        test.addCleanup(self.end)

    def read(self, name):
        for line in getattr(self.process, name):
            self.text[name] += line

    def wait_for(self, pattern, stream="stdout"):
        deadline = time.monotonic() + LONG
        while not re.search(pattern, self.text[stream]):
            ended = self.process.poll() is not None and not any(reader.is_alive() for reader in self.readers)
            if (ended and not re.search(pattern, self.text[stream])) or time.monotonic() > deadline:
                self.test.fail(f"no '{pattern}' in {self.text}")
            time.sleep(0.02)

    def finish(self):
        """The exit status, and the seconds until the end."""
        began = time.monotonic()
        self.process.wait(LONG)
        for reader in self.readers:
            reader.join(LONG)
        return self.process.returncode, time.monotonic() - began

    def end(self):
        self.process.kill()
        self.finish()
        for name in self.text:
            getattr(self.process, name).close()


class NprocTest(TitanTest):
    def launch(self, *args, ranks=2, env=None):
        return Running(self, self.arguments(f"--nproc={ranks}", *args), env)

    def endless(self, *args, **options):
        """A run that is in its steps and would go on."""
        run = self.launch("--training.steps=1000000", "--metrics.log_freq=1", *args, **options)
        run.wait_for(r"step: +3 ")
        return run, rank_processes(run.process.pid)

    def assert_gone(self, ranks):
        deadline = time.monotonic() + LONG
        while any(os.path.exists(f"/proc/{pid}") for pid in ranks.values()):
            self.assertLess(time.monotonic(), deadline, "a rank is still there")
            time.sleep(0.05)

    def test_two_ranks_train_and_one_of_them_prints(self):
        result = self.train("--nproc=2")
        self.assertEqual(len(re.findall(r"step: +4 ", result.stdout)), 1)
        self.assertEqual(result.stderr, "")

    def test_ranks_open_as_many_files_as_they_may(self):
        # Messages of a hundred microbatches are under way before the second stage takes the first.
        command = self.arguments("--nproc=2", "--training.steps=1", "--training.seq_len=8", "--training.local_batch_size=100",
                                 "--parallelism.pipeline_parallel_degree=2", "--parallelism.pipeline_parallel_schedule=GPipe")
        result = subprocess.run(["sh", "-c", 'ulimit -S -n 40; exec "$@"', "sh", *command], cwd=ROOT, env=environment(None), text=True,
                                capture_output=True, check=False)
        self.assertEqual(result.returncode, 0, result.stdout + result.stderr)

    def test_the_message_of_the_rank_that_failed_comes_last(self):
        message = self.refused("--nproc=2", "--training.dataset_path=/no/such", exit_status=1)
        self.assertRegex(message, r"titan_train: rank \d \(pid \d+\) ended with exit status 1:\ntitan_train: [^\n]*/no/such[^\n]*\n$")

    def test_a_rank_without_data_is_what_every_rank_tells(self):
        data = self.write("one.jsonl", '{"text": "hello"}\n')
        for more in ([], ["--checkpoint.enable"]):
            with self.subTest(more=more):
                message = self.refused("--nproc=2", "--parallelism.data_parallel_shard_degree=2", "--training.dataset_path", data, *more,
                                       exit_status=1)
                told = [line for line in message.splitlines() if line.startswith("titan_train: ") and "ended with exit status" not in line]
                self.assertEqual(len(told), 1, message)
                self.assertIn("no data for data-parallel rank 1 of 2", told[0])

    def test_a_rank_that_is_killed(self):
        run, ranks = self.endless(ranks=3)
        os.kill(ranks[1], signal.SIGKILL)
        status, seconds = run.finish()
        self.assertEqual(status, 137)
        self.assertLess(seconds, 60, "10 s where nothing else runs")
        errors = run.text["stderr"]
        self.assertRegex(errors, rf"rank 1 \(host \S+, pid {ranks[1]}\) is gone .*; it was in \w+ of step \d+\.")
        self.assertRegex(errors, rf"titan_train: rank 1 \(pid {ranks[1]}\) was killed by signal 9 \(Killed\)[^\n]*\n$")
        self.assert_gone(ranks)
        self.assertTrue(os.path.getsize(self.path("dump/comm_traces/rank_0.json")))
        self.assertTrue(os.path.getsize(self.path("dump/comm_traces/rank_0.stack.txt")))

    def test_rank_0_is_killed(self):
        run, ranks = self.endless()
        os.kill(ranks[0], signal.SIGKILL)
        status, seconds = run.finish()
        self.assertEqual(status, 137)
        self.assertLess(seconds, 60)
        self.assertRegex(run.text["stderr"], rf"rank 0 \(host \S+, pid {ranks[0]}\) is gone")
        self.assert_gone(ranks)

    def test_a_stopped_rank_is_named_before_any_limit_and_when_it_is_back(self):
        run, ranks = self.endless()
        os.kill(ranks[1], signal.SIGSTOP)
        run.wait_for(rf"rank 1 \(host \S+, pid {ranks[1]}\) has not been heard of for \d+ s")
        os.kill(ranks[1], signal.SIGCONT)
        run.wait_for(r"rank 1 \(.*\) is heard of again")
        os.kill(run.process.pid, signal.SIGINT)
        self.assertEqual(run.finish()[0], 130)
        self.assert_gone(ranks)

    def test_a_stopped_rank_ends_the_run_after_the_limit(self):
        run, ranks = self.endless("--comm.train_timeout_seconds=3")
        os.kill(ranks[1], signal.SIGSTOP)
        status, _ = run.finish()
        self.assertEqual(status, 1)
        self.assertRegex(run.text["stderr"], rf"rank 1 \(host \S+, pid {ranks[1]}\) is stopped .*comm\.train_timeout_seconds")
        self.assert_gone(ranks)

    def test_a_stopped_rank_is_missed_in_the_group_of_tensor_parallelism(self):
        run, ranks = self.endless("--parallelism.tensor_parallel_degree=2", "--comm.train_timeout_seconds=3")
        os.kill(ranks[1], signal.SIGSTOP)
        status, _ = run.finish()
        self.assertEqual(status, 1)
        self.assertRegex(run.text["stderr"], rf"rank 1 \(host \S+, pid {ranks[1]}\) is stopped")
        self.assertRegex(run.text["stderr"], r"[Rr]ank 0 waited [\d.]+ s in \w+ #\d+ of tp")
        self.assert_gone(ranks)

    def test_a_stopped_rank_of_a_pipeline_is_named_with_its_stage_and_action(self):
        compute = r"(forward|backward|backward of inputs|backward of weights) of microbatch \d in stage {0}"
        message = r"waiting for (activations|gradients) of microbatch \d for stage {0} from rank {1}|sending (activations|gradients) of stage {0} to rank {1}"
        stage = r"(gathering the parameters|giving back the parameters|summing the gradients) of stage {0}"
        for stopped in (0, 1):
            with self.subTest(stopped):
                run, ranks = self.endless("--parallelism.pipeline_parallel_degree=2", "--parallelism.pipeline_parallel_schedule=1F1B",
                                          "--comm.train_timeout_seconds=3", "--training.local_batch_size=8", "--training.seq_len=256")
                time.sleep(2.5)  # a rank says every second where it is
                os.kill(ranks[stopped], signal.SIGSTOP)
                self.assertEqual(run.finish()[0], 1)
                told = run.text["stderr"]
                where = re.search(rf"rank {stopped} \(host \S+, pid {ranks[stopped]}\) is stopped [^;]*; it was in (.*?) of step \d+", told)
                self.assertTrue(where, told)
                self.assertRegex(told, rf"Rank {1 - stopped} waited [\d.]+ s in \w+ #\d+ of pp")
                phases = "|".join((compute, message, stage)).format(stopped, 1 - stopped)
                self.assertRegex(where.group(1), rf"^({phases}|data|optimizer|sending what other stages need)$")
                self.assert_gone(ranks)

    def test_a_request_to_stop_reaches_all(self):
        run, ranks = self.endless()
        os.kill(run.process.pid, signal.SIGTERM)
        self.assertEqual(run.finish()[0], 143)
        self.assert_gone(ranks)

    def test_the_time_in_which_a_job_was_suspended_does_not_count(self):
        run, ranks = self.endless("--comm.train_timeout_seconds=4")
        for _ in range(5):
            last = max(map(int, re.findall(r"step: +(\d+) ", run.text["stdout"])))
            for number in (signal.SIGSTOP, signal.SIGCONT):
                for pid in ranks.values():
                    os.kill(pid, number)
                time.sleep(6 if number == signal.SIGSTOP else 0)
            run.wait_for(rf"step: +{last + 3} ")
        os.kill(run.process.pid, signal.SIGINT)
        self.assertEqual(run.finish()[0], 130, run.text)
        self.assertNotIn("timed out", run.text["stderr"])
        self.assertNotIn("has not been heard of", run.text["stdout"])

    def test_a_stranger_neither_ends_a_job_nor_writes_into_its_log(self):
        run, ranks = self.endless()
        with open(f"/proc/{ranks[1]}/environ") as file:
            variables = dict(line.partition("=")[::2] for line in file.read().split("\0"))
        self.assertEqual(listening({int(variables["MASTER_PORT"])}), ["0100007F"], "nothing but loopback")
        self.assertEqual(set(listening(ports_of(ranks.values()))), {"0100007F"})
        with socket.create_connection(("127.0.0.1", int(variables["MASTER_PORT"]))) as stranger:
            stranger.sendall(struct.pack("<BI", 0, 0x3C85F7CE))  # c10d's TCPStore: validate
            for key in ("watch/abort", "watch/rank/0", "watch/rank/1"):
                for value in (b'{"rank": 1, "reason": "\x1b[31mred\\nforged"}', b"\x1b[31mred\nforged"):
                    name = b"titan_train/titan/" + key.encode()
                    stranger.sendall(struct.pack("<BQ", 1, len(name)) + name + struct.pack("<Q", len(value)) + value)  # set
            time.sleep(3)  # three looks at the store
        last = max(map(int, re.findall(r"step: +(\d+) ", run.text["stdout"])))
        run.wait_for(rf"step: +{last + 3} ")
        os.kill(run.process.pid, signal.SIGINT)
        self.assertEqual(run.finish()[0], 130, run.text)
        self.assertNotIn("red", run.text["stdout"] + run.text["stderr"])

    def test_a_second_request_to_stop_ends_a_rank_that_does_not_hear(self):
        run, ranks = self.endless()
        os.kill(ranks[1], signal.SIGSTOP)
        for _ in range(2):
            os.kill(run.process.pid, signal.SIGTERM)
            time.sleep(0.5)  # two signals at once are one
        status, _ = run.finish()
        self.assertEqual(status, 137)
        self.assertIn("was killed by signal 9", run.text["stderr"])
        self.assert_gone(ranks)

    def test_a_warning_and_then_a_request_leave_time_to_save(self):
        run, ranks = self.endless("--checkpoint.enable", "--checkpoint.interval=1000000")
        os.kill(ranks[1], signal.SIGSTOP)  # a save that takes longer than a second request would allow
        os.kill(run.process.pid, signal.SIGUSR2)
        time.sleep(0.5)
        os.kill(run.process.pid, signal.SIGTERM)
        time.sleep(4)
        os.kill(ranks[1], signal.SIGCONT)
        # Both signals waited for the stopped rank; it hears them in any order.
        self.assertIn(run.finish()[0], (128 + signal.SIGUSR2, 128 + signal.SIGTERM))
        self.assertTrue(any(name.startswith("step-") for name in os.listdir(self.path("dump/checkpoint"))))
        self.assert_gone(ranks)

    def test_nohup_is_heeded(self):
        run = Running(self, ["nohup", *self.arguments("--nproc=2", "--training.steps=1000000", "--metrics.log_freq=1")])
        run.wait_for(r"step: +3 ")
        ranks = rank_processes(run.process.pid)
        for pid in [run.process.pid, *ranks.values()]:
            os.kill(pid, signal.SIGHUP)
        step = int(re.findall(r"step: +(\d+)", run.text["stdout"])[-1])
        run.wait_for(rf"step: +{step + 3} ")
        os.kill(run.process.pid, signal.SIGTERM)
        self.assertEqual(run.finish()[0], 143)
        self.assert_gone(ranks)

    def test_the_launcher_is_killed(self):
        run, ranks = self.endless()
        run.process.kill()
        self.assert_gone(ranks)

    def test_starting_and_stopping_leaves_nothing(self):
        def names():
            return {name for folder in ("/tmp", "/dev/shm") for name in os.listdir(folder) if re.search("titan|gloo|torch", name)}

        before = names()
        for i in range(int(os.environ.get("TITAN_CYCLES", "3"))):
            run = self.launch("--training.steps=1")
            self.assertEqual(run.finish()[0], 0, run.text)
        left = names() - before
        deadline = time.monotonic() + LONG
        while left and time.monotonic() < deadline:
            time.sleep(0.1)  # what other tests on this machine have made they take away
            left &= names()
        self.assertEqual(left, set())


class RanksByHandTest(TitanTest):
    """Each rank is started alone, as a launcher would."""

    def rank(self, number, world_size, *args, port=None, address="127.0.0.1", prefix=(), env=None):
        variables = {"RANK": str(number), "WORLD_SIZE": str(world_size), "MASTER_ADDR": address, "MASTER_PORT": str(port), **(env or {})}
        return Running(self, [*prefix, *self.arguments("--comm.init_timeout_seconds=60", *args)], variables)

    def test_a_port_that_is_taken(self):
        with socket.socket() as other:
            other.bind(("127.0.0.1", 0))
            other.listen()
            port = other.getsockname()[1]
            run = self.rank(0, 2, "--comm.init_timeout_seconds=5", port=port)
            self.assertEqual(run.finish()[0], 1)
        self.assertIn(f"port {port}", run.text["stderr"])
        self.assertIn("MASTER_PORT", run.text["stderr"])

    def test_a_rank_that_never_starts(self):
        port = free_port(self)
        runs = [self.rank(number, 3, "--comm.init_timeout_seconds=8", port=port) for number in (0, 1)]
        for run in runs:
            self.assertEqual(run.finish()[0], 1)
        self.assertRegex(runs[0].text["stderr"], r"\brank 2\b|\branks? .*\b2\b")

    def test_ranks_that_disagree_on_how_many_they_are(self):
        port = free_port(self)
        runs = [self.rank(0, 2, "--comm.init_timeout_seconds=15", port=port), self.rank(1, 3, "--comm.init_timeout_seconds=15", port=port)]
        for run in runs:
            self.assertNotEqual(run.finish()[0], 0)
        self.assertRegex(runs[0].text["stderr"], r"\b3\b")

    def test_different_configs(self):
        port = free_port(self)
        runs = [self.rank(0, 2, port=port), self.rank(1, 2, "--training.steps=7", port=port)]
        for run in runs:
            self.assertEqual(run.finish()[0], 2, run.text)
            self.assertIn("training.steps is 4 on rank 0 and 7 on rank 1", run.text["stderr"])

    def test_a_master_in_brackets(self):
        port = free_port(self)
        try:
            with socket.socket(socket.AF_INET6) as probe:
                probe.bind(("::1", port))
        except OSError:
            self.skipTest("no IPv6 here")
        runs = [self.rank(number, 2, port=port, address="[::1]") for number in (0, 1)]
        for run in runs:
            self.assertEqual(run.finish()[0], 0, run.text)

    def test_a_machine_with_the_longest_name(self):
        name = "n" * 64
        prefix = ("unshare", "--uts", "sh", "-c", f'hostname {name} && exec "$@"', "sh")
        if subprocess.run([*prefix, "true"], capture_output=True, check=False).returncode != 0:
            self.skipTest("needs root, and the commands unshare and hostname")
        port = free_port(self)
        runs = [self.rank(number, 2, port=port, prefix=prefix) for number in (0, 1)]
        for run in runs:
            self.assertEqual(run.finish()[0], 0, run.text)
        self.assertIn(f"Hosts: {name} ranks 0-1", runs[0].text["stdout"])
        alone = {"LOCAL_RANK": "0", "LOCAL_WORLD_SIZE": "1"}
        runs = [self.rank(number, 2, port=port, address=socket.gethostname(), prefix=prefix, env=alone) for number in (0, 1)]
        for run in runs:
            self.assertEqual(run.finish()[0], 1, run.text)
            self.assertIn(name, run.text["stderr"])
            self.assertIn("GLOO_SOCKET_IFNAME", run.text["stderr"])

    def test_different_data_behind_one_path(self):
        # As on two machines: one working directory each, in which the same relative path leads elsewhere.
        folders = [self.path(name) for name in ("a", "b")]
        for number, folder in enumerate(folders):
            os.mkdir(folder)
            os.symlink(os.path.join(ROOT, "tests"), os.path.join(folder, "tests"))
            with open(os.path.join(folder, "data.jsonl"), "w", encoding="utf-8") as file:
                file.writelines(f'{{"text": "row {row} of disk {number}"}}\n' for row in range(4000))

        def outcome(prefix_of):
            port = free_port(self)
            runs = [self.rank(number, 2, "--training.dataset_path=data.jsonl", port=port, prefix=prefix_of(number)) for number in (0, 1)]
            return [(run.finish()[0], run.text["stderr"]) for run in runs]

        for status, errors in outcome(lambda number: ("env", "-C", folders[number])):
            self.assertEqual(status, 2, errors)
            self.assertRegex(errors, r"the data at data\.jsonl is contents \w+ of 1 file, data\.jsonl .* on rank 0 and contents .* on rank 1")
        for status, errors in outcome(lambda number: ("env", "-C", folders[0])):
            self.assertEqual(status, 0, errors)

    def test_two_machines_are_two_network_namespaces(self):
        names = [f"titan{os.getpid()}{letter}" for letter in "ab"]
        self.make_namespaces(names)
        port = 29511
        runs = []
        for number, name in enumerate(names):
            local = {"LOCAL_RANK": "0", "LOCAL_WORLD_SIZE": "1", "GLOO_SOCKET_IFNAME": f"veth{number}", "TITAN_JOB_SECRET": "a word"}
            runs.append(self.rank(number, 2, port=port, address="10.77.0.1", env=local, prefix=("ip", "netns", "exec", name)))
        for run in runs:
            self.assertEqual(run.finish()[0], 0, run.text)
        self.assertRegex(runs[0].text["stdout"], r"step: +4 ")

    def make_namespaces(self, names):
        """Two of them, connected by a cable: 10.77.0.1 and 10.77.0.2."""
        if shutil.which("ip") is None or os.geteuid() != 0:
            self.skipTest("needs root and the command ip")
        commands = [f"ip netns add {name}" for name in names]
        commands += [f"ip link add veth0 netns {names[0]} type veth peer name veth1 netns {names[1]}"]
        for number, name in enumerate(names):
            self.addCleanup(subprocess.run, ["ip", "netns", "delete", name], stderr=subprocess.DEVNULL, check=False)
            commands += [f"ip -n {name} addr add 10.77.0.{number + 1}/24 dev veth{number}", f"ip -n {name} link set veth{number} up",
                         f"ip -n {name} link set lo up"]
        for command in commands:
            done = subprocess.run(command.split(), capture_output=True, text=True, check=False)
            if done.returncode != 0:
                self.skipTest(f"'{command}' is not permitted here: {done.stderr.strip()}")


if __name__ == "__main__":
    unittest.main()
