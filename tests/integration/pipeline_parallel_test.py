"""Pipeline parallelism: every schedule trains as one process does on the same microbatches."""
import json
import math
import os
import shutil
import subprocess
import unittest

from exported_weights import largest_difference, safetensors
from ranks import SEQ_LEN, RanksCase, layout
from titan import CONFIG, ROOT, environment

# A part of the schedules, ranks and microbatches in the usual run; all of them by hand: TITAN_PIPELINE_MATRIX=full.
FULL = os.environ.get("TITAN_PIPELINE_MATRIX") == "full"
ONE_STAGE = ("1F1B", "GPipe")
TWO_STAGES = ("Interleaved1F1B", "LoopedBFS", "InterleavedZeroBubble", "ZBVZeroBubble", "DualPipeV")
STEPS = 20
NORM_TOLERANCE = 1e-5
WEIGHT_TOLERANCE = 1e-6
# With the usual eps of 1e-8 Adam makes large steps of gradients that are zero but for rounding.
EPS = "--optimizer.eps=1e-5"
SAVING = ["--checkpoint.enable", "--checkpoint.last_save_in_hf", "--checkpoint.last_save_model_only"]
# Two layers, and two ends that weigh one each: at most four stages. The debug model has six.
TINY = "--model.flavor=tiny_8_heads"
DEBUG = "--model.flavor=debugmodel"
# (replicate, shard, tensor, pipeline, schedule)
FSDP_TP = (1, 2, 2, 2, "Interleaved1F1B")
HSDP = (2, 2, 1, 2, "ZBVZeroBubble")
DDP = (2, 1, 1, 4, "1F1B")


def ranks_of(degrees):
    return math.prod(degrees[:4])


def runs(schedule, ranks, microbatches):
    """Whether the schedule is for as few microbatches."""
    stages = ranks * (2 if schedule in TWO_STAGES else 1)
    return schedule not in ("1F1B", "DualPipeV") or microbatches >= stages


def matrix():
    """(schedule, ranks, microbatches, model)"""
    everything = [(schedule, ranks, microbatches) for schedule in (*ONE_STAGE, *TWO_STAGES) for ranks in (2, 4)
                  for microbatches in (2, 4, 8) if runs(schedule, ranks, microbatches)]
    usual = [(schedule, 2, 4) for schedule in (*ONE_STAGE, *TWO_STAGES)]
    usual += [("GPipe", 4, 2), ("1F1B", 4, 4), ("ZBVZeroBubble", 4, 2), ("DualPipeV", 4, 8)]
    return [(*job, DEBUG if job[1] == 4 and job[0] in TWO_STAGES else TINY) for job in (everything if FULL else usual)]


class PipelineParallelTest(RanksCase):
    def trained(self, ranks, *args, exported=False):
        """Losses and norms, hashes of the weights by step and name, and the weights at the end if they are exported."""
        self.train("--comm.mode=local_tensor", f"--training.steps={STEPS}", "--debug.log_hashes", "--metrics.log_freq=1", EPS,
                   *(SAVING if exported else []), *args, env={"NGPU": str(ranks)})
        metrics = [(r["loss"], r["grad_norm"]) for r in self.records() if "loss" in r]
        hashes = {(h["step"], h["name"]): h["sha256"] for h in self.records("hashes.jsonl")}
        weights = safetensors(self.path("dump/checkpoint", f"step-{STEPS}")) if exported else None
        shutil.rmtree(self.path("dump"))
        return metrics, {key: value for key, value in hashes.items() if "batch" not in key[1]}, weights

    def on_one(self, microbatches, *args, **options):
        return self.trained(1, "--training.local_batch_size=1", f"--training.global_batch_size={microbatches}", *args, **options)

    def on_stages(self, schedule, ranks, microbatches, *args, **options):
        return self.trained(ranks, f"--training.local_batch_size={microbatches}", *layout(pipeline=ranks, schedule=schedule), *args,
                            **options)

    def assert_weights(self, weights, expected):
        self.assertEqual(weights.keys(), expected.keys())
        for name, values in weights.items():
            self.assertLessEqual(largest_difference(values, expected[name]), WEIGHT_TOLERANCE, name)

    def test_schedules_train_as_one_process(self):
        """A gradient is a sum over microbatches in the same order: without clipping, by a norm that ranks add up, weights are equal
        bit for bit. LoopedBFS runs backward from the last microbatch to the first."""
        unclipped = "--training.max_norm=100"
        one = {}
        for schedule, ranks, microbatches, model in matrix():
            with self.subTest(schedule=schedule, ranks=ranks, microbatches=microbatches):
                exported = schedule == "LoopedBFS"
                key = (microbatches, model, exported)
                if key not in one:
                    one[key] = self.on_one(microbatches, model, unclipped, exported=exported)
                metrics, hashes, weights = self.on_stages(schedule, ranks, microbatches, model, unclipped, exported=exported)
                self.assert_same_training(metrics, one[key][0], NORM_TOLERANCE)
                self.assertEqual(hashes.keys(), one[key][1].keys())
                if exported:
                    self.assert_weights(weights, one[key][2])
                else:
                    self.assertEqual(hashes, one[key][1])

    def test_clipped_steps_are_those_of_one_process(self):
        clipped = [TINY, "--training.max_norm=0.2"]
        expected, _, expected_weights = self.on_one(4, *clipped, exported=True)
        for schedule in (*ONE_STAGE, *TWO_STAGES) if FULL else ("1F1B", "ZBVZeroBubble"):
            with self.subTest(schedule=schedule):
                metrics, _, weights = self.on_stages(schedule, 2, 4, *clipped, exported=True)
                self.assert_same_training(metrics, expected, NORM_TOLERANCE)
                self.assert_weights(weights, expected_weights)

    def test_a_job_gives_the_same_bits_every_time(self):
        for degrees in (FSDP_TP, HSDP, DDP):
            with self.subTest(degrees=degrees):
                job = [ranks_of(degrees), TINY, "--training.local_batch_size=4", *layout(*degrees)]
                first = self.on_threads(*job)
                for _ in range(9 if FULL else 2):
                    self.assertEqual(self.on_threads(*job), first)

    def test_processes_give_the_bits_of_threads(self):
        jobs = [(1, 1, 1, 2, schedule) for schedule in ((*ONE_STAGE, *TWO_STAGES) if FULL else ("InterleavedZeroBubble", "DualPipeV"))]
        for degrees in (*jobs, FSDP_TP, HSDP, DDP) if FULL else (*jobs, (1, 2, 1, 2, "ZBVZeroBubble")):
            with self.subTest(degrees=degrees):
                job = [TINY, "--training.local_batch_size=4", *layout(*degrees)]
                processes = self.figures("--nproc", str(ranks_of(degrees)), "--training.steps=4", *job)
                self.assertEqual(processes, self.on_threads(ranks_of(degrees), *job))

    def test_other_axes_train_as_one_process(self):
        """The rows of a step are the whole of the data: the same ones, however many ranks read them."""
        rows = 16
        job = [TINY, EPS, "--training.dataset_path", self.tokens("data.u16", self.windows(rows)), f"--training.global_batch_size={rows}"]
        expected, initial, _ = self.on_threads(1, *job, "--training.local_batch_size=1")
        for degrees in (FSDP_TP, HSDP, DDP):
            for local in (4, rows // math.prod(degrees[:2])):  # accumulated over several local batches, or one
                with self.subTest(degrees=degrees, local=local):
                    metrics, others, _ = self.on_threads(ranks_of(degrees), *job, *layout(*degrees), f"--training.local_batch_size={local}")
                    self.assertEqual(others, initial)
                    self.assert_same_training(metrics, expected, NORM_TOLERANCE)

    def test_what_changes_memory_or_time_only_gives_the_same_bits(self):
        for schedule in ("1F1B", "InterleavedZeroBubble", "DualPipeV"):
            job = [2, TINY, "--training.local_batch_size=4", *layout(pipeline=2, schedule=schedule)]
            expected = self.on_threads(*job)
            for args in (["--activation_checkpoint.mode=full"], ["--activation_checkpoint.mode=selective"],
                         ["--activation_checkpoint.mode=selective", "--activation_checkpoint.selective_ac_option=1"]):
                with self.subTest(schedule=schedule, args=args):
                    self.assertEqual(self.on_threads(*job, *args), expected)

    def test_parameters_given_back_behind_forward_give_the_same_bits(self):
        """Also where a backward comes in halves, the first of which asks for the gradients of parameters that are not gathered yet."""
        for schedule in ("1F1B", "InterleavedZeroBubble", "DualPipeV"):
            job = [4, TINY, "--training.local_batch_size=4", *layout(shard=2, pipeline=2, schedule=schedule)]
            expected = self.on_threads(*job)
            for policy in ("always", "never"):
                with self.subTest(schedule=schedule, policy=policy):
                    self.assertEqual(self.on_threads(*job, f"--parallelism.fsdp_reshard_after_forward={policy}"), expected)

    def test_microbatches_of_several_rows_and_accumulation(self):
        for schedule in ("1F1B", "ZBVZeroBubble"):
            with self.subTest(schedule=schedule):
                common = [TINY, "--training.global_batch_size=16"]
                metrics, _, _ = self.on_threads(2, *common, *layout(pipeline=2, schedule=schedule), "--training.local_batch_size=8",
                                                "--parallelism.pipeline_parallel_microbatch_size=2")
                expected, _, _ = self.on_threads(1, *common, "--training.local_batch_size=2")
                self.assert_same_training(metrics, expected, NORM_TOLERANCE)

    def test_document_masks_reach_every_stage(self):
        flavor = "--model.flavor=debugmodel_flex_attn"
        expected, initial, _ = self.on_threads(1, flavor, "--training.local_batch_size=1", "--training.global_batch_size=4")
        for schedule in ("1F1B", "ZBVZeroBubble"):
            with self.subTest(schedule=schedule):
                metrics, others, _ = self.on_threads(2, flavor, "--training.local_batch_size=4", *layout(pipeline=2, schedule=schedule))
                self.assertEqual(others, initial)
                self.assert_same_training(metrics, expected, NORM_TOLERANCE)

    def test_validation_losses_and_samples_are_those_of_one_process(self):
        job = [TINY, "--training.global_batch_size=8", "--training.dataset_path", self.tokens("data.u16", self.windows(8)),
               "--validation.enable", "--validation.dataset=c4_validation", "--validation.seq_len=64", "--validation.freq=2",
               "--validation.dataset_path", self.tokens("validation.u16", self.windows(12)), "--validation.steps=-1",
               "--validation.sample_prompts=Once upon a time", "--validation.sample_tokens=80", "--optimizer.lr=1e-12"]

        def validated():
            losses = [r["validation_loss"] for r in self.records() if "validation_loss" in r]
            return losses, [(s["step"], s["text"]) for s in self.records("samples.jsonl")]

        self.train(*job, "--training.local_batch_size=4", "--validation.local_batch_size=4")
        losses, samples = validated()
        self.assertEqual([step for step, _ in samples], [0, 1, 2, 4])
        for degrees in ((1, 1, 1, 2, "DualPipeV"), FSDP_TP, HSDP, DDP):
            for rows in (1, 4):
                with self.subTest(degrees=degrees, rows=rows):
                    local = 8 // math.prod(degrees[:2])
                    if local < 4:  # of too few microbatches
                        continue
                    self.train(*job, "--comm.mode=local_tensor", "--training.steps=4", *layout(*degrees),
                               f"--training.local_batch_size={local}", f"--validation.local_batch_size={rows}",
                               env={"NGPU": str(ranks_of(degrees))})
                    others, other_samples = validated()
                    self.assertEqual(len(others), len(losses))
                    for a, b in zip(others, losses):
                        self.assertAlmostEqual(a, b, delta=1e-6 * b)
                    self.assertEqual(other_samples, samples)

    def test_validation_takes_all_data_of_ranks_with_unequal_shares(self):
        """One reader gets more rows, in more microbatches, than the other, or than the others, of whom one gets none at times."""
        job = [TINY, "--validation.enable", "--validation.dataset=c4_validation", "--validation.seq_len=64", "--validation.steps=-1",
               "--validation.dataset_path", self.tokens("validation.u16", self.windows(7)), "--validation.local_batch_size=4",
               "--training.steps=1", "--training.local_batch_size=4", "--optimizer.lr=1e-12"]

        def validation_losses():
            return [r["validation_loss"] for r in self.records() if "validation_loss" in r]

        self.train(*job)
        [alone] = validation_losses()
        for degrees in ((1, 2, 1, 2, "Interleaved1F1B"), (1, 3, 1, 2, "ZBVZeroBubble"), (3, 1, 1, 2, "1F1B"), FSDP_TP):
            for rows in (1, 2):
                with self.subTest(degrees=degrees, rows=rows):
                    self.train(*job, "--comm.mode=local_tensor", *layout(*degrees),
                               f"--parallelism.pipeline_parallel_microbatch_size={rows}", "--training.local_batch_size=8",
                               "--comm.train_timeout_seconds=20", env={"NGPU": str(ranks_of(degrees))})
                    [loss] = validation_losses()
                    self.assertAlmostEqual(loss, alone, delta=1e-6 * alone)

    def drawn(self, schedule, ranks, microbatches):
        command = [os.environ["TITAN_TRAIN"], "schedule", "--name", schedule, "--pp", str(ranks), "--microbatches", str(microbatches),
                   "--csv"]
        return subprocess.run(command, cwd=ROOT, env=environment({}), check=True, capture_output=True, text=True).stdout

    def drawn_of_job(self, *args):
        command = [os.environ["TITAN_TRAIN"], "schedule", "--job.config_file", CONFIG, DEBUG, "--training.local_batch_size=8", *args]
        return subprocess.run(command, cwd=ROOT, env=environment({}), capture_output=True, text=True)

    def test_a_job_is_drawn_with_its_stages(self):
        """The debug model has six layers, and two ends that weigh one each."""
        interleaved = layout(pipeline=2, schedule="Interleaved1F1B")
        names = self.config_of_stages([["tok_embeddings"], ["layers.0", "layers.1"], ["layers.2"], ["layers.3"],
                                       ["layers.4", "layers.5", "norm"], ["output"]])
        for args, title in (
                (layout(pipeline=2), "1F1B, 2 ranks, 2 stages, 8 microbatches"),
                (interleaved, "Interleaved1F1B, 2 ranks, 4 stages, 8 microbatches"),
                ([*interleaved, "--parallelism.pipeline_parallel_layers_per_stage=1"], "Interleaved1F1B, 2 ranks, 8 stages, 8 microbatches"),
                ([*interleaved, "--parallelism.pipeline_parallel_layers_per_stage=2", "--microbatches", "4"],
                 "Interleaved1F1B, 2 ranks, 4 stages, 4 microbatches"),
                ([*interleaved, "--job.config_file", names], "Interleaved1F1B, 2 ranks, 6 stages, 8 microbatches"),
                ([*interleaved, "--job.config_file", names, "--pp", "3"], "Interleaved1F1B, 3 ranks, 6 stages, 8 microbatches"),
                ([*interleaved, "--stages-per-rank", "3"], "Interleaved1F1B, 2 ranks, 6 stages, 8 microbatches")):
            with self.subTest(title=title, args=args):
                result = self.drawn_of_job(*args)
                self.assertEqual((result.returncode, result.stdout.splitlines()[0]), (0, title), result.stderr)
        for args, message in (
                (layout(pipeline=16), "a pipeline of 16 stages: 6 layers"),
                ([*interleaved, "--parallelism.pipeline_parallel_layers_per_stage=3"], "makes 3 stages of 6 layers"),
                ([*interleaved, "--microbatches", "99999999999"], "more than can be looked at")):
            with self.subTest(message=message):
                result = self.drawn_of_job(*args)
                self.assertEqual(result.returncode, 2)
                self.assertIn(message, result.stderr)

    def test_a_schedule_from_a_file_is_the_named_one(self):
        for schedule, stand_in in (("1F1B", "PipelineScheduleSingle"), ("Interleaved1F1B", "PipelineScheduleMulti"),
                                   ("InterleavedZeroBubble", "PipelineScheduleMulti"), ("DualPipeV", "DualPipeV")):
            with self.subTest(schedule=schedule):
                file = self.write("schedule.csv", self.drawn(schedule, 2, 4))
                job = [2, TINY, "--training.local_batch_size=4"]
                from_file = self.on_threads(*job, *layout(pipeline=2, schedule=stand_in),
                                            f"--parallelism.pipeline_parallel_schedule_csv={file}")
                self.assertEqual(from_file, self.on_threads(*job, *layout(pipeline=2, schedule=schedule)))

    def refused_on(self, ranks, *args):
        return self.refused("--comm.mode=local_tensor", "--training.local_batch_size=4", *args, env={"NGPU": str(ranks)})

    def test_a_wrong_file_is_refused(self):
        right = self.drawn("Interleaved1F1B", 2, 4)
        for text, message in (
                (right.replace("0F1", "zzz"), "pipeline schedule, line 1, cell 2: 'zzz' is no action"),
                (right.splitlines()[0], "pipeline schedule: 1 lines for 2 ranks"),
                (right.replace("2F3,", ""), "rank 0: 2B3 comes before its forward"),
                (right.replace("0F3,", "").replace("0B3", "").replace(",\n", "\n"), "rank 0: 0F3 is missing"),
                (right.replace("1F0,1F1,3F0,3B0", "3F0,1F0,1F1,3B0"),
                 "gets stuck:\n  rank 0: 2F0 waits for 1F0 of rank 1\n  rank 1: 3F0 waits for 2F0 of rank 0")):
            with self.subTest(message=message):
                file = self.write("schedule.csv", text)
                self.assertIn(message, self.refused_on(2, *layout(pipeline=2, schedule="PipelineScheduleMulti"),
                                                       f"--parallelism.pipeline_parallel_schedule_csv={file}"))

    def test_wrong_configs_are_refused(self):
        p = "--parallelism.pipeline_parallel"
        for ranks, args, message in (
                (2, [*layout(pipeline=2), "--training.local_batch_size=1"],
                 "1F1B needs at least as many microbatches as stages (2), got 1"),
                (2, [*layout(pipeline=2, schedule="DualPipeV"), "--training.local_batch_size=2"],
                 "DualPipeV needs at least as many microbatches as stages (4), got 2"),
                (2, [*layout(pipeline=2), f"{p}_microbatch_size=3"],
                 "training.local_batch_size (4) must be a multiple of pipeline_parallel_microbatch_size (3)"),
                (8, [*layout(pipeline=8), "--training.local_batch_size=8"], "a pipeline of 8 stages: 2 layers"),
                (2, [*layout(pipeline=2, schedule="Interleaved1F1B"), f"{p}_layers_per_stage=4"],
                 "pipeline_parallel_layers_per_stage (4) makes 1 stages of 2 layers and the ends' weights, which 2 ranks cannot share"),
                (2, [*layout(pipeline=2), f"{p}_layers_per_stage=1"], "makes 2 stages per rank; 1F1B has one"),
                (2, [DEBUG, *layout(pipeline=2, schedule="ZBVZeroBubble"), f"{p}_layers_per_stage=1"],
                 "ZBVZeroBubble has two stages per rank, not 4"),
                (2, layout(pipeline=2, schedule="2F2B"), "unknown pipeline schedule 2F2B"),
                (2, layout(pipeline=2, schedule="PipelineScheduleMulti"), "PipelineScheduleMulti is no schedule by itself"),
                (3, layout(pipeline=2), "is not the world size 3")):
            with self.subTest(message=message):
                self.assertIn(message, self.refused_on(ranks, *args))

    def test_a_check_needs_no_ranks_to_refuse_them(self):
        missing = self.path("no_schedule.csv")
        for ranks, args, message in (
                (2, [*layout(pipeline=2), "--training.local_batch_size=1"],
                 "1F1B needs at least as many microbatches as stages (2), got 1"),
                (8, [*layout(pipeline=8), "--training.local_batch_size=8"], "a pipeline of 8 stages: 2 layers"),
                (2, [*layout(pipeline=2), f"--parallelism.pipeline_parallel_schedule_csv={missing}"],
                 f"pipeline_parallel_schedule_csv: cannot open '{missing}'")):
            with self.subTest(message=message):
                self.assertIn(message, self.refused("--check", f"--world-size={ranks}", *args))
        said = self.train("--check", "--world-size=2", *layout(pipeline=2))
        self.assertIn("The configuration is valid for 2 ranks.", said.stdout)

    def test_ranks_of_a_pipeline_count_their_tokens_once(self):
        for degrees in ((1, 1, 1, 2, "DualPipeV"), FSDP_TP):
            with self.subTest(degrees=degrees):
                self.on_threads(ranks_of(degrees), TINY, "--training.local_batch_size=4", *layout(*degrees))
                last = self.records()[-1]
                self.assertEqual(last["n_tokens_seen"], 4 * degrees[1] * 4 * SEQ_LEN)
                self.assertAlmostEqual(last["tps"] * last["end_to_end_s"], 4 * SEQ_LEN / math.prod(degrees[2:4]), places=6)

    def config_of_stages(self, stages):
        return self.write("stages.toml", f'base = "{CONFIG}"\n[parallelism]\nmodule_fqns_per_model_part = {json.dumps(stages)}\n')

    def test_stages_by_the_names_of_their_modules(self):
        job = [2, TINY, "--training.local_batch_size=4", *layout(pipeline=2, schedule="Interleaved1F1B")]
        expected = self.on_threads(*job)
        for stages in ([["tok_embeddings"], ["layers.0", "layers.1"], ["norm"], ["output"]],
                       [["tok_embeddings", "layers.0"], [], ["layers.1"], ["norm", "output"]]):
            with self.subTest(stages=stages):
                metrics, initial, _ = self.on_threads(*job, "--job.config_file", self.config_of_stages(stages))
                self.assertEqual(initial, expected[1])
                self.assert_same_training(metrics, expected[0], NORM_TOLERANCE)

    def test_wrong_names_of_modules_are_refused(self):
        for stages, message in (
                ([["tok_embeddings", "layers.0"], ["layers.1", "norm"]], "the end where the model goes on with output"),
                ([["tok_embeddings", "layers.0"], ["layers.1", "layers.2", "norm", "output"]],
                 "layers.2 where the model goes on with norm"),
                ([["layers.0", "tok_embeddings"], ["layers.1", "norm", "output"]],
                 "layers.0 where the model goes on with tok_embeddings"),
                ([["tok_embeddings", "layers.0"], ["layers.0", "layers.1", "norm", "output"]],
                 "layers.0 where the model goes on with layers.1"),
                ([["tok_embeddings", "layers.0", "layers.1", "norm", "output"]], "1 stages, which 2 ranks cannot share evenly"),
                ([["tok_embeddings", "layers.0"], [], ["layers.1"], ["norm", "output"]], "1F1B has one stage per rank, not 2"),
                ([], "the end where the model goes on with tok_embeddings")):
            with self.subTest(stages=stages):
                said = self.refused_on(2, *layout(pipeline=2), "--job.config_file", self.config_of_stages(stages))
                self.assertIn("module_fqns_per_model_part" if "1F1B" not in message else "pipeline_parallel_schedule", said)
                self.assertIn(message, said)


if __name__ == "__main__":
    unittest.main()
