"""Checkpoints of tensor parallelism: saved on one layout, they go on on every other, and PyTorch reads them."""
import hashlib
import math
import os
import shutil
import subprocess
import unittest

import torch
import torch.distributed.checkpoint as dcp
from torch.distributed.checkpoint.metadata import TensorStorageMetadata

from exported_weights import largest_difference, safetensors
from ranks import RanksCase, layout
from titan import CONFIG, ROOT, environment

# (replicate, shard, tensor)
LAYOUTS = {"one": (1, 1, 1), "tp2": (1, 1, 2), "tp4": (1, 1, 4), "fsdp4": (1, 4, 1), "fsdp2_tp2": (1, 2, 2), "hsdp2x2_tp2": (2, 2, 2)}
SAVED_AT = 3
STEPS = 6
# As the original has saved it on four ranks.
PYTORCHS = os.path.join(ROOT, "tests/parity/checkpoints/llama3_tiny_fsdp2_tp2/step-10")


def metadata(folder):
    return dcp.FileSystemReader(folder).read_metadata().state_dict_metadata


def boxes(folder):
    """Of every tensor: the boxes that ranks have written."""
    return {name: sorted((tuple(box.offsets), tuple(box.sizes)) for box in entry.chunks)
            for name, entry in metadata(folder).items() if isinstance(entry, TensorStorageMetadata)}


def read_by_pytorch(folder):
    """SHA-256 of every tensor."""
    state = {name: torch.zeros(entry.size, dtype=entry.properties.dtype) for name, entry in metadata(folder).items()
             if isinstance(entry, TensorStorageMetadata)}
    dcp.load(state, storage_reader=dcp.FileSystemReader(folder), no_dist=True)
    return {name: hashlib.sha256(tensor.numpy().tobytes()).hexdigest() for name, tensor in state.items()}


class TensorCheckpointTest(RanksCase):
    def trained(self, dump, degrees, *args, rows=8):
        # The rows of a step are the whole of the data, so that a step has the same tokens however many ranks read them.
        data = self.tokens("data.u16", self.windows(rows))
        self.train("--model.flavor=tiny_8_heads", "--training.dataset_path", data, f"--training.global_batch_size={rows}",
                   "--lr_scheduler.warmup_steps=1", f"--lr_scheduler.total_steps={STEPS}", "--optimizer.eps=1e-6", "--metrics.log_freq=1",
                   "--debug.log_hashes", "--comm.mode=local_tensor", "--checkpoint.enable", "--job.dump_folder", self.path(dump),
                   *layout(*degrees), *args, env={"NGPU": str(math.prod(degrees))})
        return [(r["loss"], r["grad_norm"]) for r in self.records(dump=dump) if "loss" in r]

    def weights_at(self, step, dump):
        return {h["name"]: h["sha256"] for h in self.records("hashes.jsonl", dump) if h["step"] == step and "batch" not in h["name"]}

    def convert(self, source, destination):
        command = [os.environ["TITAN_TRAIN"], "convert", "--from=dcp", "--to=hf", source, destination, "--job.config_file", CONFIG,
                   "--model.flavor=tiny_8_heads"]
        subprocess.run(command, cwd=ROOT, env=environment({}), check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def save(self, degrees):
        self.trained("saved", degrees, f"--training.steps={SAVED_AT}", "--checkpoint.no-last_save_model_only")
        return self.path("saved", "checkpoint", f"step-{SAVED_AT}")

    def go_on(self, degrees, folder):
        """What the steps after the checkpoint have given: losses and norms, the weights at the end."""
        metrics = self.trained("next", degrees, f"--training.steps={STEPS}", f"--checkpoint.initial_load_path={folder}",
                               "--checkpoint.no-initial_load_model_only", "--checkpoint.last_save_in_hf",
                               "--checkpoint.last_save_model_only")
        self.assertEqual(self.weights_at(SAVED_AT, "next"), self.weights_at(SAVED_AT, "saved"))
        weights = safetensors(self.path("next", "checkpoint", f"step-{STEPS}"))
        shutil.rmtree(self.path("next"))
        return metrics, weights

    def check_loads_everywhere(self, source):
        unbroken = self.trained("unbroken", LAYOUTS["one"], f"--training.steps={STEPS}", "--checkpoint.load_only")
        folder = self.save(LAYOUTS[source])
        tensors = read_by_pytorch(folder)
        saved = self.weights_at(SAVED_AT, "saved")
        saved.pop("freqs_cis")  # is computed, not saved
        self.assertEqual({name: tensors.get(name) for name in saved}, saved)
        expected = None
        for target, degrees in LAYOUTS.items():
            with self.subTest(source=source, target=target):
                metrics, weights = self.go_on(degrees, folder)
                self.assert_same_training(metrics, unbroken[SAVED_AT:])
                expected = expected or weights
                for name, values in weights.items():
                    self.assertLessEqual(largest_difference(values, expected[name]), 1e-5, name)

    def test_saved_by_one_rank(self):
        self.check_loads_everywhere("one")

    def test_saved_by_tensor_parallel_ranks(self):
        self.check_loads_everywhere("tp2")

    def test_saved_by_four_tensor_parallel_ranks(self):
        self.check_loads_everywhere("tp4")

    def test_saved_by_fsdp(self):
        self.check_loads_everywhere("fsdp4")

    def test_saved_by_fsdp_of_tensor_parallel_ranks(self):
        self.check_loads_everywhere("fsdp2_tp2")

    def test_saved_by_hsdp_of_tensor_parallel_ranks(self):
        self.check_loads_everywhere("hsdp2x2_tp2")

    def test_a_resumed_job_is_the_unbroken_one_bit_for_bit(self):
        for degrees, rows, mode in (((1, 1, 2), 8, "disabled"), ((1, 2, 2), 8, "async"), ((1, 3, 2), 6, "disabled")):
            with self.subTest(degrees=degrees, mode=mode):
                job = [f"--checkpoint.interval={SAVED_AT}", "--checkpoint.no-last_save_model_only", f"--checkpoint.async_mode={mode}"]
                unbroken = self.trained("unbroken", degrees, f"--training.steps={STEPS}", "--checkpoint.load_only", rows=rows)
                expected = unbroken, self.weights_at(STEPS, "unbroken")
                self.trained("broken", degrees, *job, f"--training.steps={SAVED_AT}", rows=rows)
                resumed = self.trained("broken", degrees, *job, f"--training.steps={STEPS}", rows=rows)
                self.assertEqual((resumed, self.weights_at(STEPS, "broken")), expected)
                for dump in ("unbroken", "broken"):
                    shutil.rmtree(self.path(dump))

    def test_weights_for_hugging_face_are_those_that_one_process_converts(self):
        for degrees, rows in (((1, 1, 4), 8), ((1, 3, 2), 6)):
            with self.subTest(degrees=degrees):
                self.trained("saved", degrees, "--training.steps=1", "--checkpoint.last_save_model_only", rows=rows)
                self.trained("exported", degrees, "--training.steps=1", "--checkpoint.last_save_model_only",
                             "--checkpoint.last_save_in_hf", rows=rows)
                self.convert(self.path("saved/checkpoint/step-1"), self.path("converted"))
                exported = self.path("exported/checkpoint/step-1")
                self.assertEqual(safetensors(exported), safetensors(self.path("converted")))
                self.trained("loaded", degrees, "--training.steps=1", "--checkpoint.load_only", "--checkpoint.initial_load_in_hf",
                             f"--checkpoint.initial_load_path={exported}", rows=rows)
                self.assertEqual(self.weights_at(0, "loaded"), self.weights_at(1, "saved"))
                for folder in ("saved", "exported", "converted", "loaded"):
                    shutil.rmtree(self.path(folder))

    def test_ranks_write_the_boxes_of_pytorchs(self):
        """FSDP cuts what tensor parallelism has left of a tensor: PyTorch calls it strided shards."""
        self.trained("saved", LAYOUTS["fsdp2_tp2"], "--model.flavor=tiny", "--training.steps=1", "--checkpoint.no-last_save_model_only")
        expected = boxes(PYTORCHS)
        self.assertEqual({name: box for name, box in boxes(self.path("saved/checkpoint/step-1")).items() if name in expected}, expected)


if __name__ == "__main__":
    unittest.main()
