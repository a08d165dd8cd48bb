"""A run that goes on from its checkpoint is the run that was never broken."""
import json
import os
import random
import shutil
import signal
import subprocess
import time
import unittest

from titan import ROOT, TitanTest, environment

# How often the job of test_a_job_killed_at_random_moments is killed; many more by hand.
KILLS = int(os.environ.get("TITAN_KILLS", "6"))
SAVING = ["--checkpoint.enable", "--checkpoint.interval=3", "--metrics.log_freq=1", "--debug.log_hashes",
          "--checkpoint.last_save_model_only"]
FOUR_RANKS = ["--comm.mode=local_tensor", "--parallelism.data_parallel_replicate_degree=2",
              "--parallelism.data_parallel_shard_degree=2"]


class ResumeTest(TitanTest):
    def few_documents(self):
        """So few that a run passes over them several times."""
        lines = [json.dumps({"text": f"{i} " + "the quick brown fox jumps over the lazy dog " * (1 + i % 5)}) for i in range(23)]
        return self.write("few.jsonl", "\n".join(lines) + "\n")

    def history(self):
        return [(r["step"], r["loss"], r["grad_norm"], r["n_tokens_seen"]) for r in self.records() if "loss" in r]

    def validations(self):
        return [(r["step"], r["validation_loss"]) for r in self.records() if "validation_loss" in r]

    def validating(self, steps=2, name="validation"):
        """Documents by whose loss each can be told from the others."""
        words = "the quick brown fox jumps over a lazy dog while it rains on hills far away".split()
        rng = random.Random(7)
        rows = [json.dumps({"text": " ".join(rng.choices(words, k=rng.randint(30, 200)))}) for _ in range(90)]
        return ["--validation.enable", f"--validation.steps={steps}", "--validation.seq_len=64", "--validation.local_batch_size=2",
                "--validation.dataset_path", self.write(f"{name}.jsonl", "\n".join(rows) + "\n")]

    def last_weights(self, step):
        return {h["name"]: h["sha256"] for h in self.records("hashes.jsonl") if h["step"] == step and "batch" not in h["name"]}

    def unbroken_and_resumed(self, *args, ranks=1, steps=8, stop_at=5):
        """The same job at one go, and in two: the second goes on from step 3, the last that the first has saved."""
        env = {"NGPU": str(ranks)}
        job = [*SAVING, *args, *(FOUR_RANKS if ranks == 4 else [])]
        # What is saved when a run is complete must not be what the second part goes on from.
        self.train(*job, f"--training.steps={steps}", env=env)
        expected = self.history(), self.last_weights(steps)
        shutil.rmtree(self.path("dump"))
        self.train(*job, f"--lr_scheduler.total_steps={steps}", f"--training.steps={stop_at}", env=env)
        result = self.train(*job, f"--training.steps={steps}", env=env)
        self.assertIn("Training starts at step 4", result.stdout + result.stderr)
        return expected, (self.history(), self.last_weights(steps))

    def test_one_rank(self):
        for mode in ("disabled", "async", "async_with_pinned_mem"):
            with self.subTest(mode=mode):
                expected, resumed = self.unbroken_and_resumed(f"--checkpoint.async_mode={mode}")
                self.assertEqual(resumed, expected)
                shutil.rmtree(self.path("dump"))

    def test_four_ranks(self):
        for mode in ("disabled", "async"):
            with self.subTest(mode=mode):
                expected, resumed = self.unbroken_and_resumed(f"--checkpoint.async_mode={mode}", ranks=4)
                self.assertEqual(resumed, expected)
                shutil.rmtree(self.path("dump"))

    def test_accumulation_and_passes_over_the_data(self):
        expected, resumed = self.unbroken_and_resumed("--training.global_batch_size=8", "--training.dataset_path",
                                                      self.few_documents())
        self.assertEqual(resumed, expected)

    def test_shuffled_data_and_bfloat16(self):
        expected, resumed = self.unbroken_and_resumed("--data.shuffle", "--training.dtype=bfloat16")
        self.assertEqual(resumed, expected)

    def test_validation_goes_on_where_it_was(self):
        """Checkpoints of step 3 come before its validation (every 3) or without one (every 2)."""
        for freq, ranks in ((3, 1), (2, 1), (3, 4)):
            with self.subTest(freq=freq, ranks=ranks):
                job = [*SAVING, *self.validating(), f"--validation.freq={freq}", *(FOUR_RANKS if ranks == 4 else [])]
                env = {"NGPU": str(ranks)}
                self.train(*job, "--training.steps=8", env=env)
                expected = self.validations()
                self.assertEqual([step for step, _ in expected], [1] + list(range(freq, 9, freq)))
                shutil.rmtree(self.path("dump"))
                self.train(*job, "--training.steps=5", "--lr_scheduler.total_steps=8", env=env)
                self.train(*job, "--training.steps=8", env=env)
                self.assertEqual(self.validations(), expected)
                shutil.rmtree(self.path("dump"))

    def test_a_validation_that_a_signal_cut_short_is_left_out(self):
        job = [*SAVING, *self.validating(steps=40), "--validation.freq=2", "--training.steps=8", "--lr_scheduler.warmup_steps=0"]
        self.train(*job)
        expected = self.validations()
        shutil.rmtree(self.path("dump"))
        process = self.start(*job)
        while not os.path.exists(self.path("dump/metrics.jsonl")) or len(self.history()) < 2:
            time.sleep(0.002)
            self.assertIsNone(process.poll(), "it has ended early")
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)
        self.train(*job)
        self.assertEqual([pair for pair in self.validations() if pair[0] > 4], [pair for pair in expected if pair[0] > 4])

    def test_other_validation_data_begin_at_their_start(self):
        job = [*SAVING, "--validation.freq=3"]
        self.train(*job, *self.validating(), "--training.steps=5")
        other = self.write("other.jsonl", "\n".join(json.dumps({"text": f"number {i} " * 50}) for i in range(60)) + "\n")
        result = self.train(*job, *self.validating(), "--training.steps=8", "--validation.dataset_path", other)
        self.assertIn("Validation begins at the start of its data", result.stdout + result.stderr)

    def test_a_run_that_is_over_is_over(self):
        self.train(*SAVING)
        again = self.train(*SAVING)
        self.assertIn("the run is complete", again.stdout + again.stderr)
        self.assertEqual([step for step, *_ in self.history()], [1, 2, 3, 4])

    def test_a_longer_run_goes_on_from_the_last_full_checkpoint(self):
        self.train(*SAVING)  # saves everything at 3, the model at 4
        result = self.train(*SAVING, "--training.steps=6")
        self.assertIn("step 4 holds a model only", result.stdout + result.stderr)
        self.assertEqual([step for step, *_ in self.history()], [1, 2, 3, 4, 5, 6])

    def test_a_signal_saves_what_was_trained(self):
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGUSR2, signal.SIGXCPU):
            with self.subTest(signal=number):
                self.stop_and_go_on(number)
                shutil.rmtree(self.path("dump"))

    def test_a_signal_to_the_launcher_saves_what_was_trained(self):
        self.stop_and_go_on(signal.SIGUSR2, "--nproc=2", "--parallelism.data_parallel_shard_degree=2")

    def stop_and_go_on(self, number, *args):
        process = self.start(*SAVING, *args, "--checkpoint.interval=100000", "--training.steps=100000")
        while not os.path.exists(self.path("dump/metrics.jsonl")) or len(self.history()) < 3:
            time.sleep(0.05)
            self.assertIsNone(process.poll(), "it has ended early")
        process.send_signal(number)
        process.communicate(timeout=60)
        self.assertEqual(process.returncode, 128 + number)
        steps = [int(name[5:]) for name in os.listdir(self.path("dump/checkpoint")) if name != ".lock"]
        self.assertEqual(steps, [self.history()[-1][0]])
        result = self.train(*SAVING, *args, f"--training.steps={steps[0] + 1}")
        self.assertIn(f"Training starts at step {steps[0] + 1}", result.stdout + result.stderr)

    def test_old_checkpoints_go_when_newer_ones_are_safe(self):
        self.train(*SAVING, "--checkpoint.interval=1", "--checkpoint.keep_latest_k=2", "--training.steps=7")
        self.assertEqual(sorted(os.listdir(self.path("dump/checkpoint"))), [".lock", "step-6", "step-7"])

    def test_an_unbroken_run_on_other_ranks(self):
        """Saved by four ranks, the data go on at two without a gap: what they read together is what is left."""
        texts = [f"document {i:03d} " + "x" * (i % 17) for i in range(400)]
        data = self.write("many.jsonl", "".join(json.dumps({"text": t}) + "\n" for t in texts))
        job = [*SAVING, "--training.dataset_path", data, "--training.global_batch_size=8", "--checkpoint.last_save_model_only=false"]
        self.train(*job, *FOUR_RANKS, "--training.steps=3", env={"NGPU": "4"})
        result = self.train(*job, "--comm.mode=local_tensor", "--parallelism.data_parallel_shard_degree=2", "--training.steps=5",
                            env={"NGPU": "2"})
        self.assertIn("Training starts at step 4", result.stdout + result.stderr)
        self.assertEqual([step for step, *_ in self.history()], [1, 2, 3, 4, 5])
        tokens = [seen for *_, seen in self.history()]
        self.assertEqual(len({b - a for a, b in zip(tokens, tokens[1:])}), 1, tokens)

    def test_a_job_killed_at_random_moments(self):
        job = [*SAVING, "--nproc=4", "--parallelism.data_parallel_shard_degree=4", "--checkpoint.async_mode=async",
               "--checkpoint.interval=2", "--checkpoint.keep_latest_k=2", "--training.steps=24"]
        self.train(*job)
        expected = self.history(), self.last_weights(24)
        rng = random.Random(KILLS)
        kills = 0
        begun = time.monotonic()
        self.train(*job, "--job.dump_folder", self.path("other"))  # how long it takes
        duration = time.monotonic() - begun
        while kills < KILLS:
            shutil.rmtree(self.path("dump"))
            for _ in range(8):
                process = subprocess.Popen(self.arguments(*job), cwd=ROOT, env=environment(None), start_new_session=True,
                                           stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
                try:
                    process.wait(timeout=rng.uniform(0.2, 1.1) * duration)
                except subprocess.TimeoutExpired:
                    os.killpg(process.pid, signal.SIGKILL)
                    kills += 1
                errors = process.communicate()[1]
                self.assertIn(process.returncode, (0, -signal.SIGKILL), errors)
                if process.returncode == 0:
                    break
            else:
                self.train(*job)
            self.assertEqual((self.history(), self.last_weights(24)), expected)


if __name__ == "__main__":
    unittest.main()
