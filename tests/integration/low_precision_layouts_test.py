"""Every recipe on every layout: ranks that make the same products as others train as those do."""
import os
import unittest

from low_precision_test import FLOAT8, FP32, MODEL
from ranks import RanksCase, layout

# All of them by hand: TITAN_PRECISION_MATRIX=full.
FULL = os.environ.get("TITAN_PRECISION_MATRIX") == "full"
MX = ["--model.converters=quantize.linear.mx", "--quantize.linear.mx.recipe_name=mxfp8_emulated"]
RECIPES = {
    "tensorwise": FLOAT8,
    **{name: [*FLOAT8, f"--quantize.linear.float8.recipe_name={name}"] for name in ("rowwise", "rowwise_with_gw_hp", "blockwise")},
    "mxfp8": MX,
}
OF_BLOCKS = ("blockwise", "mxfp8")
TOLERANCE = 1e-5
ALLGATHER = ["--parallelism.context_parallel_rotate_method=allgather"]
ALLTOALL = ["--parallelism.context_parallel_rotate_method=alltoall"]
FULL_AC = ["--activation_checkpoint.mode=full"]
SELECTIVE = ["--activation_checkpoint.mode=selective"]
OP_AC = [*SELECTIVE, "--activation_checkpoint.selective_ac_option=op"]
LAYER_AC = [*SELECTIVE, "--activation_checkpoint.selective_ac_option=2"]
HALVES = "--parallelism.pipeline_parallel_microbatch_size=2"


def job(ranks, rows, *options):
    return ranks, [f"--training.local_batch_size={rows}", *options]


# What is compared: a job, and those whose microbatches, and parts of texts, are the same. A step has four rows.
WHOLE, HALF, QUARTER = job(1, 4), job(1, 2), job(1, 1)
CUT, CUT_HALF = job(2, 4, *layout(context=2)), job(2, 2, *layout(context=2))
SAME = {
    "full": (WHOLE, job(1, 4, *FULL_AC)),
    "op": (WHOLE, job(1, 4, *OP_AC)),
    "layer": (WHOLE, job(1, 4, *LAYER_AC)),
    "TP": (WHOLE, job(2, 4, *layout(tensor=2))),
    "FSDP": (HALF, job(2, 2, *layout(shard=2))),
    "DDP": (HALF, job(2, 2, *layout(replicate=2))),
    "PP": (HALF, job(2, 4, *layout(pipeline=2), HALVES)),
    "FSDP + TP, full": (HALF, job(4, 2, *layout(shard=2, tensor=2), *FULL_AC)),
    "DDP, accumulation": (QUARTER, job(2, 1, *layout(replicate=2))),
    "HSDP, op": (QUARTER, job(4, 1, *layout(replicate=2, shard=2), *OP_AC)),
    "CP + TP": (CUT, job(4, 4, *layout(context=2, tensor=2), *ALLTOALL)),
    "CP, full": (CUT, job(2, 4, *layout(context=2), *FULL_AC)),
    "PP + CP": (CUT_HALF, job(4, 4, *layout(pipeline=2, context=2), HALVES, *ALLGATHER)),
    "FSDP + CP": (CUT_HALF, job(4, 2, *layout(shard=2, context=2), *ALLTOALL)),
}


class LowPrecisionLayouts(RanksCase):
    def texts(self, length=64):
        """Four rows of other tokens each, the same in every step."""
        pattern = self.windows(1)[0]
        rows = [[pattern[(3 * i + j * j) % 40] for j in range(length + 1)] for i in range(4)]
        return ["--training.dataset_path", self.tokens("texts.u16", rows), f"--training.seq_len={length}", "--training.global_batch_size=4"]

    def losses(self, ranks, *args):
        metrics, _, _ = self.on_threads(ranks, FP32, "--optimizer.eps=1e-6", "--lr_scheduler.warmup_steps=2", *args)
        return [loss for loss, _ in metrics]

    def assert_near(self, losses, expected, tolerance=TOLERANCE):
        self.assertEqual(len(losses), len(expected))
        for loss, other in zip(losses, expected):
            self.assertAlmostEqual(loss, other, delta=tolerance * other)

    def test_same_products_are_the_same_training(self):
        texts, expected = self.texts(), {}
        for i, (recipe, options) in enumerate(RECIPES.items()):
            for j, (name, (reference, (ranks, args))) in enumerate(SAME.items()):
                if recipe in OF_BLOCKS and "TP" in name:
                    continue  # ranks of this model have less than a block
                if not FULL and (i + j) % len(RECIPES) != 0:
                    continue
                with self.subTest(recipe=recipe, layout=name):
                    key = recipe, str(reference)
                    if key not in expected:
                        expected[key] = self.losses(reference[0], MODEL, *texts, *options, *reference[1])
                    self.assert_near(self.losses(ranks, MODEL, *texts, *options, *args), expected[key])

    def test_sums_that_tensor_parallelism_cuts_differ_by_roundings(self):
        # Scales are those of the whole: so the first loss is equal but for the last bits of its sums. In which order a sum was taken decides how
        # some entries are rounded, to 4 bits, from then on; what the original's own runs come to is in docs/quantization.md.
        for recipe, context, steps in (("tensorwise", 1, 10), ("rowwise", 1, 10), ("blockwise", 1, 3), ("mxfp8", 1, 3), ("blockwise", 2, 2), ("mxfp8", 2, 2)):
            with self.subTest(recipe=recipe, context=context):
                converter = "mx" if recipe == "mxfp8" else "float8"
                job = ["--model.flavor=debugmodel", *self.texts(32), *RECIPES[recipe], f"--quantize.linear.{converter}.filter_fqns=output",
                       "--training.local_batch_size=4", f"--training.steps={steps}"]
                one = self.losses(context, *job, *layout(context=context))
                two = self.losses(2 * context, *job, *layout(context=context, tensor=2))
                self.assert_near(two[:1], one[:1], 1e-6)
                self.assert_near(two[:3], one[:3], 1e-4)
                self.assert_near(two, one, 1e-3)

    def test_texts_that_ranks_share_train_as_whole_ones_do(self):
        # Blocks of tokens that share a scale lie within what a rank has of a text. With "tensorwise" a rank scales its own tokens, so that
        # they are rounded otherwise; with "rowwise" only numbers next to the smallest of the type are.
        for recipe, options in RECIPES.items():
            texts = self.texts({"blockwise": 512, "mxfp8": 128}.get(recipe, 64))
            one = self.losses(1, MODEL, *texts, *options, *WHOLE[1])
            for rotation in (ALLGATHER, ALLTOALL):
                with self.subTest(recipe=recipe, rotation=rotation):
                    shared = self.losses(2, MODEL, *texts, *options, *CUT[1], *rotation)
                    self.assert_near(shared, one, 1e-4 if recipe == "tensorwise" else TOLERANCE)

    def test_fast_paths_round_alike_and_a_memory_budget_changes_nothing(self):
        # Of MXFP8; float8 is not emulated in a compiled model, which the mode needs.
        fast = ["--compile.enable", "--compile.components=model"]
        texts = [MODEL, *self.texts(), *WHOLE[1]]
        job = [*texts, *MX, *fast]
        expected = self.losses(1, *job)
        self.assert_near(expected, self.losses(1, *texts, *MX), 1e-6)
        self.assertGreater(abs(expected[-1] / self.losses(1, *texts, *fast)[-1] - 1), 5e-6)
        for budget in (0.1, 0.6):
            kept = ["--activation_checkpoint.mode=memory_budget", f"--activation_checkpoint.memory_budget={budget}"]
            self.assertEqual(self.losses(1, *job, *kept), expected)

    def test_tied_weights_of_a_small_model(self):
        for i, (recipe, options) in enumerate(RECIPES.items()):
            all_layers = f"--quantize.linear.{'mx' if options is MX else 'float8'}.filter_fqns=none"  # the output, too
            job = ["--model.name=qwen3", "--model.flavor=tiny", *self.texts(), *options, all_layers]
            for name in ("FSDP", "PP", "DDP") if FULL else (("FSDP", "PP", "DDP")[i % 3],):
                with self.subTest(recipe=recipe, layout=name):
                    (ranks, reference), (others, args) = SAME[name]
                    self.assert_near(self.losses(others, *job, *args), self.losses(ranks, *job, *reference))


if __name__ == "__main__":
    unittest.main()
