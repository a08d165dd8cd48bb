"""Tensor parallelism, alone and with data parallelism: 20 steps of every layout are those of one process."""
import math
import os
import random
import shutil
import unittest

from exported_weights import largest_difference, safetensors
from ranks import NORM_TOLERANCE, ROWS_PER_RANK, SEQ_LEN, RanksCase, layout

# A model of 0.1 M parameters on every layout; larger ones, and jobs run more often, by hand: TITAN_TENSOR_MATRIX=full.
FULL = os.environ.get("TITAN_TENSOR_MATRIX") == "full"
# (replicate, shard, tensor)
LAYOUTS = [(1, 1, 2), (1, 1, 4), (1, 2, 2), (1, 3, 2), (2, 1, 2), (2, 2, 2)]
STEPS = 20
# Of a parameter's largest entry. With the usual eps of 1e-8 Adam makes large steps of gradients that are zero but for rounding.
WEIGHT_TOLERANCE = 1e-5
EPS = "--optimizer.eps=1e-6"
# Every step is clipped.
CLIPPED = [EPS, "--training.max_norm=0.2"]
# One process takes the fp32 norm of a whole gradient with PyTorch's kernel, which is off by 1e-4 for half a million entries, by 5e-4 for
# two million; the norm of ranks, which sum shorter pieces, is nearer to that in float64.
LARGE_NORM_TOLERANCE = 1e-3
UNCLIPPED = [EPS, "--training.max_norm=100"]
SAVING = ["--checkpoint.enable", "--checkpoint.last_save_in_hf", "--checkpoint.last_save_model_only"]
TINY = ["--model.flavor=tiny_8_heads"]
LOSS_KINDS = {"loss in parts": [], "whole loss": ["--parallelism.disable_loss_parallel"]}
FSDP_TP = (1, 2, 2)


class TensorParallelTest(RanksCase):
    def windows(self, rows):
        """Rows of tokens that are as frequent as those of a text, so that most rows of embeddings and output have gradients, and the
        loss stays far from zero, where a difference in rounding would be a large part of it."""
        tokens = random.Random(7).choices(range(2048), [1 / (rank + 3) for rank in range(2048)], k=rows * (SEQ_LEN + 1))
        return [tokens[i : i + SEQ_LEN + 1] for i in range(0, len(tokens), SEQ_LEN + 1)]

    def exported(self, name, ranks, *args):
        """Losses and norms, hashes of the weights at first, and the weights at the end."""
        self.train("--debug.log_hashes", "--metrics.log_freq=1", "--comm.mode=local_tensor", f"--training.steps={STEPS}",
                   "--job.dump_folder", self.path(name), *SAVING, *args, env={"NGPU": str(ranks)})
        metrics = [(r["loss"], r["grad_norm"]) for r in self.records(dump=name) if "loss" in r]
        initial = {h["name"]: h["sha256"] for h in self.records("hashes.jsonl", name) if h["step"] == 0}
        weights = safetensors(self.path(name, "checkpoint", f"step-{STEPS}"))
        shutil.rmtree(self.path(name))
        return metrics, initial, weights

    def check_layouts(self, layouts, *args, norm_tolerance=NORM_TOLERANCE):
        one = {}
        for replicate, shard, tensor in layouts:
            readers = replicate * shard
            windows = self.windows(readers * ROWS_PER_RANK)
            if readers not in one:
                in_turn = self.tokens("in_turn.u16", self.windows_in_turn(windows, readers))
                one[readers] = self.exported("one", 1, "--training.dataset_path", in_turn, *args,
                                             f"--training.global_batch_size={2 * readers}")
            expected, expected_initial, expected_weights = one[readers]
            data = ["--training.dataset_path", self.tokens("all.u16", windows)]
            for kind, loss in LOSS_KINDS.items():
                with self.subTest(replicate=replicate, shard=shard, tensor=tensor, loss=kind):
                    metrics, initial, weights = self.exported("ranks", readers * tensor, *data, *args, *loss,
                                                              *layout(replicate, shard, tensor))
                    self.assertEqual(initial, expected_initial)
                    self.assert_same_training(metrics, expected, norm_tolerance)
                    self.assertEqual(weights.keys(), expected_weights.keys())
                    for name, values in weights.items():
                        self.assertLessEqual(largest_difference(values, expected_weights[name]), WEIGHT_TOLERANCE, name)

    def tiny_on_threads(self, degrees, *args):
        return self.on_threads(math.prod(degrees), *TINY, *layout(*degrees), *args)

    def test_layouts(self):
        self.check_layouts(LAYOUTS, *TINY, *CLIPPED)

    @unittest.skipUnless(FULL, "takes minutes")
    def test_sixteen_heads(self):
        self.check_layouts([*LAYOUTS, (1, 1, 8)], "--model.flavor=debugmodel", *UNCLIPPED, norm_tolerance=LARGE_NORM_TOLERANCE)

    @unittest.skipUnless(FULL, "takes minutes")
    def test_four_key_heads_of_a_larger_model(self):
        self.check_layouts(LAYOUTS, "--model.flavor=wiki10m", *UNCLIPPED, norm_tolerance=LARGE_NORM_TOLERANCE)

    def test_a_job_gives_the_same_bits_every_time(self):
        for degrees in LAYOUTS if FULL else [FSDP_TP]:
            with self.subTest(degrees=degrees):
                first = self.tiny_on_threads(degrees)
                for _ in range(9 if FULL else 2):
                    self.assertEqual(self.tiny_on_threads(degrees), first)

    def test_processes_give_the_bits_of_threads(self):
        overlapped = ["--parallelism.enable_async_tensor_parallel"]
        for degrees in [*LAYOUTS, (1, 3, 4)] if FULL else [FSDP_TP]:
            threads = self.tiny_on_threads(degrees)
            for args in ([], overlapped):
                with self.subTest(degrees=degrees, args=args):
                    job = ["--nproc", str(math.prod(degrees)), "--training.steps=4", *TINY, *layout(*degrees), *args]
                    self.assertEqual(self.figures(*job), threads)

    def test_what_changes_memory_or_time_only_gives_the_same_bits(self):
        expected = self.tiny_on_threads(FSDP_TP)
        for args in (["--activation_checkpoint.mode=full"], ["--activation_checkpoint.mode=selective"],
                     ["--activation_checkpoint.mode=selective", "--activation_checkpoint.selective_ac_option=1"],
                     ["--training.enable_cpu_offload"], ["--parallelism.fsdp_reshard_after_forward=never"],
                     ["--parallelism.enable_async_tensor_parallel"]):
            with self.subTest(args=args):
                self.assertEqual(self.tiny_on_threads(FSDP_TP, *args), expected)

    def test_accumulated_microbatches_are_the_batch(self):
        data = self.tokens("all.u16", self.windows(2 * ROWS_PER_RANK))
        for degrees in ((1, 1, 2), (1, 2, 2), (2, 1, 2)):
            job = ["--training.dataset_path", data, f"--training.global_batch_size={4 * math.prod(degrees[:2])}"]
            with self.subTest(degrees=degrees):
                whole, _, _ = self.tiny_on_threads(degrees, *job, "--training.local_batch_size=4")
                accumulated, _, _ = self.tiny_on_threads(degrees, *job, "--training.local_batch_size=1")
                self.assert_same_training(accumulated, whole)

    def test_validation_losses_and_samples_are_those_of_one_process(self):
        data = self.tokens("validation.u16", self.windows(7))
        job = [*TINY, "--validation.enable", "--validation.dataset=c4_validation", "--validation.dataset_path", data,
               "--validation.steps=-1", "--validation.local_batch_size=1", f"--validation.seq_len={SEQ_LEN}", "--validation.freq=2",
               "--validation.sample_prompts=Once upon a time", "--validation.sample_tokens=80", "--optimizer.lr=1e-12"]

        def validated():
            losses = [r["validation_loss"] for r in self.records() if "validation_loss" in r]
            return losses, [(s["step"], s["text"]) for s in self.records("samples.jsonl")]

        self.train(*job)
        losses, samples = validated()
        self.assertEqual([step for step, _ in samples], [0, 1, 2, 4])
        for degrees in ((1, 1, 4), (1, 3, 2)):  # of three readers two get two rows and one gets three
            for kind, loss in LOSS_KINDS.items():
                with self.subTest(degrees=degrees, loss=kind):
                    self.train(*job, *loss, "--comm.mode=local_tensor", "--training.steps=4", *layout(*degrees),
                               env={"NGPU": str(math.prod(degrees))})
                    others, other_samples = validated()
                    self.assertEqual(len(others), len(losses))
                    for a, b in zip(others, losses):
                        self.assertAlmostEqual(a, b, delta=1e-6 * b)
                    self.assertEqual(other_samples, samples)

    def test_bfloat16_learns(self):
        job = ["--training.dataset_path", self.tokens("all.u16", RanksCase.windows(self, 2 * ROWS_PER_RANK)),
               "--training.steps=30", "--optimizer.lr=8e-3", "--training.mixed_precision_param=bfloat16"]
        for dtype in ("float32", "bfloat16"):
            with self.subTest(dtype=dtype):
                metrics, _, _ = self.tiny_on_threads(FSDP_TP, *job, f"--training.dtype={dtype}")
                self.assertLess(metrics[-1][0], 0.6 * metrics[0][0])


if __name__ == "__main__":
    unittest.main()
