"""After its first steps a run takes nothing from the system that it has had before, and at most what its tensors need."""
import json
import os
import subprocess
import unittest

from titan import ROOT, TitanTest, environment

# As large as blocks are that a C library likes to give back: 6 MiB for the widest activations.
SIZE = ["--model.flavor=debugmodel", "--training.seq_len=2048", "--training.local_batch_size=1"]
PAGE = os.sysconf("SC_PAGE_SIZE")


def is_sanitized():
    with open(os.environ["TITAN_TRAIN"], "rb") as program:
        text = program.read()
    return b"__asan_init" in text or b"__tsan_init" in text


@unittest.skipIf(is_sanitized(), "sanitizers manage memory their own way")
class SteadyStateTest(TitanTest):
    def usage(self, steps, *args):
        """What the system has handed out to a run."""
        with subprocess.Popen(self.arguments(*SIZE, f"--training.steps={steps}", "--compile.enable=true", *args, small=False), cwd=ROOT,
                              env=environment(None), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
        self.assertEqual(process.returncode, 0)
        return usage

    def test_steps_after_the_third_are_handed_out_no_memory(self):
        of_a_step = (self.usage(5).ru_minflt - self.usage(3).ru_minflt) / 2
        self.assertLess(of_a_step * PAGE, 6e6, "bytes; 30 MB where freed memory goes back")

    def forecast(self, *args):
        result = subprocess.run(self.arguments(*SIZE, "--compile.enable=true", *args, "--estimate", "--json", small=False), cwd=ROOT,
                                env=environment(None), text=True, stdout=subprocess.PIPE, check=True)
        return json.loads(result.stdout)["bytes_per_rank"]["peak"]

    def test_tensors_leave_no_holes_between_them(self):
        """What longer texts add to a run is what they add to its tensors: code and tables are in both runs. In the third step
        the moments of AdamW are where activations were in the first."""
        short = "--training.seq_len=256"
        resident = (self.usage(3).ru_maxrss - self.usage(3, short).ru_maxrss) * 1024
        self.assertLess(resident / (self.forecast() - self.forecast(short)), 1.2, "1.44 where the holes of aligned blocks stay empty")

    def tunables(self, **env):
        """What the C library of a run that trains was told."""
        with subprocess.Popen(self.arguments("--training.steps=2"), cwd=ROOT, env=environment(env), text=True, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT) as process:
            for line in process.stdout:
                if "Training starts" in line:
                    break
            with open(f"/proc/{process.pid}/environ", "rb") as file:
                variables = dict(entry.split("=", 1) for entry in file.read().decode().split("\0") if entry)
            process.stdout.read()
        self.assertEqual(process.returncode, 0)
        return variables.get("GLIBC_TUNABLES", "")

    def test_the_choice_is_the_users(self):
        self.assertIn("glibc.malloc", self.tunables())
        self.assertEqual(self.tunables(GLIBC_TUNABLES="glibc.malloc.arena_max=8"), "glibc.malloc.arena_max=8")
