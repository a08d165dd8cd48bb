"""A checkpoint of any layout goes on on any other: its weights and moments, its place in the data; and PyTorch reads it.

Every run of the tests takes the checkpoints of one layout, another one every day; TITAN_CHECKPOINT_MATRIX=full takes all of them, or those
of the layout that it names.
"""
import datetime
import hashlib
import math
import os
import shutil
import unittest

import torch
import torch.distributed.checkpoint as dcp
from torch.distributed.checkpoint.metadata import TensorStorageMetadata

from ranks import SEQ_LEN, RanksCase, layout

# (replicate, shard, tensor, pipeline, schedule, context)
LAYOUTS = {"one": (1, 1, 1, 1, "", 1), "fsdp2": (1, 2, 1, 1, "", 1), "fsdp4": (1, 4, 1, 1, "", 1), "hsdp2x2": (2, 2, 1, 1, "", 1),
           "tp2": (1, 1, 2, 1, "", 1), "fsdp2_tp2": (1, 2, 2, 1, "", 1), "pp2": (1, 1, 1, 2, "1F1B", 1),
           "pp2_of_4_stages": (1, 1, 1, 2, "Interleaved1F1B", 1), "pp2_fsdp2": (1, 2, 1, 2, "1F1B", 1), "cp2": (1, 1, 1, 1, "", 2),
           "fsdp2_cp2": (1, 2, 1, 1, "", 2), "pp2_fsdp2_tp2": (1, 2, 2, 2, "ZBVZeroBubble", 1)}
ROWS = 8  # in a step
SAVED_AT = 3
# Of a moment's largest entry.
MOMENT_TOLERANCE = 1e-5


def sources():
    wanted = os.environ.get("TITAN_CHECKPOINT_MATRIX", "")
    names = list(LAYOUTS)
    if wanted == "full":
        return names
    return [wanted or names[datetime.date.today().toordinal() % len(names)]]


def read_by_pytorch(folder):
    metadata = dcp.FileSystemReader(folder).read_metadata().state_dict_metadata
    state = {name: torch.zeros(entry.size, dtype=entry.properties.dtype) for name, entry in metadata.items()
             if isinstance(entry, TensorStorageMetadata)}
    dcp.load(state, storage_reader=dcp.FileSystemReader(folder), no_dist=True)
    return state


class CheckpointMatrixTest(RanksCase):
    def job(self, name, data):
        replicate, shard, tensor, pipeline, schedule, context = LAYOUTS[name]
        return ["--model.flavor=tiny_8_heads", "--training.dataset_path", data, f"--training.global_batch_size={ROWS}",
                f"--training.local_batch_size={ROWS // (replicate * shard)}", "--lr_scheduler.warmup_steps=1", "--optimizer.eps=1e-6",
                "--lr_scheduler.total_steps=10", "--metrics.log_freq=1", "--debug.log_hashes", "--comm.mode=local_tensor",
                "--checkpoint.enable", *layout(replicate, shard, tensor, pipeline, schedule),
                *([f"--parallelism.context_parallel_degree={context}"] if context > 1 else [])]

    def trained(self, dump, name, data, steps, *args):
        """Losses and norms of its steps. A layout that the program does not know yet skips the test, for the program's own reason."""
        ranks = math.prod(degree for degree in LAYOUTS[name] if isinstance(degree, int))
        if name in self.not_available:
            self.skipTest(self.not_available[name])
        command = [*self.job(name, data), "--job.dump_folder", self.path(dump), f"--training.steps={steps}", *args]
        if LAYOUTS[name][-1] > 1:
            refusal = self.refusal(*command, "--check", "--world-size", str(ranks))
            if "not available in this build yet" in refusal:
                self.not_available[name] = refusal
                self.skipTest(refusal)
        self.train(*command, env={"NGPU": str(ranks)})
        return [(r["loss"], r["grad_norm"]) for r in self.records(dump=dump) if "loss" in r]

    not_available = {}  # reason by layout

    def refusal(self, *args):
        process = self.start(*args)
        return process.communicate()[1].strip()

    def save(self, name, data, *args):
        metrics = self.trained("saved", name, data, SAVED_AT, "--checkpoint.no-last_save_model_only", *args)
        return self.path("saved", "checkpoint", f"step-{SAVED_AT}"), metrics

    def go_on(self, name, data, folder, steps, *args):
        return self.trained("next", name, data, steps, "--checkpoint.load_only", f"--checkpoint.initial_load_path={folder}",
                            "--checkpoint.no-initial_load_model_only", *args)

    def weights_at(self, step, dump):
        return {h["name"]: h["sha256"] for h in self.records("hashes.jsonl", dump) if h["step"] == step and "batch" not in h["name"]}

    def each_pair(self, check):
        """Calls check(source, target) and cleans up behind it."""
        for source in sources():
            for target in LAYOUTS:
                with self.subTest(source=source, target=target):
                    try:
                        check(source, target)
                    finally:
                        shutil.rmtree(self.path("next"), ignore_errors=True)
            shutil.rmtree(self.path("saved"), ignore_errors=True)

    def test_weights_and_moments(self):
        """The rows of a step are the whole of the data: all layouts train the same."""
        data = self.tokens("data.u16", self.windows(ROWS))
        steps = SAVED_AT + 2  # the second follows from the moments
        unbroken = self.trained("unbroken", "one", data, steps, "--checkpoint.load_only")
        expected, _ = self.save("one", data)
        expected = read_by_pytorch(expected)
        shutil.rmtree(self.path("saved"))

        def check(source, target):
            folder = self.path("saved", "checkpoint", f"step-{SAVED_AT}")
            if not os.path.exists(folder):
                self.save(source, data)
                self.check_read_by_pytorch(folder, expected)
            metrics = self.go_on(target, data, folder, steps)
            self.assertEqual(self.weights_at(SAVED_AT, "next"), self.weights_at(SAVED_AT, "saved"))
            self.assert_same_training(metrics, unbroken[SAVED_AT:])

        self.each_pair(check)

    def check_read_by_pytorch(self, folder, expected):
        tensors = read_by_pytorch(folder)
        saved = self.weights_at(SAVED_AT, "saved")
        saved.pop("freqs_cis")  # is computed, not saved
        self.assertEqual({name: hashlib.sha256(tensors[name].numpy().tobytes()).hexdigest() for name in saved}, saved)
        moments = {name for name in expected if "exp_avg" in name}
        self.assertEqual({name for name in tensors if "exp_avg" in name}, moments)
        for name in moments:
            difference = (tensors[name] - expected[name]).abs().max() / expected[name].abs().max()
            self.assertLessEqual(difference.item(), MOMENT_TOLERANCE, name)

    def test_no_token_is_repeated_or_skipped(self):
        """With weights that do not change the losses of a pass over the data are those of its rows, in any order. Each row has a token of its
        own, and so a loss of its own."""
        steps = 7
        rows = [[37 * i + 3] * (SEQ_LEN + 1) for i in range(ROWS * steps)]
        data = self.tokens("data.u16", rows)
        still = ["--optimizer.lr=0", "--optimizer.weight_decay=0"]
        whole = sum(loss for loss, _ in self.trained("unbroken", "one", data, steps, "--checkpoint.load_only", *still))
        saved = {}

        def check(source, target):
            if source not in saved:
                saved[source] = self.save(source, data, *still)
            folder, before = saved[source]
            after = self.go_on(target, data, folder, steps, *still)
            self.assertEqual(len(before) + len(after), steps)
            self.assertAlmostEqual(sum(loss for loss, _ in before + after), whole, delta=2e-6 * whole)

        self.each_pair(check)
        # What a row more or less would be.
        single = [loss for loss, _ in self.trained("rows", "one", data, ROWS * steps, "--checkpoint.load_only", *still,
                                                   "--training.global_batch_size=1", "--training.local_batch_size=1")]
        nearest = min(b - a for a, b in zip(sorted(single), sorted(single)[1:]))
        self.assertGreater(nearest / ROWS, 1e-6 * whole / 10, "rows tell themselves apart")
        self.assertGreater(min(single) / ROWS, 1e-3 * whole)


if __name__ == "__main__":
    unittest.main()
