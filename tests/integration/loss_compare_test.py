"""scripts/loss_compare.py with real runs: layouts that read the same tokens have the same losses."""
import os
import subprocess
import sys
import unittest

from titan import ROOT, TitanTest, environment

CONFIG = "tests/integration/suite/base_config_cpu.toml"
SMALL = "--model.flavor=tiny --training.local_batch_size=2"


class LossCompareTest(TitanTest):
    def compare(self, test_options, *args, exit_status=0):
        program = os.environ["TITAN_TRAIN"]
        result = subprocess.run(
            [sys.executable, os.path.join(ROOT, "scripts/loss_compare.py"), program, program, f"--baseline-config={CONFIG}",
             f"--baseline-options={SMALL}", f"--test-options={SMALL} {test_options}", "--baseline-ngpus=2", "--test-ngpus=2", "--steps=3",
             "--job-dump-folder", self.path("dump"), "--output-folder", self.path("out"), *args],
            cwd=self.folder, env=environment({"COMM_MODE": "local_tensor"}), capture_output=True, text=True)
        self.assertEqual(result.returncode, exit_status, result.stdout + result.stderr)
        return result.stdout

    def test_layouts_that_read_the_same_tokens(self):
        output = self.compare("--parallelism.data_parallel_replicate_degree=2", "--assert-equal", "--decimals=all")
        self.assertIn("[LOSS_COMPARE] all 3 losses are equal", output)
        with open(self.path("out/losses.svg")) as file:
            self.assertIn("<svg", file.read())
        with open(self.path("out/test_training.log")) as file:
            log = file.read()
            self.assertIn("Applied DDP to the model", log)
            self.assertIn("dump/seed/checkpoint/step-0", log)

    def test_what_differs_is_found(self):
        output = self.compare("--optimizer.lr=8e-3", "--assert-equal", exit_status=1)
        self.assertIn("[LOSS_COMPARE] error: 2 of 3 losses differ, the first at step 2: ", output)


if __name__ == "__main__":
    unittest.main()
