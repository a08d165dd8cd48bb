"""What a run writes belongs to it alone, and what older runs have written stays."""
import os
import time
import unittest

from titan import TitanTest

LONG = ["--training.steps=100000", "--metrics.log_freq=1"]
SAVING = ["--checkpoint.enable", "--checkpoint.interval=100000"]


class DumpFolderTest(TitanTest):
    def running(self, *args, dump="dump"):
        """A job that has begun to write, ended with the test."""
        process = self.start(*LONG, *args)
        self.addCleanup(process.communicate)
        self.addCleanup(process.kill)
        while not os.path.exists(self.path(dump, "metrics.jsonl")) or not self.records(dump=dump):
            time.sleep(0.05)
            self.assertIsNone(process.poll(), "it has ended early")
        return process

    def test_one_job_at_a_time_by_whatever_path(self):
        os.makedirs(self.path("dump/inside"))
        os.symlink(self.path("dump"), self.path("link"))
        first = self.running()
        for path in ("dump/", "link", "link/", "dump/inside/../../link"):
            for job in ([], SAVING):
                with self.subTest(path=path, job=job):
                    said = self.refused(*job, "--job.dump_folder", self.folder + "/" + path, exit_status=1)
                    self.assertIn(f"is locked by process {first.pid} ", said)
        self.assertEqual([name for name in os.listdir(self.path("dump")) if "metrics" in name], ["metrics.jsonl"])
        steps = [record["step"] for record in self.records()]
        self.assertEqual(steps, list(range(1, len(steps) + 1)))

    def test_one_job_at_a_time_saves_to_a_folder(self):
        self.running(*SAVING)
        os.symlink(self.path("dump/checkpoint"), self.path("link"))
        for path in (self.path("dump/checkpoint"), self.path("link/"), "../dump/checkpoint"):
            said = self.refused(*SAVING, "--job.dump_folder", self.path("other"), "--checkpoint.folder", path, exit_status=1)
            self.assertIn("is locked by process", said)

    def test_checkpoints_in_the_dump_folder_itself(self):
        self.train("--checkpoint.enable", "--checkpoint.folder=.")
        self.assertIn("step-4", os.listdir(self.path("dump")))

    def test_ranks_of_a_job_share_its_folder(self):
        self.train("--nproc=2", "--parallelism.data_parallel_shard_degree=2", *SAVING)
        self.assertIn("step-4", os.listdir(self.path("dump/checkpoint")))

    def test_metrics_that_are_removed_meanwhile_are_begun_anew_and_said(self):
        process = self.running()
        os.remove(self.path("dump/metrics.jsonl"))
        while not os.path.exists(self.path("dump/metrics.jsonl")) or not self.records():
            time.sleep(0.05)
            self.assertIsNone(process.poll(), "it has ended early")
        process.terminate()
        said, _ = process.communicate(timeout=60)
        self.assertIn("metrics.jsonl' was removed or replaced while the run writes to it", said)
        steps = [record["step"] for record in self.records()]
        self.assertEqual(steps, list(range(steps[0], steps[0] + len(steps))))

    def test_a_run_that_begins_keeps_older_metrics(self):
        for steps in (4, 3, 2):
            self.train(f"--training.steps={steps}", "--metrics.log_freq=1")
        for name, steps in (("metrics.1.jsonl", 4), ("metrics.2.jsonl", 3), ("metrics.jsonl", 2)):
            self.assertEqual([record["step"] for record in self.records(name)], list(range(1, steps + 1)))

    def test_a_run_that_goes_back_keeps_the_metrics_of_later_steps(self):
        job = ["--checkpoint.enable", "--checkpoint.interval=2", "--checkpoint.last_save_model_only=false", "--metrics.log_freq=1"]
        self.train(*job)
        self.train(*job, "--checkpoint.load_step=2", "--training.steps=3")
        self.assertEqual([record["step"] for record in self.records()], [1, 2, 3])
        self.assertEqual([record["step"] for record in self.records("metrics.1.jsonl")], [3, 4])


if __name__ == "__main__":
    unittest.main()
