"""run_train.sh: what it hands to the program, from wherever it is called. Bootstrap and build are pretended."""

import shutil
import unittest

from machine import ROOT, Machine

COMMANDS = ["bash", "env", "dirname", "readlink", "realpath", "ldconfig", "pwd", "nproc", "mktemp", "rm"]
CONFIG = ["--job.config_file", "configs/llama3/debug_model_cpu.toml"]
VERSION = '#!/bin/bash\nif [[ "$*" == --version ]]; then printf "titan_train 1\\nauto device: %s\\n" "${DEVICE:-cpu}"; exit; fi\n'
PROGRAM = VERSION + 'pwd\nprintf "%s\\n" "$@"\nexit "${EXIT_WITH:-0}"\n'


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
        return self.machine.run(script or self.clone / "run_train.sh", *arguments, cwd=self.elsewhere, **environment)

    def assert_runs(self, result, *arguments):
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertEqual(result.stdout.splitlines(), [str(self.clone), *arguments])

    def test_default_config_without_a_gpu(self):
        self.assert_runs(self.run_train(), "--job.config_file", "configs/llama3/debug_model_cpu.toml")

    def test_default_config_for_the_device_that_the_program_finds(self):
        self.assert_runs(self.run_train(DEVICE="cuda"), "--job.config_file", "configs/llama3/debug_model.toml")
        # A GPU that the program cannot use is not to become a run on the CPU: it is asked for one on the GPU, and refuses.
        self.assert_runs(self.run_train(DEVICE="none"), "--job.config_file", "configs/llama3/debug_model.toml")

    def test_arguments_are_passed_on_as_they_are(self):
        self.assert_runs(self.run_train("--job.print_args", "--job.description=two words"),
                         "--job.config_file", "configs/llama3/debug_model_cpu.toml", "--job.print_args", "--job.description=two words")

    def test_a_train_file_is_not_run_and_that_is_said(self):
        result = self.run_train(TRAIN_FILE="torchtitan.models.flux.train")
        self.assert_runs(result, *CONFIG)
        self.assertIn("TRAIN_FILE=torchtitan.models.flux.train is not run", result.stderr)
        self.assertNotIn("TRAIN_FILE", self.run_train(TRAIN_FILE="torchtitan.train").stderr)

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
        self.assert_runs(self.run_train("schedule", "--pp", "4"),
                         "schedule", "--job.config_file", "configs/llama3/debug_model_cpu.toml", "--pp", "4")
        self.assert_runs(self.run_train("profile", "--json"),
                         "profile", "--job.config_file", "configs/llama3/debug_model_cpu.toml", "--json")
        self.assert_runs(self.run_train("plot", "a", "b", CONFIG_FILE="x.toml"), "plot", "a", "b")

    def test_one_process_pretends_to_be_many(self):
        (self.clone / "build/release/titan_train").write_text(VERSION + 'echo "$NGPU $LOCAL_RANK $*"\n', encoding="utf-8")
        result = self.run_train("--training.steps=3", CONFIG_FILE="x.toml", COMM_MODE="fake_backend", NGPU="4096")
        self.assertEqual(result.stdout, "4096 0 --job.config_file x.toml --comm.mode=fake_backend --training.steps=3\n")
        self.assertIn("Running with comm_mode=fake_backend", result.stderr)

    def with_torchrun(self):
        """A Python environment beside the pretended LibTorch."""
        python = self.machine.home / "venv/bin/python"
        python.parent.mkdir(parents=True)
        for path in (python, python.parent / "torchrun"):
            path.write_text('#!/bin/bash\necho threads $OMP_NUM_THREADS\necho secret $TITAN_JOB_SECRET\nprintf "%s\\n" "$@"\n', encoding="utf-8")
            path.chmod(0o755)
        self.without_torchrun(python)

    def without_torchrun(self, python="/usr/bin/no/python"):
        bootstrap = self.clone / "scripts/bootstrap.sh"
        bootstrap.write_text(f'#!/bin/bash\n[[ "${{1:-}}" != --print-python ]] || echo "{python}"\n', encoding="utf-8")

    def launched(self, result):
        """torchrun's options as a dictionary, and the command of a rank."""
        self.assertEqual(result.returncode, 0, result.stderr)
        lines = result.stdout.splitlines()
        program = lines.index("--no-python") + 1
        self.assertEqual(lines[2:4], ["-m", "torch.distributed.run"])
        words = [word for line in lines[4:program - 1] for word in (line.split("=", 1) if line.startswith("--") else [line])]
        return {"threads": lines[0], "secret": lines[1], **dict(zip(words[::2], words[1::2]))}, lines[program:]

    def test_several_ranks_are_torchruns(self):
        self.with_torchrun()
        options, command = self.launched(self.run_train("--training.steps=3", NGPU="4", LOG_RANK="0,2", OMP_NUM_THREADS="5"))
        self.assertEqual(command, ["build/release/titan_train", *CONFIG, "--training.steps=3"])
        self.assertRegex(options.pop("--rdzv_endpoint"), r"^/dev/fd/\d+$")
        self.assertRegex(options.pop("secret"), r"^secret [0-9a-f-]{36}$")
        self.assertEqual(options, {
            "threads": "threads 5", "--nnodes": "1", "--nproc_per_node": "4", "--max-restarts": "0", "--rdzv_backend": "c10d",
            "--rdzv_conf": "store_type=file", "--local-addr": "127.0.0.1", "--rdzv_id": "titan_train", "--local-ranks-filter": "0,2",
            "--role": "rank", "--tee": "3", "--log-dir": "outputs/torchrun",
            "--signals-to-handle": "SIGTERM,SIGINT,SIGHUP,SIGQUIT,SIGUSR2,SIGXCPU"})

    def test_a_secret_of_the_user_is_kept(self):
        self.with_torchrun()
        for machines in ({"NNODES": "1"}, {"NNODES": "2", "MASTER_ADDR": "node1", "MASTER_PORT": "1"}):
            options, _ = self.launched(self.run_train(NGPU="4", TITAN_JOB_SECRET="ours", **machines))
            self.assertEqual(options["secret"], "secret ours")

    def test_ranks_share_the_cores(self):
        self.with_torchrun()
        (self.machine.bin / "nproc").unlink()
        self.machine.fake("nproc", "echo 12")
        self.assertEqual(self.launched(self.run_train(NGPU="4"))[0]["threads"], "threads 3")
        self.assertEqual(self.launched(self.run_train(NGPU="16"))[0]["threads"], "threads 1")

    def test_several_machines_meet_where_they_are_told(self):
        self.with_torchrun()
        two = {"NNODES": "2", "NGPU": "8", "MAX_RESTARTS": "3"}
        options, _ = self.launched(self.run_train(MASTER_ADDR="node1", MASTER_PORT="29500", **two))
        self.assertEqual(options["--rdzv_endpoint"], "node1:29500")
        self.assertEqual((options["--nnodes"], options["--max-restarts"]), ("2", "3"))
        options, _ = self.launched(self.run_train(RDZV_ENDPOINT="other:1", RDZV_ID="7", **two))
        self.assertEqual((options["--rdzv_endpoint"], options["--rdzv_id"]), ("other:1", "7"))
        options, _ = self.launched(self.run_train(MASTER_ADDR="[fd00::7]", MASTER_PORT="29500", **two))
        self.assertEqual(options["--rdzv_endpoint"], "[fd00::7]:29500")

    def refused(self, **environment):
        result = self.run_train(**environment)
        self.assertEqual(result.returncode, 2, result.stderr)
        self.assertEqual(result.stdout, "")
        return result.stderr

    def test_machines_without_a_place_to_meet(self):
        for environment in ({}, {"MASTER_ADDR": "node1"}, {"MASTER_PORT": "1"}):
            self.assertIn("MASTER_ADDR", self.refused(NNODES="2", **environment))
        for address in ("localhost", "127.0.0.1", "::1", "[::1]"):
            self.assertIn("cannot meet at", self.refused(NNODES="2", MASTER_ADDR=address, MASTER_PORT="1"))

    def test_without_python_the_program_starts_its_ranks(self):
        self.without_torchrun()
        self.assert_runs(self.run_train(NGPU="2"), *CONFIG, "--nproc=2")
        self.assertIn("torchrun", self.refused(NNODES="2", MASTER_ADDR="a", MASTER_PORT="1"))

    def test_what_does_not_train_is_one_process(self):
        self.with_torchrun()
        self.assert_runs(self.run_train("--check", NGPU="8", NNODES="2"), *CONFIG, "--check")
        self.assert_runs(self.run_train("--print_config", NGPU="8"), *CONFIG, "--print_config")
        for forecast in ("--estimate", "--show-plan"):
            self.assert_runs(self.run_train(forecast, NGPU="8"), *CONFIG, forecast)
        self.assert_runs(self.run_train("plot", "a", NGPU="8"), "plot", "a")

    def test_numbers_that_are_none(self):
        for name, value in {"NGPU": "two", "NNODES": "0", "MAX_RESTARTS": "-1", "LOG_RANK": "0 1"}.items():
            self.assertIn(name, self.refused(**{name: value}))
        self.assertIn("NGPU", self.refused(NGPU="x[$(touch evil)]"))

    def test_the_exit_code_is_the_programs(self):
        self.assertEqual(self.run_train(EXIT_WITH="130").returncode, 130)

    def test_through_a_symbolic_link(self):
        link = self.elsewhere / "train"
        link.symlink_to(self.clone / "run_train.sh")
        self.assert_runs(self.run_train(script=link), "--job.config_file", "configs/llama3/debug_model_cpu.toml")


if __name__ == "__main__":
    unittest.main()
