"""Runs the program under test the way a user does."""
import json
import os
import shutil
import subprocess
import tempfile
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
CONFIG = os.path.join(ROOT, "configs/llama3/debug_model_cpu.toml")
# Small enough for a test, large enough to learn.
SMALL = ["--model.flavor=tiny", "--training.seq_len=64", "--training.local_batch_size=2", "--training.steps=4"]


class TitanTest(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.folder)

    def path(self, *parts):
        return os.path.join(self.folder, *parts)

    def write(self, name, content):
        path = self.path(name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(content if isinstance(content, bytes) else content.encode())
        return path

    def arguments(self, *args, config=CONFIG, small=True):
        return [os.environ["TITAN_TRAIN"], "--job.config_file", config, "--job.dump_folder", self.path("dump"),
                "--training.device=cpu", "--compile.enable=false", *(SMALL if small else []), *args]

    def start(self, *args, env=None, **options):
        return subprocess.Popen(self.arguments(*args, **options), cwd=ROOT, env=environment(env), text=True,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def train(self, *args, env=None, exit_status=0, **options):
        """Runs to the end and returns the result; its exit status must be the expected one."""
        result = subprocess.run(self.arguments(*args, **options), cwd=ROOT, env=environment(env), text=True,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.assertEqual(result.returncode, exit_status, result.stdout + result.stderr)
        return result

    def refused(self, *args, exit_status=2, **options):
        """The one message of a run that must fail."""
        return self.train(*args, exit_status=exit_status, **options).stderr

    def records(self, name="metrics.jsonl", dump="dump"):
        with open(self.path(dump, name)) as file:
            return [json.loads(line) for line in file]


def environment(extra):
    return {**os.environ, "OMP_NUM_THREADS": "1", **(extra or {})}
