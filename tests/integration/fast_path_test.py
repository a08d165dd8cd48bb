"""compile.enable: what the fast paths train is what the reference's kernels train, on one rank and on several, and the same every time."""
import json
import os
import subprocess

from ranks import ROWS_PER_RANK, RanksCase, layout

TINY = ["--model.flavor=tiny_8_heads", "--optimizer.eps=1e-6"]
FAST = ["--compile.enable", "--compile.components=model,loss,optimizer"]
LAYOUTS = {"fsdp": layout(shard=2), "ddp": layout(replicate=2), "tp": layout(tensor=2),
           "tp, whole logits": [*layout(tensor=2), "--parallelism.disable_loss_parallel"],
           "async tp": [*layout(tensor=2), "--parallelism.enable_async_tensor_parallel"],
           "cp": layout(context=2), "cp around the ring": [*layout(context=2), "--parallelism.context_parallel_rotate_method=alltoall"],
           "pp": layout(pipeline=2), "zero-bubble": layout(pipeline=2, schedule="ZBVZeroBubble")}


class FastPathTest(RanksCase):
    def data(self):
        return ["--training.dataset_path", self.tokens("rows.u16", self.windows(ROWS_PER_RANK))]

    def test_training_is_the_same_but_for_rounding(self):
        data = self.data()
        steps = ["--training.steps=6", *data, *TINY]
        slow, initial, _ = self.figures(*steps)
        fast, fast_initial, _ = self.figures(*steps, *FAST)
        self.assertEqual(initial, fast_initial)
        self.assertNotEqual(slow, fast)
        self.assert_same_training(fast, slow)

    def test_the_same_bits_on_any_number_of_threads(self):
        steps = ["--training.steps=3", *self.data(), *TINY, *FAST]
        _, _, one = self.figures(*steps)
        for threads in ("1", "3"):
            self.assertEqual(self.figures(*steps, env={"OMP_NUM_THREADS": threads})[2], one, threads)

    def test_ranks_train_what_one_process_trains(self):
        for name, degrees in LAYOUTS.items():
            with self.subTest(name):
                parallel_data = "replicate_degree=2" in degrees[0] or "shard_degree=2" in degrees[1]
                readers = 2 if parallel_data else 1
                windows = self.windows(readers * ROWS_PER_RANK)
                in_turn = self.tokens("in_turn.u16", self.windows_in_turn(windows, readers))
                rows = self.tokens("rows.u16", windows)
                more = [*TINY, *FAST]
                one, _, _ = self.figures("--training.steps=4", "--training.dataset_path", in_turn, *more,
                                         f"--training.global_batch_size={2 * readers}")
                job = [2, "--training.dataset_path", rows, *degrees, *more]
                many = self.on_threads(*job)
                self.assert_same_training(many[0], one)
                self.assertEqual(self.on_threads(*job), many, "not the same bits every time")

    def test_experts(self):
        for model in (["--model.name=deepseek_v3", "--model.flavor=tiny"], ["--model.name=qwen3", "--model.flavor=tiny_moe"]):
            with self.subTest(model[0]):
                windows = self.windows(2 * ROWS_PER_RANK)
                data = ["--training.dataset_path", self.tokens("in_turn.u16", self.windows_in_turn(windows, 2)),
                        "--training.global_batch_size=4"]
                steps = ["--training.steps=4", "--optimizer.eps=1e-6", *model]
                slow, _, _ = self.figures(*steps, *data)
                fast, _, _ = self.figures(*steps, *data, *FAST)
                self.assertNotEqual(slow, fast)
                self.assert_same_training(fast, slow)
                shared, _, _ = self.on_threads(2, "--training.dataset_path", self.tokens("rows.u16", windows), *steps,
                                               *layout(shard=2, experts=2), *FAST)
                self.assert_same_training(shared, fast)

    def test_activations_that_are_computed_again_are_the_same(self):
        steps = ["--training.steps=3", *self.data(), *TINY, *FAST]
        expected = self.figures(*steps)[2]
        for mode in (["full"], ["selective", "--activation_checkpoint.selective_ac_option=op"],
                     ["memory_budget", "--activation_checkpoint.memory_budget=0.3"],
                     ["memory_budget", "--activation_checkpoint.memory_budget=0.7"]):
            self.assertEqual(self.figures(*steps, "--activation_checkpoint.mode", *mode)[2], expected, mode)

    def test_a_memory_budget_is_drawn_and_told(self):
        log = self.train("--training.steps=2", *TINY, *FAST, "--activation_checkpoint.mode=memory_budget",
                         "--activation_checkpoint.visualize_memory_budget_pareto", "--activation_checkpoint.debug").stdout
        self.assertIn("Selected 0.5 budget option", log)
        self.assertRegex(log, r"layers\.0 keeps \d+.* of .*titan_kernels::")
        self.assertEqual(log.count("layers.0 computes again: "), 1, "once, not in every step")
        with open(self.path("dump", "memory_budget_pareto", "memory_budget_pareto_rank_0_0.svg")) as picture:
            self.assertIn("estimated ms computed again", picture.read())

    def test_either_library_multiplies(self):
        steps = ["--training.steps=3", *self.data(), *TINY, *FAST]
        blas = self.figures(*steps, env={"TITAN_PRODUCTS": "blas"})[0]
        onednn = self.figures(*steps, env={"TITAN_PRODUCTS": "onednn"})[0]
        self.assert_same_training(onednn, blas)

    def test_half_precision_and_validation(self):
        data = self.data()
        validation = ["--validation.enable", "--validation.freq=2", "--validation.steps=2", "--validation.seq_len=64",
                      "--validation.dataset_path", data[1]]
        fast = []
        for arguments in ([], FAST):
            self.train("--training.steps=2", "--metrics.log_freq=1", *data, *TINY, *validation, *arguments,
                       "--training.mixed_precision_param=bfloat16")
            fast.append([r for r in self.records() if "loss" in r or "validation_loss" in r or "validation_metrics/loss" in r])
        self.assertEqual(len(fast[0]), len(fast[1]))
        for slow_record, fast_record in zip(*fast):
            for key in slow_record:
                if "loss" in key:
                    self.assertAlmostEqual(slow_record[key], fast_record[key], delta=0.02 * slow_record[key])

    def test_the_forecast_knows_them(self):
        def activations(*args):
            result = subprocess.run([os.environ["TITAN_TRAIN"], "--estimate", "--json", "--model.flavor=debugmodel",
                                     "--training.device=cpu", "--training.seq_len=2048", "--training.local_batch_size=1",
                                     "--activation_checkpoint.mode=none", *args], text=True, capture_output=True)
            self.assertEqual(result.returncode, 0, result.stderr)
            return json.loads(result.stdout)["bytes_per_rank"]["activations"]

        self.assertLess(activations(*FAST), activations())
