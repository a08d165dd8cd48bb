"""The ranks of our meshes against PyTorch's DeviceMesh, for every rank of many layouts.

    mesh_test.py PRINT_MESHES

PyTorch builds its meshes on a process group that exchanges nothing, once per rank.
"""

import subprocess
import sys
import unittest

import torch.distributed as dist
from torch.distributed.device_mesh import init_device_mesh
from torch.testing._internal.distributed.fake_pg import FakeStore

PRINT_MESHES = sys.argv.pop(1)

# dp_replicate, dp_shard, cp, tp, pp, ep, etp
LAYOUTS = [
    (1, 1, 1, 1, 1, 1, 1),
    (4, 1, 1, 1, 1, 1, 1),
    (1, 4, 1, 1, 1, 2, 1),
    (2, 2, 1, 2, 1, 1, 1),
    (2, 2, 1, 2, 1, 4, 1),
    (1, 2, 2, 2, 1, 8, 1),
    (1, 3, 1, 2, 1, 3, 2),
    (2, 1, 1, 2, 2, 2, 1),
    (2, 2, 2, 1, 2, 4, 1),
    (2, 2, 2, 2, 2, 4, 2),
    (1, 2, 2, 3, 1, 6, 1),
    (3, 2, 1, 1, 2, 2, 1),
]


def world_size(layout):
    dp_replicate, dp_shard, cp, tp, pp, _, _ = layout
    return dp_replicate * dp_shard * cp * tp * pp


def torch_meshes(layout):
    """{dimension: (coordinate, ranks)} of the rank this process plays."""
    dp_replicate, dp_shard, cp, tp, pp, ep, etp = layout
    fsdp = dp_shard * cp
    loading = init_device_mesh("cpu", (pp, dp_replicate * dp_shard, cp, tp),
                               mesh_dim_names=("pp", "batch", "cp", "tp"))
    dense = init_device_mesh("cpu", (pp, dp_replicate, fsdp, tp), mesh_dim_names=("pp", "dp_replicate", "fsdp", "tp"))
    sparse = init_device_mesh("cpu", (pp, dp_replicate, fsdp * tp // (ep * etp), ep, etp),
                              mesh_dim_names=("pp", "dp_replicate", "efsdp", "ep", "etp"))
    meshes = {name: loading[name] for name in ("pp", "batch", "cp", "tp")}
    meshes["loss"] = loading["batch", "cp"]._flatten("loss")
    meshes |= {name: dense[name] for name in ("dp_replicate", "fsdp")}
    meshes |= {name: sparse[name] for name in ("efsdp", "ep", "etp")}
    return {name: (mesh.get_local_rank(), mesh.mesh.tolist()) for name, mesh in meshes.items()}


def our_meshes(layout):
    """{rank: {dimension: (coordinate, ranks)}}"""
    line = " ".join(map(str, (world_size(layout), *layout)))
    out = subprocess.run([PRINT_MESHES], input=line, capture_output=True, text=True, check=True).stdout
    meshes = {}
    for text in out.splitlines():
        name, rank, coordinate, *ranks = text.split()
        meshes.setdefault(int(rank), {})[name] = (int(coordinate), [int(other) for other in ranks])
    return meshes


class Meshes(unittest.TestCase):
    def test_ranks_equal_those_of_device_mesh(self):
        for layout in LAYOUTS:
            ours = our_meshes(layout)
            self.assertEqual(len(ours), world_size(layout))
            for rank in ours:
                dist.init_process_group("fake", store=FakeStore(), rank=rank, world_size=world_size(layout))
                try:
                    self.assertEqual(ours[rank], torch_meshes(layout), f"rank {rank} of {layout}")
                finally:
                    dist.destroy_process_group()


if __name__ == "__main__":
    unittest.main()
