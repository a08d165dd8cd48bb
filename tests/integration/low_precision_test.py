"""Training in low precision on several ranks."""
import json
import os
import subprocess
import unittest

from ranks import ROWS_PER_RANK, RanksCase, layout
from titan import ROOT, environment

MODEL = "--model.flavor=tiny_8_heads"
FLOAT8 = ["--model.converters=quantize.linear.float8", "--quantize.linear.float8.emulate"]
MX_CUBLAS = ["--model.converters=quantize.linear.mx"]
RECIPES = ("tensorwise", "rowwise", "rowwise_with_gw_hp")
ALL_GATHER = "--quantize.linear.float8.enable_fsdp_float8_all_gather"
PRECOMPUTE = "--quantize.linear.float8.precompute_float8_dynamic_scale_for_fsdp"
FP32 = "--training.mixed_precision_param=float32"
STEPS = 20
TOLERANCE = 1e-5
# Name, ranks that read different rows, ranks, rows of a step
LAYOUTS = [
    ("FSDP", 2, 2, 4, layout(shard=2)),
    ("TP", 1, 2, 2, layout(tensor=2)),
    ("PP", 1, 2, 4, [*layout(pipeline=2), "--training.local_batch_size=4", "--parallelism.pipeline_parallel_microbatch_size=2"]),
]


class LowPrecision(RanksCase):
    def data(self, readers):
        windows = self.windows(readers * ROWS_PER_RANK)
        return (["--training.dataset_path", self.tokens("all.u16", windows)],
                ["--training.dataset_path", self.tokens("in_turn.u16", self.windows_in_turn(windows, readers))])

    def test_parameters_gathered_in_float8_train_as_those_gathered_whole(self):
        # Rounded before or behind the all-gather, in float32 and with one scale: the same bits.
        data, _ = self.data(2)
        hsdp = [4, *layout(replicate=2, shard=2)]
        layouts = {
            "FSDP": [2, *layout(shard=2)],
            "uneven parts": [3, *layout(shard=3)],
            "HSDP, resharded always": [*hsdp, "--parallelism.fsdp_reshard_after_forward=always"],
            "HSDP, never, accumulation": [*hsdp, "--parallelism.fsdp_reshard_after_forward=never", "--training.global_batch_size=16"],
            "with tensor parallelism, recomputed": [4, *layout(shard=2, tensor=2), "--activation_checkpoint.mode=full"],
            "pipeline": [4, *layout(shard=2, pipeline=2), "--training.local_batch_size=2"],
            "pipeline whose backward has halves": [4, *layout(shard=2, pipeline=2, schedule="ZBVZeroBubble"), "--training.local_batch_size=4"],
            "tied": [2, *layout(shard=2), "--model.flavor=tiny_tied"],
        }
        for name, (ranks, *args) in layouts.items():
            with self.subTest(name):
                job = [MODEL, *data, FP32, *FLOAT8, *args]
                whole = self.on_threads(ranks, *job)
                self.assertEqual(self.on_threads(ranks, *job, ALL_GATHER), whole)
                self.assertEqual(self.on_threads(ranks, *job, ALL_GATHER, PRECOMPUTE), whole)

    def test_a_byte_for_an_entry_is_forecast(self):
        def all_gathers(*args):
            command = [os.environ["TITAN_TRAIN"], "--estimate", "--job.config_file=configs/llama3/debug_model.toml", "--world-size=4",
                       "--training.device=cpu", "--activation_checkpoint.mode=none", "--json", *FLOAT8, "--quantize.linear.float8.filter_fqns=output", *args]
            result = subprocess.run(command, cwd=ROOT, env=environment(None), text=True, stdout=subprocess.PIPE, check=True)
            return {(sent["mesh"], sent["operation"]): sent for sent in json.loads(result.stdout)["communication_per_step"]}

        whole, bytes_, ahead = all_gathers(), all_gathers(ALL_GATHER), all_gathers(ALL_GATHER, PRECOMPUTE)
        gathered = ("fsdp", "all_gather")
        # Each of six layers: four products of attention and three of feed-forward, forward and backward; bfloat16 takes two bytes.
        weights = 6 * (4 * 256 * 256 + 3 * 256 * 768)
        self.assertEqual(whole[gathered]["tensor_bytes"] - bytes_[gathered]["tensor_bytes"], 2 * weights)
        self.assertEqual(ahead[gathered], bytes_[gathered])
        # Largest entries: of each layer by itself, or of all at once.
        reductions = ("fsdp", "all_reduce")
        self.assertEqual(bytes_[reductions]["calls"] - ahead[reductions]["calls"], 6 - 1)

    def test_shipped_configs_are_valid_and_forecast(self):
        experts = ["--model.converters=quantize.linear.float8,quantize.grouped_mm.float8", "--quantize.grouped_mm.float8.fqns=experts"]
        data = ["--training.dataset=c4_test", "--training.dataset_path=tests/assets/c4_test", "--model.hf_assets_path=tests/assets/tokenizer"]
        for config, ranks, args in (("llama3/llama3_405b", 512, []), ("llama4/llama4_17bx16e", 64, experts),
                                    ("deepseek_v3/deepseek_v3_16b", 64, experts)):
            with self.subTest(config):
                job = [os.environ["TITAN_TRAIN"], f"--job.config_file=configs/{config}.toml", f"--world-size={ranks}", *data, *args]
                for command in ("--check", "--estimate"):
                    result = subprocess.run([*job, command], cwd=ROOT, env=environment(None), text=True, capture_output=True)
                    self.assertEqual(result.returncode, 0, result.stdout + result.stderr)

    def test_layouts_train_as_one_process_does(self):
        for recipe in RECIPES:
            chosen = [] if recipe == "tensorwise" else [f"--quantize.linear.float8.recipe_name={recipe}"]
            job = [MODEL, FP32, *FLOAT8, *chosen, f"--training.steps={STEPS}", "--optimizer.eps=1e-6"]
            one = {}
            for name, readers, ranks, rows, args in LAYOUTS:
                data, in_turn = self.data(readers)
                if (readers, rows) not in one:
                    # As many microbatches of as many rows, each of which has scales of its own.
                    one[readers, rows] = self.on_threads(1, *job, *in_turn, f"--training.global_batch_size={rows}")[0]
                with self.subTest(recipe=recipe, layout=name):
                    self.assert_near(self.on_threads(ranks, *job, *data, *args)[0], one[readers, rows], TOLERANCE)

    def experts(self, ranks, *args):
        data, _ = self.data(2)
        return self.on_threads(ranks, "--model.name=deepseek_v3", "--model.flavor=tiny", *data, FP32, "--training.global_batch_size=8", *args)[0]

    def test_experts_train_on_every_layout(self):
        grouped = ["--model.converters=quantize.grouped_mm.float8", "--quantize.grouped_mm.float8.fqns=experts",
                   "--quantize.grouped_mm.float8.emulate"]
        whole = self.experts(2, *layout(shard=2))
        expected = self.experts(2, *layout(shard=2), *grouped)
        self.assertNotEqual(expected, whole)
        self.assert_near(expected, whole, 1e-3)
        self.assert_near(self.experts(2, *layout(shard=2), "--parallelism.expert_parallel_degree=2", *grouped), expected, 1e-4)
        pipeline = [*layout(shard=2, pipeline=2), "--training.local_batch_size=4", "--parallelism.pipeline_parallel_microbatch_size=2"]
        self.assert_near(self.experts(4, *pipeline, *grouped), expected, 1e-5)
        tensor = [*layout(shard=2, tensor=2), "--parallelism.expert_parallel_degree=2", "--parallelism.expert_tensor_parallel_degree=2"]
        self.assert_near(self.experts(4, *tensor, *grouped), expected, 1e-4)

    def test_experts_and_linear_layers_train_in_mxfp8(self):
        model = ["--model.name=deepseek_v3", "--model.flavor=debugmodel", FP32, "--training.steps=2"]
        mx = ["--model.converters=quantize.linear.mx,quantize.grouped_mm.mx", "--quantize.linear.mx.recipe_name=mxfp8_emulated",
              "--quantize.linear.mx.filter_fqns=output,router.gate", "--quantize.grouped_mm.mx.fqns=experts",
              "--quantize.grouped_mm.mx.recipe_name=mxfp8_emulated"]
        data, _ = self.data(1)
        whole, rounded = (self.on_threads(1, *model, *data, *args)[0] for args in ([], mx))
        self.assertNotEqual(rounded, whole)
        self.assert_near(rounded, whole, 1e-2)

    def assert_near(self, metrics, expected, tolerance):
        for step, ((loss, _), (expected_loss, _)) in enumerate(zip(metrics, expected, strict=True)):
            self.assertAlmostEqual(loss, expected_loss, delta=tolerance * expected_loss, msg=f"step {step + 1}")

    def test_checkpoints_load_with_and_without_a_converter(self):
        data, _ = self.data(1)
        rowwise = [*FLOAT8, "--quantize.linear.float8.recipe_name=rowwise"]
        for name, first, second in (("with, without", FLOAT8, []), ("without, with", [], FLOAT8), ("another recipe", FLOAT8, rowwise)):
            with self.subTest(name):
                job = [MODEL, *data, "--checkpoint.enable", "--checkpoint.interval=2", "--lr_scheduler.total_steps=4",
                       "--debug.log_hashes", "--metrics.log_freq=1", "--job.dump_folder", self.path(name)]
                self.train(*job, "--training.steps=2", *first)
                saved = {h["name"]: h["sha256"] for h in self.records("hashes.jsonl", name) if h["step"] == 2}
                os.remove(self.path(name, "hashes.jsonl"))
                log = self.train(*job, "--training.steps=4", *second).stdout
                changed = "quantize.linear.float8.recipe_name" if second is rowwise else "model.converters"
                self.assertIn(f"WARNING - {changed} is ", log)
                loaded = {h["name"]: h["sha256"] for h in self.records("hashes.jsonl", name) if h["step"] == 2}
                self.assertEqual(loaded, {key: value for key, value in saved.items() if key in loaded})
                self.assertGreater(len(loaded), 10)
                self.assertEqual([r["step"] for r in self.records(dump=name) if "loss" in r], [1, 2, 3, 4])

    def test_mxfp8_of_a_gpu_is_estimated(self):
        linear = ["llama3/debug_model", "--model.converters=quantize.linear.mx", "--quantize.linear.mx.recipe_name=mxfp8_cublas_rceil"]
        experts = ["deepseek_v3/debug_model", "--model.converters=quantize.grouped_mm.mx", "--quantize.grouped_mm.mx.fqns=experts"]
        for config, *args in (linear, experts):
            command = [os.environ["TITAN_TRAIN"], "--estimate", f"--job.config_file=configs/{config}.toml", "--training.device=cuda", *args]
            result = subprocess.run(command, cwd=ROOT, env=environment(None), text=True, stdout=subprocess.PIPE, check=True)
            self.assertRegex(result.stdout, r"selective \(configured\)")

    def test_a_converted_output_gives_its_logits_to_the_loss(self):
        data, _ = self.data(1)
        mx = ["--model.converters=quantize.linear.mx", "--quantize.linear.mx.recipe_name=mxfp8_emulated", "--quantize.linear.mx.filter_fqns=w1"]
        for converter in ([*FLOAT8, "--quantize.linear.float8.filter_fqns=w1"], mx):
            with self.subTest(converter):
                job = [MODEL, *data, *converter, "--training.steps=3", "--compile.enable"]
                # Fast paths have products multiply alike on all threads: so both take one.
                expected = self.figures(*job, "--compile.components=optimizer")
                self.assertEqual(self.figures(*job, "--compile.components=optimizer,loss"), expected)
                log = self.train(*job, "--compile.components=loss").stdout
                self.assertIn("The loss is made of whole logits", log)
                self.assertNotIn("stays as it is: filter_fqns has \"output\"", log)

    def test_what_was_converted_and_what_not_is_told_once(self):
        pipeline = [*layout(pipeline=2, schedule="Interleaved1F1B"), "--training.local_batch_size=2", "--training.steps=1"]
        for part, args in (("WARNING - Float8 training with the recipe tensorwise, emulated: 0 linear layers, nothing trains so", ["filter_fqns=layers,output"]),
                           ("wo stays as it is: filter_fqns has \"wo\"", ["filter_fqns=wo"]),
                           ("feed_forward.w1 is converted", ["filter_fqns=wo"]),
                           ("WARNING -   filter_fqns has \"outputs\", which names none of the linear layers", ["filter_fqns=outputs"])):
            with self.subTest(part):
                job = [MODEL, "--comm.mode=local_tensor", "--model.print_after_conversion", *pipeline, *FLOAT8, *(f"--quantize.linear.float8.{arg}" for arg in args)]
                log = self.train(*job, env={"NGPU": "2"}).stdout
                self.assertIn(part, log)
                self.assertEqual(log.count("Float8 training with the recipe"), 1)

    def test_what_is_not_made_in_low_precision_is_refused(self):
        experts = ["--model.name=deepseek_v3", "--model.flavor=tiny"]
        for message, args in {
            "a CPU has no float8 products; quantize.linear.float8.emulate = true": FLOAT8[:1],
            "model.converters has \"quantize.linear.float8\" twice": ["--model.converters=quantize.linear.float8,quantize.linear.float8"],
            "did you mean 'mxfp8_cublas'": [*MX_CUBLAS, "--quantize.linear.mx.recipe_name=mxfp8_cubas"],
            "quantize.grouped_mm.fp4": ["--model.converters=quantize.grouped_mm.fp4"],
            "\"blockwise\" is emulated only": [*FLOAT8[:1], "--quantize.linear.float8.recipe_name=blockwise"],
            "quantize.grouped_mm.float8: a CPU has no float8 products": [*experts, "--model.converters=quantize.grouped_mm.float8"],
            "the experts layers.1.moe.experts have weights of 32 x 48": [
                *experts, "--model.converters=quantize.grouped_mm.mx", "--quantize.grouped_mm.mx.recipe_name=mxfp8_emulated",
                "--quantize.grouped_mm.mx.fqns=experts"],
            "\"mxfp8_cublas\": a CPU has no float8 products; \"mxfp8_emulated\" rounds in the same way and multiplies in the model's own type "
            "(needed is a GPU of compute capability 10.0 or above)": MX_CUBLAS,
            "quantize.grouped_mm.mx.recipe_name = \"mxfp8\": a CPU has no float8 products; \"mxfp8_emulated\" rounds in the same way and multiplies in bfloat16 "
            "(needed is a GPU of compute capability 10.0 or above, below 11.0)": [*experts, "--model.converters=quantize.grouped_mm.mx"],
        }.items():
            with self.subTest(message):
                self.assertIn(message, self.refused(MODEL, *args))


if __name__ == "__main__":
    unittest.main()
