"""`titan_train plot` and `--show-lr`: what a user types, without LibTorch being loaded."""
import json
import os
import re
import subprocess
import sys
import time
import unittest
import xml.etree.ElementTree as ET

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "integration"))
from titan import TitanTest  # noqa: E402


def titan(*arguments, status=0):
    result = subprocess.run([os.environ["TITAN_TRAIN"], *arguments], text=True, capture_output=True, check=False)
    assert result.returncode == status, result.stdout + result.stderr
    return result


class PlotTest(TitanTest):
    def record(self, name, lines):
        return self.write(name + "/metrics.jsonl", "".join(json.dumps(line) + "\n" for line in lines))

    def test_a_run_of_ours_becomes_a_picture(self):
        self.train()
        result = titan("plot", self.path("dump"))
        self.assertEqual(result.stdout, self.path("dump", "plot.svg") + "\n")
        self.assertEqual(result.stderr, "")
        root = ET.parse(self.path("dump", "plot.svg")).getroot()
        texts = {element.text for element in root.iter("{http://www.w3.org/2000/svg}text")}
        self.assertLessEqual({"Loss", "Gradient norm", "Learning rate", "Throughput"}, texts)
        tooltips = "".join(element.text for element in root.iter("{http://www.w3.org/2000/svg}title"))
        for record in self.records():
            self.assertIn(f"Loss\nstep {record['step']}: {record['loss']:.4g}", tooltips)

    def test_damaged_lines_are_counted(self):
        run = self.write("run/metrics.jsonl", '{"step": 1, "loss": 2.5}\n{"step": 2, "loss": "x"}\n{"step": 3, "lo')
        result = titan("plot", run, "--output", self.path("a.svg"))
        self.assertEqual(result.stdout, self.path("a.svg") + "\n")
        self.assertEqual(result.stderr, f"titan_train: warning: '{run}': 1 damaged line left out\n")

    def test_a_missing_run_is_an_error(self):
        self.assertIn("none", titan("plot", self.path("none"), status=1).stderr)

    def test_a_million_lines(self):
        line = ('{"step": %d, "loss": %.6f, "max_loss": 2.5, "grad_norm": 0.5%d, "lr": 0.0004, "n_tokens_seen": 2048, '
                '"tps": 1600.0, "tflops": 0.0625, "mfu": null, "data_loading_s": 0.001, "data_loading_pct": 0.1}\n')
        run = self.write("long/metrics.jsonl", "".join(line % (i, 2 + 100 / (i + 20) + i % 7 / 100, i % 9) for i in range(1, 1000001)))
        start = time.monotonic()
        titan("plot", run)
        self.assertLess(time.monotonic() - start, 60)
        self.assertLess(os.path.getsize(self.path("long", "plot.svg")), 500000)


class ShowLrTest(unittest.TestCase):
    def rows(self, *arguments):
        self.text = titan("--show-lr", *arguments).stdout
        return {int(step): float(lr) for step, lr in re.findall(r"^ +(\d+)  (\S+)", self.text, re.M)}

    def test_a_short_schedule_is_listed_step_by_step(self):
        rows = self.rows("--training.steps=8", "--lr_scheduler.warmup_steps=2", "--optimizer.lr=1.0")
        self.assertEqual(list(rows), list(range(1, 9)))
        self.assertEqual(rows[1], 0.5)
        self.assertEqual(rows[2], 1)
        self.assertEqual(rows[3], 1)
        self.assertAlmostEqual(rows[8], 1 / 6, places=5)
        self.assertIn("  warm-up         steps 1 to 2, lr 0.5 to 1\n", self.text)
        self.assertIn("  stable          steps 3 to 3, lr 1 to 1\n", self.text)
        self.assertIn("  decay (linear)  steps 4 to 8, lr 0.833333 to 0.166667\n", self.text)

    def test_a_long_schedule_is_sampled_with_the_ends_of_its_phases(self):
        rows = self.rows("--training.steps=1000000", "--lr_scheduler.warmup_steps=2000", "--lr_scheduler.decay_ratio=0.1",
                         "--lr_scheduler.decay_type=cosine", "--optimizer.lr=3e-4")
        self.assertLessEqual(len(rows), 26)
        self.assertLessEqual({1, 2000, 2001, 1000000}, set(rows))
        self.assertIn("warm-up         steps 1 to 2000,", self.text)
        self.assertRegex(self.text, r"stable +steps 2001 to 90000\d, lr 0\.0003 to 0\.0003\n")
        self.assertIn("decay (cosine)", self.text)
        self.assertEqual(rows[2000], 3e-4)

    def test_the_rates_are_those_of_a_run(self):
        run = TitanTest("setUp")
        run.setUp()
        self.addCleanup(run.doCleanups)
        arguments = ["--training.steps=6", "--lr_scheduler.warmup_steps=2", "--lr_scheduler.min_lr_factor=0.1"]
        run.train(*arguments)
        config = ["--job.config_file", os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..",
                                                    "configs/llama3/debug_model_cpu.toml")]
        rows = self.rows(*config, *arguments)
        self.assertEqual({record["step"]: float(f"{record['lr']:.6g}") for record in run.records()}, rows)

    def test_the_largest_number_of_steps(self):
        most = 2**63 - 1
        rows = self.rows(f"--training.steps={most}", "--optimizer.lr=1.0")
        self.assertLessEqual(len(rows), 26)
        self.assertEqual((min(rows), max(rows)), (1, most))
        self.assertTrue(all(0 <= lr <= 1 for lr in rows.values()), rows)
        self.assertNotIn("-", re.sub(r"e-\d+|warm-up", "", self.text))
        self.rows(f"--training.steps={most}", "--lr_scheduler.decay_ratio=1.0", "--lr_scheduler.warmup_steps=0")
        self.assertNotIn("held", self.text)

    def test_warnings_of_the_schedule_are_printed(self):
        self.rows("--training.steps=10", "--lr_scheduler.warmup_steps=50")
        self.assertIn("warning: Warmup steps (50) exceed total steps (10). Adjusting", self.text)
        rows = self.rows("--training.steps=10", "--lr_scheduler.warmup_steps=1", "--lr_scheduler.total_steps=5")
        self.assertIn("  held            steps 6 to 10,", self.text)
        self.assertEqual(rows[6], rows[10])


if __name__ == "__main__":
    unittest.main()
