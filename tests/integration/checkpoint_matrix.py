"""What a checkpoint of any layout keeps on any other; for the tests of some models' layouts.

Every run of the tests takes the checkpoints of one layout, another one every day; TITAN_CHECKPOINT_MATRIX=full takes all of them, or those
of the layout that it names.
"""
import datetime
import hashlib
import os
import shutil

import torch
import torch.distributed.checkpoint as dcp
from torch.distributed.checkpoint.metadata import TensorStorageMetadata

from ranks import SEQ_LEN, RanksCase, layout, ranks_of

ROWS = 8  # in a step
SAVED_AT = 3
# Buffers that are computed, not saved.
COMPUTED = ("freqs_cis", "tokens_per_expert")


def read_by_pytorch(folder):
    metadata = dcp.FileSystemReader(folder).read_metadata().state_dict_metadata
    state = {name: torch.zeros(entry.size, dtype=entry.properties.dtype) for name, entry in metadata.items()
             if isinstance(entry, TensorStorageMetadata)}
    dcp.load(state, storage_reader=dcp.FileSystemReader(folder), no_dist=True)
    return state


class CheckpointMatrix(RanksCase):
    layouts = {}  # arguments of `layout` by name; one of them is called "one"
    model = []  # options
    moment_tolerance = 1e-5  # of a moment's largest entry

    def sources(self):
        wanted = os.environ.get("TITAN_CHECKPOINT_MATRIX", "")
        names = list(self.layouts)
        if wanted == "full":
            return names
        return [wanted] if wanted in names else [names[datetime.date.today().toordinal() % len(names)]]

    def job(self, name, data):
        degrees = self.layouts[name]
        batch = ROWS // (degrees.get("replicate", 1) * degrees.get("shard", 1))
        return [*self.model, "--training.dataset_path", data, f"--training.global_batch_size={ROWS}",
                f"--training.local_batch_size={batch}", "--lr_scheduler.warmup_steps=1", "--optimizer.eps=1e-6",
                "--lr_scheduler.total_steps=10", "--metrics.log_freq=1", "--debug.log_hashes", "--comm.mode=local_tensor",
                "--checkpoint.enable", *layout(**degrees)]

    def trained(self, dump, name, data, steps, *args):
        """Losses and norms of its steps."""
        self.train(*self.job(name, data), "--job.dump_folder", self.path(dump), f"--training.steps={steps}", *args,
                   env={"NGPU": str(ranks_of(**self.layouts[name]))})
        return [(r["loss"], r["grad_norm"]) for r in self.records(dump=dump) if "loss" in r]

    def save(self, name, data, *args):
        metrics = self.trained("saved", name, data, SAVED_AT, "--checkpoint.no-last_save_model_only", *args)
        return self.path("saved", "checkpoint", f"step-{SAVED_AT}"), metrics

    def go_on(self, name, data, folder, steps, *args):
        return self.trained("next", name, data, steps, "--checkpoint.load_only", f"--checkpoint.initial_load_path={folder}",
                            "--checkpoint.no-initial_load_model_only", *args)

    def weights_at(self, step, dump):
        return {h["name"]: h["sha256"] for h in self.records("hashes.jsonl", dump)
                if h["step"] == step and "batch" not in h["name"] and not h["name"].endswith(COMPUTED)}

    def each_pair(self, check):
        """Calls check(source, target) and cleans up behind it."""
        for source in self.sources():
            for target in self.layouts:
                with self.subTest(source=source, target=target):
                    try:
                        check(source, target)
                    finally:
                        shutil.rmtree(self.path("next"), ignore_errors=True)
            shutil.rmtree(self.path("saved"), ignore_errors=True)

    def check_weights_and_moments(self):
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
        self.assertEqual({name: hashlib.sha256(tensors[name].numpy().tobytes()).hexdigest() for name in saved}, saved)
        moments = {name for name in expected if "exp_avg" in name}
        self.assertEqual({name for name in tensors if "exp_avg" in name}, moments)
        for name in moments:
            difference = (tensors[name] - expected[name]).abs().max() / expected[name].abs().max()
            self.assertLessEqual(difference.item(), self.moment_tolerance, name)

    def check_positions(self):
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
