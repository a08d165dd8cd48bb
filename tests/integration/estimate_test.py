"""titan_train --estimate, and what else forecasts."""
import json
import os
import re
import resource
import subprocess
import unittest

from titan import ROOT, TitanTest, environment

LLAMA_405B = ["--model.name=llama3", "--model.flavor=405B", "--training.seq_len=8192", "--training.local_batch_size=1"]


class Estimate(TitanTest):
    def estimate(self, *args):
        result = subprocess.run([os.environ["TITAN_TRAIN"], "--estimate", *args], cwd=ROOT, env=environment(None), text=True,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.assertEqual(result.returncode, 0, result.stdout + result.stderr)
        return result.stdout

    def test_the_largest_model_on_many_ranks(self):
        forecast = json.loads(self.estimate(*LLAMA_405B, "--world-size=16384", "--json"))
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        self.assertLess(usage.ru_maxrss, 2 * 1024 * 1024, "KiB")
        self.assertLess(usage.ru_utime, 60)
        self.assertEqual(forecast["parameters"], 405_853_388_800)
        memory = forecast["bytes_per_rank"]
        self.assertGreater(memory["gradients"], 4 * 405_853_388_800 // 16384)
        self.assertLess(memory["gradients"], 1.3 * 4 * 405_853_388_800 / 16384)  # 1,024 rows do not go round
        modes = {mode["activation_checkpoint"]: mode["peak"] for mode in forecast["by_activation_checkpoint"]}
        self.assertLess(modes["full"], modes["selective"])
        self.assertLess(modes["selective"], modes["none"])

    def test_fast_paths_of_ranks_that_share_the_vocabulary(self):
        for device in ("cpu", "cuda"):
            with self.subTest(device):
                self.estimate("--model.name=llama3", "--model.flavor=debugmodel", "--world-size=4", "--parallelism.tensor_parallel_degree=2",
                              "--compile.enable", f"--training.device={device}")

    def test_every_rank_of_a_pipeline_of_the_largest_model(self):
        layout = ["--world-size=16384", "--parallelism.tensor_parallel_degree=8", "--parallelism.pipeline_parallel_degree=16"]
        forecast = json.loads(self.estimate(*LLAMA_405B, *layout, "--training.local_batch_size=16",
                                            "--activation_checkpoint.mode=full", "--json"))
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        self.assertLess(usage.ru_maxrss, 2 * 1024 * 1024, "KiB")
        ranks = forecast["pipeline"]
        self.assertEqual([rank["stages"] for rank in ranks], [[i] for i in range(16)])
        self.assertEqual([rank["microbatches_in_flight"] for rank in ranks], list(range(16, 0, -1)))
        self.assertEqual(forecast["layout"]["dp_shard"], 128)
        peaks = [rank["bytes"]["peak"] for rank in ranks]
        self.assertEqual(peaks[forecast["largest_pipeline_rank"]], max(peaks))
        self.assertEqual(forecast["bytes_per_rank"]["peak"], max(peaks))
        self.assertAlmostEqual(sum(rank["bytes"]["gradients"] for rank in ranks) * 1024 / (4 * 405_853_388_800), 1, 1)

    def test_the_largest_models_with_experts(self):
        """In less than ten seconds each, of a core."""
        pipeline = ["--world-size=2048", "--parallelism.pipeline_parallel_degree=8", "--parallelism.expert_parallel_degree=64",
                    "--training.local_batch_size=8", "--json"]
        for model, parameters, args in (("deepseek_v3", 671_026_404_352, ["--job.config_file=configs/deepseek_v3/deepseek_v3_671b.toml"]),
                                        ("qwen3", 235_093_634_560, ["--model.name=qwen3", "--model.flavor=235B-A22B"])):
            with self.subTest(model):
                before = resource.getrusage(resource.RUSAGE_CHILDREN)
                forecast = json.loads(self.estimate(*args, *pipeline))
                usage = resource.getrusage(resource.RUSAGE_CHILDREN)
                self.assertLess(usage.ru_utime - before.ru_utime, 10)
                self.assertLess(usage.ru_maxrss, 2 * 1024 * 1024, "KiB")
                self.assertEqual(forecast["parameters"], parameters)
                self.assertEqual({axis: forecast["layout"][axis] for axis in ("pp", "dp_shard", "ep")}, {"pp": 8, "dp_shard": 256, "ep": 64})
                held = sum(rank["bytes"]["gradients"] for rank in forecast["pipeline"]) * 256 / 4
                self.assertAlmostEqual(held / parameters, 1, 2, "every parameter is on one rank of a pipeline's shards")
                self.assertIn("all_to_all", {collective["operation"] for collective in forecast["communication_per_step"]})

    def test_a_shipped_config_needs_no_data_to_be_estimated(self):
        self.assertIn("8,030,261,248 parameters",
                      self.estimate("--job.config_file=configs/llama3/llama3_8b.toml", "--world-size=8"))

    def test_flavors_that_attend_within_documents(self):
        def activations(flavor, *args):
            forecast = json.loads(self.estimate("--job.config_file=configs/llama3/debug_model.toml", f"--model.flavor={flavor}",
                                                "--world-size=4", "--activation_checkpoint.mode=selective",
                                                "--activation_checkpoint.selective_ac_option=op", "--json", *args))
            return forecast["bytes_per_rank"]["activations"]

        mask = 8 * 2048 * 2048  # rows x queries x keys
        for flavor in ("debugmodel_flex_attn", "debugmodel_varlen_attn"):
            with self.subTest(flavor):
                self.assertLess(abs(activations(flavor) - activations("debugmodel")), mask / 2, "packed on a GPU")
                self.assertGreaterEqual(activations(flavor, "--training.device=cpu"),
                                        activations("debugmodel", "--training.device=cpu") + mask, "masked on a CPU")

    def test_state_shrinks_with_the_shards_and_not_with_the_replicas(self):
        def parameters(*args):
            return json.loads(self.estimate(*LLAMA_405B, "--json", *args))["bytes_per_rank"]["gradients"]

        whole = parameters("--world-size=1")
        self.assertEqual(parameters("--world-size=8"), whole // 8)
        replicas = "--parallelism.data_parallel_replicate_degree=4"
        self.assertEqual(parameters("--world-size=8", replicas), whole // 2)
        self.assertEqual(parameters("--world-size=4", replicas), whole)

    def test_tables_and_a_file(self):
        tables = self.estimate("--job.config_file=configs/llama3/debug_model_cpu.toml", "--world-size=4",
                               "--output", self.path("forecast.json"))
        for text in ("on 4 ranks", "Memory of a rank", "What would save memory", "reduce_scatter"):
            self.assertIn(text, tables)
        with open(self.path("forecast.json")) as file:
            self.assertEqual(json.load(file)["world_size"], 4)

    def test_tensor_parallel_ranks_hold_their_part(self):
        def memory(*args):
            return json.loads(self.estimate(*LLAMA_405B, "--json", *args))["bytes_per_rank"]

        one = memory("--world-size=1")
        eight = memory("--world-size=8", "--parallelism.tensor_parallel_degree=8")
        norms = 4 * 16384 * (2 * 126 + 1)  # whole on every rank
        self.assertEqual(eight["gradients"] - norms, (one["gradients"] - norms) // 8)
        sharded = memory("--world-size=128", "--parallelism.tensor_parallel_degree=8")
        self.assertLess(sharded["gradients"], eight["gradients"] // 16 * 1.01)
        # Where blocks are computed again, what is left is mostly logits and their gradient.
        full = ["--world-size=128", "--parallelism.tensor_parallel_degree=8", "--activation_checkpoint.mode=full",
                "--training.local_batch_size=2"]
        parts, whole = memory(*full), memory(*full, "--parallelism.disable_loss_parallel")
        self.assertGreater(whole["activations"], 3 * parts["activations"])

    def test_experts_and_texts_are_shared_out(self):
        for model in ("deepseek_v3/debug_model_cpu", "llama4/debug_model_cpu", "qwen3/small_moe_cpu"):
            with self.subTest(model):
                text = self.estimate(f"--job.config_file=configs/{model}.toml", "--world-size=4", "--parallelism.context_parallel_degree=2",
                                     "--parallelism.expert_parallel_degree=2")
                self.assertRegex(text, r"\n +cp +all_gather +2 ")
                self.assertRegex(text, r"\n +ep +all_to_all +2 ")

    def test_impossible_layouts_are_refused(self):
        result = subprocess.run([os.environ["TITAN_TRAIN"], "--estimate", "--world-size=6",
                                 "--parallelism.data_parallel_shard_degree=4"], cwd=ROOT, text=True, capture_output=True)
        self.assertEqual(result.returncode, 2)
        self.assertIn("nearest valid layouts", result.stderr)

    def test_layouts_in_the_place_of_an_impossible_one_fit_the_models_experts(self):
        result = subprocess.run([os.environ["TITAN_TRAIN"], "--estimate", "--job.config_file=configs/deepseek_v3/debug_model_cpu.toml",
                                 "--world-size=12", "--parallelism.expert_parallel_degree=5"], cwd=ROOT, text=True, capture_output=True)
        self.assertEqual(result.returncode, 2)
        near = re.findall(r"expert_parallel_degree=(\d+)", result.stderr.partition("nearest valid layouts:")[2])
        self.assertTrue(near)
        self.assertEqual([degree for degree in near if 8 % int(degree) != 0], [], "8 experts")


class ShowPlan(TitanTest):
    def show(self, *args, status=0):
        result = subprocess.run([os.environ["TITAN_TRAIN"], "--show-plan", *args], cwd=ROOT, env=environment(None), text=True,
                                capture_output=True)
        self.assertEqual(result.returncode, status, result.stdout + result.stderr)
        return result.stderr if status else result.stdout

    def test_the_whole_text(self):
        model = ["--job.config_file=configs/llama3/debug_model_cpu.toml", "--compile.enable=false",
                 "--parallelism.tensor_parallel_degree=2"]
        for name, args in (("plan_tp2.txt", ["--world-size=2"]),
                           ("plan_fsdp2_tp2.txt", ["--world-size=4", "--activation_checkpoint.mode=full"])):
            with self.subTest(name), open(os.path.join(ROOT, "tests/integration", name)) as file:
                self.maxDiff = None
                self.assertEqual(self.show(*model, *args), file.read())

    def test_the_largest_model_with_eight_tensor_parallel_ranks(self):
        text = self.show(*LLAMA_405B, "--parallelism.tensor_parallel_degree=8", "--world-size=1024")
        self.assertRegex(text, r"layers\.\*\.attention\.wq x126 +Colwise +weight +16384 x 16384 +2048 x 16384 +16 x 16384\n")
        self.assertRegex(text, r"layers\.\*\.attention x126 +in: all-gather of dimension 1 +in: reduce-scatter of dimension 1")

    def test_without_tensor_parallelism_there_is_none(self):
        self.assertIn("There is no tensor-parallel plan", self.show(*LLAMA_405B, "--world-size=64"))

    def test_layouts_that_do_not_fit_are_refused(self):
        self.assertIn("nearest valid layouts", self.show("--parallelism.tensor_parallel_degree=4", "--world-size=6", status=2))


class WhileTraining(TitanTest):
    def test_a_run_with_pretended_ranks_says_what_a_real_one_needs(self):
        result = self.train("--comm.mode=fake_backend", env={"NGPU": "64"})
        self.assertIn("on 64 ranks", result.stdout)
        self.assertIn("Memory of a rank at the peak of a step", result.stdout)
        self.assertIn("Training completed", result.stdout)

    # The logits alone are 4 GiB.
    LARGE = ["--training.local_batch_size=8192", "--activation_checkpoint.mode=none"]

    def limited(self, *args, env=None):
        """With 4 GiB of addresses."""
        limit = 4 * 1024**3
        return subprocess.run(self.arguments(*args), cwd=ROOT, env=environment(env), text=True, capture_output=True,
                              preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit)))

    def test_a_limit_on_memory_is_all_there_is(self):
        result = self.limited()
        self.assertEqual(result.returncode, 0, result.stdout + result.stderr)
        self.assertIn("with 4.00GiB memory", result.stdout)
        result = self.limited("--comm.mode=fake_backend", *self.LARGE, env={"NGPU": "2"})
        self.assertEqual(result.returncode, 0, result.stdout + result.stderr)
        self.assertRegex(result.stdout, r"No step is run with real numbers: it needs [0-9.]+ GiB of the [0-3]\.\d GiB that this process")

    def test_pretended_ranks_of_tensor_parallelism(self):
        for loss in ("--no-parallelism.disable_loss_parallel", "--parallelism.disable_loss_parallel"):
            result = self.train("--comm.mode=fake_backend", "--parallelism.tensor_parallel_degree=2", loss, env={"NGPU": "64"})
            self.assertIn("dp_shard=32, cp=1, tp=2", result.stdout)
            self.assertRegex(result.stdout, r"tp +reduce_scatter +2 ")
            self.assertIn("Training completed", result.stdout)

    def test_out_of_memory_shows_the_forecast(self):
        result = self.limited(*self.LARGE)
        self.assertEqual(result.returncode, 1, result.stdout + result.stderr)
        self.assertIn("can't allocate memory", result.stderr)
        self.assertIn("Memory in use was", result.stderr)
        self.assertIn("the forecast for a step is", result.stderr)
        self.assertIn('with activation_checkpoint.mode = "full"', result.stderr)


if __name__ == "__main__":
    unittest.main()
