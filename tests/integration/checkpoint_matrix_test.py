"""A checkpoint of any layout goes on on any other: its weights and moments, its place in the data; and PyTorch reads it."""
import unittest

from checkpoint_matrix import CheckpointMatrix


class CheckpointMatrixTest(CheckpointMatrix):
    model = ["--model.flavor=tiny_8_heads"]
    layouts = {"one": {}, "fsdp2": {"shard": 2}, "fsdp4": {"shard": 4}, "hsdp2x2": {"replicate": 2, "shard": 2}, "tp2": {"tensor": 2},
               "fsdp2_tp2": {"shard": 2, "tensor": 2}, "pp2": {"pipeline": 2},
               "pp2_of_4_stages": {"pipeline": 2, "schedule": "Interleaved1F1B"}, "pp2_fsdp2": {"shard": 2, "pipeline": 2},
               "cp2": {"context": 2}, "fsdp2_cp2": {"shard": 2, "context": 2},
               "pp2_fsdp2_tp2": {"shard": 2, "tensor": 2, "pipeline": 2, "schedule": "ZBVZeroBubble"}}

    def test_weights_and_moments(self):
        self.check_weights_and_moments()

    def test_no_token_is_repeated_or_skipped(self):
        self.check_positions()


if __name__ == "__main__":
    unittest.main()
