"""titan_train profile: what a step runs, operator by operator and module by module, and what that comes to."""
import json
import os
import re
import subprocess

from titan import ROOT, TitanTest, environment

TOKENS, SEQUENCE, ROWS = 128, 64, 2
DIM, LAYERS, HEADS, KEY_HEADS, HIDDEN = 24, 2, 4, 2, 64  # of the flavor "tiny"


class ProfileTest(TitanTest):
    def profile(self, *args, exit_status=0):
        command = self.arguments("--activation_checkpoint.mode=none", *args)
        result = subprocess.run([command[0], "profile", *command[1:]], cwd=ROOT, env=environment(None), text=True,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.assertEqual(result.returncode, exit_status, result.stdout + result.stderr)
        return result

    def report(self, *args):
        result = self.profile("--json", *args)
        report = json.loads(result.stdout)
        with open(self.path("dump", "profile", "profile.json")) as file:
            self.assertEqual(json.load(file), report)
        return report, result.stderr

    def test_operations_are_those_of_the_model(self):
        report, log = self.report()
        vocabulary = int(re.search(r'"vocab_size": ?(\d+)', log).group(1))
        head = DIM // HEADS
        weights = LAYERS * (2 * DIM * DIM + 2 * DIM * KEY_HEADS * head + 3 * DIM * HIDDEN) + DIM * vocabulary
        pairs = ROWS * HEADS * SEQUENCE * (SEQUENCE + 1) // 2
        attention = LAYERS * pairs * (4 * head + 10 * head)
        self.assertEqual(report["all"]["flops"], 3 * 2 * TOKENS * weights + attention)
        products = {row["name"]: row for row in report["operators"]}["aten::mm"]
        self.assertEqual(products["calls"], 3 * (7 * LAYERS + 1))
        modules = {row["name"]: row for row in report["modules"]}
        self.assertEqual(modules["layers.*.attention.wq"]["flops"], LAYERS * 3 * 2 * TOKENS * DIM * DIM)
        self.assertEqual(modules["output"]["flops"], 3 * 2 * TOKENS * DIM * vocabulary)

    def test_every_call_is_listed_once_and_in_the_trace(self):
        report, _ = self.report()
        for rows in (report["operators"], report["modules"]):
            self.assertEqual(sum(row["calls"] for row in rows), report["all"]["calls"])
            self.assertEqual(len({row["name"] for row in rows}), len(rows))
        with open(self.path("dump", "profile", "trace.json")) as file:
            events = json.load(file)["traceEvents"]
        self.assertEqual(len(events), report["all"]["calls"])
        self.assertEqual(sum(event["args"]["flops"] for event in events), report["all"]["flops"])
        contests = sum(contest["flops"] for contest in report["contests"])
        self.assertEqual(contests, report["all"]["flops"], "what multiplies is in the floor")
        self.assertLessEqual(report["floor_seconds"], report["seconds"])

    def test_what_is_computed_again_is_told_apart(self):
        once, _ = self.report()
        twice, _ = self.report("--activation_checkpoint.mode=full")
        def again(report):
            return sum(row["by_part"]["again"] for row in report["operators"])
        self.assertEqual(again(once), 0)
        self.assertGreater(again(twice), 0)
        self.assertGreater(twice["all"]["flops"], once["all"]["flops"])

    def test_tables_and_fast_paths_and_ranks(self):
        text = self.profile("--compile.enable=true").stdout
        for word in ("titan_kernels::rms_norm", "layers.*.feed_forward.w2", "optimizer", "The floor"):
            self.assertIn(word, text)
        ranks, _ = self.report("--nproc=2", "--parallelism.data_parallel_shard_degree=2")
        names = [row["name"] for row in ranks["operators"]]
        self.assertTrue(any(name.startswith("titan::start_all_gather") for name in names), names)

    def test_training_is_left_alone(self):
        self.train()
        before = sorted(os.listdir(self.path("dump")))
        self.profile()
        self.assertEqual(sorted(os.listdir(self.path("dump"))), sorted([*before, "profile"]))
