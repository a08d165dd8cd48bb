"""Whole runs: what they print, what they leave behind, how they end."""
import re
import signal
import unittest

from titan import TitanTest

TIMINGS = {"tps", "tflops", "mfu", "data_loading_s", "data_loading_pct", "end_to_end_s"}


def without_timings(record):
    return {k: v for k, v in record.items() if k not in TIMINGS and not k.startswith("memory_")}


class TrainingTest(TitanTest):
    def test_loss_falls_on_the_shipped_text(self):
        self.train("--training.steps=30", "--optimizer.lr=0.01", "--training.seq_len=256")
        losses = [record["loss"] for record in self.records()]
        self.assertEqual(len(losses), 30)
        self.assertLess(losses[-1], losses[0] - 0.5)

    def test_the_same_run_twice_gives_the_same_bits(self):
        runs = []
        for _ in range(2):
            self.train("--debug.log_hashes")
            runs.append(([without_timings(r) for r in self.records()], self.records("hashes.jsonl")))
        self.assertEqual(runs[0], runs[1])

    def test_console_lines_and_metrics_fields(self):
        output = self.train().stdout
        self.assertRegex(output, r"\[titan\] \d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} - root - INFO - Starting job: ")
        self.assertRegex(output, r"step:  1  loss:  7\.\d{5}  grad_norm:  \d\.\d{4}  memory: +\d+\.\d\dGiB\(\d+\.\d\d%\)  "
                                 r"tps: [\d,]+  tflops: \d+\.\d\d  mfu: n/a")
        self.assertRegex(output, r"Start-up: .*config .*data .*model .*first step .*total")
        self.assertIn("Model llama3 tiny size: 111,096 total parameters", output)
        self.assertIn("Training completed", output)
        self.assertEqual(list(self.records()[0]),
                         ["step", "loss", "max_loss", "grad_norm", "lr", "n_tokens_seen", "tps", "tflops", "mfu",
                          "data_loading_s", "data_loading_pct", "end_to_end_s", "memory_max_active_gib",
                          "memory_max_active_pct", "memory_max_reserved_gib", "memory_max_reserved_pct",
                          "memory_num_alloc_retries", "memory_num_ooms"])

    def test_gradient_accumulation_does_not_change_the_numbers(self):
        self.train("--training.local_batch_size=4")
        whole = self.records()
        self.train("--training.local_batch_size=1", "--training.global_batch_size=4")
        for one, four in zip(whole, self.records()):
            self.assertAlmostEqual(one["loss"], four["loss"], delta=2e-6)
            self.assertAlmostEqual(one["grad_norm"], four["grad_norm"], delta=2e-5)

    def test_a_run_without_seed_can_be_repeated_from_its_log(self):
        config = self.write("unseeded.toml", '[training]\nsteps = 2\nmixed_precision_param = "float32"\n')
        output = self.train(config=config).stdout
        seed = re.search(r"this run's seed is (\d+)", output).group(1)
        first = [without_timings(r) for r in self.records()]
        self.train("--debug.seed=" + seed, config=config)
        self.assertEqual(first, [without_timings(r) for r in self.records()])

    def test_log_freq_thins_the_log_but_keeps_the_first_step(self):
        self.train("--metrics.log_freq=3", "--training.steps=7")
        self.assertEqual([r["step"] for r in self.records()], [1, 3, 6])

    def test_bfloat16_trains(self):
        self.train("--training.mixed_precision_param=bfloat16")
        autocast = self.records()[-1]["loss"]
        self.train("--training.dtype=bfloat16")
        self.assertAlmostEqual(autocast, self.records()[-1]["loss"], delta=0.1)

    def test_attention_by_document_differs_from_plain_attention(self):
        self.train("--model.flavor=debugmodel", "--training.steps=1", "--training.seq_len=512")
        plain = self.records()[0]["loss"]
        for flavor in ("debugmodel_flex_attn", "debugmodel_varlen_attn"):
            self.train("--model.flavor=" + flavor, "--training.steps=1", "--training.seq_len=512")
            self.assertNotEqual(plain, self.records()[0]["loss"])

    def test_workers_and_pinned_memory_change_no_bit(self):
        arguments = ["--debug.log_hashes", "--data.shuffle"]
        self.train(*arguments)
        hashes = self.records("hashes.jsonl")
        self.train(*arguments, "--training.dataloader.num_workers", "2", "--training.dataloader.pin_memory",
                   "--training.dataloader.persistent_workers", "--training.dataloader.prefetch_factor", "4",
                   "--job.dump_folder", self.path("ahead"))
        self.assertEqual(self.records("hashes.jsonl", dump="ahead"), hashes)

    def test_the_model_is_listed_when_asked_for(self):
        self.assertRegex(self.train("--model.print_after_conversion").stdout,
                         r"Model definition after conversion:\n\nTransformer\n  tok_embeddings: Embedding\(weight \[2048, \d+\] Float\)\n")

    def test_activation_checkpointing_keeps_the_bits_and_lowers_peak_memory(self):
        runs = {}
        for name, *arguments in (["none"], ["selective", "--activation_checkpoint.selective_ac_option=2"],
                                 ["selective", "--activation_checkpoint.selective_ac_option=op"], ["full"]):
            self.train("--model.flavor=debugmodel", "--training.seq_len=512", "--training.local_batch_size=4",
                       "--training.steps=2", "--debug.log_hashes", "--activation_checkpoint.mode=" + name, *arguments)
            key = name + "".join(arguments)[-2:]
            runs[key] = (self.records()[-1]["memory_max_active_gib"], self.records("hashes.jsonl"))
        memory = {key: run[0] for key, run in runs.items()}
        for selective in ("selective=2", "selectiveop"):
            self.assertLess(memory[selective], 0.95 * memory["none"], memory)
            self.assertLess(memory["full"], memory[selective], memory)
        for _, hashes in runs.values():
            self.assertEqual(hashes, runs["none"][1])

    def test_a_small_data_set_is_read_again_and_again(self):
        text = self.write("small.jsonl", "".join('{"text": "number %d"}\n' % i for i in range(20)))
        output = self.train("--training.dataset_path", text, "--training.steps=8").stdout
        self.assertIn(f"Dataset {text} is being re-looped (passes so far: 1)", output)
        self.assertIn("(passes so far: 4)", output)
        self.assertNotIn("(passes so far: 3)", output)

    def test_parameter_groups_change_what_they_match(self):
        config = self.write("groups.toml", '[training]\nmixed_precision_param = "float32"\n[debug]\nseed = 1\n'
                            '[[optimizer.param_groups]]\npattern = "norm"\nlr_scale = 0.0\nweight_decay = 0.0\n')
        self.train("--debug.log_hashes", config=config)
        hashes = {}
        for record in self.records("hashes.jsonl"):
            hashes.setdefault(record["name"], []).append(record["sha256"])
        self.assertEqual(len(set(hashes["norm.weight"])), 1)
        self.assertEqual(len(set(hashes["output.weight"])), 2)


class EndTest(TitanTest):
    def stop_by(self, number):
        process = self.start("--training.steps=100000")
        for line in process.stdout:
            if "step:  3" in line:
                break
        process.send_signal(number)
        rest, errors = process.communicate(timeout=60)
        self.assertIn("Stopped by a signal", rest)
        return process.returncode

    def test_sigint_ends_after_the_step_with_130(self):
        self.assertEqual(self.stop_by(signal.SIGINT), 130)
        self.assertGreaterEqual(len(self.records()), 3)

    def test_sigterm_ends_after_the_step_with_143(self):
        self.assertEqual(self.stop_by(signal.SIGTERM), 143)

    def test_warnings_of_schedulers_end_after_the_step(self):
        for number in (signal.SIGHUP, signal.SIGUSR2, signal.SIGXCPU):
            self.assertEqual(self.stop_by(number), 128 + number)

    def test_a_non_finite_loss_stops_the_run_and_is_explained(self):
        message = self.refused("--optimizer.lr=1e30", "--training.steps=10", exit_status=1)
        self.assertRegex(message, r"Step \d+: loss \S+, gradient norm \S+\. .*[Nn]on-finite")
        self.assertIn("Lower optimizer.lr", message)
        self.assertIsNone(self.records()[-1]["grad_norm"], "the step that failed is recorded")

    def test_a_non_finite_step_can_be_skipped(self):
        output = self.train("--optimizer.lr=1e30", "--training.steps=6", "--debug.on_nan=skip").stdout
        self.assertIn("update is skipped", output)
        self.assertEqual(len(self.records()), 6)


if __name__ == "__main__":
    unittest.main()
