"""Weights & Biases, offline: the files of its own package hold the values of a run, however the run ends."""
import glob
import json
import math
import os
import signal
import struct
import subprocess
import sys
import time
import unittest

from wandb.proto import wandb_internal_pb2

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "integration"))
from titan import ROOT, TitanTest  # noqa: E402

OFFLINE = {"WANDB_MODE": "offline", "TITAN_PYTHON": sys.executable}


def offline_records(path):
    """What wandb would upload of a run: the records of a file framed as LevelDB's log is."""
    with open(path, "rb") as file:
        data = file.read()
    position, record = 7, b""  # after the file's own header
    while position + 7 <= len(data):
        left = 32768 - position % 32768
        if left < 7:
            position += left
            continue
        _, length, kind = struct.unpack_from("<IHB", data, position)
        if position + 7 + length > len(data):
            return  # still being written
        record += data[position + 7:position + 7 + length]
        position += 7 + length
        if kind in (1, 4):  # a whole record, or the last part of one
            message = wandb_internal_pb2.Record()
            message.ParseFromString(record)
            yield message
            record = b""


class Run:
    """An offline run, read back."""

    def __init__(self, path):
        self.history, self.config, self.run, self.exit_code = [], {}, None, None
        for record in offline_records(path):
            if record.HasField("run"):
                self.run = record.run
                for item in record.run.config.update:
                    self.config[item.key] = json.loads(item.value_json)
            elif record.HasField("history"):
                self.history.append({item.key or "/".join(item.nested_key): json.loads(item.value_json)
                                     for item in record.history.item})
            elif record.HasField("exit"):
                self.exit_code = record.exit.exit_code

    def curve(self, tag):
        return {values["_step"]: values[tag] for values in self.history if tag in values}


class WandbTest(TitanTest):
    def closed_run(self, *folder, seconds=60):
        """The run below `folder`, once wandb has written all of it, which its service may do after the sidecar's end."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            try:
                [file] = glob.glob(self.path(*folder, "wandb", "offline-run-*", "run-*.wandb"))
                run = Run(file)
                if run.exit_code is not None:
                    return run
            except (ValueError, OSError):  # not there yet
                pass
            time.sleep(0.2)
        self.fail("the sidecar did not close its run")

    def test_an_offline_run_holds_the_values_the_config_and_the_names(self):
        output = self.train("--metrics.enable_wandb", "--metrics.enable_tensorboard",
                            env={**OFFLINE, "WANDB_RUN_NAME": "my run", "WANDB_RUN_TAGS": "one, two", "WANDB_RUN_ID": "abc123",
                                 "WANDB_RUN_GROUP": "g", "WANDB_RUN_JOB_TYPE": "j", "WANDB_RUN_NOTES": "notes"}).stdout
        self.assertIn("WandB logging enabled", output)
        self.assertNotIn("ERROR", output)
        run = self.closed_run("dump", "tb", "*")
        self.assertEqual((run.run.project, run.run.display_name, run.run.run_id), ("torchtitan", "my run", "abc123"))
        self.assertEqual((run.run.run_group, run.run.job_type, run.run.notes), ("g", "j", "notes"))
        self.assertEqual(list(run.run.tags), ["one", "two"])
        self.assertEqual(run.config["training"]["steps"], 4)
        self.assertEqual(run.config["metrics"]["enable_wandb"], True)
        self.assertEqual(run.exit_code, 0)
        for tag, field in (("loss_metrics/global_avg_loss", "loss"), ("grad_norm", "grad_norm"), ("lr", "lr"),
                           ("throughput(tps)", "tps"), ("n_tokens_seen", "n_tokens_seen"),
                           ("memory/max_active(GiB)", "memory_max_active_gib")):
            self.assertEqual(run.curve(tag), {record["step"]: record[field] for record in self.records()}, tag)
        self.assertEqual(len(glob.glob(self.path("dump", "tb", "*", "events.out.tfevents.*"))), 1, "both sinks at once")

    def test_a_validation_and_a_loss_that_is_not_a_number(self):
        """The sidecar alone, fed by hand."""
        lines = [{"dir": self.path("board"), "config": {"a": {"b": 1}}}, {"step": 2, "values": {"lr": 0.5}},
                 {"step": 2, "values": {"validation_metrics/loss": 4.5}}, {"step": 3, "values": {"lr": float("nan")}},
                 {"finish": 0}]
        result = subprocess.run([sys.executable, os.path.join(ROOT, "scripts/wandb_sidecar.py")],
                                input="".join(json.dumps(line) + "\n" for line in lines), text=True, capture_output=True,
                                env={**os.environ, **OFFLINE, "WANDB_PROJECT": "mine"}, check=True)
        self.assertRegex(result.stdout, r"\Arunning .*\nfinished\n\Z")
        run = self.closed_run("board")
        self.assertEqual(run.run.project, "mine")
        self.assertEqual(run.curve("validation_metrics/loss"), {2: 4.5})
        self.assertEqual(run.curve("lr")[2], 0.5)
        self.assertTrue(math.isnan(run.curve("lr")[3]))

    def test_signals_to_the_trainer_do_not_end_the_sidecar(self):
        """A scheduler may send them to every process of a job."""
        sidecar = subprocess.Popen([sys.executable, os.path.join(ROOT, "scripts/wandb_sidecar.py")], text=True, stdin=subprocess.PIPE,
                                   stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env={**os.environ, **OFFLINE})
        self.addCleanup(sidecar.communicate)
        self.addCleanup(sidecar.kill)
        sidecar.stdin.write(json.dumps({"dir": self.path("board"), "config": {}}) + "\n")
        sidecar.stdin.flush()
        self.assertIn("running", sidecar.stdout.readline())
        for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2, signal.SIGXCPU):
            sidecar.send_signal(number)
        sidecar.stdin.write(json.dumps({"step": 2, "values": {"lr": 0.5}}) + "\n" + json.dumps({"finish": 0}) + "\n")
        sidecar.stdin.flush()
        self.assertEqual(sidecar.stdout.readline(), "finished\n")
        run = self.closed_run("board")
        self.assertEqual(run.curve("lr"), {2: 0.5})

    def test_without_the_package_there_is_one_error_and_the_run_goes_on(self):
        hidden = self.write("hidden/wandb.py", "raise ImportError('No module named wandb')\n")
        output = self.train("--metrics.enable_wandb", env={**OFFLINE, "PYTHONPATH": os.path.dirname(hidden)}).stdout
        errors = [line for line in output.splitlines() if "ERROR" in line]
        self.assertEqual(len(errors), 1, output)
        self.assertRegex(errors[0], r"Failed to create WandB logger: .*python\S* cannot import wandb \(No module named wandb\)\. "
                                    r"Install it there .*TITAN_PYTHON\. Training continues; metrics\.jsonl has every number\.$")
        self.assertEqual(len(self.records()), 4)

    def test_without_a_python_there_is_one_error_and_the_run_goes_on(self):
        output = self.train("--metrics.enable_wandb", env={"TITAN_PYTHON": self.path("no_python")}).stdout
        errors = [line for line in output.splitlines() if "ERROR" in line]
        self.assertEqual(len(errors), 1, output)
        self.assertIn(f"Failed to create WandB logger: cannot start '{self.path('no_python')}': No such file", errors[0])
        self.assertEqual(len(self.records()), 4)

    def start_long_run(self):
        process = self.start("--metrics.enable_wandb", "--training.steps=100000", env=OFFLINE)
        self.addCleanup(process.kill)
        self.addCleanup(process.stderr.close)
        self.addCleanup(process.stdout.close)
        running = False
        for line in process.stdout:
            running = running or "WandB logging enabled" in line
            if running and " - step: " in line:
                return process
        self.fail("the run ended: " + process.stderr.read())

    def test_after_ctrl_c_the_run_is_complete(self):
        process = self.start_long_run()
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=120)
        self.assertEqual(process.returncode, 130)
        run = self.closed_run("dump", "tb", "*")
        self.assertEqual(run.exit_code, 0)
        self.assertEqual(run.curve("lr"), {record["step"]: record["lr"] for record in self.records()})

    def test_a_killed_trainer_leaves_a_closed_run_and_no_process(self):
        process = self.start_long_run()
        process.send_signal(signal.SIGKILL)
        process.wait()
        run = self.closed_run("dump", "tb", "*")
        self.assertEqual(run.exit_code, 1)
        self.assertGreater(len(run.curve("lr")), 0)
        end = time.monotonic() + 30
        while (left := self.sidecars()) and time.monotonic() < end:
            time.sleep(0.1)
        self.assertEqual(left, [])

    def test_a_sidecar_that_is_killed_is_one_error_and_no_zombie(self):
        process = self.start_long_run()
        sidecars = self.sidecars()
        self.assertEqual(len(sidecars), 1)
        os.kill(sidecars[0], signal.SIGKILL)
        for line in process.stdout:
            if "ERROR" in line:
                self.assertRegex(line, r"The Weights & Biases process ended unexpectedly \(signal 9\); see '.*wandb_sidecar\.log'")
                break
        for _, line in zip(range(20), process.stdout):
            self.assertNotIn("ERROR", line)
        with open(f"/proc/{process.pid}/task/{process.pid}/children", encoding="utf-8") as children:
            self.assertEqual(children.read().split(), [])
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
        self.assertEqual(process.returncode, 130)

    def sidecars(self):
        """Processes of this test's sidecars: their standard error is a file of our folder."""
        found = []
        for process in glob.glob("/proc/[0-9]*"):
            try:
                with open(process + "/cmdline", encoding="utf-8") as file:
                    ours = "titan_train wandb sidecar" in file.read()
                if ours and os.readlink(process + "/fd/2").startswith(self.folder):
                    found.append(int(os.path.basename(process)))
            except OSError:
                continue
        return found


if __name__ == "__main__":
    unittest.main()
