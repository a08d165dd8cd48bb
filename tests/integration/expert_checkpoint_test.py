"""Checkpoints of mixtures of experts, whose tensors are cut on a mesh of their own: of any layout they go on on any other."""
import unittest

from checkpoint_matrix import CheckpointMatrix

# Experts on one, two and four ranks, sharded and not, cut within or not, of parts of texts, in stages of pipelines.
LAYOUTS = {"one": {}, "fsdp2": {"shard": 2}, "fsdp2_ep2": {"shard": 2, "experts": 2}, "fsdp4_ep2": {"shard": 4, "experts": 2},
           "fsdp4_ep4": {"shard": 4, "experts": 4}, "fsdp2_tp2_ep4": {"shard": 2, "tensor": 2, "experts": 4},
           "cp2_ep2": {"context": 2, "experts": 2},
           "fsdp2_tp2_ep2_etp2": {"shard": 2, "tensor": 2, "experts": 2, "expert_tensor": 2},
           "pp2_fsdp2_ep2": {"shard": 2, "pipeline": 2, "schedule": "Interleaved1F1B", "experts": 2}}


class ExpertCheckpointTest(CheckpointMatrix):
    layouts = LAYOUTS
    model = ["--model.name=deepseek_v3", "--model.flavor=tiny"]
    # Gradients in narrow layers are small differences of large terms, whose order is the layout's.
    moment_tolerance = 1e-4

    def test_weights_and_moments(self):
        """Also the biases of experts, which steps move and which are no parameters."""
        self.check_weights_and_moments()


class StillExpertCheckpointTest(CheckpointMatrix):
    """Where no weight changes nothing else may: the biases of this model's experts stay what they are."""

    layouts = LAYOUTS
    model = ["--model.name=qwen3", "--model.flavor=tiny_moe"]

    def test_no_token_is_repeated_or_skipped(self):
        self.check_positions()


if __name__ == "__main__":
    unittest.main()
