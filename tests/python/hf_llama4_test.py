"""Llama 4 and Hugging Face folders: ours against `transformers`, in both directions.

usage: hf_llama4_test.py HF_MODEL
"""

import json

from hf_model import HfModelTest, main, random_norms  # first: it keeps `transformers` offline

import torch
from safetensors.torch import load_file, save_file
from transformers import Llama4ForCausalLM, Llama4TextConfig


def tiny_llama(**changes):
    """Our flavor `tiny`."""
    values = {
        "hidden_size": 32,
        "intermediate_size": 48,
        "intermediate_size_mlp": 96,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 8,
        "vocab_size": 2048,
        "max_position_embeddings": 4096,
        "num_local_experts": 4,
        "interleave_moe_layer_step": 2,
        "no_rope_layers": [1, 1, 1, 1],
        "attention_chunk_size": 4096,
        "use_qk_norm": False,
        "attn_temperature_tuning": False,
        "rms_norm_eps": 1e-5,
        "rope_parameters": {
            "rope_type": "llama3",
            "rope_theta": 500000.0,
            "factor": 16.0,
            "low_freq_factor": 1.0,
            "high_freq_factor": 1.0,
            "original_max_position_embeddings": 8192,
        },
        "tie_word_embeddings": False,
        "initializer_range": 0.3,
        "bos_token_id": None,
        "eos_token_id": None,
    }
    torch.manual_seed(3)
    return random_norms(Llama4ForCausalLM(Llama4TextConfig(**{**values, **changes})))


IROPE = {"no_rope_layers": [0, 1, 1, 1], "attention_chunk_size": 8}


class HfLlama4Test(HfModelTest):
    model = "llama4"

    def test_theirs_in_ours(self):
        model = tiny_llama()
        model.save_pretrained(self.folder)
        self.assertNotIn("WARNING", self.assert_same_model(model))

    def test_interleaved_attention(self):
        """Blocks of 8 tokens: the prompt has 14, so that blocks begin in it and behind it."""
        self.flavor = "tiny_irope"
        model = tiny_llama(**IROPE)
        model.save_pretrained(self.folder)
        self.assertNotIn("WARNING", self.assert_same_model(model))

    def test_the_text_model_of_one_that_sees(self):
        model = tiny_llama()
        model.save_pretrained(self.folder)
        path = self.folder / "model.safetensors"
        tensors = {f"language_model.{name}": tensor for name, tensor in load_file(path).items()}
        save_file({**tensors, "vision_model.class_embedding": torch.zeros(3)}, path)
        config = json.loads((self.folder / "config.json").read_text())
        (self.folder / "config.json").write_text(json.dumps({"model_type": "llama4", "text_config": config}))
        self.assertNotIn("WARNING", self.assert_same_model(model))

    def test_what_is_computed_differently_is_said(self):
        tiny_llama(use_qk_norm=True, **IROPE).save_pretrained(self.folder)
        log = self.our_logits()[1]
        self.assertIn("use_qk_norm is true, in this model false", log)
        self.assertIn("no_rope_layers is [0,1,1,1], in this model [1, 1, 1, 1]", log)

    def test_another_model_is_refused(self):
        tiny_llama(interleave_moe_layer_step=1).save_pretrained(self.folder)
        result = self.run_ours("logits", "1,2", self.out)
        self.assertEqual(result.returncode, 1)
        self.assertIn("moe_layers is [0,1,2,3], in this model [1, 3]", result.stderr)

    def test_ours_in_theirs(self):
        for flavor in ("tiny", "tiny_irope"):
            with self.subTest(flavor):
                self.flavor = flavor
                self.folder = self.folder.with_name(flavor)
                self.assertEqual(self.run_ours("export", "float32", 5).returncode, 0)
                model = self.their_model()
                self.assertEqual(type(model), Llama4ForCausalLM)
                self.assert_same_model(model)


if __name__ == "__main__":
    main()
