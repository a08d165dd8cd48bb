"""Context parallelism, alone and with every other axis: steps of every layout are those of one process."""
import itertools
import json
import math
import os
import shutil
import unittest

from exported_weights import largest_difference, safetensors
from ranks import SEQ_LEN, RanksCase, layout

# More layouts and longer texts by hand: TITAN_CONTEXT_MATRIX=full.
FULL = os.environ.get("TITAN_CONTEXT_MATRIX") == "full"
ALLGATHER = ["--parallelism.context_parallel_rotate_method=allgather"]
ALLTOALL = ["--parallelism.context_parallel_rotate_method=alltoall"]
IN_TURN = ["--parallelism.context_parallel_load_balancer=None"]
# (replicate, shard, tensor, pipeline), context, options
CP2 = (1, 1, 1, 1), 2, ALLGATHER
CP4 = (1, 1, 1, 1), 4, ALLTOALL
CP4_IN_TURN = (1, 1, 1, 1), 4, [*ALLTOALL, *IN_TURN]
FSDP_CP = (1, 2, 1, 1), 2, ALLTOALL
HSDP_CP = (2, 2, 1, 1), 2, ALLGATHER
REPLICATED_CP = (2, 1, 1, 1), 2, [*ALLGATHER, *IN_TURN]
TP_CP = (1, 1, 2, 1), 2, ALLTOALL
PP_CP = (1, 1, 1, 2), 2, ALLGATHER
ALL_FOUR = (1, 2, 2, 2), 2, ALLTOALL
LAYOUTS = [CP2, CP4, CP4_IN_TURN, FSDP_CP, HSDP_CP, REPLICATED_CP, TP_CP, PP_CP, ALL_FOUR]
# With the usual eps of 1e-8 Adam makes large steps of gradients that are zero but for rounding.
TINY = ["--model.flavor=tiny_8_heads", "--optimizer.eps=1e-6"]
WEIGHT_TOLERANCE = 1e-5
ROWS = 8
STEPS = 4


def arguments(job):
    """Of a layout whose pipelines, if any, have microbatches of one row."""
    degrees, context, options = job
    rows = ROWS // math.prod(degrees[:2])
    return [*layout(*degrees), f"--parallelism.context_parallel_degree={context}", *options, f"--training.local_batch_size={rows}"]


def ranks_of(job):
    return math.prod(job[0]) * job[1]


class ContextParallelTest(RanksCase):
    def data(self, count=ROWS, length=SEQ_LEN):
        """The rows of a step are the whole of the data, so that a step has the same tokens however many ranks read them."""
        pattern = self.windows(1)[0]
        rows = [[pattern[(3 * i + j * j) % 40] for j in range(length + 1)] for i in range(count)]
        return ["--training.dataset_path", self.tokens("data.u16", rows), f"--training.global_batch_size={count}",
                f"--training.seq_len={length}"]

    def on_one(self, *args):
        return self.on_threads(1, *TINY, *self.data(), "--training.local_batch_size=2", *args)

    def on_layout(self, job, *args):
        return self.on_threads(ranks_of(job), *TINY, *self.data(), *arguments(job), *args)

    def test_layouts_train_as_one_process(self):
        clipped = "--training.max_norm=0.2"
        exports = ["--checkpoint.enable", "--checkpoint.last_save_in_hf", "--checkpoint.last_save_model_only"]

        def weights():
            result = safetensors(self.path("dump/checkpoint", f"step-{STEPS}"))
            shutil.rmtree(self.path("dump"))
            return result

        expected, initial, _ = self.on_one(clipped, *exports)
        expected_weights = weights()
        for job in LAYOUTS:
            with self.subTest(job=job):
                metrics, others, _ = self.on_layout(job, clipped, *exports)
                self.assertEqual(others, initial)
                self.assert_same_training(metrics, expected)
                for name, values in weights().items():
                    self.assertLessEqual(largest_difference(values, expected_weights[name]), WEIGHT_TOLERANCE, name)

    @unittest.skipUnless(FULL, "takes minutes")
    def test_longer_texts_train_as_one_process(self):
        for rows, length in itertools.product((1, 2), (256, 2048)):
            job = [*TINY, *self.data(rows, length), f"--training.local_batch_size={rows}"]
            expected, _, _ = self.on_threads(1, *job)
            for context, rotation, balance in itertools.product((2, 4), (ALLGATHER, ALLTOALL), ([], IN_TURN)):
                with self.subTest(rows=rows, length=length, context=context, rotation=rotation, balance=balance):
                    degree = f"--parallelism.context_parallel_degree={context}"
                    metrics, _, _ = self.on_threads(context, *job, degree, *rotation, *balance)
                    self.assert_same_training(metrics, expected)

    def test_tokens_are_counted_once(self):
        self.on_layout(ALL_FOUR)
        steps = [r for r in self.records() if "loss" in r]
        self.assertEqual([r["n_tokens_seen"] for r in steps], [(i + 1) * ROWS * SEQ_LEN for i in range(STEPS)])
        for step in steps:  # one rank's part of its rows is not far from the others'
            self.assertGreaterEqual(step["max_loss"], step["loss"] * (1 - 1e-6))
            self.assertLess(step["max_loss"], 1.2 * step["loss"])

    def test_a_job_gives_the_same_bits_every_time(self):
        for job in LAYOUTS if FULL else [CP4, FSDP_CP]:
            with self.subTest(job=job):
                first = self.on_layout(job)
                for _ in range(9 if FULL else 2):
                    self.assertEqual(self.on_layout(job), first)

    def test_rotations_give_the_same_bits(self):
        degrees, context, _ = FSDP_CP
        self.assertEqual(self.on_layout((degrees, context, ALLGATHER)), self.on_layout((degrees, context, ALLTOALL)))

    def test_processes_give_the_bits_of_threads(self):
        for job in LAYOUTS[:-1] if FULL else [CP2, FSDP_CP]:
            with self.subTest(job=job):
                processes = self.figures("--nproc", str(ranks_of(job)), f"--training.steps={STEPS}", *TINY, *self.data(), *arguments(job))
                self.assertEqual(processes, self.on_layout(job))

    def test_what_changes_memory_or_time_only_gives_the_same_bits(self):
        for job in LAYOUTS if FULL else [FSDP_CP]:
            expected = self.on_layout(job)
            for args in (["--activation_checkpoint.mode=full"], ["--activation_checkpoint.mode=selective"],
                         ["--activation_checkpoint.mode=selective", "--activation_checkpoint.selective_ac_option=1"],
                         ["--training.enable_cpu_offload"], ["--parallelism.fsdp_reshard_after_forward=never"],
                         ["--parallelism.fsdp_reshard_after_forward=always"]):
                with self.subTest(job=job, args=args):
                    self.assertEqual(self.on_layout(job, *args), expected)

    def test_documents_that_are_cut_are_those_of_one_process(self):
        lines = [json.dumps({"text": "word " * (7 + 13 * i % 50)}) for i in range(400)]
        text = ["--training.dataset_path", self.write("text.jsonl", "\n".join(lines)), f"--training.seq_len={SEQ_LEN}",
                f"--training.global_batch_size={ROWS}"]
        # Llama 4's layers attend in blocks of 8 tokens, or to whole documents.
        for masked, plain in ((["--model.flavor=debugmodel_flex_attn"], ["--model.flavor=debugmodel"]),
                              (["--model.name=llama4", "--model.flavor=tiny_irope"], ["--model.name=llama4", "--model.flavor=tiny"])):
            whole = f"--training.local_batch_size={ROWS}"
            expected, _, _ = self.on_threads(1, *text, whole, *masked, "--data.document_mask")
            unmasked, _, _ = self.on_threads(1, *text, whole, *plain)
            self.assertNotEqual(expected, unmasked)
            for job in (CP2, CP4_IN_TURN):
                with self.subTest(masked=masked, job=job):
                    metrics, _, _ = self.on_threads(ranks_of(job), *text, *arguments(job), *masked, "--data.document_mask")
                    self.assert_same_training(metrics, expected)

    def test_validation_losses_and_samples_are_those_of_one_process(self):
        validation = ["--validation.enable", "--validation.dataset=c4_validation", "--validation.dataset_path",
                      self.tokens("validation.u16", self.windows(7)), "--validation.steps=-1", "--validation.local_batch_size=1",
                      f"--validation.seq_len={SEQ_LEN // 2}", "--validation.freq=2", "--validation.sample_prompts=Once upon a time",
                      "--validation.sample_tokens=80", "--optimizer.lr=1e-12"]

        def validated():
            return ([r["validation_loss"] for r in self.records() if "validation_loss" in r],
                    [(s["step"], s["text"]) for s in self.records("samples.jsonl")])

        self.on_one(*validation)
        losses, samples = validated()
        self.assertEqual([step for step, _ in samples], [0, 1, 2, 4])
        for job in (CP4, FSDP_CP, PP_CP):
            with self.subTest(job=job):
                self.on_layout(job, *validation)
                others, other_samples = validated()
                self.assertEqual(len(others), len(losses))
                for a, b in zip(others, losses):
                    self.assertAlmostEqual(a, b, delta=1e-6 * b)
                self.assertEqual(other_samples, samples)

    def test_a_resumed_job_is_the_unbroken_one_bit_for_bit(self):
        for job in (CP4, FSDP_CP):
            with self.subTest(job=job):
                plan = ["--checkpoint.enable", "--checkpoint.interval=2", "--checkpoint.no-last_save_model_only",
                        f"--lr_scheduler.total_steps={STEPS}"]
                unbroken, _, hashes = self.on_layout(job, *plan, "--checkpoint.load_only")
                last = [h for h in hashes if h[0] == STEPS]
                self.on_layout(job, *plan, "--training.steps=2")
                resumed, _, hashes = self.on_layout(job, *plan)
                self.assertEqual((resumed[-2:], [h for h in hashes if h[0] == STEPS]), (unbroken[-2:], last))
                shutil.rmtree(self.path("dump"))

    def test_checkpoints_go_on_without_context_parallelism_and_back(self):
        plan = ["--checkpoint.enable", "--checkpoint.interval=2", "--checkpoint.no-last_save_model_only",
                f"--lr_scheduler.total_steps={STEPS}"]
        unbroken, _, _ = self.on_one(f"--lr_scheduler.total_steps={STEPS}")
        for first, second in ((CP2, None), (None, FSDP_CP), (FSDP_CP, CP4)):
            with self.subTest(first=first, second=second):
                for job, steps in ((first, 2), (second, STEPS)):
                    args = [*plan, f"--training.steps={steps}"]
                    metrics = (self.on_layout(job, *args) if job else self.on_one(*args))[0]
                self.assert_same_training(metrics[-2:], unbroken[-2:])
                shutil.rmtree(self.path("dump"))

    def test_what_cannot_be_is_refused(self):
        two = {"NGPU": "2"}
        cp = ["--comm.mode=local_tensor", "--parallelism.context_parallel_degree=2"]
        self.assertIn("training.seq_len (66) must be a multiple of 2 * tensor_parallel_degree (1) * context_parallel_degree (2)",
                      self.refused(*cp, "--training.seq_len=66", env=two))
        self.assertIn("balancing by the blocks of a document mask",
                      self.refused(*cp, "--parallelism.context_parallel_load_balancer=ptrr", env=two))
        self.assertIn("nearest valid layouts: {context_parallel_degree=2}",
                      self.refused(*cp, "--parallelism.data_parallel_shard_degree=2", env=two))


if __name__ == "__main__":
    unittest.main()
