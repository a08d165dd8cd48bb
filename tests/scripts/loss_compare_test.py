"""scripts/loss_compare.py: what it asks of two programs, and what it makes of their losses. tests/integration has real runs."""
import os
import shutil
import subprocess
import sys
import tempfile
import textwrap
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# Trains, as far as losses go: those of LOSSES beside it, or of --losses; writes down how it was called.
PROGRAM = textwrap.dedent('''\
    #!{python}
    import json, os, sys
    arguments = dict(a.lstrip("-").partition("=")[::2] for a in sys.argv[1:])
    here = os.path.dirname(os.path.abspath(__file__))
    with open({log!r}, "a") as file:
        file.write(json.dumps([os.environ["NGPU"] if "NGPU" in os.environ else "", os.path.basename(os.getcwd()), *sys.argv[1:]]) + "\\n")
    if sys.argv[1:2] == ["plot"]:
        open(sys.argv[sys.argv.index("--output") + 1], "w").write("<svg/>")
        sys.exit()
    if "checkpoint.create_seed_checkpoint" in arguments:
        sys.exit()
    print("Training")
    if "fails" in arguments:
        sys.exit(3)
    losses = json.loads(arguments.get("losses") or open(os.path.join(here, "LOSSES")).read())
    os.makedirs(arguments["job.dump_folder"])
    with open(os.path.join(arguments["job.dump_folder"], "metrics.jsonl"), "w") as file:
        for step, loss in enumerate(losses, 1):
            file.write(json.dumps({{"step": step, "loss": loss}}) + "\\n")
''')


class LossCompareTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.clone = self.folder / "clone"
        (self.clone / "scripts").mkdir(parents=True)
        shutil.copy(ROOT / "scripts/loss_compare.py", self.clone / "scripts")
        self.program = self.clone / "run_train.sh"
        self.program.write_text(PROGRAM.format(python=sys.executable, log=str(self.folder / "log")))
        self.program.chmod(0o755)
        self.set_losses([3.0, 2.0, 1.0])

    def set_losses(self, losses):
        (self.clone / "LOSSES").write_text(str(losses))

    def compare(self, *args, exit_status=0, env=None):
        result = subprocess.run([sys.executable, str(self.clone / "scripts/loss_compare.py"), *args, "--job-dump-folder",
                                 str(self.folder / "dump")], cwd=self.folder, env={"PATH": os.environ["PATH"], "HOME": str(self.folder), **(env or {})},
                                capture_output=True, text=True)
        self.assertEqual(result.returncode, exit_status, result.stdout + result.stderr)
        return result.stdout + result.stderr

    def calls(self):
        log = self.folder / "log"
        return [eval(line) for line in log.read_text().splitlines()] if log.exists() else []

    def test_both_runs_begin_with_one_seed_checkpoint_and_are_deterministic(self):
        self.compare(".", ".", "--baseline-config=a.toml", "--test-options=--metrics.x --y='two words'", "--steps=3", "--baseline-ngpus=2",
                     "--test-ngpus=4")
        seed, baseline, test, plot = self.calls()
        self.assertEqual([call[0] for call in (seed, baseline, test)], ["1", "2", "4"])
        self.assertIn("--checkpoint.create_seed_checkpoint", seed)
        for call in (seed, baseline, test):
            self.assertEqual(call[2:4], ["--job.config_file", "a.toml"])
            self.assertLess({"--debug.deterministic", "--debug.seed=42"}, set(call))
        for call in (baseline, test):
            self.assertLess({"--checkpoint.load_only", f"--checkpoint.initial_load_path={self.folder}/dump/seed/checkpoint/step-0",
                             "--training.steps=3"}, set(call))
        self.assertIn("--y=two words", test)
        self.assertEqual(plot[2:5], ["plot", f"{self.folder}/dump/baseline", f"{self.folder}/dump/test"])

    def test_table_logs_and_curves_are_in_the_output_folder(self):
        output = self.compare(".", ".", "--test-options=--losses=[3.5,2.0,0.5]", "--output-folder=out", "--no-seed-checkpoint")
        self.assertEqual(sorted(os.listdir(self.folder / "out")),
                         ["baseline_training.log", "comparison_statistics.txt", "losses.svg", "test_training.log"])
        table = (self.folder / "out/comparison_statistics.txt").read_text()
        self.assertEqual([line.split() for line in table.splitlines()[1:5]],
                         [["1", "3.000000", "3.500000", "0.500000"], ["2", "2.000000", "2.000000", "0.000000"],
                          ["3", "1.000000", "0.500000", "-0.500000"], ["mean", "2.000000", "2.000000", "0.000000"]])
        self.assertTrue(all(f"[LOSS_COMPARE] {line}" in output for line in table.splitlines()))
        self.assertEqual((self.folder / "out/test_training.log").read_text(), "Training\n")

    def test_losses_are_equal_as_far_as_they_are_shown(self):
        options = ["--test-options=--losses=[3.00004,2,1]", "--assert-equal"]
        self.assertIn("all 3 losses are equal", self.compare(".", ".", *options))
        self.assertIn("error: 1 of 3 losses differ, the first at step 1: 3.0 (baseline), 3.00004 (test)",
                      self.compare(".", ".", *options, "--decimals=all", exit_status=1))
        self.assertIn("steps of baseline: [1, 2, 3]; of test: [1, 2]",
                      self.compare(".", ".", "--test-options=--losses=[3,2]", "--assert-equal", exit_status=1))

    def test_results_of_other_times(self):
        options = [".", ".", "--test-ngpus=2", "--assert-equal"]
        self.set_losses([8.13761, 7.84099])
        self.compare(*options, "--export-result=golden.txt")
        self.assertEqual((self.folder / "golden.txt").read_text(), "1 8.1376\n2 7.8410\n")
        self.compare(*options, "--import-result=golden.txt")
        self.set_losses([8.13761, 7.84])
        self.assertIn("differ, the first at step 2: 7.8410 (golden.txt), 7.8400 (baseline)",
                      self.compare(*options, "--import-result=golden.txt", exit_status=1))

    def test_commits_are_checked_out_beside_the_clone(self):
        def git(*args):
            subprocess.run(["git", "-c", "user.name=a", "-c", "user.email=b", *args], cwd=self.clone, check=True, capture_output=True)

        git("init", "-q")
        git("add", ".")
        git("commit", "-qm", "first")
        git("tag", "first")
        self.set_losses([3.0, 2.0, 0.5])  # not committed
        output = self.compare("first", ".", "--steps=3")
        self.assertRegex(output, r"3 +1\.000000 +0\.500000")
        self.assertEqual([call[1] for call in self.calls()], ["tree", "tree", "clone", "clone"])
        self.assertEqual(subprocess.check_output(["git", "worktree", "list"], cwd=self.clone, text=True).count("\n"), 1, "gone")
        self.assertIn("nowhere is neither a program nor a commit", self.compare("nowhere", ".", exit_status=1))

    def test_a_program_that_is_built(self):
        self.compare(str(self.program), ".", "--steps=3", env={"COMM_MODE": "local_tensor", "NGPU": "2"})
        seed, baseline, test, _ = self.calls()
        self.assertEqual([call[2] for call in (seed, baseline)], ["--comm.mode=local_tensor"] * 2)
        self.assertNotIn("--comm.mode=local_tensor", test, "run_train.sh takes it from COMM_MODE")
        (self.folder / "log").unlink()
        self.compare(str(self.program), ".", "--steps=3", "--baseline-ngpus=2")
        self.assertEqual([call[2] for call in self.calls()[:2]], ["--job.config_file", "--nproc=2"])

    def test_what_cannot_be_meant_is_refused(self):
        (self.folder / "there").mkdir()
        for args, message in (([], "baseline and test are the same"), (["--steps=0", "--test-ngpus=2"], "--steps must be at least 1"),
                              (["--test-ngpus=2", "--export-result=x"], "go with --assert-equal"),
                              (["--test-ngpus=2", "--assert-equal", "--export-result=x", "--import-result=y"], "exclude one another"),
                              (["--test-ngpus=2", "--assert-equal", "--import-result=y"], "y is not there"),
                              (["--test-ngpus=2", "--output-folder=there"], "there is there already"),
                              (["--test-ngpus=2", "--decimals=few"], "a number or all")):
            self.assertIn(message, self.compare(".", ".", *args, exit_status=1))
        self.assertEqual(self.calls(), [])
        self.assertIn("error: it ended with 3", self.compare(".", ".", "--test-options=--fails", exit_status=1))


if __name__ == "__main__":
    unittest.main()
