"""Whole checkpoints: what torch.distributed.checkpoint saves we load, in any layout; what we save it loads.

usage: dcp_state_test.py DCP_STATES

DCP_STATES is our program (tests/tools/dcp_states.cpp). Python's checkpoints are written by real Gloo processes, which are
this script once more.
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import unittest
import warnings
from pathlib import Path

import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp
from torch import nn
from torch.distributed.checkpoint.format_utils import dcp_to_torch_save
from torch.distributed.checkpoint.metadata import TensorStorageMetadata

warnings.filterwarnings("ignore")


def sha256(tensor):
    flat = tensor.detach().cpu().contiguous().reshape(-1)
    return hashlib.sha256(flat.view(torch.uint8).numpy().tobytes() if flat.numel() else b"").hexdigest()


def whole(tensor):
    return tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor


class Block(nn.Module):
    def __init__(self, dim, hidden):
        super().__init__()
        self.up = nn.Linear(dim, hidden)
        self.down = nn.Linear(hidden, dim, bias=False)
        self.norm = nn.LayerNorm(dim)

    def forward(self, x):
        return self.norm(x + self.down(torch.relu(self.up(x))))


class Model(nn.Module):
    """Rows that no number of ranks divides, fewer rows than ranks, a buffer."""

    def __init__(self):
        super().__init__()
        self.embedding = nn.Linear(3, 16, bias=False)
        self.blocks = nn.ModuleList([Block(16, 20), Block(16, 24)])
        self.head = nn.Linear(16, 5)
        self.last = nn.Linear(5, 1)
        self.register_buffer("counts", torch.arange(7))

    def forward(self, x):
        x = self.embedding(x)
        for block in self.blocks:
            x = block(x)
        return self.last(self.head(x))


def sharded_model(ranks, layout):
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard
    from torch.distributed.tensor.parallel import ColwiseParallel, RowwiseParallel, parallelize_module

    model = Model()
    if layout == "grid":
        mesh = init_device_mesh("cpu", (ranks // 2, 2), mesh_dim_names=("fsdp", "tp"))
        for block in model.blocks:
            parallelize_module(block, mesh["tp"], {"up": ColwiseParallel(), "down": RowwiseParallel()})
        mesh = mesh["fsdp"]
    else:
        mesh = init_device_mesh("cpu", (ranks,), mesh_dim_names=("fsdp",))
    for block in model.blocks:
        fully_shard(block, mesh=mesh)
    return fully_shard(model, mesh=mesh)


def state_of(model, optimizer, step):
    from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict, get_optimizer_state_dict

    options = StateDictOptions(flatten_optimizer_state_dict=True)
    return {
        **get_model_state_dict(model),
        "optimizer": get_optimizer_state_dict(model, optimizer, options=options),
        "train_state": {"step": step, "seen": 2**40},
        "lr_scheduler": {"base_lrs": [1e-3, 0.5], "last_epoch": step},
        f"rank_{dist.get_rank()}": {"bytes": bytes([dist.get_rank()] * 9)},
        "bf16": torch.arange(300.0).bfloat16().view(30, 10),
        "turned": torch.arange(24.0).view(4, 6).t(),
    }


def flattened(state, prefix=""):
    for key, value in state.items():
        if isinstance(value, dict):
            yield from flattened(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value


def worker(rank, ranks, layout, folder, meeting, load_from):
    """Trains a little and saves; or loads `load_from` and says what it holds."""
    store = dist.FileStore(meeting, ranks)
    dist.init_process_group("gloo", store=store, rank=rank, world_size=ranks)
    torch.manual_seed(3)
    model = sharded_model(ranks, layout)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for step in range(2):
        model(torch.randn(4, 3)).square().mean().backward()
        optimizer.step()
        optimizer.zero_grad()
    state = state_of(model, optimizer, 2)
    if load_from:
        for _, value in flattened(state):
            if isinstance(value, torch.Tensor):
                value.detach().zero_()
        state.pop(f"rank_{rank}")
        dcp.load(state, checkpoint_id=load_from)
    else:
        dcp.save(state, checkpoint_id=folder)
    hashes = {key: sha256(whole(value)) for key, value in flattened(state) if isinstance(value, torch.Tensor)}
    if rank == 0:
        Path(f"{folder}.json").write_text(json.dumps(hashes))
    # No rank closes its sockets while another may still be in the last collective.
    store.set(f"done {rank}", "")
    store.wait([f"done {other}" for other in range(ranks)])


def run_workers(ranks, layout, folder, load_from=""):
    """Returns the hashes of the full tensors."""
    meeting = f"{folder}.meeting"
    arguments = [[sys.executable, "-B", __file__, "worker", str(rank), str(ranks), layout, str(folder), meeting, str(load_from)]
                 for rank in range(ranks)]
    processes = [subprocess.Popen(a, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) for a in arguments]
    outputs = [process.communicate(timeout=600)[0] for process in processes]
    for process, output in zip(processes, outputs):
        if process.returncode != 0:
            raise AssertionError(output)
    return json.loads(Path(f"{folder}.json").read_text())


class StateTest(unittest.TestCase):
    def setUp(self):
        self.folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder)

    def ours(self, *arguments):
        result = subprocess.run([PROGRAM, *map(str, arguments)], capture_output=True, text=True, check=False, timeout=300)
        self.assertEqual(result.returncode, 0, result.stderr)
        return result.stdout

    def our_hashes(self, folder, ranks, layout):
        lines = self.ours("hashes", folder, ranks, layout).splitlines()
        return {line.split("\t")[0]: line.split("\t")[3] for line in lines}

    def check_both_ways(self, ranks, layout):
        theirs = self.folder / "theirs"
        expected = run_workers(ranks, layout, theirs)
        for our_ranks, our_layout in [(1, "whole"), (2, "rows"), (3, "rows"), (4, "grid"), (3, "columns")]:
            with self.subTest(python=ranks, ours=our_ranks, layout=our_layout):
                self.assertEqual(self.our_hashes(theirs, our_ranks, our_layout), expected)
        ours = self.folder / "ours"
        self.ours("resave", theirs, 4, "grid", ours)
        self.check_python_reads(ours, theirs, expected)
        with self.subTest("Python's ranks load what ours saved"):
            self.assertEqual(run_workers(ranks, layout, self.folder / "again", load_from=ours), expected)

    def check_python_reads(self, ours, theirs, expected):
        """One process, plain tensors, and the tool that makes one file of a checkpoint."""
        metadata = dcp.FileSystemReader(ours).read_metadata().state_dict_metadata
        state = {key: torch.zeros(m.size, dtype=m.properties.dtype) if isinstance(m, TensorStorageMetadata) else None
                 for key, m in metadata.items()}
        dcp.load(state, checkpoint_id=ours, no_dist=True)
        tensors = {key: sha256(value) for key, value in state.items() if isinstance(value, torch.Tensor)}
        self.assertEqual(tensors, expected)
        files = []
        for folder in (ours, theirs):
            files.append(self.folder / "file.pt")
            dcp_to_torch_save(folder, files[-1])
            files[-1] = torch.load(files[-1], weights_only=False)
        self.assert_same(*files)
        self.assertEqual(files[0]["train_state"], {"step": 2, "seen": 2**40})

    def assert_same(self, a, b):
        self.assertEqual(type(a), type(b))
        if isinstance(a, dict):
            self.assertEqual(sorted(a), sorted(b))
            for key in a:
                self.assert_same(a[key], b[key])
        elif isinstance(a, torch.Tensor):
            self.assertTrue(torch.equal(a, b))
        else:
            self.assertEqual(a, b)

    def test_one_process(self):
        self.check_both_ways(1, "rows")

    def test_two_processes(self):
        self.check_both_ways(2, "rows")

    def test_four_processes(self):
        self.check_both_ways(4, "rows")

    def test_rows_that_we_cut_twice(self):
        """Some ranks hold nothing, at a place where another's part begins."""
        theirs, ours = self.folder / "theirs", self.folder / "ours"
        expected = run_workers(2, "rows", theirs)
        self.ours("resave", theirs, 8, "twice", ours)
        self.check_python_reads(ours, theirs, expected)
        self.assertEqual(run_workers(2, "rows", self.folder / "again", load_from=ours), expected)

    def test_strided_shards_of_a_2d_mesh(self):
        self.check_both_ways(4, "grid")


if __name__ == "__main__":
    if sys.argv[1] == "worker":
        worker(int(sys.argv[2]), int(sys.argv[3]), *sys.argv[4:])
        # A thread of Gloo's may yet have to give back the last collective's tensors, for which it needs Python's lock. An
        # interpreter that ends meanwhile does so with std::terminate; so only the process ends.
        os._exit(0)
    else:
        PROGRAM = sys.argv.pop(1)
        os.environ.setdefault("OMP_NUM_THREADS", "1")
        unittest.main()
