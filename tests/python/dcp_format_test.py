"""Pickles, `torch.save` files and `.metadata`: ours against the installed PyTorch's, in both directions.

usage: dcp_format_test.py TORCH_FILES

TORCH_FILES is our program (tests/tools/torch_files.cpp).
"""

import io
import os
import pickle
import random
import shutil
import subprocess
import sys
import tempfile
import unittest
import warnings
from collections import OrderedDict
from pathlib import Path

import torch
import torch.distributed.checkpoint as dcp
from torch.distributed.checkpoint.format_utils import dcp_to_torch_save
from torch.distributed.checkpoint.metadata import (
    BytesStorageMetadata,
    ChunkStorageMetadata,
    Metadata,
    MetadataIndex,
    TensorProperties,
    TensorStorageMetadata,
)

PROGRAM = sys.argv[1]


def torch_save(value):
    file = io.BytesIO()
    torch.save(value, file)
    return file.getvalue()


def raw_bytes(tensor):
    flat = tensor.contiguous().reshape(-1)
    return flat.view(torch.uint8).numpy().tobytes() if flat.numel() else b""


def random_value(rng, depth, number):
    """Data without two equal strings: whether those are one object is Python's affair."""
    kind = rng.randrange(8 if depth == 0 else 12)
    number[0] += 1
    if kind == 0:
        return None
    if kind == 1:
        return rng.random() < 0.5
    if kind in (2, 3):
        bits = rng.randrange(64)
        return rng.choice([-1, 1]) * rng.randrange(1 << bits)
    if kind == 4:
        return rng.choice([0.0, -0.0, 1.5, float("inf"), rng.random(), 1e-320])
    if kind == 5:
        return f"{number[0]}" + rng.choice(["", "é", "🤖", "x" * 300, "\ud800"])
    if kind == 6:
        return rng.randbytes(rng.choice([0, 1, 30, 400]))
    if kind == 7:
        return ()
    items = [random_value(rng, depth - 1, number) for _ in range(rng.randrange(6))]
    if kind == 8:
        return items
    if kind == 9:
        return tuple(items)
    number[0] += 1
    keys = [f"key {number[0]} {i}" for i in range(len(items))]
    return (dict if kind == 10 else OrderedDict)(zip(keys, items))


class FormatTest(unittest.TestCase):
    def setUp(self):
        self.folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder)
        self.input, self.output = self.folder / "input", self.folder / "output"

    def run_program(self, *arguments):
        return subprocess.run([PROGRAM, *map(str, arguments)], capture_output=True, text=True, check=False, timeout=300)

    def ours(self, *arguments, data=None):
        """What our program writes (and prints) of `data`."""
        if data is not None:
            self.input.write_bytes(data)
        result = self.run_program(*arguments)
        self.assertEqual(result.returncode, 0, result.stderr)
        self.printed = result.stdout.strip()
        return self.output.read_bytes()

    def entry(self, path, offset, length):
        return self.ours("entry", path, offset, length, self.output)


class PickleTest(FormatTest):
    def test_values_come_back_and_bytes_are_pythons(self):
        rng = random.Random(1)
        for protocol in (2, 3, 4, 5):
            number = [0]
            value = [random_value(rng, 5, number) for _ in range(40)]
            expected = pickle.dumps(value, protocol)
            for written in (2, 3, 4, 5):
                with self.subTest(read=protocol, written=written):
                    bytes_ = self.ours("pickle", self.input, written, self.output, data=expected)
                    self.assertEqual(repr(pickle.loads(bytes_)), repr(value))
                    if written < 4 or len(bytes_) < 60000:  # beyond, Python's frames are several
                        self.assertEqual(bytes_, pickle.dumps(value, written))

    def test_batches_beyond_1000(self):
        for size in (999, 1000, 1001, 2500):
            value = {"list": list(range(size)), "dict": {f"k{i}": i for i in range(size)}}
            expected = pickle.dumps(value, 2)
            self.assertEqual(self.ours("pickle", self.input, 2, self.output, data=expected), expected)

    def test_shared_values(self):
        shared = ["s", {"t": 1.5}]
        value = {"a": shared, "b": [shared, shared], "c": "s"}
        bytes_ = self.ours("pickle", self.input, 4, self.output, data=pickle.dumps(value))
        self.assertEqual(pickle.loads(bytes_), value)

    def test_what_is_refused(self):
        cycle = []
        cycle.append(cycle)
        for value, reason in [
            (cycle, "holds itself"),
            ({1, 2}, "EMPTY_SET"),
            (2**64, "integer of 9 bytes"),
            (bytearray(b"x"), "BYTEARRAY8"),
        ]:
            self.input.write_bytes(pickle.dumps(value, 5))
            result = self.run_program("pickle", self.input, 2, self.output)
            self.assertEqual(result.returncode, 1)
            self.assertIn(reason, result.stderr)
            self.assertIn("byte ", result.stderr)


class ArchiveTest(FormatTest):
    SHAPES = [(), (0,), (0, 3), (3, 0, 2), (1,), (7,), (3, 5), (1, 4), (2, 3, 4), (2, 1, 3, 2, 2), (300,), (70000,)]
    UNTYPED = ["uint16", "uint32", "uint64", "float8_e4m3fn", "float8_e5m2", "float8_e8m0fnu"]
    TYPED = ["float32", "bfloat16", "float16", "float64", "int64", "int32", "int16", "int8", "uint8", "bool", "complex64"]

    def tensors(self):
        torch.manual_seed(0)
        for name in self.TYPED + self.UNTYPED:
            dtype = getattr(torch, name)
            for shape in self.SHAPES if name in ("float32", "uint16") else [(3, 5)]:
                yield name, torch.randint(0, 2, shape, dtype=torch.uint8).to(dtype)

    def test_tensors_are_written_byte_for_byte(self):
        for name, tensor in self.tensors():
            with self.subTest(dtype=name, shape=tensor.shape):
                sizes = ",".join(map(str, tensor.shape))
                bytes_ = self.ours("tensor", name, sizes, self.input, self.output, data=raw_bytes(tensor))
                self.assertEqual(bytes_, torch_save(tensor))

    def test_tensors_are_read(self):
        views = [("float32", t) for t in (torch.arange(24.0).reshape(4, 6).t(), torch.arange(24.0)[3:9], torch.ones(1).expand(5))]
        for name, tensor in [*self.tensors(), *views]:
            with self.subTest(dtype=name, shape=tensor.shape):
                before = b"x" * 77
                file = before + torch_save(tensor) + b"behind"
                self.input.write_bytes(file)
                bytes_ = self.entry(self.input, len(before), len(file) - len(before) - 6)
                dtype, sizes, strides, first, *contiguous = self.printed.split()
                self.assertEqual(dtype, name)
                self.assertEqual(sizes, str(list(tensor.shape)).replace(" ", ""))
                self.assertEqual(bool(contiguous), tensor.is_contiguous())
                if contiguous:
                    self.assertEqual(bytes_, raw_bytes(tensor))
                else:
                    self.assertEqual(strides, str(list(tensor.stride())).replace(" ", ""))
                    self.assertEqual(int(first), tensor.storage_offset())

    def test_objects(self):
        for value in (3, "text", b"", b"\x00\xff", 1.5, [0.1, 0.2], {"a": 1, "b": (1, 2, 3, 4)}, None, pickle.dumps({"x": 1})):
            with self.subTest(value=value):
                saved = torch_save(value)
                self.assertEqual(self.ours("object", self.input, self.output, data=pickle.dumps(value)), saved)
                self.assertEqual(torch.load(self.output, weights_only=False), value)
                self.input.write_bytes(saved)
                self.assertEqual(pickle.loads(self.entry(self.input, 0, len(saved))), value)


class MetadataTest(FormatTest):
    """Whole checkpoints that PyTorch writes, and layouts of many ranks that it would write."""

    def state(self):
        torch.manual_seed(1)
        model = torch.nn.Sequential(torch.nn.Linear(3, 5), torch.nn.LayerNorm(5), torch.nn.Linear(5, 2).to(torch.bfloat16))
        optimizer = torch.optim.AdamW(model.parameters())
        model[2](model[1](model[0](torch.ones(3))).to(torch.bfloat16)).sum().backward()
        optimizer.step()
        return {
            "model": model.state_dict(),
            "optimizer": optimizer.state_dict(),
            "train_state": {"step": 7, "ntokens_seen": 2**40},
            "nested": {"list": [torch.ones(2, 2), {"deep": torch.zeros(0, 3)}], "tuple": (1, 2)},
            "lr_scheduler": {"base_lrs": [0.1, 0.2], "_last_lr": [1e-3]},
            "dataloader": {"dp_rank_0": pickle.dumps({"position": [1, 2, 3]})},
        }

    def rewrite(self, metadata, protocol=4):
        """Our reading and writing of a Metadata, unpickled."""
        return pickle.loads(self.ours("metadata", self.input, self.output, data=pickle.dumps(metadata, protocol)))

    def save(self):
        folder = self.folder / "checkpoint"
        with warnings.catch_warnings(action="ignore"):
            dcp.save(self.state(), checkpoint_id=folder, no_dist=True)
        return folder, pickle.loads((folder / ".metadata").read_bytes())

    def test_a_checkpoint_of_pytorch(self):
        folder, metadata = self.save()
        for protocol in (2, 3, 4, 5):
            self.assertEqual(self.rewrite(metadata, protocol), metadata)
        self.assertEqual(self.run_program("check", folder).stdout.strip(), f"{len(metadata.state_dict_metadata)} entries")

        for index, info in metadata.storage_data.items():
            bytes_ = self.entry(folder / info.relative_path, info.offset, info.length)
            file = (folder / info.relative_path).read_bytes()
            value = torch.load(io.BytesIO(file[info.offset : info.offset + info.length]), weights_only=False)
            with self.subTest(key=index.fqn):
                if torch.is_tensor(value):
                    self.assertEqual(bytes_, raw_bytes(value))
                else:
                    self.assertEqual(pickle.loads(bytes_), value)

    def test_pytorch_loads_through_our_metadata(self):
        folder, metadata = self.save()
        (folder / ".metadata").write_bytes(self.ours("metadata", folder / ".metadata", self.output))
        read = dcp.FileSystemReader(folder).read_metadata()
        read.storage_meta.load_id = None  # the reader's own
        self.assertEqual(read, metadata)
        expected = self.state()
        loaded = {
            key: torch.zeros(value.size, dtype=value.properties.dtype) if isinstance(value, TensorStorageMetadata) else None
            for key, value in read.state_dict_metadata.items()
        }
        with warnings.catch_warnings(action="ignore"):
            dcp.load(loaded, checkpoint_id=folder, no_dist=True)
        self.assertTrue(torch.equal(loaded["model.0.weight"], expected["model"]["0.weight"]))
        self.assertTrue(torch.equal(loaded["nested.list.0"], torch.ones(2, 2)))
        self.assertEqual(loaded["train_state.ntokens_seen"], 2**40)
        self.assertEqual(loaded["nested.tuple"], (1, 2))
        dcp_to_torch_save(folder, self.folder / "all.pt")
        whole = torch.load(self.folder / "all.pt", weights_only=False)
        self.assertTrue(torch.equal(whole["model"]["2.weight"], expected["model"]["2.weight"]))

    def test_chunks_of_many_ranks(self):
        def metadata(key, size, chunks):
            storage = {
                MetadataIndex(key, offset, i): torch.distributed.checkpoint.filesystem._StorageInfo(f"__{i}_0.distcp", 0, 1577)
                for i, (offset, _) in enumerate(chunks)
            }
            parts = [ChunkStorageMetadata(torch.Size(offset), torch.Size(sizes)) for offset, sizes in chunks]
            tensor = TensorStorageMetadata(TensorProperties(dtype=torch.float64), torch.Size(size), parts)
            return Metadata({key: tensor}, storage_data=storage)

        halves = [([0, 0], [3, 4]), ([3, 0], [2, 4])]
        grid = [([r, c], [2, 3]) for c in (0, 3) for r in (4, 0, 2)]
        uneven = [([0, 0], [1, 3]), ([1, 0], [0, 3])]
        for size, chunks in (([5, 4], halves), ([6, 6], grid), ([1, 3], uneven), ([], [([], [])])):
            expected = metadata("w", size, chunks)
            result = self.rewrite(expected)
            self.assertEqual(result.state_dict_metadata, expected.state_dict_metadata)
            self.assertEqual(result.storage_data, expected.storage_data)

        for size, chunks, reason in (
            ([6, 4], halves, "in no chunk"),
            ([5, 4], [([0, 0], [4, 4]), halves[1]], "overlaps"),
            ([5, 5], [*halves, ([0, 4], [6, 1])], "not within"),
            ([5], halves, "not within"),
        ):
            self.input.write_bytes(pickle.dumps(metadata("layer.w", size, chunks)))
            result = self.run_program("metadata", self.input, self.output)
            self.assertEqual(result.returncode, 1)
            self.assertIn(reason, result.stderr)
            self.assertIn("'layer.w'", result.stderr)

    def test_code_in_metadata_is_refused_and_not_run(self):
        class Attack:
            def __reduce__(self):
                return os.system, (f"touch {self.proof}",)

            def __init__(self, proof):
                self.proof = proof

        proof = self.folder / "proof"
        for metadata in (Attack(proof), Metadata({"a": BytesStorageMetadata()}, Attack(proof), {})):
            self.input.write_bytes(pickle.dumps(metadata))
            result = self.run_program("metadata", self.input, self.output)
            self.assertEqual(result.returncode, 1)
            self.assertIn("posix.system", result.stderr)
            self.assertFalse(proof.exists())


if __name__ == "__main__":
    sys.exit(unittest.main(argv=sys.argv[:1]))
