"""Qwen 3 and Hugging Face folders: ours against `transformers`, in both directions.

usage: hf_qwen3_test.py HF_MODEL
"""

import json

from hf_model import HfModelTest, main, random_norms  # first: it keeps `transformers` offline

import torch
from safetensors.torch import load_file, save_file
from transformers import Qwen3Config, Qwen3ForCausalLM, Qwen3MoeConfig, Qwen3MoeForCausalLM


VALUES = {
    "hidden_size": 24,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "vocab_size": 2048,
    "max_position_embeddings": 4096,
    "rms_norm_eps": 1e-6,
    "rope_parameters": {"rope_type": "default", "rope_theta": 1000000.0},
    "initializer_range": 0.3,
    "bos_token_id": None,
    "eos_token_id": None,
}


def tiny_qwen(**changes):
    """Our flavor `tiny`."""
    torch.manual_seed(3)
    return random_norms(Qwen3ForCausalLM(Qwen3Config(**{**VALUES, "tie_word_embeddings": True, **changes})))


def tiny_moe():
    """Our flavor `tiny_moe`."""
    config = Qwen3MoeConfig(**VALUES, tie_word_embeddings=False, moe_intermediate_size=32, num_experts=8, num_experts_per_tok=2,
                            norm_topk_prob=True, decoder_sparse_step=1, mlp_only_layers=[])
    torch.manual_seed(3)
    return random_norms(Qwen3MoeForCausalLM(config))


class HfQwen3Test(HfModelTest):
    model = "qwen3"

    def test_theirs_in_ours(self):
        model = tiny_qwen()
        model.save_pretrained(self.folder)
        self.assertNotIn("lm_head.weight", load_file(self.folder / "model.safetensors"))
        self.assertNotIn("WARNING", self.assert_same_model(model))

    def test_a_head_that_is_stored_twice_is_not_read(self):
        model = tiny_qwen()
        model.save_pretrained(self.folder)
        path = self.folder / "model.safetensors"
        tensors = load_file(path)
        save_file({**tensors, "lm_head.weight": tensors["model.embed_tokens.weight"].clone()}, path)
        self.assert_same_model(model)

    def test_theirs_with_a_head_of_its_own(self):
        self.flavor = "tiny_untied"
        model = tiny_qwen(tie_word_embeddings=False)
        model.save_pretrained(self.folder)
        self.assertNotIn("WARNING", self.assert_same_model(model))

    def test_experts(self):
        self.flavor = "tiny_moe"
        model = tiny_moe()
        model.save_pretrained(self.folder)
        self.assertIn("model.layers.1.mlp.experts.7.up_proj.weight", load_file(self.folder / "model.safetensors"))
        self.assertNotIn("WARNING", self.assert_same_model(model))

    def test_our_experts_in_theirs(self):
        self.flavor = "tiny_moe"
        self.assertEqual(self.run_ours("export", "float32", 5).returncode, 0)
        model = self.their_model()
        self.assertEqual(type(model), Qwen3MoeForCausalLM)
        self.assert_same_model(model)

    def test_another_model_is_refused(self):
        tiny_qwen(tie_word_embeddings=False, num_key_value_heads=4).save_pretrained(self.folder)
        result = self.run_ours("logits", "1,2", self.out)
        self.assertEqual(result.returncode, 1)
        self.assertIn("num_key_value_heads is 4, in this model 2", result.stderr)
        self.assertIn("tie_word_embeddings is false, in this model true", result.stderr)

    def test_ours_in_theirs(self):
        for flavor in ("tiny", "tiny_untied"):
            with self.subTest(flavor):
                self.flavor = flavor
                self.folder = self.folder.with_name(flavor)
                self.assertEqual(self.run_ours("export", "float32", 5).returncode, 0)
                model = self.their_model()
                self.assertEqual(type(model), Qwen3ForCausalLM)
                self.assert_same_model(model)
                config = json.loads((self.folder / "config.json").read_text())
                self.assertEqual(config["tie_word_embeddings"], flavor == "tiny")


if __name__ == "__main__":
    main()
