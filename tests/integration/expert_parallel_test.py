"""Mixtures of experts on ranks: every layout trains as one process does, and goes on from every other's checkpoint."""
import json
import os
import shutil
import unittest

from ranks import RanksCase, layout, ranks_of
from titan import ROOT

DEEPSEEK = os.path.join(ROOT, "configs/deepseek_v3/debug_model_cpu.toml")
ROWS = 16
SAVED_AT = 3
STEPS = 6
WITH_TWO_MIXTURES = 2  # the first rank of the second of two pipeline ranks: of four stages the two in the middle have experts


# Arguments of ranks.layout, by name.
ONE = {}
LAYOUTS = {"fsdp2": {"shard": 2}, "fsdp2 ep2": {"shard": 2, "experts": 2}, "fsdp4 ep2": {"shard": 4, "experts": 2},
           "ep4": {"shard": 4, "experts": 4}, "tp2 ep2": {"tensor": 2, "experts": 2},
           "fsdp2 tp2 ep2 etp1": {"shard": 2, "tensor": 2, "experts": 2},
           "fsdp2 tp2 ep2 etp2": {"shard": 2, "tensor": 2, "experts": 2, "expert_tensor": 2},
           "fsdp2 cp2 ep2": {"shard": 2, "context": 2, "experts": 2},
           "pp2 ep2 1F1B": {"shard": 2, "pipeline": 2, "schedule": "1F1B", "experts": 2},
           "pp2 ep2 Interleaved1F1B": {"shard": 2, "pipeline": 2, "schedule": "Interleaved1F1B", "experts": 2}}
# With TITAN_EXPERT_MATRIX.
MORE_LAYOUTS = {"pp2 ep2 DualPipeV": {"shard": 2, "pipeline": 2, "schedule": "DualPipeV", "experts": 2},
                "pp2 ep2 ZBVZeroBubble": {"shard": 2, "pipeline": 2, "schedule": "ZBVZeroBubble", "experts": 2},
                "pp2 fsdp2 tp2 ep4": {"shard": 2, "tensor": 2, "pipeline": 2, "experts": 4},
                "hsdp2x2 ep2": {"replicate": 2, "shard": 2, "experts": 2}, "fsdp4 tp2 ep8": {"shard": 4, "tensor": 2, "experts": 8},
                "cp4 ep4": {"context": 4, "experts": 4}, "fsdp2 tp2 cp2 ep4": {"shard": 2, "tensor": 2, "context": 2, "experts": 4},
                "pp2 cp2 ep2": {"pipeline": 2, "context": 2, "experts": 2}}
if os.environ.get("TITAN_EXPERT_MATRIX"):
    LAYOUTS |= MORE_LAYOUTS


class ExpertParallelTest(RanksCase):
    def trained(self, dump, layout_of, *args, processes=False):
        ranks = [f"--nproc={ranks_of(**layout_of)}"] if processes else ["--comm.mode=local_tensor"]
        # The rows of a step are the whole of the data, so that a step has the same tokens however many ranks read them.
        data = self.tokens("data.u16", self.windows(ROWS))
        self.train("--model.flavor=tiny", "--training.dataset_path", data, f"--training.global_batch_size={ROWS}",
                   "--training.local_batch_size=4", "--lr_scheduler.warmup_steps=1", f"--lr_scheduler.total_steps={STEPS}",
                   "--optimizer.eps=1e-6", "--metrics.log_freq=1", *ranks, "--job.dump_folder", self.path(dump),
                   *layout(**layout_of), "--checkpoint.enable", *args, env={"NGPU": str(ranks_of(**layout_of))}, config=DEEPSEEK)
        return [(r["loss"], r["grad_norm"]) for r in self.records(dump=dump)]

    def tensors(self, dump, step):
        """Of a model in a checkpoint, read by PyTorch."""
        import torch
        from torch.distributed.checkpoint.format_utils import dcp_to_torch_save

        out = self.path("model.pt")
        dcp_to_torch_save(self.path(dump, "checkpoint", f"step-{step}"), out)
        return torch.load(out, weights_only=False)

    def assert_same_model(self, dump, expected):
        """Biases bit for bit: they move by whole steps, which every rank takes alike."""
        model = self.tensors(dump, STEPS)
        self.assertEqual(model.keys(), expected.keys())
        for name, tensor in model.items():
            if name.endswith("expert_bias"):
                self.assertTrue(tensor.equal(expected[name]), name)
            else:
                largest = expected[name].abs().max().item()
                self.assertLessEqual((tensor - expected[name]).abs().max().item(), 1e-5 * largest, name)

    def test_layouts_train_and_go_on_as_one_process(self):
        last = f"--training.steps={STEPS}"
        unbroken = self.trained("one", ONE, last, "--checkpoint.last_save_model_only")
        expected = self.tensors("one", STEPS)
        biases = [t for name, t in expected.items() if name.endswith("expert_bias")]
        self.assertEqual(len(biases), 2)
        self.assertTrue(all(bias.abs().max().item() > 0 for bias in biases))
        record = self.records(dump="one")[-1]
        self.assertEqual(list(record["expert_imbalance"]), ["layers.1.moe", "layers.2.moe"])
        self.assertGreaterEqual(min(record["expert_imbalance"].values()), 1)
        saved = "fsdp2 tp2 ep2 etp1"
        self.trained("saved", LAYOUTS[saved], f"--training.steps={SAVED_AT}", "--checkpoint.no-last_save_model_only")
        folder = self.path("saved", "checkpoint", f"step-{SAVED_AT}")
        for name, layout_of in LAYOUTS.items():
            with self.subTest(name):
                self.assert_same_training(self.trained("next", layout_of, last, "--checkpoint.last_save_model_only"), unbroken)
                self.assert_same_model("next", expected)
                shutil.rmtree(self.path("next"))
                metrics = self.trained("next", layout_of, last, f"--checkpoint.initial_load_path={folder}",
                                       "--checkpoint.no-initial_load_model_only", "--checkpoint.last_save_model_only")
                self.assert_same_training(metrics, unbroken[SAVED_AT:])
                shutil.rmtree(self.path("next"))

    def test_recomputation_counts_no_token_twice(self):
        last = f"--training.steps={STEPS}"
        ep2 = LAYOUTS["fsdp2 ep2"]
        plain = self.trained("plain", ep2, last, "--checkpoint.last_save_model_only")
        expected = self.tensors("plain", STEPS)
        for mode in (["full"], ["selective", "--activation_checkpoint.selective_ac_option=op"]):
            with self.subTest(mode[0]):
                recomputed = self.trained(mode[0], ep2, last, "--checkpoint.last_save_model_only", "--activation_checkpoint.mode", *mode)
                self.assertEqual(recomputed, plain)
                for name, tensor in self.tensors(mode[0], STEPS).items():
                    self.assertTrue(tensor.equal(expected[name]), name)

    def traced(self, dump, layout_of, rank, *args):
        """Figures of three steps on ranks that are processes, and of the third what a rank's profiler saw."""
        metrics = self.trained(dump, layout_of, f"--training.steps={SAVED_AT}", "--profiling.enable_profiling",
                               f"--profiling.profile_freq={SAVED_AT}", "--profiling.profiler_active=1", "--profiling.profiler_warmup=1",
                               "--profiling.save_traces_folder=traces", *args, processes=True)
        return metrics, self.events_in(dump, f"rank{rank}_trace.json")

    def events_in(self, dump, name):
        with open(self.path(dump, "traces", f"iteration_{SAVED_AT}", name)) as file:
            return [event for event in json.load(file)["traceEvents"] if event["ph"] == "X"]

    def dual_pipe(self, dump, *args):
        """Of a pipeline whose forwards and backwards may overlap; with the timeline of the third step."""
        metrics, trace = self.traced(dump, MORE_LAYOUTS["pp2 ep2 DualPipeV"], WITH_TWO_MIXTURES, "--profiling.enable_pipeline_timeline", *args)
        return metrics, self.events_in(dump, "pipeline_timeline.json"), trace

    def test_shared_experts_are_computed_while_rows_travel(self):
        _, trace = self.traced("ep2", LAYOUTS["fsdp2 ep2"], 0)
        exchanges = self.exchanges(trace, "titan::begin_all_to_all")
        # Of two mixtures and two microbatches, in forward and in backward.
        self.assertEqual(len(exchanges), 8)
        for own, products in exchanges:
            self.assertIn(own, products)

    def test_rows_travel_while_another_microbatch_is_computed(self):
        metrics, timeline, trace = self.dual_pipe("overlapped")
        apart, timeline_apart, trace_apart = self.dual_pipe("apart",
                                                            "--parallelism.no-pipeline_parallel_expert_parallel_overlap")
        self.assertEqual(metrics, apart)
        overlaps = [event["name"] for event in timeline if event["name"].endswith("OVERLAP_F_B")]
        self.assertGreater(len(overlaps), 4)
        self.assertFalse(any(event["name"].endswith("OVERLAP_F_B") for event in timeline_apart))
        beside = self.threads_beside_another(trace)
        self.assertGreaterEqual(len(beside), len(overlaps) // 2)
        self.assertEqual(len(set(beside)), 2, "in forward and in backward")
        self.assertEqual(self.threads_beside_another(trace_apart), [])

    def threads_beside_another(self, trace):
        """For each exchange in which a rank's other thread made products: the one that exchanged."""
        return [own for own, products in self.exchanges(trace, "titan::all_to_all", "titan::begin_all_to_all") if products - {own}]

    def exchanges(self, trace, *names):
        """For each exchange of rows: the thread that began it, and those that made products before it asked for the rows. That is the order
        of the program, however long an exchange takes."""
        def events(*begins_with):
            return sorted((e["ts"], e["tid"]) for e in trace if e["name"].startswith(begins_with))
        products = events("aten::mm", "titan::grouped_product")
        waits = events("wait all_to_all of ep")
        found = []
        for begin, own in events(*names):
            wait = next(ts for ts, thread in waits if thread == own and ts >= begin)
            found.append((own, {thread for ts, thread in products if begin <= ts <= wait}))
        return found

    def test_what_cannot_be_is_refused(self):
        def refused(*args, config=DEEPSEEK):
            return self.refused("--comm.mode=local_tensor", *args, env={"NGPU": "3"}, config=config, small=False)
        self.assertIn("its 8 experts do not divide among 3 ranks",
                      refused("--model.flavor=tiny", "--training.seq_len=24", "--parallelism.data_parallel_shard_degree=3",
                              "--parallelism.expert_parallel_degree=3"))
        deepep = self.refused("--parallelism.data_parallel_shard_degree=2", "--parallelism.expert_parallel_degree=2",
                              "--parallelism.expert_parallel_comm_backend=deepep", env={"NGPU": "2"}, config=DEEPSEEK, small=False)
        self.assertIn("DeepEP", deepep)


if __name__ == "__main__":
    unittest.main()
