"""run_train.sh: what it hands to the program, from wherever it is called. Bootstrap and build are pretended."""

import shutil
import unittest

from machine import ROOT, Machine

COMMANDS = ["bash", "env", "dirname", "readlink", "realpath", "ldconfig", "pwd"]
PROGRAM = '#!/bin/bash\npwd\nprintf "%s\\n" "$@"\nexit "${EXIT_WITH:-0}"\n'


class RunTrain(unittest.TestCase):
    def setUp(self):
        self.machine = Machine(COMMANDS)
        self.addCleanup(self.machine.folder.cleanup)
        self.clone = self.machine.home / "a clone, près d'ici"
        for name, text in {
            "scripts/bootstrap.sh": "#!/bin/bash\n",
            "scripts/build.sh": "#!/bin/bash\necho building >&2\n",
            "build/release/titan_train": PROGRAM,
        }.items():
            path = self.clone / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            path.chmod(0o755)
        shutil.copy(ROOT / "run_train.sh", self.clone)
        self.elsewhere = self.machine.home / "else where"
        self.elsewhere.mkdir()

    def run_train(self, *arguments, script=None, **environment):
        environment.setdefault("CUDA_VISIBLE_DEVICES", "")
        return self.machine.run(script or self.clone / "run_train.sh", *arguments, cwd=self.elsewhere, **environment)

    def assert_runs(self, result, *arguments):
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertEqual(result.stdout.splitlines(), [str(self.clone), *arguments])

    def test_default_config_without_a_gpu(self):
        self.assert_runs(self.run_train(), "--job.config_file", "configs/llama3/debug_model_cpu.toml")

    def test_arguments_are_passed_on_as_they_are(self):
        self.assert_runs(self.run_train("--job.print_args", "--job.description=two words"),
                         "--job.config_file", "configs/llama3/debug_model_cpu.toml", "--job.print_args", "--job.description=two words")

    def test_config_file_of_the_caller(self):
        (self.elsewhere / "my.toml").touch()
        self.assert_runs(self.run_train(CONFIG_FILE="my.toml"), "--job.config_file", str(self.elsewhere / "my.toml"))

    def test_config_file_of_the_clone(self):
        self.assert_runs(self.run_train(CONFIG_FILE="configs/x.toml"), "--job.config_file", "configs/x.toml")

    def test_a_config_file_argument_replaces_the_default(self):
        self.assert_runs(self.run_train("--job.config_file=mine.toml"), "--job.config_file=mine.toml")

    def test_commands_stand_in_front_and_plot_has_no_config(self):
        self.assert_runs(self.run_train("tokenize", "--output", "out"),
                         "tokenize", "--job.config_file", "configs/llama3/debug_model_cpu.toml", "--output", "out")
        self.assert_runs(self.run_train("plot", "a", "b", CONFIG_FILE="x.toml"), "plot", "a", "b")

    def test_communication_mode_is_passed_on(self):
        result = self.run_train(CONFIG_FILE="x.toml", COMM_MODE="fake_backend")
        self.assert_runs(result, "--job.config_file", "x.toml", "--comm.mode=fake_backend")

    def test_more_than_one_rank_is_refused(self):
        for environment in ({"NGPU": "8"}, {"NNODES": "2"}):
            result = self.run_train(**environment)
            self.assertEqual(result.returncode, 2)
            self.assertIn("not available in this build yet", result.stderr)
            self.assertEqual(result.stdout, "")

    def test_the_exit_code_is_the_programs(self):
        self.assertEqual(self.run_train(EXIT_WITH="130").returncode, 130)

    def test_through_a_symbolic_link(self):
        link = self.elsewhere / "train"
        link.symlink_to(self.clone / "run_train.sh")
        self.assert_runs(self.run_train(script=link), "--job.config_file", "configs/llama3/debug_model_cpu.toml")


if __name__ == "__main__":
    unittest.main()
