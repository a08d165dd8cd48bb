"""Traces of whole runs, as the viewers read them, and the version that a report of a problem begins with."""
import glob
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import unittest

from titan import ROOT, TitanTest

CYCLE_OF_3 = ["--profiling.enable_profiling", "--profiling.profile_freq=3", "--profiling.profiler_warmup=1"]


class Trace:
    def __init__(self, path):
        with open(path) as file:
            self.events = json.load(file)["traceEvents"]
        self.slices = [event for event in self.events if event["ph"] == "X"]

    def named(self, name):
        return [event for event in self.slices if event["name"] == name]


def inside(inner, outer):
    """Within it in time, but for rounding to 1 ns, and on the same thread."""
    end, outer_end = inner["ts"] + inner["dur"], outer["ts"] + outer["dur"]
    return inner["tid"] == outer["tid"] and inner["ts"] >= outer["ts"] - 0.01 and end <= outer_end + 0.01


class TraceTest(TitanTest):
    def traces(self):
        paths = glob.glob(self.path("dump", "profile_trace*", "**", "*"), recursive=True)
        return sorted(path for path in paths if os.path.isfile(path))

    def only_trace(self):
        self.assertEqual(len(self.traces()), 1)
        return Trace(self.traces()[0])

    def test_a_step_in_all_its_phases_under_activation_checkpointing(self):
        for option in ("op", "2"):
            result = self.train(*CYCLE_OF_3, "--training.global_batch_size=4", "--activation_checkpoint.mode=selective",
                                "--activation_checkpoint.selective_ac_option=" + option)
            trace = self.only_trace()
            step, = trace.named("ProfilerStep#2")
            phases = [trace.named(name) for name in ("data", "forward", "backward", "optimizer")]
            self.assertEqual([len(phase) for phase in phases], [1, 2, 2, 1], "two microbatches")
            data, forward, backward, optimizer = (phase[0] for phase in phases)
            self.assertLess(data["ts"], forward["ts"])
            self.assertLess(forward["ts"], backward["ts"])
            self.assertLess(backward["ts"], optimizer["ts"])
            for phase in phases:
                self.assertTrue(inside(phase[0], step))
            products = trace.named("aten::mm")
            self.assertTrue(any(inside(product, forward) for product in products))
            self.assertTrue(any(inside(product, backward) for product in products))
            self.assertTrue(all("Input Dims" in product["args"] for product in products))
            self.assertEqual(result.stderr, "", "Kineto is silent")

    def test_a_pipeline_names_what_it_computes_of_each_microbatch(self):
        for schedule, parts in (("1F1B", ("forward", "backward")),
                                ("ZBVZeroBubble", ("forward", "backward of inputs", "backward of weights"))):
            shutil.rmtree(self.path("dump"), ignore_errors=True)
            self.train(*CYCLE_OF_3, "--nproc=2", "--parallelism.pipeline_parallel_degree=2", "--training.local_batch_size=4",
                       f"--parallelism.pipeline_parallel_schedule={schedule}")
            paths = self.traces()
            self.assertEqual(len(paths), 2)
            for rank, path in enumerate(paths):
                trace = Trace(path)
                step, = trace.named("ProfilerStep#2")
                stages = {"1F1B": [rank], "ZBVZeroBubble": [rank, 3 - rank]}[schedule]
                for stage in stages:
                    for microbatch in range(4):
                        for part in parts:
                            range_, = trace.named(f"{part} of microbatch {microbatch} in stage {stage}")
                            self.assertTrue(inside(range_, step))
                            if stage > 0:  # the first may have the embedding only
                                self.assertTrue(any(inside(product, range_) for product in trace.named("aten::mm")))

    def test_timestamps_are_sane(self):
        start = time.time()
        self.train(*CYCLE_OF_3)
        with open(self.traces()[0]) as file:
            whole = json.load(file)
        base = whole["baseTimeNanoseconds"] / 1e9
        for event in whole["traceEvents"]:
            if event["ph"] == "X":
                self.assertGreaterEqual(event["dur"], 0, event)
                self.assertGreater(base + event["ts"] / 1e6, start - 1, event)
                self.assertLess(base + (event["ts"] + event["dur"]) / 1e6, time.time() + 1, event)
        flows = [sorted(event["id"] for event in whole["traceEvents"] if event["ph"] == end) for end in "sf"]
        self.assertEqual(*flows)
        self.assertTrue(flows[0], "arrows lead from forward to backward")

    def test_every_cycle_leaves_a_trace_and_the_numbers_stay(self):
        plain = self.train("--training.steps=7", "--debug.log_hashes") and self.records("hashes.jsonl")
        output = self.train("--training.steps=7", "--debug.log_hashes", *CYCLE_OF_3).stdout
        self.assertEqual(plain, self.records("hashes.jsonl"))
        folder = self.path("dump", "profile_trace")
        self.assertEqual(self.traces(), [f"{folder}/iteration_{n}/rank0_trace.json" for n in (3, 6)])
        self.assertIn(f"Profiling active. Traces will be saved at {folder}\n", output)
        self.assertEqual(re.findall(r"Dumping profiler traces at step (\d+)\n", output), ["3", "6"])
        self.assertEqual(len(re.findall(r"Finished dumping profiler traces in \d+\.\d\d seconds\n", output)), 2)

    def test_traces_of_several_ranks_become_one(self):
        self.train(*CYCLE_OF_3, "--nproc=2", "--training.steps=3")
        folder = self.path("dump", "profile_trace", "iteration_3")
        subprocess.run([sys.executable, os.path.join(ROOT, "scripts/merge_traces.py"), folder], check=True, stdout=subprocess.DEVNULL)
        merged = Trace(os.path.join(folder, "merged_trace.json"))
        self.assertEqual([(event["pid"], event["args"]["name"]) for event in merged.events if event["name"] == "process_name"],
                         [(0, "rank 0"), (1, "rank 1")])
        steps = merged.named("ProfilerStep#2")
        self.assertEqual([step["pid"] for step in steps], [0, 1])
        begin, end = max(s["ts"] for s in steps), min(s["ts"] + s["dur"] for s in steps)
        self.assertLess(begin, end, "both ranks are in the step at one time")
        for rank in (0, 1):
            alone = Trace(os.path.join(folder, f"rank{rank}_trace.json"))
            self.assertEqual([event["name"] for event in merged.slices if event["pid"] == rank],
                             [event["name"] for event in alone.slices])

    def test_sigusr1_has_one_step_traced_and_kills_nothing(self):
        process = self.start("--training.steps=100000")
        for line in process.stdout:
            if "step:  3 " in line:
                process.send_signal(signal.SIGUSR1)
            asked = re.search(r"SIGUSR1: profiling step (\d+); the trace will be saved as (\S+)", line)
            if asked:
                step, path = int(asked[1]), asked[2]
            if "Finished dumping profiler traces" in line:
                process.send_signal(signal.SIGTERM)
                break
        rest, errors = process.communicate(timeout=60)
        self.assertEqual((process.returncode, errors), (128 + signal.SIGTERM, ""), rest)
        self.assertEqual(self.traces(), [path])
        self.assertTrue(path.endswith(f"/iteration_{step}/rank0_trace.json"), path)
        self.assertEqual(len(self.only_trace().named(f"ProfilerStep#{step - 1}")), 1)

    def test_a_hail_of_sigusr1_kills_nothing(self):
        process = self.start("--training.steps=100000")
        for line in process.stdout:
            if "Training starts" in line:
                break
        for _ in range(200):
            process.send_signal(signal.SIGUSR1)
            time.sleep(0.0005)
        process.send_signal(signal.SIGTERM)
        rest, _ = process.communicate(timeout=60)
        self.assertEqual(process.returncode, 128 + signal.SIGTERM, rest)
        self.assertIn("Finished dumping profiler traces", rest)

    def test_memory_snapshots_need_a_gpu(self):
        message = self.refused("--profiling.enable_memory_snapshot")
        self.assertIn("profiling.enable_memory_snapshot = true", message)
        self.assertIn("CUDA caching allocator", message)


class VersionTest(unittest.TestCase):
    def version(self, **env):
        return subprocess.run([os.environ["TITAN_TRAIN"], "--version"], env={**os.environ, **env}, check=True, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT).stdout

    def test_names_everything_that_computes(self):
        self.assertRegex(self.version(CUDA_VISIBLE_DEVICES=""), r"""(?x)\A
            titan_train\ \d+\.\d+\.\d+(\+[0-9a-f]+)?\n
            LibTorch\ 2\.11\.0\n
            CUDA\ (\d+\.\d+|not\ built\ in)\n
            cuDNN\ (\d+\.\d+\.\d+|as\ LibTorch\ brings\ it|not\ built\ in)\n
            NCCL\ (\d+\.\d+\.\d+|not\ built\ in)\n
            driver\ (none|\d[\d.]*)\ \(CUDA_VISIBLE_DEVICES\ hides\ all\ GPUs\)\n
            auto\ device:\ cpu\n\Z""")

    def test_loads_no_torch_library_where_no_gpu_is_visible(self):
        loaded = self.version(CUDA_VISIBLE_DEVICES="", LD_DEBUG="files")
        self.assertIn("libc.so", loaded)
        self.assertNotRegex(loaded, r"lib(torch|c10|cud|nccl)")


if __name__ == "__main__":
    unittest.main()
