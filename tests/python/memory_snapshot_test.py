"""A memory snapshot is what PyTorch's own viewers read: memory_snapshot_test.py PROGRAM LIBRARY."""
import pickle
import subprocess
import sys
import unittest

from torch.cuda import _memory_viz

COMMAND = sys.argv[1:3]


class MemorySnapshotTest(unittest.TestCase):
    def test_viewers_of_snapshots_read_ours(self):
        snapshot = pickle.loads(subprocess.run(COMMAND, check=True, stdout=subprocess.PIPE).stdout)
        self.assertIsInstance(snapshot["segments"], list)
        self.assertIsInstance(snapshot["device_traces"], list)
        self.assertIn("max_split_size", snapshot["allocator_settings"])
        self.assertIn("segment", _memory_viz.segsum(snapshot).lower())


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
