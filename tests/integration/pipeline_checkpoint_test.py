"""Checkpoints of pipelines: saved by any number of stages, they go on on any other, also after a rank was killed."""
import math
import os
import shutil
import signal
import subprocess
import time
import unittest

from exported_weights import largest_difference, safetensors
from launch_test import rank_processes
from ranks import SEQ_LEN, RanksCase, layout
from titan import CONFIG, ROOT, environment

# (replicate, shard, tensor, pipeline, schedule): two, four and eight ranks, of two and four stages.
LAYOUTS = {"one": (1, 1, 1), "pp2": (1, 1, 1, 2, "1F1B"), "pp2 of 4 stages": (1, 1, 1, 2, "ZBVZeroBubble"), "pp4": (1, 1, 1, 4, "1F1B"),
           "fsdp4": (1, 4, 1), "pp2 fsdp2 tp2": (1, 2, 2, 2, "Interleaved1F1B"), "pp2 hsdp2x2": (2, 2, 1, 2, "1F1B"),
           "pp4 ddp2": (2, 1, 1, 4, "GPipe")}
EIGHT_RANKS = ("pp2 fsdp2 tp2", "pp2 hsdp2x2", "pp4 ddp2")
ROWS = 16
SAVED_AT = 3
STEPS = 6
FLAVOR = "--model.flavor=tiny_8_heads"
TIED_FLAVOR = "--model.flavor=tiny_tied"


def ranks_of(degrees):
    return math.prod(degrees[:4])


class PipelineCheckpointTest(RanksCase):
    def job(self, degrees):
        # The rows of a step are the whole of the data, so that a step has the same tokens however many ranks read them.
        data = self.tokens("data.u16", self.windows(ROWS))
        return [FLAVOR, "--training.dataset_path", data, f"--training.global_batch_size={ROWS}", "--training.local_batch_size=4",
                "--lr_scheduler.warmup_steps=1", f"--lr_scheduler.total_steps={STEPS}", "--optimizer.eps=1e-6",
                "--metrics.log_freq=1", "--debug.log_hashes", "--checkpoint.enable", *layout(*degrees)]

    def trained(self, dump, degrees, *args):
        self.train(*self.job(degrees), "--comm.mode=local_tensor", "--job.dump_folder", self.path(dump), *args,
                   env={"NGPU": str(ranks_of(degrees))})
        return self.metrics(dump)

    def metrics(self, dump):
        return [(r["loss"], r["grad_norm"]) for r in self.records(dump=dump) if "loss" in r]

    def weights_at(self, step, dump):
        return {h["name"]: h["sha256"] for h in self.records("hashes.jsonl", dump) if h["step"] == step and "batch" not in h["name"]}

    def check_loads_everywhere(self, source, targets=LAYOUTS, *flavor):
        unbroken = self.trained("unbroken", LAYOUTS["one"], *flavor, f"--training.steps={STEPS}", "--checkpoint.load_only")
        expected = None
        self.trained("saved", LAYOUTS[source], *flavor, f"--training.steps={SAVED_AT}", "--checkpoint.no-last_save_model_only")
        folder = self.path("saved", "checkpoint", f"step-{SAVED_AT}")
        for target in targets:
            degrees = LAYOUTS[target]
            with self.subTest(source=source, target=target):
                metrics = self.trained("next", degrees, *flavor, f"--training.steps={STEPS}", f"--checkpoint.initial_load_path={folder}",
                                       "--checkpoint.no-initial_load_model_only", "--checkpoint.last_save_in_hf",
                                       "--checkpoint.last_save_model_only")
                self.assertEqual(self.weights_at(SAVED_AT, "next"), self.weights_at(SAVED_AT, "saved"))
                weights = safetensors(self.path("next", "checkpoint", f"step-{STEPS}"))
                shutil.rmtree(self.path("next"))
                self.assert_same_training(metrics, unbroken[SAVED_AT:])
                expected = expected or weights
                self.assertEqual(weights.keys(), expected.keys())
                for name, values in weights.items():
                    self.assertLessEqual(largest_difference(values, expected[name]), 1e-5, name)

    def test_saved_by_one_rank(self):
        self.check_loads_everywhere("one")

    def test_saved_by_two_stages(self):
        self.check_loads_everywhere("pp2")

    def test_saved_by_four_stages_of_two_ranks(self):
        self.check_loads_everywhere("pp2 of 4 stages")

    def test_saved_by_stages_of_sharded_tensor_parallel_ranks(self):
        self.check_loads_everywhere("pp2 fsdp2 tp2")

    def test_saved_by_stages_of_hsdp_ranks(self):
        self.check_loads_everywhere("pp2 hsdp2x2")

    def test_saved_by_four_stages_of_ddp_ranks(self):
        self.check_loads_everywhere("pp4 ddp2")

    def test_weights_that_stages_share(self):
        """The first and the last stage have the embedding's weight: a checkpoint has it once, and both take it."""
        for source, targets in (("pp2 of 4 stages", ("one", "pp2", "pp2 fsdp2 tp2", "pp2 of 4 stages")), ("one", ("pp2 of 4 stages",)),
                                ("pp2 fsdp2 tp2", ("fsdp4", "pp4 ddp2"))):
            self.check_loads_everywhere(source, targets, TIED_FLAVOR)
            for dump in ("unbroken", "saved"):
                shutil.rmtree(self.path(dump))

    def validating(self):
        return ["--validation.enable", "--validation.dataset=c4_validation", "--validation.freq=2", "--validation.steps=2",
                f"--validation.seq_len={SEQ_LEN}", "--validation.local_batch_size=4",
                "--validation.dataset_path", self.tokens("validation.u16", self.windows(20))]

    def losses(self, dump):
        """Of training and validation, step by step."""
        return [(r["step"], r.get("loss"), r.get("grad_norm"), r.get("validation_loss")) for r in self.records(dump=dump)
                if "loss" in r or "validation_loss" in r]

    def test_a_resumed_job_is_the_unbroken_one_bit_for_bit(self):
        for name, mode in zip(EIGHT_RANKS, ("disabled", "async", "async")):
            with self.subTest(layout=name):
                degrees = LAYOUTS[name]
                job = [f"--checkpoint.interval={SAVED_AT}", "--checkpoint.no-last_save_model_only", f"--checkpoint.async_mode={mode}",
                       *self.validating()]
                self.trained("unbroken", degrees, f"--training.steps={STEPS}", "--checkpoint.load_only", *self.validating())
                self.trained("broken", degrees, *job, f"--training.steps={SAVED_AT}")
                self.trained("broken", degrees, *job, f"--training.steps={STEPS}")
                unbroken, broken = ({step: rest for step, *rest in self.losses(dump) if step > SAVED_AT} for dump in ("unbroken", "broken"))
                self.assertEqual(len(unbroken), STEPS - SAVED_AT)
                self.assertEqual(broken, unbroken)
                self.assertEqual(self.weights_at(STEPS, "broken"), self.weights_at(STEPS, "unbroken"))
                for dump in ("unbroken", "broken"):
                    shutil.rmtree(self.path(dump))

    def test_a_job_goes_on_after_a_rank_was_killed(self):
        for victim, name in enumerate(EIGHT_RANKS, 2):
            with self.subTest(layout=name):
                degrees = LAYOUTS[name]
                job = [*self.job(degrees), f"--nproc={ranks_of(degrees)}", "--checkpoint.interval=4",
                       "--checkpoint.no-last_save_model_only", "--checkpoint.async_mode=async",
                       "--lr_scheduler.total_steps=24", "--training.steps=24"]
                self.train(*job)
                expected = self.metrics("dump"), self.weights_at(24, "dump")
                shutil.rmtree(self.path("dump"))
                process = self.start(*job)
                while not os.path.exists(self.path("dump/checkpoint/step-8/.metadata")):
                    time.sleep(0.005)
                    self.assertIsNone(process.poll(), "it has ended early")
                os.kill(rank_processes(process.pid)[victim], signal.SIGKILL)
                errors = process.communicate(timeout=120)[1]
                self.assertNotEqual(process.returncode, 0, "it ended before it was killed")
                self.assertIn(f"rank {victim} ", errors)
                result = self.train(*job)
                self.assertRegex(result.stdout + result.stderr, r"Training starts at step (9|13|17|21)\b")
                self.assertEqual((self.metrics("dump"), self.weights_at(24, "dump")), expected)
                shutil.rmtree(self.path("dump"))

    def command(self, *args):
        result = subprocess.run([os.environ["TITAN_TRAIN"], *args, "--job.config_file", CONFIG, FLAVOR, "--training.device=cpu"],
                                cwd=ROOT, env=environment({}), text=True, capture_output=True)
        self.assertEqual(result.returncode, 0, result.stdout + result.stderr)
        return result.stdout

    def test_what_leaves_a_pipeline_is_what_leaves_one_rank(self):
        """Of the same weights: those that one rank has trained, saved by the layout before it trains."""
        self.trained("one", LAYOUTS["one"], "--training.steps=3", "--checkpoint.no-last_save_model_only")
        weights = self.path("one/checkpoint/step-3")
        self.command("convert", "--from=dcp", "--to=hf", weights, self.path("expected"))
        prompts = ["--prompt=Once upon a time", "--prompt=The", "--temperature=0", "--max-tokens=32"]
        texts = self.command("generate", "--checkpoint", weights, *prompts)
        self.assertNotEqual(texts, "")
        for name, degrees in LAYOUTS.items():
            with self.subTest(layout=name):
                loading = ["--training.steps=4", "--optimizer.lr=0", "--optimizer.weight_decay=0", "--checkpoint.initial_load_path",
                           weights, "--checkpoint.last_save_model_only"]
                self.trained("dcp", degrees, *loading)
                self.trained("hf", degrees, *loading, "--checkpoint.last_save_in_hf")
                self.assertEqual(self.weights_at(4, "hf"), self.weights_at(3, "one"))
                self.assertEqual(safetensors(self.path("hf/checkpoint/step-4")), safetensors(self.path("expected")))
                for dump in ("dcp", "hf"):
                    self.assertEqual(self.command("generate", "--checkpoint", self.path(dump, "checkpoint/step-4"), *prompts), texts)
                self.trained("loaded", degrees, "--training.steps=1", "--checkpoint.load_only", "--checkpoint.initial_load_in_hf",
                             f"--checkpoint.initial_load_path={self.path('expected')}")
                self.assertEqual(self.weights_at(0, "loaded"), self.weights_at(3, "one"))
                for dump in ("dcp", "hf", "loaded"):
                    shutil.rmtree(self.path(dump))


if __name__ == "__main__":
    unittest.main()
