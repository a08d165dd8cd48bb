"""A GPU that cannot be used never becomes a run on the CPU that nobody asked for: the program says what to do and ends. The machine is
pretended: a kernel with a driver, its library missing or old, another NCCL."""
import os
import subprocess
import unittest

from titan import TitanTest

STUBS = os.environ.get("TITAN_STUBS")


@unittest.skipUnless(STUBS, "this build has no CUDA parts")
@unittest.skipIf(os.path.exists("/dev/nvidiactl"), "this machine has a GPU")
class GpuProblemsTest(TitanTest):
    def with_stubs(self, *preloaded, library_path=()):
        files = {"pretended_driver": "libpretended_driver.so", "other_nccl": "libnccl.so.2"}
        folders = [os.path.join(STUBS, name) for name in library_path]
        return {"LD_PRELOAD": ":".join(os.path.join(STUBS, name, files[name]) for name in ("pretended_driver", *preloaded)),
                "LD_LIBRARY_PATH": ":".join(folders), "CUDA_VISIBLE_DEVICES": "0"}

    def assert_refused(self, env, *words):
        message = self.refused("--training.device=auto", exit_status=1, env=env)
        for word in ("this machine has a GPU that cannot be used: ", "--training.device=cpu", *words):
            self.assertIn(word, message)
        self.assertIn("cannot be used", self.refused("--training.device=cuda", exit_status=1, env=env))
        self.assertFalse(os.path.exists(self.path("dump/metrics.jsonl")), "nothing was trained")

    def test_a_driver_without_its_library(self):
        self.assert_refused(self.with_stubs(), "libcuda.so.1 is not found", "--gpus all")

    def test_a_driver_older_than_the_wheel_needs(self):
        self.assert_refused(self.with_stubs(library_path=["old_driver"]), "serves CUDA up to 11.4",
                            "this LibTorch is built for CUDA 1", "or newer", "install a newer driver")

    def test_another_nccl_in_the_library_path_is_not_taken(self):
        self.assert_refused(self.with_stubs(library_path=["other_nccl", "old_driver"]), "serves CUDA up to 11.4")

    def test_another_nccl_that_is_preloaded(self):
        self.assert_refused(self.with_stubs("other_nccl"), "the CUDA parts cannot be loaded", "another NCCL", "LD_PRELOAD")

    def test_who_asks_for_the_cpu_gets_it(self):
        self.train("--training.device=cpu", env=self.with_stubs("other_nccl"))
        self.assertEqual(len(self.records()), 4)

    def test_the_version_tells_the_same(self):
        said = subprocess.run([os.environ["TITAN_TRAIN"], "--version"], env={**os.environ, **self.with_stubs()}, check=True,
                              text=True, stdout=subprocess.PIPE).stdout
        self.assertIn("libcuda.so.1 is not found", said)
        self.assertIn("\nauto device: none\n", said)


if __name__ == "__main__":
    unittest.main()
